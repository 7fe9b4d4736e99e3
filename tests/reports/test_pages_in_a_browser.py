"""Pages in headless Chromium: nothing in the console, no request, plots drawn, tables that sort and filter, payloads inert."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rowline.reports import run_html, study_html

from .browser import Tab, browser, needs_chromium
from .pages import EVIL, Page, gpu_run, pim_run, study

pytestmark = needs_chromium
DRAWN = "Object.fromEntries([...document.querySelectorAll('.plot')].map(" + (
    "(p) => [p.id, p.querySelectorAll('.cartesianlayer .trace path').length]))"
)
HEADS = "[...document.querySelectorAll('#{} thead button')].map((b) => b.textContent)"
CELLS = "[...document.querySelectorAll('#{} tbody tr')].filter((r) => !r.hidden).map((r) => r.cells[{}].textContent)"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    texts = {
        "run": run_html.render(pim_run()), "evil-run": run_html.render(pim_run(EVIL)),
        "gpu": run_html.render(gpu_run()), "evil-gpu": run_html.render(gpu_run(EVIL)),
        "study": study_html.render(study()), "evil-study": study_html.render(study(EVIL)),
        "one": study_html.render(study(objectives=1)), "three": study_html.render(study(objectives=3)),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8", newline="\n")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.parametrize("name", ["run", "evil-run", "gpu", "evil-gpu", "study", "evil-study", "one", "three"])
def test_a_page_is_drawn_in_silence(tab: Tab, pages: dict[str, Path], name: str) -> None:
    tab.complaints.clear()
    tab.requests.clear()
    for width, height, phone in ((1280, 900, False), (390, 844, True)):
        tab.resize(width, height, phone)
        tab.open(pages[name])
        assert tab.run("document.documentElement.scrollWidth") <= width
        drawn = tab.run(DRAWN)
        for identity, plot in Page(pages[name].read_text(encoding="utf-8")).plots().items():
            assert drawn[identity] >= len([trace for trace in plot["data"] if trace["x"]]) > 0, identity
    assert tab.complaints == [] and set(tab.requests) == {pages[name].resolve().as_uri()}
    assert tab.run("[...document.querySelectorAll('img, iframe, object, embed, a[href]')].length") == 0
    assert tab.run("document.querySelectorAll('script').length") == 3


def test_text_is_shown_as_it_is(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["evil-run"])
    assert tab.run("document.querySelector('h1').textContent") == f"tiny{EVIL} on toy{EVIL}"
    assert f"formula{EVIL}" in tab.run(CELLS.format("checks", 1))
    tab.open(pages["evil-gpu"])
    assert tab.run(CELLS.format("measured", 0))[0] == f"vllm-1{EVIL}" and f"another{EVIL}" in tab.run("document.body.innerText")
    assert tab.run("document.querySelector('#measured-errors').textContent.includes('gemm')")


def test_the_panels_sort_and_filter(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["gpu"])

    def click(table: str, title: str) -> list[str]:
        heads = tab.run(HEADS.format(table))
        tab.run(f"document.querySelectorAll('#{table} thead button')[{heads.index(title)}].click()")
        return tab.run(CELLS.format(table, heads.index(title)))

    assert click("measured", "MAPE %") == ["12.5", "8.25", "5.75"] and click("measured", "fitted %")[-1] == "-"
    assert click("checks", "holds")[0] == "yes" and click("checks", "holds")[0] == "NO"
    assert tab.run("getComputedStyle(document.querySelector('#checks tr.bad td')).color") == "rgb(161, 22, 11)"
    assert tab.run("document.querySelector('.bad-box').getBoundingClientRect().top < innerHeight")
    assert click("kernels", "waves") == ["0.75", "-"]
    tab.run("const i = document.querySelector('#measured').closest('.filtered').querySelector('input');"
            "i.value = 'softmax'; i.dispatchEvent(new Event('input'))")  # fmt: skip
    assert tab.run(CELLS.format("measured", 1)) == ["softmax"]


def test_a_table_sorts_and_filters(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["study"])
    heads = tab.run(HEADS.format("trials"))
    energy, reason = heads.index("energy"), heads.index("reason")

    def click(column: int) -> list[str]:
        tab.run(f"document.querySelectorAll('#trials thead button')[{column}].click()")
        return tab.run(CELLS.format("trials", column))

    falling, rising = click(energy), click(energy)
    told = [float(text) for text in falling if text != "-"]
    assert told == sorted(told, reverse=True) and len(set(told)) > 3 and falling[-1] == "-"
    assert [float(text) for text in rising if text != "-"] == sorted(told) and rising[-1] == "-"
    assert click(reason)[0] == "died of signal 9"
    tab.run("const i = document.querySelector('#trials').closest('.filtered').querySelector('input');"
            "i.value = 'SIGNAL failed'; i.dispatchEvent(new Event('input'))")  # fmt: skip
    assert tab.run(CELLS.format("trials", reason)) == ["died of signal 9"]
    assert tab.run("document.querySelector('#trials').closest('.filtered').querySelector('output').textContent") == "1 of 13 rows"


def test_the_policy_stops_what_is_not_ours(tab: Tab, pages: dict[str, Path], tmp_path: Path) -> None:
    """The page as it is, with a script more: it must not run, or the tests above would prove nothing."""
    text = pages["run"].read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("</body>", "<script>window.ran = true</script><img src='https://127.0.0.1:9/x.png'></body>"))
    tab.complaints.clear()
    tab.open(changed)
    assert tab.run("window.ran === undefined")
    assert len([told for told in tab.complaints if "Content Security Policy" in told]) == 2
