"""``rowline.load``: whatever Rowline wrote, back as an object of a notebook."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rowline.arch.yamltree import ConfigError, printable


def load(path: str | Path) -> Any:
    """What lies at ``path``.

    Returns:
        a :class:`rowline.api.run.Run` for a run folder; a :class:`rowline.api.study.Study` for a study's folder or address; a
        :class:`rowline.api.log.CommandLog` for a command log that Rowline wrote as Parquet; a DataFrame for an OpLog, a GpuOpLog,
        a kernel log or the trials of a study (Parquet).

    Raises:
        rowline.arch.yamltree.ConfigError: there is nothing, or nothing that is known.
        rowline.traces.formats.files.FormatError, rowline.sweeps.store.StoreError: it is damaged.
    """
    from rowline import reporting
    from rowline.runfiles import is_run

    target = str(path)
    try:
        if reporting.is_study(target):
            from rowline.api.study import Study

            return Study(target)
        folder, is_file = is_run(Path(target)), Path(target).is_file()
    except (OSError, ValueError):  # a name that no file can have
        folder = is_file = False
    if folder:
        from rowline.api.run import Run

        return Run.load(Path(target))
    if not is_file:
        raise ConfigError([f"{printable(target, 4096)}: no run folder, no study and no file"])
    return _table(Path(target))


def _table(path: Path) -> Any:
    from rowline.reports import frames
    from rowline.traces.formats import commandlog, trials
    from rowline.traces.gpulog import GPU_OPLOG_TABLE
    from rowline.traces.kernellog import read_kernel_log
    from rowline.traces.oplog import OPLOG_TABLE
    from rowline.traces.schema import read_columns, table_name

    try:
        name = table_name(path)
        for table in (OPLOG_TABLE, GPU_OPLOG_TABLE):
            if name == table.name:
                return frames.operations(read_columns(path, table))
        if name == trials.KIND:
            return frames.records([_plain(row) for row in trials.read_trials(path)])
    except ValueError as error:
        raise ConfigError([printable(str(error), 4096)]) from None
    if name == f"{commandlog.SPEC.name} {commandlog.SPEC.version}":
        return _command_log(path)
    return frames.records(read_kernel_log(path)[1])


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A trial without its configuration and stats; parameters and objectives beside the rest."""
    first = {key: row[key] for key in ("number", "id", "state")}
    return first | dict(row["params"]) | dict(row["objectives"]) | {"reason": row["reason"]}


def _command_log(path: Path) -> Any:
    import numpy as np

    from rowline.api.log import CommandLog
    from rowline.traces.commands import ISSUED
    from rowline.traces.formats.commandlog import read_command_log

    log = read_command_log(path)
    assert log.header is not None
    return CommandLog({log.header.channel: (log.header, np.concatenate([np.empty(0, ISSUED), *log.issues()]))})
