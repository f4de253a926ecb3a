"""Polling filters: each committed block told of once, none that is staged, within the range that the filter names."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.errors import INVALID_PARAMS, LIMIT_EXCEEDED, RESOURCE_NOT_FOUND, PeerUnreachable, RpcError
from bridge.wire.fees import next_base_fee
from bridge.wire.slot import Block, Payload, block_transactions
from bridge.wire.testing import MemoryJournal, run_virtual
from rollup_node import subscriptions
from rollup_node.chain import Chain
from rollup_node.engines.base import BlockInput
from rollup_node.following import PAGE, Following
from rollup_node.messages import Commit, StageRequest
from rollup_node.recovery import recover
from rollup_node.store import Store
from rollup_node.subscriptions import Filters
from rollup_node.testing import ToyEngine


class Rollup:
    """A chain whose blocks are empty, and what the sequencer decided for it."""

    def __init__(self, folder: Path) -> None:
        self.engine, self.reference, self.store = ToyEngine(), ToyEngine(), Store(folder)
        self.decided: list[Block] = []
        self.chain: Chain

    async def begin(self) -> "Rollup":
        """At genesis."""
        self.chain = await recover(self.engine, self.store, MemoryJournal())
        await self.reference.start()
        return self

    async def decide(self, count: int) -> None:
        """Blocks that the sequencer decides; the node hasn't heard of them."""
        for _ in range(count):
            parent = self.reference.blocks[-1].header
            content = Payload(parent.timestamp + 1, (), ())
            fee = next_base_fee(parent.base_fee, parent.gas_used, parent.gas_limit)
            transactions = block_transactions(content, parent.number + 1)
            made = (
                await self.reference.execute(BlockInput(parent, content.timestamp, fee, transactions))
            ).header
            self.decided.append(Block(901, made.number, made.hash, made.state_root, content))

    async def commit(self, count: int) -> None:
        """Decide blocks and commit them."""
        await self.decide(count)
        for block in self.decided[self.chain.gate.number :]:
            await self.chain.commit(Commit(1, block.number - 1, block, self.chain.gate.hash, (), {}))

    async def stage(self) -> None:
        """A block above the gate."""
        gate = self.chain.gate
        await self.chain.stage(
            StageRequest(1, gate.number, 0, gate.hash, Payload(gate.timestamp + 9, (), ()), {})
        )


@pytest.fixture
async def rollup(tmp_path: Path) -> AsyncIterator[Rollup]:
    """A fresh rollup."""
    made = await Rollup(tmp_path).begin()
    yield made
    made.store.close()


def _numbers(logs: list[Any]) -> list[int]:
    return [int(entry["blockNumber"], 16) for entry in logs]


RANGES = st.one_of(st.sampled_from([None, "latest", "pending", "earliest"]), st.integers(0, 12).map(hex))


@given(RANGES, RANGES, st.lists(st.sampled_from(["commit", "stage", "poll"]), max_size=12))
@settings(max_examples=150, deadline=None)
def test_a_log_filter_tells_each_committed_block_of_its_range_once(
    first: Any, last: Any, steps: list[str]
) -> None:
    """Over any mix of commits, staged blocks and polls: exactly the new blocks of the range, in order; nothing above the gate."""

    async def main(folder: Path) -> None:
        rollup = await Rollup(folder).begin()
        await rollup.commit(3)
        filters = Filters(rollup.chain)
        identity = await filters.new_filter({"fromBlock": first, "toBlock": last})
        told: list[int] = []
        for step in [*steps, "poll"]:
            match step:
                case "commit":
                    await rollup.commit(1)
                case "stage":
                    await rollup.stage()
                case _:
                    told += _numbers(await filters.changes(identity))
        low = 0 if first in (None, "latest", "pending", "earliest") else int(first, 16)
        high = (
            {"earliest": 0}.get(last, 10**9)
            if last in (None, "latest", "pending", "earliest")
            else int(last, 16)
        )
        new = range(4, rollup.chain.gate.number + 1)
        assert [number for number in new if low <= number <= high] == told
        rollup.store.close()

    with TemporaryDirectory() as folder:
        run_virtual(main(Path(folder)))


async def test_a_block_filter_tells_each_hash_once(rollup: Rollup) -> None:
    """Committed hashes in order, not those of before the filter, not staged ones."""
    await rollup.commit(2)
    filters = Filters(rollup.chain)
    identity = await filters.new_block_filter()
    assert [] == await filters.changes(identity)
    await rollup.commit(2)
    await rollup.stage()
    assert [block.hash for block in rollup.decided[2:]] == await filters.changes(identity)
    assert [] == await filters.changes(identity)


