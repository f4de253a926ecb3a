"""The gate: staged blocks are hidden, decided ones are kept, and no cancelled, late or repeated request breaks either."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.fees import next_base_fee
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.slot import Block, BundlePart, Payload, block_transactions
from bridge.wire.testing import MemoryJournal, Op, Program, signed
from rollup_node.chain import Chain, Commit, StageRequest, recover
from rollup_node.engines.base import BlockInput, Header
from rollup_node.errors import Diverged, NotNext, StaleTerm
from rollup_node.store import Store
from rollup_node.testing import GENESIS, ToyEngine

BUNDLE = to_hex(keccak256(b"a bundle"))


def payload(height: int, account: int = 0, program: Program = (), *, bundled: bool = False) -> Payload:
    """A payload with one transaction whose nonce fits any height (accounts take turns)."""
    raw = to_hex(signed(901, 10 * height + account, 0, program).raw)
    parts = (BundlePart(BUNDLE, (2,), (raw,)),) if bundled else ()
    return Payload(100 + height, () if bundled else (raw,), parts)


class Decided:
    """What the sequencer decides: a reference engine that executes only decided payloads."""

    def __init__(self) -> None:
        self.engine, self.blocks = ToyEngine(), list[Block]()

    async def decide(self, content: Payload) -> Block:
        """The next block of the chain."""
        if not self.engine.blocks:
            await self.engine.start()
        parent = self.engine.blocks[-1].header
        fee = next_base_fee(parent.base_fee, parent.gas_used, parent.gas_limit)
        transactions = block_transactions(content, parent.number + 1)
        made = (await self.engine.execute(BlockInput(parent, content.timestamp, fee, transactions))).header
        self.blocks.append(Block(901, made.number, made.hash, made.state_root, content))
        return self.blocks[-1]


class Node:
    """A chain with everything around it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.engine, self.journal = folder, ToyEngine(), MemoryJournal()
        self.store = Store(folder)
        self.chain: Chain

    async def begin(self) -> "Node":
        """Recover."""
        self.chain = await recover(self.engine, self.store, self.journal)
        return self

    async def stage(self, content: Payload, *, parent: str | None = None, term: int = 1) -> Any:
        """Ask for a block above the gate, as the wire brings it."""
        message = {
            "term": term,
            "slot": 7,
            "attempt": 1,
            "parent": parent or self.chain.gate.hash,
            "payload": content,
            "causes": {BUNDLE: "sequencer/1/5"},
        }
        return await self.chain.stage(StageRequest.from_json(orjson.loads(orjson.dumps(message))))

    async def commit(
        self, block: Block | None, *, term: int = 1, aborted: Any = (), recovered: bool = False
    ) -> Header:
        """Say what was decided, as the wire brings it."""
        message = {
            "term": term,
            "slot": 7,
            "block": block,
            "aborted": aborted,
            "causes": {BUNDLE: "sequencer/1/9"},
        }
        return await self.chain.commit(
            Commit.from_json(orjson.loads(orjson.dumps(message))), recovered=recovered
        )

    def at_gate(self) -> bool:
        """Whether the engine holds nothing but what was decided."""
        return self.engine.blocks[-1].header == self.chain.gate and not self.engine.pool

    def close(self) -> None:
        """As a killed node leaves it."""
        self.store.close()


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
    with pytest.raises(Diverged, match="committed here"):
        await node.commit(Block(901, 1, blocks[1].hash, blocks[1].state_root, payload(1)))
    with pytest.raises(Diverged, match="executed"):
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


async def _history(folder: Path, heights: Iterator[int] | range, checkpoint_at: set[int]) -> Decided:
    """A node that lived through some blocks and was killed."""
    node, decided = await Node(folder).begin(), Decided()
    for height in heights:
        await node.commit(await decided.decide(payload(height)))
        if height in checkpoint_at:
            await node.chain.checkpoint()
    await node.stage(payload(99))
    node.close()
    return decided


@pytest.mark.parametrize("checkpoints", [set(), {3}, {2, 4}, {1, 3, 5}, {6}])
async def test_recovery_continues_where_the_node_was(folder: Path, checkpoints: set[int]) -> None:
    """From genesis or from the newest checkpoint, the node's own store brings it back; only the blocks after it are executed."""
    decided = await _history(folder, range(1, 7), checkpoints)
    again = await Node(folder).begin()
    assert decided.blocks[-1].hash == again.chain.gate.hash
    assert 6 - max(checkpoints, default=0) == again.engine.executions == again.chain.replayed
    assert again.at_gate()
    recovered = again.journal.events[-1]
    assert {
        "checkpoint": max(checkpoints, default=0),
        "replayed": again.engine.executions,
        "head": 6,
    } == recovered.attrs
    assert ["node.recovered"] == [event.event for event in again.journal.events]
    assert min(2, len(checkpoints)) == len(again.store.checkpoints())
    await again.commit(await decided.decide(payload(7)))
    assert decided.blocks == list(again.store.blocks())
    again.close()


@pytest.mark.parametrize("damage", [b"", b"garbage", b'[{"number":5}', "another block"])
async def test_a_broken_checkpoint_falls_back_to_the_one_before(folder: Path, damage: bytes | str) -> None:
    """Unreadable or of another block: it is dropped, and recovery goes on with an older one, or from genesis."""
    decided = await _history(folder, range(1, 7), {2, 5})
    newest, older = Store(folder).checkpoints()
    newest.path.write_bytes(older.path.read_bytes() if isinstance(damage, str) else damage)
    again = await Node(folder).begin()
    assert (decided.blocks[-1].hash, 4) == (again.chain.gate.hash, again.engine.executions)
    assert not newest.path.exists()
    again.close()
    older.path.write_bytes(b"{")
    last = await Node(folder).begin()
    assert (decided.blocks[-1].hash, 6) == (last.chain.gate.hash, last.engine.executions)
    last.close()


async def test_a_store_with_a_hole_is_used_up_to_the_hole(folder: Path) -> None:
    """What is missing comes from the sequencer's log, and after that the store is whole again."""
    decided = await _history(folder, range(1, 7), set())
    lines = (folder / "blocks.log").read_bytes().splitlines(keepends=True)
    (folder / "blocks.log").write_bytes(b"".join([*lines[:2], *lines[3:]]))
    again = await Node(folder).begin()
    assert (2, decided.blocks[1].hash) == (again.chain.gate.number, again.chain.gate.hash)
    for block in decided.blocks[2:]:
        await again.commit(block, recovered=True)
    again.close()
    whole = await Node(folder).begin()
    assert (decided.blocks[-1].hash, 6) == (whole.chain.gate.hash, whole.engine.executions)
    whole.close()


async def test_a_stored_block_that_executes_differently_stops_the_node(folder: Path) -> None:
    """Its own history must come out the same, or nothing may be served."""
    decided = await _history(folder, range(1, 3), set())
    store = Store(folder)
    store.append(Block(901, 3, decided.blocks[0].hash, decided.blocks[0].state_root, payload(3)))
    store.close()
    node = Node(folder)
    with pytest.raises(Diverged):
        await node.begin()
    node.close()


async def test_control_methods_survive_a_restart(node: Node, folder: Path) -> None:
    """What a control method changes is in no block, so it is stored at once and the next life builds on it."""
    decided = Decided()
    await node.commit(await decided.decide(payload(1)))
    await node.stage(payload(2))
    await node.chain.mutate("anvil_setCell", [7, 9])
    assert node.at_gate()
    again = await Node(folder).begin()
    assert 9 == again.engine.blocks[-1].cells[7]
    again.close()


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
