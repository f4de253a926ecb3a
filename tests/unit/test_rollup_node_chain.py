"""The gate: staged blocks are hidden, decided ones are kept, and no cancelled, late or repeated request breaks either."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.slot import Block, BundlePart, Payload, block_transactions
from bridge.wire.testing import Op, signed
from rollup_node.errors import NotNext, StaleTerm
from rollup_node.testing import BUNDLE, GENESIS, Decided, Node, payload


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The node's data folder."""
    return tmp_path / "data"


@pytest.fixture
async def node(folder: Path) -> Any:
    """A fresh node at genesis."""
    made = await Node(folder).begin()
    yield made
    made.close()


async def test_a_staged_block_is_hidden_until_it_is_committed(node: Node) -> None:
    """Staging moves nothing that readers see and names every transaction to hide; committing shows exactly the staged block."""
    decided = Decided()
    content = payload(1, bundled=True)
    executed, results, events = await node.stage(content)
    assert (GENESIS, []) == (node.chain.gate, list(node.store.blocks()))
    staged = {to_hex(keccak256(raw)) for raw in block_transactions(content, 1)}
    assert staged == node.chain.hidden == set(results)
    assert [event.id for event in node.journal.events if event.event == "leg.staged"] == events[BUNDLE]
    block = await decided.decide(content)
    assert block.hash == executed.header.hash
    assert executed.header == await node.commit(block)
    assert (set(), [block], 1) == (node.chain.hidden, list(node.store.blocks()), node.engine.executions)
    last = node.journal.events[-1]
    assert ("leg.executed", BUNDLE, 2, ("sequencer/1/9",)) == (
        last.event,
        last.bundle_id,
        last.leg,
        last.cause,
    )
    assert {
        "slot": 7,
        "block": 1,
        "tx": to_hex(keccak256(from_hex(content.bundles[0].transactions[0]))),
    } == last.attrs


async def test_staging_again_reuses_the_same_and_replaces_another(node: Node) -> None:
    """A repeated request costs nothing; a different payload is executed on the gate, not on the staged block."""
    first, _, _ = await node.stage(payload(1))
    again, _, _ = await node.stage(payload(1))
    assert (first, 1) == (again, node.engine.executions)
    other, _, _ = await node.stage(payload(1, account=1))
    assert (GENESIS.hash, 1, 2) == (other.header.parent, other.header.number, node.engine.executions)
    assert first.header.hash != other.header.hash
    back, _, _ = await node.stage(payload(1))
    assert first == back


async def test_results_say_what_became_of_each_transaction(node: Node) -> None:
    """Success, failure (with a reason for legs), invalid and gap come back by hash; base fees are the gate's own child's."""
    good, reverting = signed(901, 0, 0), signed(901, 1, 0, ((Op.NEED, 0, 1),))
    invalid, gap = signed(901, 2, 0, ((Op.ENTER, 0, 0),)), signed(901, 3, 5)
    raws = tuple(to_hex(sent.raw) for sent in (good, reverting, invalid, gap))
    _, results, _ = await node.stage(Payload(5, raws[:1], (BundlePart(BUNDLE, (0, 1, 2), raws[1:]),)))
    told = [
        (results[to_hex(sent.hash)].status, results[to_hex(sent.hash)].data)
        for sent in (good, reverting, invalid, gap)
    ]
    assert [("success", "0x"), ("failed", "0x08c379a0"), ("invalid", "0x"), ("gap", "0x")] == told
    assert "toy revert" in results[to_hex(reverting.hash)].reason


async def test_committing_is_idempotent_and_needs_no_staging(node: Node) -> None:
    """A commit for an unstaged or differently staged block executes it; once more changes, stores and journals nothing."""
    decided = Decided()
    await node.stage(payload(1, account=5))
    first, second = await decided.decide(payload(1)), await decided.decide(payload(2))
    await node.commit(first)
    await node.commit(second)
    events, executions = len(node.journal.events), node.engine.executions
    assert 2 == (await node.commit(first)).number
    assert 2 == (await node.commit(second, recovered=True)).number
    assert ([first, second], events, executions) == (
        list(node.store.blocks()),
        len(node.journal.events),
        node.engine.executions,
    )


