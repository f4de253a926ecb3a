"""Reading a rollup that grows, is reorganised at any depth and moves between any two answers; and a reader that dies."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge.relayer.scanner as module
from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.relayer.arrivals import Arrivals, watched_on_rollup
from bridge.relayer.attempts import Manner
from bridge.relayer.carried import Places
from bridge.relayer.lifecycle import State
from bridge.relayer.messages.queue import CrossingQueue
from bridge.relayer.messages.store import CrossingStore
from bridge.relayer.queue import Queue
from bridge.relayer.retrying import Retry
from bridge.relayer.scanner import Scanner
from bridge.relayer.store import Store
from bridge.relayer.withdrawal import PASSED_TOPIC, Withdrawal
from bridge.wire.errors import LIMIT_EXCEEDED, Malformed, PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.stages import Stage
from bridge.wire.testing import MemoryJournal

CHAIN_ID = 901
PLACES = Places(CHAIN_ID, *("0x" + digit * 40 for digit in "123"))


class ToyRollup(Client):
    """Blocks with withdrawals, that can be replaced; things can happen to it between any two answers."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.blocks: list[tuple[str, tuple[Withdrawal, ...]]] = []
        self.made = 0
        self.interruptions: list[tuple[str, int, int] | None] = []
        self.grow(1, 0)

    def grow(self, blocks: int, withdrawals: int) -> None:
        """More blocks, each with withdrawals; the same nonce after a reorganisation is the same withdrawal."""
        for _ in range(blocks):
            self.made += 1
            first = sum(len(sent) for _, sent in self.blocks)
            sent = tuple(
                Withdrawal(first + n, "0x" + "aa" * 20, "0x" + "bb" * 20, self.made % 2, 0, b"")
                for n in range(withdrawals)
            )
            self.blocks.append((to_hex(keccak256(b"%d" % self.made)), sent))

    def happen(self, kind: str, first: int, second: int) -> None:
        """Growth, or a reorganisation to another chain that may be shorter."""
        if kind == "grow":
            self.grow(first, second)
        else:
            del self.blocks[max(1, len(self.blocks) - first) :]
            self.grow(second, 1)

    async def call(self, method: str, *params: Any, deadline: float | None = None) -> Any:
        """Answer one question, after what happens before it."""
        happening = self.interruptions.pop(0) if self.interruptions else None
        if happening is not None:
            self.happen(*happening)
        if method == "eth_getBlockByNumber":
            number = {"latest": len(self.blocks) - 1, "safe": len(self.blocks) // 2}.get(params[0])
            number = int(params[0], 16) if number is None else number
            if number >= len(self.blocks):
                return None
            return {"number": hex(number), "hash": self.blocks[number][0], "timestamp": hex(1_000 + number)}
        query = params[0]
        span = range(int(query["fromBlock"], 16), int(query["toBlock"], 16) + 1)
        return [
            self._log(number, index, each)
            for number in span
            if number < len(self.blocks)
            for index, each in enumerate(self.blocks[number][1])
        ]

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], deadline: float | None = None
    ) -> list[Any]:
        """Answer many."""
        return [await self.call(method, *params) for method, params in calls]

    def _log(self, number: int, index: int, each: Withdrawal) -> dict[str, Any]:
        words = [each.value, each.gas_limit, 128, from_hex(each.hash), 0]
        return {
            "address": L2_TO_L1_MESSAGE_PASSER,
            "topics": [
                PASSED_TOPIC,
                hex(each.nonce).replace("0x", "0x" + "0" * (66 - len(hex(each.nonce)))),
                "0x" + "00" * 12 + each.sender[2:],
                "0x" + "00" * 12 + each.target[2:],
            ],
            "data": to_hex(b"".join(w if isinstance(w, bytes) else w.to_bytes(32, "big") for w in words)),
            "blockNumber": hex(number),
            "blockHash": self.blocks[number][0],
            "transactionHash": to_hex(keccak256(each.hash.encode())),
            "logIndex": hex(index),
        }

    @property
    def truth(self) -> dict[str, tuple[int, str]]:
        """Every withdrawal of the chain as it is, with its block."""
        return {
            each.hash: (number, digest) for number, (digest, sent) in enumerate(self.blocks) for each in sent
        }


