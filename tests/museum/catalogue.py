"""``docs/museum.md`` from the exhibits: ``python -m tests.museum.catalogue`` writes it."""

from collections.abc import Iterator
from pathlib import Path

from . import (
    test_checkers,
    test_controller,
    test_files_and_traces,
    test_missing_edges,
    test_refresh,
    test_units_and_presets,
    test_wrong_edges,
)
from .exhibit import Exhibit, caught

PAGE = Path(__file__).resolve().parents[2] / "docs" / "museum.md"
THEMES: dict[str, tuple[str, list[Exhibit]]] = {
    "test_missing_edges": ("Rules that are missing", test_missing_edges.EXHIBITS),
    "test_wrong_edges": ("Rules that are wrong or too long", test_wrong_edges.EXHIBITS),
    "test_refresh": ("Refresh and power", test_refresh.EXHIBITS),
    "test_controller": ("Controllers and their statistics", test_controller.EXHIBITS),
    "test_units_and_presets": ("Presets and units", test_units_and_presets.EXHIBITS),
    "test_files_and_traces": ("Files, traces, addresses", test_files_and_traces.EXHIBITS),
    "test_checkers": ("Checkers, and runs that do not repeat", test_checkers.EXHIBITS),
}
"""Module of an exhibit -> heading and exhibits."""

HEAD = """# Museum of known bugs

{count} bugs that escaped from other simulators, and what keeps them out of this one. An exhibit is a check that runs twice:
on what we have, where it must pass, and on a copy into which the bug was seeded and nothing else was changed, where it must
fail (`tests/museum`). The last column is what the check says of that copy.

`dram-timing` and `pim-peers` are our collections of facts about the peers, by section, finding or number of the edge;
`#` is a thread of the peer named. Written by `python -m tests.museum.catalogue`; a test compares.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD.format(count=sum(len(exhibits) for _, exhibits in THEMES.values()))]
    for module, (heading, exhibits) in THEMES.items():
        rows = "".join(f"| {' | '.join(_cells(each))} |\n" for each in exhibits)
        parts.append(
            f"\n## {heading}\n\n`tests/museum/{module}.py`\n\n| exhibit | peer | what went wrong | our test | the seeded copy |\n"
            f"|---|---|---|---|---|\n{rows}"
        )
    return "".join(parts)


def _cells(exhibit: Exhibit) -> Iterator[str]:
    for text in (f"`{exhibit.name}`", exhibit.peer, exhibit.wrong, exhibit.test, caught(exhibit)):
        yield text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page())
