import re
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from bridge.wire.journal import Journal
from orchestrator.report import (
    Report,
    RunMeta,
    build_report,
    print_report,
    render_markdown,
    report_to_json,
    write_report,
)
from orchestrator.report import to_json as json_module
from orchestrator.report.markdown import SIZE_LIMIT
from orchestrator.report.tables import build_tables
from orchestrator.tracing import NoJournalError, group_events
from orchestrator.tracing.testing import ScriptedRun

META = RunMeta(name="pair", run="20260101T000000Z-seed7", seed=7, host="a CPU, 2 cores")
KEY = "0x" + "a" * 64
HOSTILE = "</details>|`#;\n\n# all is well\n<script>" + "€" * 5_000


def script_of(count: int, reason: str | None = None) -> ScriptedRun:
    """So many two-leg bundles, committed, or aborted for a reason."""
    script = ScriptedRun()
    for number in range(count):
        start = script.emit("bundle.submitted", node="client", at_ns=number, bundle_id=f"0x{number:064x}")
        if reason is None:
            script.bundle(f"0x{number:064x}", rollups=("alpha", "beta"), start_ns=number)
        else:
            attrs = {"decision": "abort", "reason": f"{number} {reason}", "rollup": reason}
            script.emit(
                "bundle.decided",
                node="sequencer",
                at_ns=number + 9,
                bundle_id=f"0x{number:064x}",
                cause=[start],
                attrs=attrs,
            )
    return script


def reported(script: ScriptedRun, meta: RunMeta = META) -> Report:
    """The report of a script."""
    return build_report(group_events(script.events), meta)


def test_the_page_opens_with_the_verdict_and_the_counts() -> None:
    """Golden: the first tables of a small run; too few messages give no percentile, only facts."""
    script = ScriptedRun()
    script.bundle(KEY, rollups=("alpha", "beta"), start_ns=0)
    expected = """\
# rollnet report: pair, seed 7

**no partial bundle among 1 messages: 1 committed, 0 aborted, 0 expired, 0 refused, 0 unknown**

## Outcomes

| kind | committed | aborted | expired | refused | partial | unknown | all |
| --- | --- | --- | --- | --- | --- | --- | --- |
| bundle | 1 | 0 | 0 | 0 | 0 | 0 | 1 |

## End to end

| kind | outcome | since | n | unfinished | p50 | p90 | p99 | min | max | start unknown |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| bundle | committed | submitted | 1 | 0 | n/a (n=1) | n/a (n=1) | n/a (n=1) | 30.2 ms | 30.2 ms | 0 |
"""

    assert render_markdown(reported(script)).startswith(expected)


def assert_well_formed(page: str) -> None:
    """Every table row has as many cells as its head, every fold is closed, every drawing too."""
    blocks = re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE)
    assert len(blocks) > 4
    for block in blocks:
        assert 1 == len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()})
    assert page.count("<details>") == page.count("</details>") > 0
    assert 0 == page.count("```") % 2


def test_tables_and_folds_are_well_formed() -> None:
    """A healthy run gives a page that renders."""
    assert_well_formed(render_markdown(reported(script_of(30))))


def test_text_from_nodes_stays_text() -> None:
    """A reason full of markup adds no heading, no cell, no tag and no line to the page."""
    plain, hostile = (render_markdown(reported(script_of(25, reason))) for reason in ("plain", HOSTILE))

    assert_well_formed(hostile)
    assert plain.count("\n") == hostile.count("\n")
    assert plain.count("</details>") == hostile.count("</details>")
    assert "<script>" not in hostile


def test_the_page_of_a_huge_hostile_run_fits_a_job_summary() -> None:
    """Many nodes, many faults, endless reasons: the page stays below the limit beyond which CI drops it."""
    script = script_of(300, HOSTILE)
    script.bundle(KEY, rollups=[f"rollup-{number}-{HOSTILE}" for number in range(300)], start_ns=0)
    for number in range(2_000):
        script.emit("fault.kill", node="orchestrator", at_ns=number, attrs={"node": HOSTILE, "why": HOSTILE})

    page = render_markdown(reported(script))

    assert len(page.encode()) < SIZE_LIMIT
    assert "more rows are in report.json" in page


