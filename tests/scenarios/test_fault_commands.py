"""``rollnet fault`` on a running devnet of processes: what it says, what it exits with, and what the journal keeps of it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from orchestrator.cli.testing import Said, within
from orchestrator.devnet import Devnet

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

ROOM = "100000000"
"""Spare bytes that no node uses up here: the fault is real, and spoils nothing."""
Fault = Callable[..., Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """A rollup of its own."""
    async with launched(topology_file("faulty", rollups=("alpha",))) as running:
        yield running


@pytest.fixture
def fault(net: Devnet, module_home: Path) -> Fault:
    """Runs ``rollnet fault``, given the rest of the command."""

    async def run(*arguments: str) -> Said:
        return await within(module_home, "fault", *arguments)

    return run


async def test_a_fault_by_hand(net: Devnet, fault: Fault) -> None:
    """Injected, listed and healed: each says what was seen, in words and as JSON, and ends with 0."""
    injected = await fault("inject", "disk-full", "alpha", "--spare", ROOM)
    assert (0, True, True) == (
        injected.code,
        f"disk-full of alpha in {ROOM} bytes: bit: /proc: " in injected.out,
        "it stays until: rollnet fault heal alpha disk-full" in injected.out,
    )
    listed = await fault("list", "--json")
    document = {"kind": "disk-full", "node": "alpha", "spare_bytes": int(ROOM)}
    assert {"possible": ["disk-full"], "in_force": [document]} == listed.json
    healed = await fault("heal", "alpha", "--json")
    (one,) = healed.json["healed"]
    assert (0, document, True) == (healed.code, one["fault"], one["healed"])
    assert "in force: nothing" in (await fault("list")).out
    again = await fault("heal", "alpha", "disk-full")
    assert (0, "nothing of kind disk-full is in force on alpha\n") == (again.code, again.out)


async def test_a_fault_for_a_while(net: Devnet, fault: Fault) -> None:
    """With a time it is healed by itself, and one document tells of both ends."""
    told = await fault("inject", "disk-full", "alpha", "--spare", ROOM, "--for", "100ms", "--json")
    assert (0, True, True) == (told.code, told.json["bit"], told.json["healed"])
    assert () == await net.node("alpha").faults()


async def test_what_did_not_bite_ends_with_two(net: Devnet, fault: Fault) -> None:
    """A fault of a node that is down is told as not bitten; the node's own operations are confirmed by the kernel."""
    killed = await net.node("relayer").kill()
    assert "wait status: SIGKILL" == killed.confirmed
    missed = await fault("inject", "disk-full", "relayer", "--spare", ROOM)
    assert (2, True) == (missed.code, "did not bite: relayer is down" in missed.out)
    assert 0 == (await fault("heal", "relayer")).code
    await net.node("relayer").restart()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("inject", "blackhole", "alpha", "--peer", "l1"), "can't do: blackhole"),
        (("inject", "throttle", "alpha"), "--rate: Field required"),
        (("inject", "throttle", "alpha", "--rate", "3"), "--rate is 3"),
        (("inject", "pauze", "alpha"), "'pauze' is no kind of fault"),
        (("inject", "kill", "alpha"), "rollnet node kill alpha"),
        (("inject", "disk-full", "alfa"), "did you mean 'alpha'"),
        (("inject", "disk-full", "alpha", "--for", "5"), "write 5s"),
        (("heal", "alfa"), "did you mean 'alpha'"),
        (("heal", "alpha", "pauze"), "'pauze' is no kind of fault"),
    ],
)
async def test_mistakes_end_with_one(
    net: Devnet, fault: Fault, arguments: tuple[str, ...], words: str
) -> None:
    """What can't be done is told with what to do instead, and nothing is in force."""
    said = await fault(*arguments)
    assert (1, True) == (said.code, words in said.err), said
    assert () == (await net.nodes.faults()).in_force


async def test_the_journal_keeps_what_was_seen(net: Devnet, fault: Fault) -> None:
    """Each fault and each operation is a line with whether it was confirmed, and by what."""
    await fault("inject", "disk-full", "alpha", "--spare", ROOM, "--for", "10ms")
    lines = [
        orjson.loads(line)
        for path in net.directory.journals.glob("client-*")
        for line in path.read_bytes().splitlines()
    ]
    seen = {
        (line["event"], line["attrs"]["node"]): line["attrs"] for line in lines if "node" in line["attrs"]
    }
    for event, verdict in (("fault.disk-full", "bit"), ("fault.heal", "healed")):
        attrs = seen[event, "alpha"]
        assert ("disk-full", True, True) == (attrs["kind"], attrs[verdict], "/proc" in attrs["evidence"])
    killed = seen["fault.kill", "relayer"]
    assert (True, "wait status: SIGKILL") == (killed["bit"], killed["evidence"])
