"""Runs side by side in a notebook."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowline.api.display import table
from rowline.api.run import Run
from rowline.comparing import Compared, leaves_of, side_by_side

if TYPE_CHECKING:
    import pandas as pd


def compare(*runs: "Run | str | Path") -> "Comparison":
    """Put runs side by side, as ``rowline compare`` does.

    Args:
        runs: two or more, each a :class:`Run` or the folder of one.

    Raises:
        rowline.arch.yamltree.ConfigError: fewer than two, or a folder is no run's.
    """
    loaded = [each if isinstance(each, Run) else Run.load(Path(each)) for each in runs]
    return Comparison(side_by_side([Compared(str(run.folder), run.stats, leaves_of(run.config)) for run in loaded]))


class Comparison:
    """Runs side by side.

    Attributes:
        answer: the object of ``rowline compare --json`` (docs/cli.md).
    """

    def __init__(self, answer: dict[str, Any]):
        self.answer = answer
        self._names = [chr(ord("A") + i) if i < 26 else f"R{i + 1}" for i in range(len(answer["runs"]))]

    @property
    def figures(self) -> "pd.DataFrame":
        """One row a figure: ``key``, its value in each run (A, B, ...), and ratios to the first (``B/A``, ...)."""
        from rowline.reports.frames import records

        first = self._names[0]
        return records([
            {"key": line["key"]} | dict(zip(self._names, line["values"], strict=True))
            | {f"{name}/{first}": ratio for name, ratio in list(zip(self._names, line["ratios"], strict=True))[1:]}
            for line in self.answer["keys"]
        ])  # fmt: skip

    @property
    def differ(self) -> "pd.DataFrame":
        """Keys of the configurations that do not have one value in all runs."""
        from rowline.reports.frames import records

        lines = self.answer["differ"]
        return records([{"key": line["key"]} | dict(zip(self._names, line["values"], strict=True)) for line in lines])

    def __repr__(self) -> str:
        return f"{self.differ.to_string(index=False)}\n\n{self.figures.to_string(index=False)}"

    def _repr_html_(self) -> str:
        return table(self.differ, 30) + table(self.figures, 30)