def test_the_json_report_has_the_documented_fields() -> None:
    """The schema in the docstring is the schema: top-level names, and the fields of a message."""
    script = script_of(3)
    script.emit("fault.kill", node="orchestrator", at_ns=1, attrs={"node": "alpha"})
    found = orjson.loads(orjson.dumps(report_to_json(reported(script))))

    documented = set(re.findall(r"\b[a-z_0-9]+\b", (json_module.__doc__ or "").partition("::")[2]))
    nested = {
        name
        for value in found.values()
        if isinstance(value, list) and value and isinstance(value[0], dict)
        for name in value[0]
    }
    assert set() == (set(found) | nested | set(found["evidence"]) | set(found["run"])) - documented
    assert "rollnet.report/1" == found["schema"]
    assert {"n", "unfinished", "min_ns", "max_ns", "p50", "p90", "p99"} == set(found["stages"][0]["summary"])
    assert {"ns": None, "standing": "too-few", "n": 3} == found["stages"][0]["summary"]["p50"]


def test_the_json_report_gives_measured_nanoseconds() -> None:
    """From 20 messages on the median is a number that a program can read."""
    script = script_of(20)
    (row,) = report_to_json(reported(script))["latencies"]

    assert ("measured", 20, 30_200_000) == (
        row["summary"]["p50"]["standing"],
        row["summary"]["n"],
        row["summary"]["max_ns"],
    )


def test_the_terminal_shows_the_headline_and_every_table() -> None:
    """Nothing that the page's tables say is missing, except the rows of folded tables after the tenth."""
    report = reported(script_of(30, "out of margin"))
    console = Console(width=220, color_system=None)
    with console.capture() as capture:
        print_report(report, console)
    text = capture.get()

    assert report.headline in text
    titles = [table.title for table in build_tables(report)]
    assert len(titles) > 5
    assert [] == [title for title in titles if title not in text]
    assert "20 more rows are in report.md" in text


def test_a_terminal_prints_markup_as_text() -> None:
    """A reason in square brackets is shown, not interpreted."""
    console = Console(width=250, color_system=None)
    with console.capture() as capture:
        print_report(reported(script_of(1, "[bold]no[/nonsense]")), console)

    assert "[bold]no[/nonsense]" in capture.get()


def test_a_report_is_written_into_the_run_directory(tmp_path: Path) -> None:
    """Real journals in, two files out, nothing else left; the plan names the run."""
    run = tmp_path / "pair" / "20260101T000000Z-seed7"
    with Journal(run / "journal" / "client.jsonl", "client", "client") as client:
        sent = client.emit("bundle.submitted", bundle_id=KEY)
    with Journal(run / "journal" / "alpha.jsonl", "alpha", "rollup") as alpha:
        alpha.emit("leg.executed", bundle_id=KEY, leg=0, cause=[sent])
    (run / "plan.json").write_bytes(orjson.dumps({"name": "condor", "seed": 9}))

    report, (page, data) = write_report(run)

    assert ("condor", 9, "20260101T000000Z-seed7") == (report.meta.name, report.meta.seed, report.meta.run)
    assert render_markdown(report) == page.read_text()
    assert orjson.loads(orjson.dumps(report_to_json(report))) == orjson.loads(data.read_bytes())
    assert {"journal", "plan.json", "report.md", "report.json"} == {path.name for path in run.iterdir()}


@pytest.mark.parametrize("plan", [None, b"", b"[]", b"{broken", b'{"seed": "x"}'])
def test_a_run_with_a_broken_plan_is_reported_all_the_same(tmp_path: Path, plan: bytes | None) -> None:
    """A crashed run needs its report most: names then come from the directory."""
    run = tmp_path / "pair" / "stamp"
    script_of(1).write(run)
    if plan is not None:
        (run / "plan.json").write_bytes(plan)

    report, _ = write_report(run)

    assert ("pair", None) == (report.meta.name, report.meta.seed)


def test_a_report_may_be_written_again_while_the_run_goes_on(tmp_path: Path) -> None:
    """The second report replaces the first."""
    script_of(1).write(tmp_path)
    write_report(tmp_path)
    script_of(2).write(tmp_path)

    _, (_, data) = write_report(tmp_path)

    assert 2 == orjson.loads(data.read_bytes())["total"]


def test_a_directory_without_journals_gets_no_report(tmp_path: Path) -> None:
    """No evidence, no report."""
    with pytest.raises(NoJournalError):
        write_report(tmp_path)

    assert [] == list(tmp_path.iterdir())
