"""``rollnet chaos run`` with faults that take a machine of one's own: off the network, packets lost, no memory, no disk, on real containers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from orchestrator.cli.testing import said
from orchestrator.registry import Registry
from orchestrator.runtimes.docker.testing import NOTHING, footprint

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("image"), pytest.mark.timeout(180)]

RUN_S = 150.0
"""Far above what any run takes on a machine of its own (20 s)."""
SCENARIO = """\
name: {name}
topology:
  name: {name}
  accounts: 30
  l1: {{block_time: 1s, confirmations: 1}}
  rollups: {{alpha: {{}}, beta: {{}}}}
  messaging: {{slot: 100ms, sequencing_window: 10m}}
load: {{rate: 15, mix: {{transfers: 1, local: 0.3}}}}
steady_state: {{bundles_committed: 3}}
baseline: 500ms
schedule:
{faults}
settle: {{quiet: 1500ms, drain_within: 30s}}
expect:
  recovery: {{first_commit_within: 40s, backlog_drained_within: 60s}}
  coverage: {{in_flight: 0}}
"""
"""Whether a bundle is in the sequencer's hands when it ends is chance at this rate, and not what is asked here."""
UNPLUGGED = """\
  - {name: cut off, when: {event: bundle.sequenced, count: 5}, fault: partition, mode: unplug, target: sequencer, for: 2s}
"""
WEATHER = """\
  - {name: lost packets, when: {after: 200ms}, fault: packet_loss, percent: 20, target: {role: rollup}, for: 2s}
  - {name: slow links, when: {after: 200ms}, fault: throttle, rate: 20000, links: [{from: sequencer, to: rollup}], for: 2s}
"""
NO_MEMORY = """\
  - {name: no memory, when: {event: bundle.sequenced, count: 5}, fault: out_of_memory, target: sequencer, restart_after: 300ms}
"""
NO_DISK = """\
  - {name: no disk, when: {event: bundle.sequenced, count: 5}, fault: disk_full, target: sequencer, for: 1s}
"""


@pytest.fixture(autouse=True)
def nothing_left(module_home: Path) -> Iterator[None]:
    """The engine has nothing of this module's devnets after any test, whatever came of it."""
    yield
    Registry(module_home).sweep()
    assert footprint(module_home) == NOTHING


async def run(home: Path, repository: Path, folder: Path, name: str, faults: str) -> Any:
    """A scenario to its end; the document of a valid run in which every fault bit and was healed."""
    file = folder / f"{name}.yaml"
    file.write_text(SCENARIO.format(name=name, faults=faults))
    command = ("chaos", "run", str(file), "--runtime", "docker", "--json")
    found = await said(home, repository, *command, within_s=RUN_S)
    document = orjson.loads(found.out)
    print(f"seed {document.get('seed')}, run directory {document.get('run_dir')}")  # noqa: T201 - pytest shows it beside a failure
    assert (0, "valid", "docker") == (found.code, document["verdict"], document["plan"]["runtime"]), found
    assert all(fault["bit"] for fault in document["faults"]), document["faults"]
    return document


def evidence(document: Any, name: str) -> str:
    """What was seen of a fault by whoever confirms it."""
    return next(str(fault["evidence"]) for fault in document["faults"] if fault["name"] == name)


def latency(document: Any, phase: str) -> Any:
    """Of bundles in a phase, by name."""
    return next(row for row in document["phases"] if (row["phase"], row["kind"]) == (phase, "bundles"))


async def test_a_sequencer_off_the_network(module_home: Path, repository: Path, tmp_path: Path) -> None:
    """Unplugged under load: nothing commits meanwhile, everything acknowledged does afterwards, and no bundle is torn."""
    document = await run(module_home, repository, tmp_path, "unplugged", UNPLUGGED)
    assert "looks for sequencer: connected before" in evidence(document, "cut off")
    assert "the engine shows it off the fabric" in evidence(document, "cut off")
    struck, before = (latency(document, phase)["worst_ns"] for phase in ("cut off", "baseline"))
    assert struck > max(before, 2_000_000_000)  # so long it lasted


async def test_bad_weather(module_home: Path, repository: Path, tmp_path: Path) -> None:
    """Packets get lost on their way to all rollups while links carry little: bundles take longer, and that is all."""
    document = await run(module_home, repository, tmp_path, "weather", WEATHER)
    said_of = evidence(document, "lost packets")
    assert all(f"{rollup}: " in said_of for rollup in ("alpha", "beta")), said_of
    assert "packets lost on their way here" in said_of
    assert " met on 2 of 2 links" in evidence(document, "slow links")


@pytest.mark.parametrize(
    ("name", "faults", "words"),
    [("no memory", NO_MEMORY, "engine: oom"), ("no disk", NO_DISK, "; a write of its has failed")],
    ids=["memory", "disk"],
)
async def test_nothing_left_to_use(
    module_home: Path, repository: Path, tmp_path: Path, name: str, faults: str, words: str
) -> None:
    """The sequencer ends for want of memory, or of room for its log: what either of its two lives acknowledged is there."""
    document = await run(module_home, repository, tmp_path, name.replace(" ", "-"), faults)
    assert words in evidence(document, name)
    (order,) = [check for check in document["checks"] if check["name"] == "order"]
    assert "2 lives of sequencers" in order["notes"]
