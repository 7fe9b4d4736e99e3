"""The page of the museum tells what the exhibits are and how their seeded copies fail."""

from pathlib import Path

from .catalogue import PAGE, THEMES, page


def test_the_page_is_what_the_exhibits_say() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.museum.catalogue"


def test_every_exhibit_is_in_it_under_a_name_of_its_own() -> None:
    files = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert THEMES.keys() == files - {Path(__file__).stem}
    names = [each.name for _, exhibits in THEMES.values() for each in exhibits]
    assert len(names) == len(set(names)) >= 25
