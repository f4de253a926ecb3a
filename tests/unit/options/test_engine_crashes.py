"""A node of an options rollup dies at any point, any number of times: what it comes back with is what the blocks make it, root by root."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire import crash_points
from bridge.wire.crash_points import CRASH_POINTS, CrashPoint, arm, armed, reset
from bridge.wire.keccak import to_hex
from bridge.wire.slot import Block, Payload
from bridge.wire.testing import MemoryJournal
from rollup_node.chain import Chain
from rollup_node.engines.base import Header
from rollup_node.engines.options.engine import OptionsEngine
from rollup_node.engines.options.testing import genesis_bytes
from rollup_node.engines.options.transition.testing import Desk, address, order, signed_call
from rollup_node.engines.options.values import PRICE_UNIT
from rollup_node.errors import EngineFailed
from rollup_node.messages import Commit, StageRequest
from rollup_node.recovery import recover
from rollup_node.store import Store

DOLLAR = PRICE_UNIT
POINTS = [
    *(name for name in CRASH_POINTS if name.startswith("options.")),
    *("rollup.stage.executed", "rollup.commit.executed", "rollup.block.torn", "rollup.block.stored"),
    *("rollup.rewind.stored", "rollup.rewind.cleared", "rollup.rewind.told"),
    *(
        "rollup.checkpoint.written",
        "rollup.checkpoint.renamed",
        "rollup.boot.restored",
        "rollup.boot.replayed",
    ),
]
"""The engine's own, and those of the node's store around them."""


class Died(BaseException):
    """Instead of the end of a process: no handler takes it for an error."""


@pytest.fixture(autouse=True)
def deaths(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Crashes raise; nothing stays armed."""

    def die(point: CrashPoint) -> None:
        raise Died(point.name)

    monkeypatch.setattr(crash_points, "on_crash", die)
    yield
    reset()


class TooFarBack(Exception):  # noqa: N818 - names what happened
    """Beyond a checkpoint that the engine came back with: the node starts anew, as it does of itself."""


