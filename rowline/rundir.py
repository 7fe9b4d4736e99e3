"""The run folder: config.yaml, stats.json and ops.parquet, each written whole or not at all."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

from rowline import __version__
from rowline.experiment import Experiment, RunConfig

PACKAGES = ("numpy", "numba", "simpy", "torch", "pandas", "pyarrow", "pydantic")


def digest(data: Any) -> str:
    """SHA-256 of canonical JSON."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def provenance(experiment: Experiment) -> dict[str, Any]:
    """What the result depends on: code, configuration, model graph and the libraries' versions. No times of day."""
    specs = experiment.result.specs
    return code_provenance() | {
        "config_digest": digest(_asked(experiment.config)),
        "system_digest": digest(specs.get("system", specs)),
        "graph_digest": experiment.result.graph_digest,
    }


def code_provenance() -> dict[str, Any]:
    """The code that runs: version, git revision, digest of what results depend on (``code``), Python, the libraries."""
    from rowline.sweeps.fingerprint import code_version

    return {
        "rowline": __version__,
        "git_revision": _git_revision(),
        "code": code_version(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _git_revision() -> str | None:
    """Revision of the checkout that the code runs from, with ``-dirty`` where it was changed; None outside one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        run = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


def _asked(config: RunConfig) -> dict[str, Any]:
    """A configuration as plain data; what was left open is left out."""
    return config.model_dump(mode="json", exclude_none=True)


def default_folder(config: RunConfig) -> Path:
    """``out/<time>-<hash>``; the hash is of the configuration."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return Path("out") / f"{stamp}-{digest(_asked(config))[:8]}"


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """Create the run folder before the work begins; should the work fail, an empty folder goes again.

    Raises:
        OSError: the folder cannot be created or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _write(folder / ".rowline", "")
        (folder / ".rowline").unlink()
        yield folder
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise


def write_run(folder: Path, experiment: Experiment, stats: dict[str, Any], begin: float) -> None:
    """Write the folder's files; ``stats`` gets its ``wall_s``, counted from ``begin``, just before it is written last.

    Raises:
        OSError: the folder cannot be written.
    """
    from rowline.traces.schema import write_table

    folder.mkdir(parents=True, exist_ok=True)
    result = experiment.result
    (folder / "stats.json").unlink(missing_ok=True)  # another run's: until all is written there is no run here
    _write(folder / "config.yaml", config_text(experiment))
    write_table(folder / "ops.parquet", result.op_table, result.op_columns(), {"graph": result.graph_digest})
    stats["wall_s"] = perf_counter() - begin
    _write(folder / "stats.json", json.dumps(stats, indent=1) + "\n")


def config_text(experiment: Experiment) -> str:
    """``config.yaml``: what was asked, the model's shape, and all that it ran on."""
    model = experiment.model.model_dump(mode="json")
    return to_yaml({"run": _asked(experiment.config), "model": model} | experiment.result.specs)


def to_yaml(data: Any) -> str:
    """Plain data as YAML text."""
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 120
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
