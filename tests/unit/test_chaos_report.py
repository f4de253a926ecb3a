"""The report of a scenario: verdict first, statistics by phase from intended times, a bounded drawing, JUnit that can't be read wrongly."""

import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bridge.wire.journal import Event
from bridge.wire.testing import MemoryJournal
from orchestrator.chaos.counterexamples import drawn_counterexample
from orchestrator.chaos.findings import Findings, backlog_check, own_checks
from orchestrator.chaos.ground import bystanders_of
from orchestrator.chaos.html import render_html
from orchestrator.chaos.junit import render_junit
from orchestrator.chaos.load import load_scenario
from orchestrator.chaos.markdown import render_markdown
from orchestrator.chaos.nemesis import Struck
from orchestrator.chaos.plan import ScenarioPlan
from orchestrator.chaos.plot import GRAIN_X, GRAIN_Y, HIGH, LANES, LETTER, WIDE, plot_of
from orchestrator.chaos.statistics import parts_of, rows_of
from orchestrator.chaos.svg import render_svg
from orchestrator.chaos.tables import headline
from orchestrator.chaos.terminal import print_findings, print_plan
from orchestrator.chaos.to_json import findings_to_json
from orchestrator.chaos.write import NAMES, write_findings, write_junit
from orchestrator.checks import CheckResult, CounterExample, RunFacts, Verdict
from orchestrator.load.history import Kind, Operation, Result
from orchestrator.report.markdown import SIZE_LIMIT
from orchestrator.report.write import write_report
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.faults import Bite, Healing

ROOT = Path(__file__).parents[2]
SECOND = 1_000_000_000
SVG = "{http://www.w3.org/2000/svg}"
BUNDLE = "0x" + "ab" * 32


@pytest.fixture(scope="module")
def plan() -> ScenarioPlan:
    """The shipped scenario."""
    return load_scenario(ROOT / "scenarios" / "sequencer-kill.yaml")


def at(seconds: float) -> int:
    """Monotonic nanoseconds."""
    return int(seconds * SECOND)


def operation(
    op: int, intended: float, took: float | None, result: Result = Result.OK, **more: Any
) -> Operation:
    """One operation."""
    ended = None if took is None else at(intended + took)
    return Operation(
        op, Kind.BUNDLE, BUNDLE, (), at(intended), at(intended), None, ended, result, "committed", **more
    )


def events(*told: tuple[float, str, dict[str, Any]]) -> tuple[Event, ...]:
    """Lines of the client's journal."""
    journal = MemoryJournal("client", "client")
    for _, name, attrs in told:
        journal.emit(name, **attrs)
    return tuple(
        replace(one, mono_ns=at(moment)) for one, (moment, _, _) in zip(journal.events, told, strict=True)
    )


def facts_of(plan: ScenarioPlan, *operations: Operation) -> RunFacts:
    """Warm-up from 0, baseline from 2, a fault from 5 to 8, after from 9, drain from 12 seconds."""
    name = {"window": plan.faults[0].name, "kind": "kill", "targets": ["sequencer"]}
    told = events(
        (0.0, "phase.begun", {"phase": "warm-up"}),
        (2.0, "phase.begun", {"phase": "baseline"}),
        (5.0, "fault.injected", name),
        (5.1, "fault.bit", name),
        (8.0, "fault.healed", name),
        (8.0, "phase.begun", {"phase": "recovery"}),
        (9.0, "phase.begun", {"phase": "after"}),
        (12.0, "phase.begun", {"phase": "drain"}),
    )
    return RunFacts(plan.devnet, tuple(operations), events=told)


def findings(
    plan: ScenarioPlan, *checks: CheckResult, bites: bool = True, facts: RunFacts | None = None
) -> Findings:
    """What a run with these checks found."""
    one = Struck(
        plan.faults[0], Bite(bites, "seen <b>by</b> the kernel"), Healing(True, "is back"), at(5), at(8)
    )
    load = [operation(n, n * 0.05, 0.2 + max(0.0, 8 - n * 0.05) * (n > 100)) for n in range(220)]
    found = facts or facts_of(plan, *load)
    return Findings(plan, "", Path("/run"), (*own_checks(plan, [one], ""), *checks), (one,), found)