async def test_requests_out_of_place_are_refused(node: Node) -> None:
    """Staging on another parent, a decided block after a hole, and another block than the committed one: each by its error."""
    decided = Decided()
    blocks = [await decided.decide(payload(height)) for height in (1, 2, 3)]
    with pytest.raises(NotNext):
        await node.stage(payload(1), parent=blocks[0].hash)
    with pytest.raises(NotNext):
        await node.commit(blocks[1])
    await node.commit(blocks[0])
    with pytest.raises(NotNext):
        await node.stage(payload(2), parent=GENESIS.hash)
    with pytest.raises(NotNext, match="committed here"):
        await node.commit(Block(901, 1, blocks[1].hash, blocks[1].state_root, payload(1)))
    with pytest.raises(NotNext, match="executed"):
        await node.commit(Block(901, 2, blocks[2].hash, blocks[1].state_root, payload(2)))
    assert (blocks[0].hash, [blocks[0]]) == (node.chain.gate.hash, list(node.store.blocks()))
    assert blocks[1].hash == (await node.commit(blocks[1])).hash


async def test_a_deposed_sequencer_is_fenced_off(node: Node, folder: Path) -> None:
    """After a newer term has greeted, an older one can neither stage nor commit nor greet, also after a restart; replay still can."""
    decided = Decided()
    block = await decided.decide(payload(1))
    await node.stage(payload(1), term=3)
    assert GENESIS == await node.chain.greet(4)
    assert node.at_gate()
    assert set() == node.chain.hidden
    for stale in (node.stage(payload(1), term=3), node.commit(block, term=3), node.chain.greet(3)):
        with pytest.raises(StaleTerm):
            await stale
    assert GENESIS == node.chain.gate
    again = await Node(folder).begin()
    with pytest.raises(StaleTerm):
        await again.commit(block, term=3)
    assert block.hash == (await again.commit(block, term=3, recovered=True)).hash
    again.close()


async def test_an_abort_without_a_block_only_says_so(node: Node) -> None:
    """A rollup that lost all its work to aborts keeps its gate and journals what was reverted."""
    await node.stage(payload(1, bundled=True))
    assert GENESIS == await node.commit(None, aborted=[[BUNDLE, [2, 3]]])
    told = [
        (event.bundle_id, event.leg, event.cause)
        for event in node.journal.events
        if event.event == "leg.reverted"
    ]
    assert [(BUNDLE, 2, ("sequencer/1/9",)), (BUNDLE, 3, ("sequencer/1/9",))] == told
    assert [] == [event for event in node.journal.events if event.event == "leg.executed"]


async def test_accounts_are_read_at_the_gate(node: Node) -> None:
    """While a block is staged, admission still sees the committed nonce."""
    content = payload(1)
    sender = to_hex(signed(901, 10, 0).sender)
    await node.stage(content)
    assert [["0x0", hex(10**18)]] == await node.chain.accounts([sender])
    await node.commit(await Decided().decide(content))
    assert [["0x1", hex(10**18)]] == await node.chain.accounts([sender])


async def test_subscribers_hear_of_commits_alone(node: Node) -> None:
    """Each committed header once, in order, after the gate has moved; nothing of staged blocks."""
    heard: list[tuple[int, int]] = []
    node.chain.on_commit.append(lambda header: heard.append((header.number, node.chain.gate.number)))
    decided = Decided()
    for height in (1, 2):
        await node.stage(payload(height))
        block = await decided.decide(payload(height))
        await node.commit(block)
        await node.commit(block)
    await node.stage(payload(3))
    assert [(1, 1), (2, 2)] == heard


async def _cut_short(action: Coroutine[Any, Any, Any], steps: int | None) -> None:
    """Run a request to its end, or cancel it after some steps of the event loop, as a timeout or a closed connection does."""
    task = asyncio.ensure_future(action)
    if steps is not None:
        for _ in range(steps):
            if not task.done():
                await asyncio.sleep(0)
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError, NotNext, StaleTerm):
        await task


