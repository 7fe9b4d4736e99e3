"""Requests through memory controllers, from a notebook."""

from typing import Any


def dram(**request: Any) -> dict[str, Any]:
    """Serve a request trace or a pattern; arguments are the fields of :class:`rowline.memory.MemoryJob`.

    Returns:
        The keys of ``rowline dram --json`` (``docs/cli.md``).

    Raises:
        rowline.arch.yamltree.ConfigError: an argument, preset or override is wrong.
        rowline.traces.formats.files.FormatError: the trace is damaged, or does not fit the memory.
    """
    from rowline.memory import MemoryJob, run_memory

    return run_memory(MemoryJob(**request))