class Node:
    """What outlives a node, and its lives; every block that it ever told is held to what the same blocks gave before.

    Args:
        folder: its disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        desk = Desk()
        series, _ = desk.open_market({"alice": 50_000, "bob": 50_000})
        self.first = [
            _payload(content.timestamp, content.transactions, inbox=content.number == 1)
            for content in desk.history
        ]
        alice, bob = desk.account("alice"), desk.account("bob")
        buy, sell = (order(one, series, 240 * DOLLAR, size) for one, size in ((alice, 300), (bob, -200)))
        self.kinds = [
            (),
            _sent("alice", "placeOrder", buy),
            _sent("bob", "placeOrder", sell),
            _sent("bob", "withdraw", bob, address("bob"), DOLLAR),
        ]
        (folder / "genesis.json").write_bytes(genesis_bytes(desk))
        self.known: dict[tuple[int, ...], tuple[Header, Any]] = {}
        self.path: tuple[int, ...] = ()
        """Kinds of the blocks that count for whoever asked for them, after the first ones."""
        self.perhaps: list[tuple[int, ...]] = []
        """What else may count after a death: what was asked for and not answered."""
        self.deaths = 0

    @contextlib.asynccontextmanager
    async def life(self) -> AsyncIterator[Chain]:
        """From boot to death, or to the end of the block."""
        engine = OptionsEngine(self.folder / "genesis.json", self.folder / "engine")
        store = Store(self.folder / "store")
        try:
            chain = await recover(engine, store, MemoryJournal())
            while chain.gate.number < len(self.first):
                await _decide(chain, self.first[chain.gate.number])
            await self._see(chain, engine)
            yield chain
        finally:
            store.close()
            await engine.stop()

    async def _see(self, chain: Chain, engine: OptionsEngine) -> None:
        """Which of the possible chains it came back with, and that each of its blocks is what it was."""
        height = chain.gate.number - len(self.first)
        self.path = next(path for path in (self.path, *self.perhaps) if len(path) == height)
        self.perhaps = []
        for length in range(height + 1):
            header = await engine.header(len(self.first) + length)
            assert header is not None
            await self.told(engine, self.path[:length], header)

    async def told(self, engine: OptionsEngine, path: tuple[int, ...], header: Header) -> None:
        """Header and receipts of a block: the first time they are noted, and every other time they are the same."""
        receipts = await engine.request("eth_getBlockReceipts", [hex(header.number)])
        assert (header, receipts) == self.known.setdefault(path, (header, receipts))

    async def do(self, chain: Chain, step: str, argument: int) -> None:
        """A step of a story."""
        if step == "block":
            self.perhaps = [(*self.path, argument)]
            await _decide(chain, _payload(chain.gate.timestamp + 1, self.kinds[argument]))
            self.path = self.perhaps.pop()
            assert isinstance(chain.engine, OptionsEngine)
            await self.told(chain.engine, self.path, chain.gate)
        elif step == "rewind" and argument < len(self.path):
            kept = self.path[: len(self.path) - argument]
            self.perhaps = [kept]
            try:
                await chain.rewind(len(self.first) + len(kept), None)
            except EngineFailed as exc:
                raise TooFarBack from exc
            self.path, self.perhaps = kept, []
        elif step == "checkpoint":
            await chain.checkpoint()

    async def live(self, story: list[tuple[str, int]]) -> None:
        """All steps, over as many lives as they take; one that a death met is not done again."""
        left = list(story)
        while left:
            try:
                async with self.life() as chain:
                    while left:
                        step, argument = left.pop(0)
                        if step == "kill":
                            break
                        if step == "arm":
                            arm(POINTS[argument % len(POINTS)], 1 + argument // len(POINTS))
                            continue
                        await self.do(chain, step, argument)
            except Died:
                self.deaths += 1
            except TooFarBack:
                continue
        reset()
        async with self.life():
            pass


async def _decide(chain: Chain, payload: Payload) -> None:
    """One more block, as a sequencer has it staged and committed."""
    parent, number = chain.gate.hash, chain.gate.number + 1
    staged, *_ = await chain.stage(StageRequest(1, number, 0, parent, payload, {}))
    block = Block(901, number, staged.header.hash, staged.header.state_root, payload)
    await chain.commit(Commit(1, number, block, parent, (), {}))


def _payload(timestamp: int, transactions: Any, *, inbox: bool = False) -> Payload:
    raws = tuple(map(to_hex, transactions))
    deposits, sent = (raws, ()) if inbox else ((), raws)
    return Payload(timestamp, sent, (), deposits=deposits)


def _sent(name: str, function: str, *arguments: object) -> tuple[bytes, ...]:
    """With every nonce that may be next: one of them fits."""
    return tuple(signed_call(name, function, arguments, nonce, 0, 901) for nonce in range(1, 8))


BEFORE = [("block", 1), ("block", 2), ("checkpoint", 0), ("block", 3), ("block", 1)]
"""A checkpoint with blocks on both sides."""
AFTER = [
    *[("block", 2), ("rewind", 3), ("block", 1), ("block", 2), ("checkpoint", 0)],
    *[("block", 3), ("kill", 0), ("block", 2)],
]


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, id=name, marks=() if name.startswith("options.") else pytest.mark.long)
        for place, name in enumerate(POINTS)
    ],
)
def test_it_dies_at_a_point_and_loses_nothing_that_it_told(place: int, tmp_path: Path) -> None:
    """At boot or at work: torn ends are cut off, what was told is there, what was not may be; roots and receipts are the same."""
    node = Node(tmp_path)
    asyncio.run(node.live([*BEFORE, ("arm", place), ("kill", 0), *AFTER]))
    assert (1, {}) == (node.deaths, dict(armed()))


stories = st.lists(
    st.one_of(
        st.tuples(st.just("block"), st.integers(0, 3)),
        st.tuples(st.just("block"), st.integers(0, 3)),
        st.tuples(st.just("rewind"), st.integers(0, 4)),
        st.tuples(st.sampled_from(["checkpoint", "kill"]), st.just(0)),
        st.tuples(st.just("arm"), st.integers(0, 2 * len(POINTS) - 1)),
    ),
    max_size=30,
)


def _told_in_any_lives(story: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Node(Path(folder)).live(story))
    reset()


@settings(max_examples=3)
@given(stories)
def test_any_history_with_any_deaths_has_the_roots_of_its_blocks(story: list[tuple[str, int]]) -> None:
    """Blocks, returns, checkpoints, kills, and deaths at random points: the same blocks always have the same headers and receipts."""
    _told_in_any_lives(story)


@pytest.mark.long
@settings(max_examples=100)
@given(stories)
def test_many_histories_with_many_deaths_have_the_roots_of_their_blocks(story: list[tuple[str, int]]) -> None:
    """As above, more of them."""
    _told_in_any_lives(story)