VALID = CheckResult("no loss", Verdict.VALID, 12, "operations")
INVALID = CheckResult(
    "atomicity",
    Verdict.INVALID,
    12,
    "bundles",
    CounterExample((f"bundle {BUNDLE} is <half> there", "leg 1 | reverted"), ("history/3",)),
    violations=4,
)
UNKNOWN = CheckResult("coverage", Verdict.UNKNOWN, 0, "operations", notes=("in_flight: 0 seen, 1 needed",))


def test_operations_belong_to_the_part_in_which_they_were_to_be_sent(plan: ScenarioPlan) -> None:
    """A bundle that was wanted during the outage and committed after it counts for the fault, with all of its wait."""
    told = [operation(0, 1, 0.1), operation(1, 3, 0.2), operation(2, 5.5, 3.0), operation(3, 8.5, 0.3)]
    told += [operation(4, 10, 0.1), operation(5, 6, None, Result.INFO), operation(6, 7, None, Result.FAIL)]
    facts = facts_of(plan, *told)
    parts = parts_of(facts)
    assert ["warm-up", "baseline", plan.faults[0].name, "recovery", "after"] == [part.name for part in parts]
    assert [2.0, 3.0, 3.0, 1.0, 3.0] == [part.seconds for part in parts]
    rows = [row for row in rows_of(facts, parts) if row.group == "all"]
    assert [(1, 0, 0), (1, 0, 0), (1, 1, 1), (1, 0, 0), (1, 0, 0)] == [(r.ok, r.fail, r.info) for r in rows]
    assert at(3.0) == rows[2].worst_ns
    assert math.isclose(1 / 3, rows[2].per_second)


@given(st.lists(st.floats(0, 11.9), max_size=60))
@settings(max_examples=40)
def test_every_operation_is_in_one_part(moments: list[float]) -> None:
    """No operation is lost or counted twice, wherever faults overlap."""
    plan = load_scenario(ROOT / "scenarios" / "sequencer-kill.yaml")
    facts = facts_of(plan, *(operation(n, moment, 0.1) for n, moment in enumerate(moments)))
    other = {"window": "another", "kind": "pause", "targets": ["alpha"]}
    facts = replace(
        facts, events=(*facts.events, *events((4.0, "fault.injected", other), (6.0, "fault.healed", other)))
    )
    rows = rows_of(facts, parts_of(facts))
    assert len(moments) == sum(row.ok for row in rows if row.group == "all")
    assert len(moments) == sum(row.ok for row in rows if row.group != "all")


def test_a_run_that_was_never_steady_has_a_warm_up_alone(plan: ScenarioPlan) -> None:
    """Its statistics and drawing stand without phases and faults."""
    facts = RunFacts(
        plan.devnet, (operation(0, 1, 0.1),), events=events((0.0, "phase.begun", {"phase": "warm-up"}))
    )
    assert ["warm-up"] == [part.name for part in parts_of(facts)]
    assert plot_of(facts) is not None
    assert plot_of(RunFacts(plan.devnet)) is None
    assert () == parts_of(RunFacts(plan.devnet))


@given(st.lists(st.tuples(st.floats(0, 600), st.none() | st.floats(0, 500)), min_size=1, max_size=300))
@settings(max_examples=30)
def test_a_drawing_stays_within_its_frame(told: list[tuple[float, float | None]]) -> None:
    """Whatever the latencies, dots lie in the frame; and there are never more than the frame has places for."""
    plan = load_scenario(ROOT / "scenarios" / "sequencer-kill.yaml")
    load = [
        operation(n, when, took, Result.OK if took is not None else Result.INFO)
        for n, (when, took) in enumerate(told)
    ]
    plot = plot_of(facts_of(plan, *load))
    assert plot is not None
    assert len(told) == plot.shown
    assert all(0 <= dot.x <= WIDE and 0 <= dot.y <= HIGH for dot in plot.dots)
    assert all(0 <= band.left <= WIDE and band.width > 0 for band in plot.bands)


