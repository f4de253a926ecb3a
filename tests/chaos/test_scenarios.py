"""``rollnet chaos run`` on real nodes: valid, unknown and invalid as they should be, and nothing left behind when it is interrupted."""

import asyncio
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import orjson
import pytest

from bridge.wire.jsonrpc import Client
from orchestrator.cli.testing import Said, said, started, within
from orchestrator.runtimes.docker.testing import NOTHING, footprint
from orchestrator.runtimes.orphans import marked_processes

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

RUN_S = 150.0
"""Far above what any run takes on a machine of its own (20 s)."""
PAIR = """\
name: {name}
topology:
  name: {name}
  accounts: 30
  l1: {{block_time: 1s, confirmations: 1}}
  rollups: {{alpha: {{}}, beta: {{}}}}
  messaging: {{slot: 100ms}}
{market}
load: {{rate: 15, mix: {mix}}}
steady_state: {{bundles_committed: 3}}
baseline: 500ms
schedule:
  - name: the fault
    when: {{after: 200ms}}
{fault}
settle: {{quiet: 300ms, drain_within: {patience}}}
expect: {{recovery: {{first_commit_within: {patience}, backlog_drained_within: {patience}}}}}
"""
KILL = "    fault: kill\n    target: sequencer\n    restart_after: 300ms"


def scenario(
    folder: Path,
    name: str,
    fault: str,
    *,
    market: str = "",
    mix: str = "{transfers: 1, local: 0.3}",
    patience: str = "10s",
) -> Path:
    """A scenario of a few seconds; ``patience`` for what may not come."""
    path = folder / f"{name}.yaml"
    path.write_text(PAIR.format(name=name, fault=fault, market=market, mix=mix, patience=patience))
    return path


async def run(home: Path, repository: Path, *arguments: str) -> tuple[Said, Any]:
    """One ``chaos run --json`` to its end, and its document."""
    found = await said(home, repository, "chaos", "run", *arguments, "--json", within_s=RUN_S)
    document = orjson.loads(found.out)
    print(f"seed {document.get('seed')}, run directory {document.get('run_dir')}")  # noqa: T201 - pytest shows it beside a failure
    return found, document


def checks_of(document: Any) -> dict[str, Any]:
    """The checks by name."""
    return {check["name"]: check for check in document["checks"]}


async def test_a_killed_sequencer_breaks_no_promise(
    module_home: Path, repository: Path, tmp_path: Path
) -> None:
    """The shipped scenario is valid under 20 bundles/s, with bundles in flight at the kill, and its outage is in the numbers."""
    junit = tmp_path / "junit.xml"
    found, document = await run(
        module_home,
        repository,
        "scenarios/sequencer-kill.yaml",
        "--junit",
        str(junit),
        "--runtime",
        "process",
    )
    assert (0, "valid") == (found.code, document["verdict"]), document["headline"]
    _assert_in_flight_and_outage(document)
    directory = Path(document["run_dir"])
    assert {"report.md", "chaos.json", "report.html", "latency.svg", "scenario.json", "history.jsonl"} <= {
        path.name for path in directory.iterdir()
    }
    assert (directory / "report.md").read_text().splitlines()[2].startswith("**VALID")
    suite = ET.parse(junit).getroot().find("testsuite")  # noqa: S314 - our own file
    assert suite is not None
    assert (str(len(document["checks"])), "0", "0") == tuple(
        suite.get(key) for key in ("tests", "failures", "errors")
    )
    again = await said(module_home, repository, "check", str(directory), "--json", within_s=RUN_S)
    stored = orjson.loads(again.out)
    assert (0, document["verdict"]) == (again.code, stored["verdict"])
    # while it ran L1 went on between the look and the rebuild; all else is the same to the last count
    counted = [
        [
            (one["name"], one["verdict"], one["seen"] if one["name"] != "replay from L1" else None)
            for one in each["checks"]
        ]
        for each in (document, stored)
    ]
    assert counted[0] == counted[1]


@pytest.mark.docker
@pytest.mark.usefixtures("image")
async def test_a_killed_sequencer_breaks_no_promise_on_docker(module_home: Path, repository: Path) -> None:
    """The same scenario and the same verdict with containers; the engine itself confirms the kill."""
    found, document = await run(
        module_home, repository, "scenarios/sequencer-kill.yaml", "--runtime", "docker"
    )
    assert (0, "valid") == (found.code, document["verdict"]), document["headline"]
    _assert_in_flight_and_outage(document)
    assert "docker" == document["plan"]["runtime"]
    assert footprint(module_home) == NOTHING


async def test_a_fault_that_does_not_bite_is_no_verdict(
    module_home: Path, repository: Path, tmp_path: Path
) -> None:
    """Dropping a message that nobody sends breaks nothing and shows nothing: unknown, exit code 2, with what was tried."""
    fault = "    fault: drop\n    links: [{from: sequencer, to: rollup}]\n    probability: 1.0\n    match: rollup_nothing\n    for: 500ms"
    found, document = await run(module_home, repository, str(scenario(tmp_path, "no-bite", fault)))
    assert (2, "unknown") == (found.code, document["verdict"]), document["headline"]
    bit = checks_of(document)["faults bit"]
    assert "unknown" == bit["verdict"]
    assert "the fault: 0 met on 0 of 2 links" in bit["notes"][0]
    others = {
        check["verdict"] for check in document["checks"] if check["name"] not in ("faults bit", "coverage")
    }
    assert {"valid"} == others