async def test_a_poll_that_fails_loses_nothing(rollup: Rollup, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine did not answer: the next poll tells the same blocks."""
    filters = Filters(rollup.chain)
    identity = await filters.new_block_filter()
    await rollup.commit(2)

    async def silent(self: ToyEngine, method: str, params: Any) -> Any:
        raise PeerUnreachable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(ToyEngine, "request", silent)
        with pytest.raises(PeerUnreachable):
            await filters.changes(identity)
    assert [block.hash for block in rollup.decided] == await filters.changes(identity)


async def test_all_logs_of_a_filter_end_at_the_gate(rollup: Rollup) -> None:
    """``eth_getFilterLogs`` is the whole range as of now; only log filters have logs."""
    filters = Filters(rollup.chain)
    await rollup.commit(3)
    identity = await filters.new_filter({"fromBlock": "0x2"})
    await rollup.commit(1)
    await rollup.stage()
    assert [2, 3, 4] == _numbers(await filters.logs(identity))
    assert [2, 3, 4] == _numbers(await filters.logs(identity))
    later = await filters.new_filter({"fromBlock": "0x63"})
    assert [] == await filters.logs(later)
    with pytest.raises(RpcError) as refused:
        await filters.logs(await filters.new_block_filter())
    assert INVALID_PARAMS == refused.value.code


async def test_pending_filters_and_listeners_hear_of_what_was_passed_on(rollup: Rollup) -> None:
    """Each hash once per filter; a listener that left hears nothing more."""
    filters, heard = Filters(rollup.chain), list[str]()
    identity = await filters.new_pending_filter()
    forget = filters.listen_pending(heard.append)
    filters.pending("0xaa")
    assert ["0xaa"] == await filters.changes(identity)
    forget()
    filters.pending("0xbb")
    assert (["0xbb"], ["0xaa"]) == (await filters.changes(identity), heard)


async def test_filters_are_bounded_and_forgotten(rollup: Rollup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown, uninstalled and idle filters are not found; there is a limit, and idle ones make room."""
    clock = [0.0]
    monkeypatch.setattr(subscriptions, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(subscriptions, "MAX_FILTERS", 3)
    filters = Filters(rollup.chain)
    first, second, _ = [await filters.new_block_filter() for _ in range(3)]
    with pytest.raises(RpcError) as refused:
        await filters.new_block_filter()
    assert LIMIT_EXCEEDED == refused.value.code
    assert [True, False] == [await filters.uninstall(first), await filters.uninstall(first)]
    unknowns: list[Any] = [first, "0x123", None, {}]
    for unknown in unknowns:
        with pytest.raises(RpcError) as refused:
            await filters.changes(unknown)
        assert RESOURCE_NOT_FOUND == refused.value.code
    clock[0] = subscriptions.FILTER_IDLE_SECONDS - 1
    await filters.changes(second)
    clock[0] += 2
    fresh = [await filters.new_block_filter() for _ in range(2)]
    assert [] == await filters.changes(second)
    assert 2 == len(set(fresh))
    wrongs: list[Any] = [None, [], {"fromBlock": "soon"}]
    for malformed in wrongs:
        with pytest.raises(RpcError):
            await filters.new_filter(malformed)


class ToySequencer:
    """Pages of decided blocks."""

    def __init__(self, rollup: Rollup) -> None:
        self.rollup, self.pages = rollup, list[int]()

    async def call(self, method: str, chain_id: int, first: int, count: int) -> Any:
        """``rollnet_getBlocks``."""
        assert ("rollnet_getBlocks", 901) == (method, chain_id)
        self.pages.append(first)
        blocks = self.rollup.decided[first - 1 : first - 1 + count]
        before = {block.number: block.hash for block in self.rollup.decided}
        return [
            {
                "term": 1,
                "slot": block.number,
                "block": orjson.loads(orjson.dumps(block)),
                "parent": before.get(block.number - 1),
                "aborted": [],
                "causes": {},
            }
            for block in blocks
        ]


@pytest.mark.parametrize("missing", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE])
async def test_following_fetches_what_is_missing_page_by_page(rollup: Rollup, missing: int) -> None:
    """However many blocks were missed: all are applied, in as few pages as it takes, also over a newer term's fence."""
    await rollup.commit(1)
    await rollup.chain.greet(5)
    await rollup.decide(missing)
    sequencer = ToySequencer(rollup)
    following = Following(rollup.chain, sequencer, 901)  # type: ignore[arg-type]
    assert missing == await following.catch_up()
    assert 1 + missing == rollup.chain.gate.number
    assert [2 + PAGE * page for page in range(missing // PAGE + 1)] == sequencer.pages
    assert 0 == await following.catch_up()