def test_a_long_run_draws_no_more_than_a_short_one_could() -> None:
    """Twenty thousand operations make a page below a megabyte: dots that would cover one another are one."""
    plan = load_scenario(ROOT / "scenarios" / "sequencer-kill.yaml")
    load = [operation(n, n * 0.03, 0.05 + (n * 7919 % 1000) / 1000) for n in range(20_000)]
    facts = facts_of(plan, *load)
    plot = plot_of(facts)
    assert plot is not None
    assert len(plot.dots) <= (WIDE / GRAIN_X + 1) * (HIGH / GRAIN_Y + 1)
    assert len(render_html(findings(plan, VALID, facts=facts))) < 1_000_000


@pytest.mark.parametrize(
    ("checks", "bites", "verdict", "code"),
    [
        ((VALID,), True, Verdict.VALID, 0),
        ((VALID, INVALID), True, Verdict.INVALID, 1),
        ((VALID, UNKNOWN), True, Verdict.UNKNOWN, 2),
        ((INVALID, UNKNOWN), True, Verdict.INVALID, 1),
        ((VALID,), False, Verdict.UNKNOWN, 2),
    ],
)
def test_the_verdict_comes_first_everywhere(
    plan: ScenarioPlan, checks: tuple[CheckResult, ...], bites: bool, verdict: Verdict, code: int
) -> None:
    """The worst check decides; the first line of every form says it, and the exit code agrees. A fault that did not bite is unknown."""
    found = findings(plan, *checks, bites=bites)
    assert (verdict, code) == (found.verdict, found.exit_code)
    assert headline(found).startswith(verdict.value.upper())
    assert render_markdown(found).splitlines()[2].startswith(f"**{verdict.value.upper()}")
    assert [verdict.value, code] == [findings_to_json(found)[key] for key in ("verdict", "exit_code")]
    console = Console(width=140, record=True, file=io.StringIO())
    print_findings(found, console)
    assert verdict.value.upper() in console.export_text()
    orjson.dumps(findings_to_json(found))


def test_no_fault_no_verdict(plan: ScenarioPlan) -> None:
    """A devnet that was never steady gives unknown, with the reason; a backlog that stays gives invalid."""
    steady, bit = own_checks(plan, [], "not steady after 30 s: 0 of 5 bundles committed")
    assert (Verdict.UNKNOWN, Verdict.UNKNOWN) == (steady.verdict, bit.verdict)
    assert "0 of 5 bundles" in steady.notes[0]
    struck = findings(plan).struck
    assert Verdict.VALID is backlog_check(struck, []).verdict
    assert Verdict.INVALID is backlog_check(struck, ["2 items have no end", "0xa"]).verdict
    assert Verdict.UNKNOWN is backlog_check([], []).verdict


def test_junit_has_a_case_for_each_check_and_none_is_green_by_accident(plan: ScenarioPlan) -> None:
    """Invalid is a failure with the counter-example, unknown an error, valid neither; the counts agree."""
    found = findings(plan, VALID, INVALID, UNKNOWN)
    suite = ET.fromstring(render_junit(found, 12.5)).find("testsuite")  # noqa: S314 - our own text
    assert suite is not None
    assert ("5", "1", "1", "0") == tuple(suite.get(key) for key in ("tests", "failures", "errors", "skipped"))
    cases = {case.get("name"): case for case in suite.findall("testcase")}
    assert {check.name for check in found.checks} == set(cases)
    assert "leg 1 | reverted" in str(cases["atomicity"].findtext("failure"))
    assert cases["coverage"].find("error") is not None
    assert not [child.tag for child in cases["no loss"] if child.tag in ("failure", "error", "skipped")]


@given(st.text(max_size=40))
@settings(max_examples=60)
def test_junit_is_xml_whatever_a_node_said(text: str) -> None:
    """Control characters and brackets of a reason don't break the file."""
    plan = load_scenario(ROOT / "scenarios" / "sequencer-kill.yaml")
    odd = CheckResult("odd", Verdict.UNKNOWN, 0, "things", notes=(text,))
    ET.fromstring(render_junit(findings(plan, odd), 1.0))  # noqa: S314 - our own text