async def test_a_sequencer_that_commits_failing_legs_is_found_out(
    module_home: Path, repository: Path, tmp_path: Path
) -> None:
    """A build without the bundle rule is invalid: the counter-example names one bundle, and is drawn as its message in time."""
    market = "  market: {underlying: ETH, spot: 2000, volatility: 0.6}"
    file = scenario(tmp_path, "mutant", KILL, market=market, mix="{strategy: 1}", patience="2s")
    found, document = await run(module_home, repository, str(file), "--mutant", "commit-failing-legs")
    assert (1, "invalid") == (found.code, document["verdict"]), document["headline"]
    wrong = {name: check for name, check in checks_of(document).items() if check["verdict"] == "invalid"}
    assert wrong.keys() & {"atomicity", "replay from L1"}
    lines = [line for check in wrong.values() for line in check["counterexample"]["lines"]]
    assert any("0x" in line and "bundle" in line for line in lines)
    page = (Path(document["run_dir"]) / "report.md").read_text()
    assert page.splitlines()[2].startswith("**INVALID")
    assert "sequenceDiagram" in page


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)], ids=["ctrl-c", "sigterm"]
)
async def test_a_run_that_is_ended_in_the_middle_leaves_nothing(
    module_home: Path, repository: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Ended while the sequencer is frozen: exit code 130, healed, no process, no name taken, and the run directory stays."""
    fault = "    fault: pause\n    target: sequencer\n    for: 60s"
    file = scenario(tmp_path, "interrupted", fault)
    async with started(module_home, repository, "chaos", "run", str(file)) as process:
        assert process.stderr is not None
        async with asyncio.timeout(RUN_S):
            while b"the fault: bit" not in (line := await process.stderr.readline()):
                assert line, "it ended before the fault struck"
            process.send_signal(number)
            _, rest = await process.communicate()
    assert 130 == process.returncode
    assert "Traceback" not in rest.decode()
    assert "the fault: healed" in rest.decode()
    assert [] == [each for each in marked_processes() if each.home == str(module_home)]
    assert not list((module_home / "devnets").glob("chaos-interrupted*.json"))
    assert (module_home / "runs" / "interrupted" / "latest" / "history.jsonl").exists()


@pytest.mark.long
async def test_a_devnet_without_a_verdict_is_kept_until_a_signal_comes(
    module_home: Path, repository: Path, tmp_path: Path
) -> None:
    """With --keep it answers after an unknown verdict, goes down by SIGTERM, and exit code, report and JUnit are those of the verdict."""
    fault = "    fault: drop\n    links: [{from: sequencer, to: rollup}]\n    probability: 1.0\n    match: rollup_nothing\n    for: 500ms"
    file, junit = scenario(tmp_path, "kept", fault), tmp_path / "junit.xml"
    options = ("chaos", "run", str(file), "--keep", "--junit", str(junit))
    async with started(module_home, repository, *options) as process, asyncio.timeout(RUN_S):
        assert process.stderr is not None
        while b"is left running" not in (line := await process.stderr.readline()):
            assert line, "it ended before it was kept"
        _, _, url = (await process.stderr.readline()).decode().partition("l1 ")
        async with Client(url.strip()) as client:
            assert int(await client.call("eth_blockNumber"), 16) > 0
        process.send_signal(signal.SIGTERM)
        _, rest = await process.communicate()
    assert 2 == process.returncode, rest.decode()
    assert (
        (module_home / "runs" / "kept" / "latest" / "report.md")
        .read_text()
        .splitlines()[2]
        .startswith("**UNKNOWN")
    )
    assert 'type="unknown"' in junit.read_text()
    assert [] == [each for each in marked_processes() if each.home == str(module_home)]


async def test_what_cannot_start_is_exit_code_three(
    module_home: Path, repository: Path, tmp_path: Path
) -> None:
    """A wrong file, a fault that the runtime can't do, an unknown mutant: said in words, nothing launched."""
    unplug = "    fault: partition\n    mode: unplug\n    target: alpha\n    for: 1s"
    file = str(scenario(tmp_path, "unplugged", unplug))
    before = list((module_home / "runs").glob("*"))
    for arguments, words in (
        ([file, "--runtime", "process"], "can't do unplug"),
        ([str(repository / "scenarios" / "no-such.yaml")], "no such file"),
        ([str(repository / "scenarios" / "sequencer-kill.yaml"), "--mutant", "kind"], "there is no mutant"),
    ):
        refused = await within(module_home, "chaos", "run", *arguments)
        assert 3 == refused.code
        assert words in refused.err
    assert before == list((module_home / "runs").glob("*"))


def _assert_in_flight_and_outage(document: Any) -> None:
    """At the kill at least one acknowledged bundle had no end, and operations of the outage waited longer than those of the baseline."""
    assert document["faults"][0]["bit"]
    counted = next(note for note in checks_of(document)["coverage"]["notes"] if note.startswith("in_flight:"))
    assert int(counted.removeprefix("in_flight: ")) >= 1
    rows = {row["phase"]: row for row in document["phases"] if row["kind"] == "bundles"}
    assert 20 == document["plan"]["load"]["rate"]
    struck, before = rows["the sequencer dies"], rows["baseline"]
    assert (
        struck["worst_ns"] > 1_000_000_000
    )  # it was dead for a second, and latency counts from intended times
    assert struck["p50_ns"] > before["p50_ns"]
