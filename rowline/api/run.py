"""A finished run in a notebook: its figures, tables and plots, its commands in a window, its timeline."""

import gc
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rowline.api.display import card, lines
from rowline.api.run_plots import RunPlots
from rowline.api.windows import Window, channel_numbers, window_text
from rowline.arch.gpu import GpuSpec
from rowline.arch.yamltree import ConfigError, parse_yaml, printable
from rowline.experiment import Experiment, RunConfig, check, load_config, run_experiment
from rowline.runfiles import RunFiles, command_of, load_run, read_ops

if TYPE_CHECKING:
    import pandas as pd

    from rowline.api.log import CommandLog
    from rowline.reports.run_html import RunReport
    from rowline.timeline import Level

MOST_COMMANDS = 2_000_000


def run(
    config: str | Path | None = None,
    *,
    arch: str | Path | None = None,
    workload: str | Path | None = None,
    prompt: int | None = None,
    tokens: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    lm_head: bool | None = None,
    vectors_per_row: int | None = None,
    stack: str | None = None,
    launch: str | None = None,
    dtype: str | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> "Run":
    """Simulate a generation, as ``rowline run`` does; what is left out is as there.

    Args:
        config: YAML file with the keys of a run; the other arguments go over it.
        arch: preset of a system or a GPU, or YAML file.
        workload: model, or YAML file with the fields of one.
        prompt, tokens: tokens of the prompt, and to generate.
        overrides: dotted key of the system or GPU (after ``stack.``: of its software) to value, such as
            ``{"device.timing.tRP": "14 ns", "channels": 16}``.
        lm_head, vectors_per_row: mapping on a system with PIM.
        stack, launch, dtype: software, ``graph`` or ``eager``, type of the elements on a GPU.
        out: folder to write the run to; left out, it is only in memory until :meth:`Run.save`.
        progress: a progress bar where the output is a terminal.

    Raises:
        rowline.arch.yamltree.ConfigError: an argument, preset or override is wrong, or the model does not fit.
        rowline.sim.mapping.placement.MappingError: the model does not fit.
    """
    begin = perf_counter()
    asked: dict[str, Any] = {
        "arch": arch and str(arch), "workload": workload and str(workload), "prompt_tokens": prompt, "generated_tokens": tokens,
        "overrides": _texts(overrides or {}),
        "mapping": _given(lm_head_on_pim=lm_head, vectors_per_row=vectors_per_row),
        "gpu": _given(stack=stack, launch=launch, dtype=dtype) or None,
    }  # fmt: skip
    request = load_config(None if config is None else Path(config), _given(**asked))
    check(request)
    from rowline import rundir, terminal

    with terminal.progress(not progress) as on_pass:
        try:
            done = run_experiment(request, on_pass)
        finally:
            gc.unfreeze()  # a notebook lives on, and what is garbage later is to be found
    made = Run.of(done, begin)
    if out is not None:
        with rundir.claimed(Path(out)) as folder:
            made.save(folder)
    return made


def _texts(overrides: Mapping[str, Any]) -> dict[str, str]:
    """Overrides as the command line has them."""
    if not isinstance(overrides, Mapping):
        raise ConfigError(['overrides: expected keys and values, such as {"channels": 16}'])
    return {str(key): str(value).lower() if isinstance(value, bool) else str(value) for key, value in overrides.items()}


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


class Run:
    """A finished run: what :func:`rowline.run` gives, or :func:`rowline.load` of a run folder.

    Attributes:
        stats: the object of ``rowline run --json`` (docs/cli.md).
        config: run and expanded hardware as plain data, with the source of every number.
        folder: where it lies; of a run that is only in memory, where :meth:`save` would put it.
        plot: :class:`RunPlots`.
    """

    def __init__(self, files: RunFiles, columns: Mapping[str, Any], experiment: Experiment | None = None):
        self._files, self._columns, self._experiment = files, columns, experiment
        self.plot = RunPlots(self)

    @classmethod
    def of(cls, done: Experiment, begin: float) -> "Run":
        """A run that just ended; ``begin``: its start by ``perf_counter``."""
        from rowline import rundir
        from rowline.sim.results import RunResult

        result = done.result
        pim = isinstance(result, RunResult)
        machine = result.raw.mapping.system if pim else result.raw.program.device.gpu
        stats = result.stats | {"wall_s": perf_counter() - begin, "provenance": rundir.provenance(done)}
        config = parse_yaml(rundir.config_text(done), "config.yaml").plain()
        assert isinstance(config, dict)
        files = RunFiles(rundir.default_folder(done.config), stats, config, done.config, machine, done.model)
        return cls(files, result.op_columns(), done)

    @classmethod
    def load(cls, folder: Path) -> "Run":
        """A run folder.

        Raises:
            ConfigError: a file is missing or damaged.
        """
        files = load_run(folder)
        return cls(files, read_ops(files))

    @property
    def stats(self) -> dict[str, Any]:
        """The object of ``rowline run --json``."""
        return self._files.stats

    @property
    def config(self) -> dict[str, Any]:
        """Run and expanded hardware, as plain data."""
        return self._files.config

    @property
    def request(self) -> RunConfig:
        """What was asked for."""
        return self._files.run

    @property
    def folder(self) -> Path:
        """Where it lies, or would lie."""
        return self._files.folder

    @property
    def command(self) -> str:
        """The command line that asks for the same run."""
        return command_of(self._files.run)

    @cached_property
    def ops(self) -> "pd.DataFrame":
        """One row an operation that ran: the OpLog (``traces/oplog.py``), of a GPU the GpuOpLog, with ``duration_ps``."""
        from rowline.reports.frames import operations

        return operations(self._columns)

    @property
    def by_class(self) -> "pd.DataFrame":
        """Operations by phase, unit and class: calls, time, MACs, traffic, energy; those that take most of the time first."""
        from rowline.reports.frames import of_table
        from rowline.reports.run_html import op_table

        names = {
            "us": "latency_us", "us each": "mean_us", "least us": "min_us", "most us": "max_us",
            "% of busy time": "busy_percent", "energy uJ": "energy_uj",
        }  # fmt: skip
        return of_table(op_table(self.as_report())).rename(columns=names)

    @property
    def latency(self) -> "pd.DataFrame":
        """Where the time went, by op class and by cause: ``by, name, latency_s, share``."""
        from rowline.reports.frames import LATENCY, breakdown

        return breakdown(self.stats, LATENCY, "latency_s")

    @property
    def energy(self) -> "pd.DataFrame":
        """Where the energy went, by component and by op class: ``by, name, energy_j, share``."""
        from rowline.reports.frames import ENERGY, breakdown

        return breakdown(self.stats, ENERGY, "energy_j")

    @property
    def phases(self) -> "pd.DataFrame":
        """Prefill and decode, a row each."""
        from rowline.reports.frames import phases

        return phases(self.stats)

    @property
    def kernels(self) -> "pd.DataFrame":
        """The distinct kernels of a run on a GPU, those that take most of the time first.

        Raises:
            ConfigError: it did not run on a GPU.
        """
        if "kernels" not in self.stats:
            raise ConfigError([f"kernels: {self.stats['arch']} is no GPU; see ops and commands()"])
        from rowline.reports.frames import kernels

        return kernels(self.stats)

    @property
    def sources(self) -> "pd.DataFrame":
        """Every key of run and hardware: ``key, value, source, reference``."""
        from rowline.reports.frames import of_table
        from rowline.reports.tables import config_table

        return of_table(config_table(self.config))

    def commands(self, window: Window = None, channels: int | Sequence[int] = (0,)) -> "CommandLog":
        """Every command of some channels in a window, with the rule that decided its cycle, bank by bank.

        The run is simulated again up to the end of the window, and held against the times that it left behind. The log holds what
        was issued from the begin of the window on, before its end; a visit that the window cuts is marked (``cut``).

        Raises:
            ConfigError: a GPU (whose DRAM channels are servers, without commands), a window or channel that there is not, or more
                than two million commands; or code or workload changed since the run was made.
        """
        from rowline.api.log import CommandLog
        from rowline.memory_log import log_header
        from rowline.timeline import simulate_again, window_of
        from rowline.traces import opwindow

        machine = self._files.machine
        if isinstance(machine, GpuSpec):
            raise ConfigError([f"commands: {machine.name} is a GPU, whose DRAM channels are servers, without commands"])
        end_ps = opwindow.end_ps(self._columns)
        begin, end = window_of(window_text(window), end_ps)
        chosen = channel_numbers(channels, machine.channels.value)
        rows = opwindow.rows_inside(self._columns, begin, end, "pim")
        about = opwindow.total(self._columns, "commands", rows) * len(chosen) // machine.channels.value
        if about > MOST_COMMANDS:
            raise ConfigError([f"commands: about {about:,} in the window, more than {MOST_COMMANDS:,}: narrow it"])
        watched = simulate_again(self._files, self._columns, (begin, end), chosen, True)
        headers = {channel: log_header(machine.device, channel) for channel in chosen}
        return CommandLog.of_window(watched, headers, self._columns, (begin, end))

    def timeline(
        self, out: str | Path | None = None, *, window: Window = None, channels: Sequence[int] | None = None,
        level: "Level" = "ops",
    ) -> Path:  # fmt: skip
        """Write the run as a timeline for the Perfetto UI (ui.perfetto.dev) or chrome://tracing; the file that it is in.

        Args:
            out: file, compressed where it ends in .gz or .zst; left out: ``timeline.json.gz`` in the run's folder, or here
                where it has none.
            level: ``passes``, ``ops`` or ``commands``.

        Raises:
            ConfigError: window or channels are not the run's, or there would be too many slices.
        """
        from rowline.timeline import TimelineJob, timeline_of

        path = Path(out) if out is not None else (self.folder if self.folder.is_dir() else Path()) / "timeline.json.gz"
        asked = None if channels is None else ",".join(map(str, channels))
        timeline_of(self._files, self._columns, TimelineJob(str(self.folder), path, window_text(window), asked, level))
        return path

    def report(self, out: str | Path, validation: str | Path | None = None) -> Path:
        """Write the run as .html, .md or .csv, with the checks that ``rowline report`` makes; a check that fails is a warning.

        Args:
            validation: what ``rowline validate --json`` printed, to stand beside a run on a GPU.

        Raises:
            ConfigError: the file is named otherwise, or ``validation`` is damaged.
            OSError: the file cannot be written.
        """
        import warnings

        from rowline import reporting

        form = reporting.form_of(Path(out), None)
        measured = None if validation is None else Path(validation)
        found = reporting.report_of(self._files, self._columns, measured, judge=form != "csv")
        return reporting.put(Path(out), reporting.run_text(found, form, lambda line: warnings.warn(line, stacklevel=3)))

    def save(self, folder: str | Path | None = None) -> Path:
        """Write the run folder (``config.yaml``, ``stats.json``, ``ops.parquet``), which ``rowline report`` and others read.

        Raises:
            ConfigError: it was loaded from a folder already.
            OSError: the folder cannot be written.
        """
        from dataclasses import replace

        from rowline import rundir

        if self._experiment is None:
            raise ConfigError([f"save: the run lies in {printable(str(self.folder), 500)} already"])
        path = self.folder if folder is None else Path(folder)
        stats = dict(self.stats)
        rundir.write_run(path, self._experiment, stats, perf_counter() - stats["wall_s"])
        self._files = replace(self._files, folder=path, stats=stats)
        return path

    def as_report(self) -> "RunReport":
        """What pages and plots are made from."""
        from rowline.reports.ceilings import Ceilings
        from rowline.reports.run_html import RunReport, frame_of

        peaks = Ceilings.of(self._files.machine, str(self.stats.get("dtype", "")))
        return RunReport(str(self.folder), self.stats, self.config, frame_of(self._columns), peaks, self.command)

    def _figures(self) -> list[tuple[str, str]]:
        from rowline.reports.run_html import cards

        return cards(self.stats)

    def __repr__(self) -> str:
        return lines(f"Run of {self.stats['workload']} on {self.stats['arch']}", self._figures()[2:])

    def _repr_html_(self) -> str:
        resting = f"rests on {len(self.stats['assumed'])} ASSUMED and {len(self.stats['fitted'])} FITTED values (run.sources)"
        return card(f"{self.stats['workload']} on {self.stats['arch']}", self._figures()[2:], [*self.stats["notes"], resting])
