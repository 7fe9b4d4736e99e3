"""The plots of a run in a notebook."""

from typing import TYPE_CHECKING, Any

from rowline.api.display import Plots
from rowline.api.windows import Window, window_text
from rowline.arch.yamltree import ConfigError

if TYPE_CHECKING:
    from rowline.api.run import Run
    from rowline.reports.drawing import Backend


class RunPlots(Plots):
    """Plots of a run."""

    def __init__(self, run: "Run"):
        self._run = run

    def latency(self, by: str = "op_class", backend: "Backend" = "plotly") -> Any:
        """Where the time went, by ``op_class`` or by ``cause``."""
        return self._bars("latency", by, 1e3, "ms", backend)

    def energy(self, by: str = "component", backend: "Backend" = "plotly") -> Any:
        """Where the energy went, by ``component`` or by ``op_class``."""
        return self._bars("energy", by, 1e3, "mJ", backend)

    def _bars(self, what: str, by: str, factor: float, unit: str, backend: "Backend") -> Any:
        from rowline.reports import frames
        from rowline.reports.figures_run import bars

        keys = frames.LATENCY if what == "latency" else frames.ENERGY
        if by not in keys:
            raise ConfigError([f"by {by!r}: expected one of {', '.join(keys)}"])
        parts = {name: value * factor for name, value in self._run.stats[keys[by]].items()}
        return self._draw(bars(what, parts, unit), f"{what} by {by.replace('_', ' ')}", backend)

    def roofline(self, backend: "Backend" = "plotly") -> Any:
        """Each op class against what the machine can do."""
        from rowline.reports.figures_run import roofline

        report = self._run.as_report()
        traffic = ["dram_read_bytes", "dram_write_bytes"] if report.gpu else ["link_bytes"]
        return self._draw(roofline(report.ops, report.peaks, traffic)[0], "roofline", backend)

    def utilisation(self, backend: "Backend" = "plotly") -> Any:
        """How busy banks, buses and the ASIC were, or the GPU, over time."""
        from rowline.reports.figures_run import utilisation

        report = self._run.as_report()
        return self._draw(utilisation(report.ops, report.peaks), "utilisation", backend)

    def commands(self, backend: "Backend" = "plotly") -> Any:
        """Commands issued by name; of a GPU, kernels."""
        from rowline.reports.figures_run import bars
        from rowline.reports.run_html import command_mix

        report = self._run.as_report()
        mix = {name: float(count) for name, count in command_mix(report).items()}
        return self._draw(bars("mix", mix, "kernels" if report.gpu else "commands", log=True), "command mix", backend)

    def timeline(self, window: Window = None, backend: "Backend" = "plotly") -> Any:
        """The operations of a window: a line a unit and class, thick while it works."""
        from rowline.reports.figures_log import MOST_VISITS, timeline
        from rowline.timeline import window_of

        ops: Any = self._run.ops
        begin, end = window_of(window_text(window), int(ops["end_ps"].max()))
        inside = ops[(ops["start_ps"] < end) & (ops["end_ps"] > begin)]
        shown = inside.head(MOST_VISITS)
        title = "operations" if len(shown) == len(inside) else f"the first {len(shown):,} of {len(inside):,} operations"
        return self._draw(timeline(shown), title, backend)