class Reader:
    """Lives of a reader of one rollup on one file."""

    def __init__(self, path: Path, rollup: ToyRollup) -> None:
        self.path, self.rollup = path, rollup
        self.journals: list[MemoryJournal] = []
        self.begin()

    def begin(self) -> None:
        """A new life."""
        self.store = Store(self.path)
        self.journals.append(MemoryJournal())
        self.queue = Queue("alpha", CHAIN_ID, self.store, self.journals[-1])
        watched = watched_on_rollup(CHAIN_ID)
        self.scanner = Scanner(self.rollup, watched, self.store.checkpoints(CHAIN_ID))
        crossings = CrossingQueue(CrossingStore(self.store), self.journals[-1], {CHAIN_ID: PLACES}, Retry())
        self.arrivals = Arrivals(self.scanner, self.queue, crossings, Manner(poll_s=0.1))

    def die(self) -> None:
        """The end of a life."""
        self.store.close()


HAPPENINGS = st.one_of(
    st.tuples(st.just("grow"), st.integers(0, 20), st.integers(0, 2)),
    st.tuples(st.just("reorganise"), st.integers(1, 30), st.integers(0, 30)),
)
STEPS = st.lists(
    st.one_of(HAPPENINGS, st.just(("read", 0, 0)), st.just(("restart", 0, 0))), min_size=1, max_size=14
)


@given(STEPS, st.lists(st.none() | HAPPENINGS, max_size=16), st.integers(3, 60))
@settings(max_examples=100)
def test_what_is_known_is_what_the_rollup_holds(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int, int]],
    interruptions: list[tuple[str, int, int] | None],
    span: int,
) -> None:
    """Whatever happened, once it is quiet every withdrawal of the chain is open with its right block, and no other is."""
    rollup = ToyRollup()
    reader = Reader(tmp_path_factory.mktemp("reader") / "messages.sqlite", rollup)

    async def main() -> None:
        for kind, first, second in steps:
            match kind:
                case "read":
                    rollup.interruptions = list(interruptions)
                    await reader.arrivals.read()
                case "restart":
                    reader.die()
                    reader.begin()
                case _:
                    rollup.happen(kind, first, second)
        rollup.interruptions = []
        for _ in range(3):
            await reader.arrivals.read()

    original, module.SPAN = module.SPAN, span
    try:
        asyncio.run(main())
    finally:
        module.SPAN = original
    found = {each.hash: (each.block, each.block_hash) for each in reader.queue.open.values()}
    assert rollup.truth == found
    stored = {each.hash: (each.block, each.block_hash) for each in reader.store.unfinished(CHAIN_ID)}
    assert rollup.truth == stored
    assert len(rollup.blocks) - 1 == reader.scanner.read
    assert len(rollup.blocks) // 2 == reader.scanner.safe
    events = [event for journal in reader.journals for event in journal.events]
    told = {event.msg_id for event in events if event.event == Stage.MESSAGE_SENT}
    assert rollup.truth.keys() <= told
    reader.die()


@pytest.mark.parametrize("depth", [1, 2, 5, 8])
@pytest.mark.parametrize("answer", range(9))
def test_a_reorganisation_between_any_two_answers_is_noticed(tmp_path: Path, answer: int, depth: int) -> None:
    """Before the blocks that were read, at them, or after: neither stale nor missing withdrawals remain."""
    rollup = ToyRollup()
    reader = Reader(tmp_path / "messages.sqlite", rollup)

    async def main() -> None:
        rollup.grow(10, 1)
        await reader.arrivals.read()
        rollup.grow(3, 1)
        rollup.interruptions = [*[None] * answer, ("reorganise", depth, depth + 4)]
        await reader.arrivals.read()
        rollup.interruptions = []
        await reader.arrivals.read()
        assert rollup.truth == {
            each.hash: (each.block, each.block_hash) for each in reader.queue.open.values()
        }

    asyncio.run(main())
    reader.die()