def test_labels_never_cover_one_another(plan: ScenarioPlan) -> None:
    """Of two hundred faults only those are labelled for which there is room; every one of them has its band."""
    told: list[tuple[float, str, dict[str, Any]]] = [(0.0, "phase.begun", {"phase": "warm-up"})]
    told.append((1.0, "phase.begun", {"phase": "baseline"}))
    for n in range(200):
        name = {"window": f"the sequencer dies #{n}", "kind": "kill", "targets": ["sequencer"]}
        told += [(2.0 + n * 0.7, "fault.injected", name), (2.9 + n * 0.7, "fault.healed", name)]
    facts = RunFacts(plan.devnet, (operation(0, 0.5, 0.1), operation(1, 150, 0.1)), events=events(*told))
    plot = plot_of(facts)
    assert plot is not None
    assert 200 == len(plot.bands)
    labelled = [band for band in plot.bands if band.lane is not None]
    assert 10 < len(labelled) < 60
    for lane in range(LANES):
        mine = sorted(
            (band.label, band.label + LETTER * len(band.name)) for band in labelled if band.lane == lane
        )
        assert all(before[1] <= after[0] for before, after in pairwise(mine))
        assert all(0 <= left and right <= WIDE + 1e-6 for left, right in mine)


class Tags(HTMLParser):
    """Collects what a page has."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]


def test_the_page_is_self_contained_and_says_what_nodes_said_as_text(plan: ScenarioPlan) -> None:
    """No script, nothing fetched; markup in evidence and counter-examples is shown, not obeyed."""
    page = render_html(findings(plan, INVALID))
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.tags
    assert [] == tags.links
    assert "b" not in tags.tags
    assert "is &lt;half&gt; there" in page
    assert {"svg", "path", "rect", "polyline", "table"} <= set(tags.tags)
    assert plan.faults[0].name in page


@given(st.text(max_size=40), st.booleans())
@settings(max_examples=40)
def test_the_picture_is_a_drawing_of_its_own_whatever_faults_are_called(name: str, bites: bool) -> None:
    """XML that fetches nothing, with a dot for each place, a band for each fault and all words as text."""
    plan = load_scenario(ROOT / "scenarios" / "sequencer-kill.yaml")
    told = {"window": name, "kind": "kill", "targets": ["sequencer"]}
    facts = facts_of(plan, *(operation(n, n * 0.05, 0.2) for n in range(200)))
    word = "fault.bit" if bites else "fault.missed"
    more = events((5.0, "fault.injected", told), (5.1, word, told), (7.0, "fault.healed", told))
    plot = plot_of(replace(facts, events=(*facts.events, *more)))
    assert plot is not None
    picture = render_svg(plot, name)
    assert not re.search(r"href|url\(|<script|<image", picture.partition("</style>")[2])
    root = ET.fromstring(picture)  # noqa: S314 - our own text
    bands = [each for each in root.iter(f"{SVG}rect") if "window" in (each.get("class") or "")]
    assert 1 + len(plot.bands) * (1 + bool(plot.throughput)) == len(bands)
    dots = "".join(each.get("d") or "" for each in root.iter(f"{SVG}path"))
    assert dots.count("M") == len(plot.dots) + len({dot.colour for dot in plot.dots})
    assert any(not bites or each.text for each in root.iter(f"{SVG}text"))


def test_a_warning_after_the_verdict_is_everywhere_and_changes_nothing(plan: ScenarioPlan) -> None:
    """A devnet that did not go down is told in every form, beside the verdict."""
    found = replace(findings(plan, VALID), warnings=("after the verdict: a node is stuck",))
    console = Console(width=140, record=True, file=io.StringIO())
    print_findings(found, console)
    assert 0 == found.exit_code
    for said in (render_markdown(found), console.export_text(), str(findings_to_json(found)["warnings"])):
        assert "a node is stuck" in said


def test_a_run_that_nobody_waited_for_is_not_called_drained(plan: ScenarioPlan) -> None:
    """A run that was cut short because it was wrong already claims nothing of its backlog."""
    struck = findings(plan).struck
    cut = backlog_check(struck, [], "a bundle was committed although a leg of it had failed")
    assert (Verdict.UNKNOWN, True) == (cut.verdict, "nobody waited" in cut.notes[0])


def test_the_trace_report_of_a_scenario_has_a_name_of_its_own(plan: ScenarioPlan, tmp_path: Path) -> None:
    """`rollnet report` on such a run leaves the scenario's page alone."""
    run = RunDirectory(tmp_path)
    run.journals.mkdir()
    (run.journals / "client.jsonl").touch()
    _, (page, _) = write_report(tmp_path)
    assert run.report == page
    write_findings(replace(findings(plan, VALID), directory=tmp_path))
    _, (page, _) = write_report(tmp_path)
    assert run.traces == page
    assert run.report.read_text().startswith("# rollnet chaos")


