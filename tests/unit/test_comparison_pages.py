"""The comparison as people and programs read it: terminal, page, Markdown, JSON."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some
from rich.console import Console

from orchestrator.comparison import Comparison, comparison_to_json, print_comparison, write_comparison
from orchestrator.comparison import to_json as json_module
from orchestrator.comparison.html import render_html
from orchestrator.comparison.markdown import render_markdown
from orchestrator.comparison.model import Side
from orchestrator.comparison.style import STYLE
from orchestrator.comparison.tables import build_tables, headline, message_verdict, took
from orchestrator.comparison.testing import bridged, bundles, compared
from orchestrator.tracing.gas import Cost

HOSTILE = "</script><img src=x onerror=alert(1)>|`\n\n# all is well\"'&"
VOID = {"meta", "img", "br", "link"}


def found_of(runs: int = 3, messages: int = 3) -> Comparison:
    """A small comparison."""
    return compared(bundles([1_000_000] * runs), bridged([0] * runs, [6_000_000_000] * messages))


class Page(HTMLParser):
    """Checks nesting, and collects what a page consists of."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that is closed at once."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """A tag closes: the one that was opened last."""
        assert tag == self.open.pop(), (tag, self.open)

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text.append(data)


def parsed(found: Comparison) -> Page:
    """The page, whose tags must nest."""
    page = Page()
    page.feed(render_html(found))
    page.close()
    assert [] == page.open
    return page


def hostile(side: Side) -> Side:
    """A side whose every text is an attack."""
    return replace(
        side, run_dir=HOSTILE, reasons=((HOSTILE, 1),), alarms=(HOSTILE,), mode=HOSTILE, ready_s=1.0
    )


def test_the_page_opens_anywhere_and_fetches_nothing() -> None:
    """No script, no link, no address: what it shows it carries."""
    page = parsed(found_of())

    assert set() == {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "base"}
    fetching = {"src", "href", "xlink:href", "srcset", "action", "data"}
    assert set() == {name for _, attrs in page.tags for name in attrs} & fetching
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "//" not in render_html(found_of()).replace("</", "")


def test_the_page_shows_both_paths_as_drawings() -> None:
    """A bar for each segment of both paths, and of the short one once more, enlarged; each bar says its times to those who can't see it."""
    found = found_of()
    page = parsed(found)
    assert found.bundle.median is not None
    assert found.bridge.median is not None
    short, long = len(found.bundle.median.segments), len(found.bridge.median.segments)

    bars = [attrs for tag, attrs in page.tags if tag == "rect"]
    assert 2 * short + long == len(bars)
    assert all(0 <= float(bar["x"] or -1) <= 1000 for bar in bars)
    assert all(float(bar["x"] or 0) + float(bar["width"] or 0) <= 1000.05 for bar in bars)
    assert all(attrs["aria-label"] for tag, attrs in page.tags if tag == "svg")
    assert 3 == sum(tag == "figure" for tag, _ in page.tags)


def test_the_page_can_be_read_by_day_and_by_night_and_on_a_telephone() -> None:
    """Colours are named once for each, and the drawing has a narrow form."""
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)
    names = [set(re.findall(r"--([a-z0-9-]+):", colours)) for colours in (light, dark)]

    assert names[0] == names[1]
    assert set(re.findall(r"var\(--([a-z0-9-]+)\)", STYLE)) <= names[0]
    assert "prefers-color-scheme: dark" in STYLE
    assert "max-width: 640px" in STYLE


def test_text_of_nodes_and_users_stays_text() -> None:
    """Reasons, paths and names full of markup add no tag, no cell and no heading anywhere."""
    calm = found_of()
    evil = replace(
        calm,
        strategy=HOSTILE,
        host=HOSTILE,
        command=HOSTILE,
        topology=HOSTILE,
        bundle=hostile(calm.bundle),
        bridge=hostile(calm.bridge),
    )
    told = replace(
        calm,
        bundle=replace(calm.bundle, reasons=(("why", 1),), alarms=("what",)),
        bridge=replace(calm.bridge, reasons=(("why", 1),), alarms=("what",)),
    )

    assert len(parsed(told).tags) == len(parsed(evil).tags)
    pages = [render_markdown(each) for each in (told, evil)]
    assert pages[0].count("\n") == pages[1].count("\n")
    assert "<img" not in pages[1]
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        print_comparison(evil, console)
    assert "onerror" in capture.get()