async def _request(node: Node, decided: Decided, kind: str, account: int) -> Coroutine[Any, Any, Any]:
    """One request of the random schedule; it runs once it is awaited."""
    height = node.chain.gate.number + 1
    if kind == "commit" and len(decided.blocks) < height:
        await decided.decide(payload(height, account))
    requests: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "stage": lambda: node.stage(payload(height, account, bundled=account == 2)),
        "stage stale": lambda: node.stage(payload(height, account), parent="0x" + "11" * 32),
        "commit": lambda: node.commit(decided.blocks[height - 1]),
        "greet": lambda: node.chain.greet(1),
        "checkpoint": node.chain.checkpoint,
        "accounts": lambda: node.chain.accounts(["0x" + "11" * 20]),
        "mutate": lambda: node.chain.mutate("eth_getBalance", []),
    }
    return requests[kind]()


def _hold(node: Node, decided: Decided) -> None:
    """What must be true between any two requests, cut short or not."""
    gate, committed = node.chain.gate, decided.blocks[: node.chain.gate.number]
    assert (committed[-1].hash if committed else GENESIS.hash) == gate.hash
    assert committed == list(node.store.blocks())
    above = [block for block in node.engine.blocks if block.header.number > gate.number]
    assert len(above) <= 1
    assert {digest for block in above for digest in block.hashes} <= node.chain.hidden, "not hidden"


STEP = st.tuples(
    st.sampled_from(
        ["stage", "stage", "stage stale", "commit", "commit", "greet", "checkpoint", "accounts", "mutate"]
    ),
    st.one_of(st.none(), st.integers(0, 12)),
    st.integers(0, 3),
)


@given(st.lists(STEP, min_size=1, max_size=14))
@settings(max_examples=200, deadline=None)
def test_whatever_was_cut_short_the_next_request_finds_the_gate(
    steps: list[tuple[str, int | None, int]],
) -> None:
    """Cancel any request after any step: the gate is always a decided block, the store its history, and a greeting mends the rest."""

    async def main(folder: Path) -> None:
        node, decided = await Node(folder).begin(), Decided()
        for kind, cancelled_after, account in steps:
            await _cut_short(await _request(node, decided, kind, account), cancelled_after)
            _hold(node, decided)
        assert node.chain.gate == await node.chain.greet(1)
        assert node.at_gate()
        assert set() == node.chain.hidden
        if len(decided.blocks) == node.chain.gate.number:
            await decided.decide(payload(len(decided.blocks) + 1))
        for missing in decided.blocks[node.chain.gate.number :]:
            await node.commit(missing)
        node.close()
        again = await Node(folder).begin()
        assert node.chain.gate == again.chain.gate
        again.close()

    with TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["stage", "commit", "greet", "checkpoint", "mutate"]),
            st.integers(0, 3),
            st.integers(0, 9),
        ),
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_requests_at_the_same_time_take_turns(requests: list[tuple[str, int, int]]) -> None:
    """However requests overlap, the engine never sees two at once: nothing fails, and the gate moves by the decision alone."""

    async def late(action: Coroutine[Any, Any, Any], steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        with contextlib.suppress(NotNext):
            await action

    async def main(folder: Path) -> None:
        node, decided = await Node(folder).begin(), Decided()
        block = await decided.decide(payload(1, 1))
        genesis = node.chain.gate.hash
        actions: dict[str, Any] = {
            "stage": lambda account: node.stage(payload(1, account), parent=genesis),
            "commit": lambda _: node.commit(block),
            "greet": lambda _: node.chain.greet(1),
            "checkpoint": lambda _: node.chain.checkpoint(),
            "mutate": lambda _: node.chain.mutate("eth_getBalance", []),
        }
        async with asyncio.TaskGroup() as tasks:
            for kind, account, steps in requests:
                tasks.create_task(late(actions[kind](account), steps))
        decisions = [block] if any(kind == "commit" for kind, _, _ in requests) else []
        assert decisions == list(node.store.blocks())
        assert (block.hash if decisions else genesis) == node.chain.gate.hash
        node.close()

    with TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
