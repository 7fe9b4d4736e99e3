"""A comparison with measured kernels in a notebook."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rowline.api.display import Plots, card, lines

if TYPE_CHECKING:
    import pandas as pd

    from rowline.reports.drawing import Backend
    from rowline.reports.validation import Comparison


def validate(
    *against: str | Path,
    gpu: str | None = None,
    op: str | None = None,
    framework: str | None = None,
    split: Literal["all", "seen", "unseen"] = "all",
    sample: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    gpu_spec: str | None = None,
    stack_spec: str | None = None,
    progress: bool = True,
) -> "Validation":
    """Simulate the kernels of kernel logs and compare the times with the measured ones, as ``rowline validate`` does.

    Args:
        against: logs (Parquet), or folders of them; none: the project's own.
        gpu, op, framework: only these rows.
        split: ``unseen``: only shape families that nothing was fitted on.
        sample, seed: so many rows, drawn at random.
        jobs: processes; more than one needs ``if __name__ == "__main__":`` in a script, not in a notebook.
        gpu_spec, stack_spec: specifications to simulate in place of what the rows name.

    Raises:
        rowline.arch.yamltree.ConfigError: no log, or no row that the arguments choose.
        rowline.traces.formats.files.FormatError: a log is damaged.
    """
    from rowline import gpu_validation, terminal

    names = tuple(str(each) for each in against)
    job = gpu_validation.ValidationJob(names, gpu, op, framework, split, sample, seed, jobs, gpu_spec, stack_spec)
    with terminal.progress(not progress, "kernels") as on_progress:
        comparison, files = gpu_validation.validate(job, on_progress)
    return Validation(comparison, files, split)


class Validation:
    """Predicted against measured kernel times.

    Attributes:
        answer: the object of ``rowline validate --json`` but for the options (docs/cli.md).
        files: logs compared with.
        plot: :class:`ValidationPlots`.
    """

    def __init__(self, comparison: "Comparison", files: Sequence[str], split: str):
        self._comparison, self.files, self._split = comparison, list(files), split
        self.answer = comparison.answer
        self.plot = ValidationPlots(comparison)

    @property
    def rows(self) -> "pd.DataFrame":
        """The compared rows: shape, measured ``latency_us``, ``predicted_us``, ``roofline_us``, ``fitted_us``, ``bound``."""
        return self._comparison.points

    @property
    def groups(self) -> "pd.DataFrame":
        """Errors in per cent by GPU, framework, op, type and regime, beside the baselines on the same rows."""
        return self._table("groups")

    @property
    def worst(self) -> "pd.DataFrame":
        """The kernels that are furthest off."""
        return self._table("worst")

    def _table(self, key: str) -> "pd.DataFrame":
        from rowline.reports.frames import records

        return records(self.answer[key])

    def report(self, out: str | Path) -> Path:
        """Write plots and tables as one HTML page."""
        from rowline import reporting
        from rowline.reports.validation_html import render

        return reporting.put(Path(out), render(self._comparison, self.files, self._split))

    def _figures(self) -> list[tuple[str, str]]:
        every = [group for group in self.answer["groups"] if group["regime"] == "all"]
        found = [("kernels compared", f"{self.answer['rows']:,}"), ("split", self._split)]
        for group in every[:8]:
            name = " ".join(str(group[key]) for key in ("gpu", "framework", "op", "dtype"))
            roof = "" if group["roofline_mape"] is None else f", roofline {group['roofline_mape']:.1f} %"
            found.append((name, f"MAPE {group['mape']:.1f} % of {group['n']:,}{roof}"))
        return found

    def __repr__(self) -> str:
        return lines("Validation", self._figures())

    def _repr_html_(self) -> str:
        return card("Validation", self._figures())


class ValidationPlots(Plots):
    """Plots of a validation."""

    def __init__(self, comparison: "Comparison"):
        self._comparison = comparison

    def _plot(self, identity: str, title: str, backend: "Backend") -> Any:
        from rowline.reports.validation_html import plots, sampled

        found = {plot["id"]: plot for plot in plots(sampled(self._comparison.points))}
        return self._draw(found[identity], title, backend)

    def correlation(self, backend: "Backend" = "plotly") -> Any:
        """Predicted against measured, with lines 10 % above and below."""
        return self._plot("correlation", "predicted against measured", backend)

    def errors(self, backend: "Backend" = "plotly") -> Any:
        """Errors by the least time that the data sheet allows."""
        return self._plot("error", "error by size", backend)