def test_the_page_for_ci_fits_its_summary(plan: ScenarioPlan) -> None:
    """A thousand violations and checks with endless reasons stay far below a megabyte."""
    wordy = [replace(UNKNOWN, name=f"check {n}", notes=("why " * 500,)) for n in range(150)]
    assert len(render_markdown(findings(plan, INVALID, *wordy)).encode()) < SIZE_LIMIT / 4


def test_a_counter_example_is_drawn_as_its_message(plan: ScenarioPlan) -> None:
    """By journal event or by operation; one that rests on no message has no drawing."""
    told = events(
        (1.0, "bundle.submitted", {"bundle_id": BUNDLE}),
        (1.1, "bundle.decided", {"bundle_id": BUNDLE, "decision": "commit"}),
    )
    facts = RunFacts(plan.devnet, (operation(3, 1, 0.2),), events=told)
    for identity in ("history/3", told[1].id):
        drawing = drawn_counterexample(facts, CounterExample(("x",), ("nothing/0/0", identity)))
        assert drawing.startswith("sequenceDiagram")
        assert "bundle.decided commit" in drawing
    assert "" == drawn_counterexample(facts, CounterExample(("x",), ("history/9",)))


def test_files_are_written_where_they_are_said_to_be(plan: ScenarioPlan, tmp_path: Path) -> None:
    """Page, HTML, data and picture in the run directory, JUnit where the user wants it, its folder made."""
    found = replace(findings(plan, VALID), directory=tmp_path)
    assert tuple(tmp_path / name for name in NAMES) == write_findings(found)
    assert "](latency.svg)" in (tmp_path / "report.md").read_text()
    bare = replace(found, facts=RunFacts(plan.devnet), directory=tmp_path / "bare")
    bare.directory.mkdir()
    assert ["report.md", "report.html", "chaos.json"] == [path.name for path in write_findings(bare)]
    assert "latency.svg" not in (bare.directory / "report.md").read_text()
    assert "valid" == orjson.loads((tmp_path / "chaos.json").read_bytes())["verdict"]
    write_junit(found, 1.0, tmp_path / "deep" / "junit.xml")
    assert (tmp_path / "deep" / "junit.xml").read_text().startswith("<?xml")


def test_bystanders_are_those_that_some_fault_leaves_alone(plan: ScenarioPlan) -> None:
    """A fault of everything has none, one that is over at once has none to watch, a kill has all others."""
    assert {"l1", "relayer", "maker", "alpha", "beta", "gamma", "delta"} <= bystanders_of(plan)
    assert "sequencer" not in bystanders_of(plan)
    for name in ("everything-slow", "l1-reorg"):
        assert frozenset() == bystanders_of(load_scenario(ROOT / "scenarios" / f"{name}.yaml"))


def test_a_dry_run_shows_targets_and_triggers(plan: ScenarioPlan) -> None:
    """Everything that is decided is printed."""
    console = Console(width=160, record=True, file=io.StringIO())
    print_plan(plan, console)
    text = console.export_text()
    assert "sequencer" in text
    assert "bundle.sequenced number 10" in text