def test_every_reader_is_told_the_same() -> None:
    """Headline, verdict and every table are on the terminal, on the page and in Markdown."""
    found = found_of(runs=20, messages=20)
    console = Console(width=260, color_system=None)
    with console.capture() as capture:
        print_comparison(found, console)
    page = "".join(parsed(found).text)
    assert found.messages is not None

    for text in (capture.get(), page, render_markdown(found)):
        assert headline(found) in text
        assert message_verdict(found.messages) in text
        assert [] == [table.title for table in build_tables(found) if table.title not in text]


def test_markdown_tables_are_well_formed() -> None:
    """Every row has as many cells as its head."""
    blocks = re.findall(r"(?:^\|.*\n)+", render_markdown(found_of()), flags=re.MULTILINE)

    assert len(blocks) > 5
    for block in blocks:
        assert 1 == len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()})


def test_the_json_has_the_documented_fields(tmp_path: Path) -> None:
    """The schema in the docstring is the schema, on every level; the paths in it sum to their times."""
    found = found_of(runs=20, messages=20)
    files = write_comparison(found, tmp_path / "new" / "folder")
    document = orjson.loads(files[2].read_bytes())
    documented = set(re.findall(r"\b[a-z_0-9]+\b", json_module.__doc__ or ""))

    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            inner = [names(each) for place, each in value.items() if place not in ("outcomes", "reasons")]
            return set(value).union(*inner)
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    assert set() == names(document) - documented - {"standing"}
    assert ["compare.html", "compare.md", "compare.json"] == [path.name for path in files]
    for side in document["sides"].values():
        assert side["median"]["end_to_end_ns"] == sum(part["duration_ns"] for part in side["median"]["path"])
    assert orjson.loads(orjson.dumps(comparison_to_json(found))) == document


def test_large_sums_fit_into_json() -> None:
    """Cash times nanoseconds is beyond 64 bits, and so are wei; what is written is not."""
    found = found_of()
    cash, day_ns = 10**15, 86_400 * 10**9
    locked = replace(found.bridge.locked, cash=cash, cash_ns=cash * day_ns)
    gas = replace(found.bridge.gas, overhead=Cost(10**12, 10**24))
    with pytest.raises(TypeError):
        orjson.dumps(locked.cash_ns)

    document = comparison_to_json(replace(found, bridge=replace(found.bridge, locked=locked, gas=gas)))

    written = orjson.loads(orjson.dumps(document))["sides"]["bridge"]
    assert str(cash * 86_400) == written["locked"]["cash_seconds"]
    assert str(10**24) == written["gas"]["overhead"]["wei"]


def test_nothing_committed_is_shown_all_the_same() -> None:
    """No path, no times, no cash: dashes and reasons, not a failure to print."""
    found = compared(replace(bundles([1]), strategies=(), failures=("not quoted",)), bridged(no=1))
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        print_comparison(found, console)

    assert "not quoted" in capture.get()
    assert 0 == sum(tag == "svg" for tag, _ in parsed(found).tags)
    assert orjson.dumps(comparison_to_json(found))


@given(duration=some.integers(0, 10**14))
def test_times_have_three_digits_and_the_unit_that_fits(duration: int) -> None:
    """Whatever is printed is within half of its last digit of the truth."""
    number, unit = took(duration).split()
    factor = {"ms": 10**6, "s": 10**9}[unit]
    decimals = len(number.partition(".")[2])

    assert abs(float(number) * factor - duration) <= factor * 0.5 * 10**-decimals * 1.001
    assert (unit == "s") == (duration >= 10**9)