def test_what_is_proven_outlives_its_block(tmp_path: Path) -> None:
    """L1 has accepted it, and only L1 can take that back; everything else goes with its block, and comes back with it."""
    rollup = ToyRollup()
    reader = Reader(tmp_path / "messages.sqlite", rollup)

    async def main() -> None:
        rollup.grow(4, 1)
        await reader.arrivals.read()
        proven, other = [each for each in reader.queue.open.values() if each.block >= 3]
        reader.queue.keep([replace(proven, state=State.PROVEN), replace(other, state=State.PROPOSED)])
        rollup.happen("reorganise", 2, 0)
        await reader.arrivals.read()
        assert {proven.hash} == reader.queue.open.keys() - rollup.truth.keys()
        dropped = reader.store.get(CHAIN_ID, other.hash)
        assert dropped is not None
        assert State.DROPPED is dropped.state

    asyncio.run(main())
    reader.die()


@pytest.mark.parametrize("nonsense", [{}, 5, "0x", {"number": "0x1"}, [[]], {"hash": 5}])
def test_nonsense_is_refused_and_nothing_is_lost(tmp_path: Path, nonsense: Any) -> None:
    """A rollup that answers anything else than blocks and logs is an error in words; afterwards reading goes on."""
    rollup = ToyRollup()
    rollup.grow(3, 1)
    reader = Reader(tmp_path / "messages.sqlite", rollup)

    async def main() -> None:
        call = rollup.call
        for broken in ("eth_getBlockByNumber", "eth_getLogs"):

            async def answer(method: str, *params: Any, broken: str = broken, **_: Any) -> Any:
                return nonsense if method == broken else await call(method, *params)

            rollup.call = answer  # type: ignore[method-assign]
            with pytest.raises(Malformed):
                await reader.arrivals.read()
        rollup.call = call  # type: ignore[method-assign]
        await reader.arrivals.read()

    asyncio.run(main())
    assert rollup.truth.keys() == reader.queue.open.keys()
    reader.die()


def test_a_rollup_that_is_away_is_no_reorganisation(tmp_path: Path) -> None:
    """No answer changes nothing."""
    rollup = ToyRollup()
    rollup.grow(3, 1)
    reader = Reader(tmp_path / "messages.sqlite", rollup)

    async def main() -> None:
        await reader.arrivals.read()
        before = dict(reader.queue.open)

        async def silence(*_: Any, **__: Any) -> Any:
            raise PeerUnreachable("away")

        rollup.batch = silence  # type: ignore[method-assign]
        with pytest.raises(PeerUnreachable):
            await reader.arrivals.read()
        assert before == reader.queue.open

    asyncio.run(main())
    reader.die()


def test_a_rollup_that_gives_few_logs_at_once_is_read_in_smaller_pieces(tmp_path: Path) -> None:
    """Refused for too many logs it asks for fewer blocks, until it has them all."""
    rollup = ToyRollup()
    rollup.grow(300, 1)
    reader, call = Reader(tmp_path / "messages.sqlite", rollup), rollup.call

    async def stingy(method: str, *params: Any, **_: Any) -> Any:
        answer = await call(method, *params)
        if method == "eth_getLogs" and len(answer) > 40:
            raise RpcError(LIMIT_EXCEEDED, "more than 40 logs")
        return answer

    rollup.call = stingy  # type: ignore[method-assign]

    async def main() -> None:
        for _ in range(30):
            with contextlib.suppress(RpcError):
                await reader.arrivals.read()

    asyncio.run(main())
    assert rollup.truth.keys() == reader.queue.open.keys()
    assert 300 == reader.scanner.read
    reader.die()
