"""Feeds: every subscriber hears of each change that a decided block makes, once, and of nothing else; whoever is slow hears of it later."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.wire.errors import LIMIT_EXCEEDED, RpcError
from bridge.wire.keccak import to_hex
from orchestrator.waiting import eventually
from rollup_node import feeds
from rollup_node.chain import Chain
from rollup_node.engines.base import Header
from rollup_node.engines.options.engine import OptionsEngine
from rollup_node.engines.options.reads.feeds import FEEDS, messages
from rollup_node.engines.options.testing import Both, options_engine
from rollup_node.engines.options.transition.testing import Desk, order
from rollup_node.engines.options.values import PRICE_UNIT
from rollup_node.feeds import ConnectionFeeds, FeedHub

DOLLAR = PRICE_UNIT


class Gate:
    """What a hub sees of a chain: a real engine's reads, and a gate that opens when the test says so."""

    def __init__(self, engine: OptionsEngine, desk: Desk) -> None:
        self.both, self.engine = Both(desk, engine), engine
        self.gate: Header
        self.on_commit: list[Callable[[Header], None]] = []
        self.on_rewind: list[Callable[[Header], None]] = []
        self.asked: list[Any] = []

    async def read(self, method: str, params: Sequence[Any]) -> Any:
        """As the chain does."""
        self.asked.append(list(params))
        return await self.engine.request(method, params)

    async def stage(self) -> Header:
        """Execute what the desk is ahead, above the gate."""
        return await self.both.catch_up()

    async def open(self) -> None:
        """Decide all that is staged, block by block."""
        head = await self.stage()
        for number in range(self.gate.number + 1, head.number + 1):
            header = await self.engine.header(number)
            assert header is not None
            self.gate = header
            for told in self.on_commit:
                told(header)

    async def go_back(self, number: int) -> None:
        """Blocks after this one are no more, with the desk of another history in place of the old one."""
        header = await self.engine.header(number)
        assert header is not None
        self.gate = header
        for told in self.on_rewind:
            told(header)
        await self.engine.rewind(number)


class Listener:
    """A connection that keeps what it is told."""

    def __init__(self, hub: FeedHub) -> None:
        self.queue = 0
        self.told: dict[str, list[Any]] = defaultdict(list)
        self.feeds = ConnectionFeeds(hub, lambda _: None, lambda: self.queue)
        self.feeds.tell = lambda identity, message: self.told[identity].append(message)  # type: ignore[method-assign]

    async def subscribe(self, *params: Any) -> str:
        """The identity of a feed that is under way."""
        identity = str(await self.feeds.handle("options_subscribe", list(params)))
        assert identity not in self.told, "the identity is answered before anything is told of it"
        self.feeds.start()
        return identity


@contextlib.asynccontextmanager
async def hubs(desk: Desk, folder: Path) -> AsyncIterator[tuple[Gate, FeedHub, Callable[[], Any]]]:
    """A gate at the desk's last block, its hub at work, and how to wait until that has told everything."""
    async with options_engine(folder, desk) as engine:
        await engine.start()
        gate = Gate(engine, desk)
        gate.gate = await gate.stage()
        hub = FeedHub(cast("Chain", gate), messages)
        task = asyncio.create_task(hub.run())

        async def settled() -> None:
            async def idle() -> bool:
                return not hub.busy

            await eventually(idle, 10, "the hub to have told everybody", every_s=0.001)

        try:
            yield gate, hub, settled
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def desk() -> Desk:
    """A market of two strikes, Alice and Bob."""
    desk = Desk()
    desk.open_market({"alice": 20_000, "bob": 50_000}, strikes=(3_000, 3_200))
    return desk


def history(desk: Desk, price: int = 200) -> list[list[bytes]]:
    """Blocks that move each feed, and some that move none; made one by one, for a desk signs on its state."""
    alice, bob = desk.account("alice"), desk.account("bob")
    steps: tuple[Callable[[], list[bytes]], ...] = (
        lambda: [desk.send("alice", "placeOrder", order(alice, 1, price * DOLLAR, 700))],
        list,
        lambda: [desk.send("bob", "placeOrder", order(bob, 1, price * DOLLAR, -300))],
        lambda: [desk.send("bob", "placeOrder", order(bob, 3, 90 * DOLLAR, -100))],
        lambda: [desk.update(3_050 * DOLLAR)],
        list,
        lambda: [desk.send("bob", "placeOrder", order(bob, 1, price * DOLLAR, -400))],
    )
    made = []
    for step in steps:
        made.append(step())
        desk.block(*made[-1])
    return made


def asks(desk: Desk) -> list[tuple[Any, ...]]:
    """Every feed, some with different parameters."""
    alice = desk.account("alice")
    accounts = [(name, alice) for name in ("greeks", "margin", "positions", "orders")]
    return [("book", 1), ("book", 1, 1), ("ticker", 1), ("trades",), ("trades", 3), ("marks",), ("marks", "ETH"), *accounts]  # fmt: skip


async def test_each_change_is_told_once_and_nothing_else(desk: Desk, tmp_path: Path) -> None:
    """Told of every feed: what the read says of each block where that differs from the block before; of trades, each once."""
    async with hubs(desk, tmp_path) as (gate, hub, settled):
        first, listener = gate.gate.number, Listener(hub)
        identities = {ask: await listener.subscribe(*ask) for ask in asks(desk)}
        assert {feed for feed, *_ in identities} == set(FEEDS)
        spare = Desk()
        spare.open_market({"alice": 20_000, "bob": 50_000}, strikes=(3_000, 3_200))
        for transactions in history(spare):
            desk.block(*transactions)
            await gate.open()
            await settled()
        last = gate.gate.number
        for ask, identity in identities.items():
            feed, *params = ask
            views = [
                await gate.engine.request("options_getFeed", [feed, params, None, hex(number)])
                for number in range(first, last + 1)
            ]
            if feed == "trades":
                expected = [view for view in views[1:] if view["data"]]
            else:
                changed = [one["data"] != other["data"] for one, other in pairwise(views)]
                expected = [views[0]] + [
                    view for view, moved in zip(views[1:], changed, strict=True) if moved
                ]
            assert expected == listener.told[identity], ask
            assert 1 < len(expected) < len(views) or feed == "trades", f"{ask} shows nothing of the property"
        trades = [one for told in listener.told[identities["trades",]] for one in told["data"]]
        assert [(1, "-300"), (1, "-400")] == [(one["series"], one["quantity"]) for one in trades]


async def test_what_is_staged_is_told_when_it_is_decided(desk: Desk, tmp_path: Path) -> None:
    """Subscribed, woken and waiting while blocks lie above the gate: nothing of them; then all of it in the gate's block."""
    async with hubs(desk, tmp_path) as (gate, hub, settled):
        before, listener = gate.gate, Listener(hub)
        history(desk)
        await gate.stage()
        book, trades = await listener.subscribe("book", 1), await listener.subscribe("trades")
        hub.wake()
        await settled()
        assert [before.hash] == [told["hash"] for told in listener.told[book]]
        assert [[], []] == [listener.told[book][0]["data"][side] for side in ("bids", "asks")]
        assert [] == listener.told[trades]
        await gate.open()
        await settled()
        assert gate.gate.hash == listener.told[book][-1]["hash"]
        assert {before.number, gate.gate.number} >= {int(asked[3], 16) for asked in gate.asked}
        assert 2 == sum(len(told["data"]) for told in listener.told[trades])


async def test_the_slow_hear_the_last_state_and_every_trade_later(desk: Desk, tmp_path: Path) -> None:
    """Passed over while messages wait, and nobody else is; caught up, it has one view of a state, and all trades."""
    async with hubs(desk, tmp_path) as (gate, hub, settled):
        slow, quick = Listener(hub), Listener(hub)
        ids = [
            (await one.subscribe("book", 1), await one.subscribe("trades", 1), await one.subscribe("marks"))
            for one in (slow, quick)
        ]
        slow.queue = feeds.BACKLOG
        spare = Desk()
        spare.open_market({"alice": 20_000, "bob": 50_000}, strikes=(3_000, 3_200))
        for transactions in history(spare):
            desk.block(*transactions)
            await gate.open()
            await settled()
        assert [1, 0, 1] == [len(slow.told[one]) for one in ids[0]]
        assert [4, 2, 2] == [len(quick.told[one]) for one in ids[1]]
        slow.queue = 0
        slow.feeds.sent()
        await settled()
        assert [2, 1, 2] == [len(slow.told[one]) for one in ids[0]]
        for place in (0, 2):
            assert quick.told[ids[1][place]][-1]["data"] == slow.told[ids[0][place]][-1]["data"]
        trades = [one for told in quick.told[ids[1][1]] for one in told["data"]]
        assert trades == slow.told[ids[0][1]][0]["data"]
        bob, alice = desk.account("bob"), desk.account("alice")
        for busy in (feeds.BACKLOG, 0):  # caught up with a block that both hear of
            slow.queue = busy
            desk.block(
                desk.send("bob", "placeOrder", order(bob, 1, 200 * DOLLAR, -100)),
                desk.send("alice", "placeOrder", order(alice, 1, 200 * DOLLAR, 100)),
            )
            await gate.open()
            await settled()
        assert [2, 2] == [len(slow.told[ids[0][1]][place]["data"]) for place in (0, 1)]
        assert [1, 1, 1, 1] == [len(told["data"]) for told in quick.told[ids[1][1]]]


async def test_another_history_is_told_as_it_is(desk: Desk, tmp_path: Path) -> None:
    """After the chain went back, trades of the blocks that took the numbers are told, with their hashes, and states are theirs."""
    async with hubs(desk, tmp_path) as (gate, hub, settled):
        start, listener = gate.gate.number, Listener(hub)
        book, trades = await listener.subscribe("book", 1), await listener.subscribe("trades", 1)
        history(desk)
        await gate.open()
        await settled()
        await gate.go_back(start)
        await settled()
        heard = len(listener.told[book])
        other = Desk()
        other.open_market({"alice": 20_000, "bob": 50_000}, strikes=(3_000, 3_200))
        history(other, price=210)
        gate.both.desk = other
        await gate.open()
        await settled()
        prices = [[one["price"] for one in told["data"]] for told in listener.told[trades]]
        assert [[str(price * DOLLAR)] * 2 for price in (200, 210)] == prices
        assert gate.gate.hash == listener.told[trades][-1]["hash"]
        assert heard <= len(listener.told[book])
        header = await gate.engine.request("options_getFeed", ["book", [1], None, hex(gate.gate.number)])
        assert header["data"] == listener.told[book][-1]["data"]


async def test_wrong_subscriptions_are_refused_in_words(desk: Desk, tmp_path: Path) -> None:
    """Unknown feeds, series, accounts and parameters, and too many feeds; what was closed isn't told, nor by a foreign identity."""
    refused: dict[str, list[Any]] = {
        "no 'weather' feed; there are book, ticker, trades": ["weather"],
        "missing value for required argument 0: feed": [],
        "missing value for required argument 0: series": ["book"],
        "takes 1 parameters, not 2": ["margin", 1, 2],
        "UnknownSeries": ["book", 999],
        "UnknownAccount": ["margin", 999],
        "expected a number": ["book", {}],
        "up to 32 ASCII letters": [7],
    }
    async with hubs(desk, tmp_path) as (gate, hub, settled):
        listener, other = Listener(hub), Listener(hub)
        for words, params in refused.items():
            with pytest.raises(RpcError, match=words):
                await listener.subscribe(*params)
        identity = await listener.subscribe("book", 1)
        for _ in range(feeds.MOST_FEEDS - 1):
            await listener.subscribe("trades")
        with pytest.raises(RpcError) as told:
            await listener.subscribe("book", 1)
        assert (LIMIT_EXCEEDED, True) == (told.value.code, "open another" in str(told.value))
        assert await other.subscribe("book", 1)
        assert not await other.feeds.handle("options_unsubscribe", [identity])
        assert await listener.feeds.handle("options_unsubscribe", [identity])
        assert not await listener.feeds.handle("options_unsubscribe", [identity])
        listener.feeds.close()
        listener.told.clear()
        gate.asked.clear()
        history(desk)
        await gate.open()
        await settled()
        assert {} == listener.told
        assert [["book", [1]]] == [asked[:2] for asked in gate.asked], "only what somebody listens to is read"


def test_an_error_is_told_once_and_so_is_its_end() -> None:
    """A view that can't be had counts as one; the same words again are no news."""
    fine = {"feed": "margin", "params": [1], "block": 1, "hash": to_hex(bytes(32)), "data": {"equity": "1"}}
    wrong = {"feed": "margin", "params": [1], "block": 2, "error": {"code": -1, "message": "StaleOracle"}}
    assert ([fine], [wrong], [fine]) == (messages(None, fine), messages(fine, wrong), messages(wrong, fine))
    assert ([], []) == (messages(wrong, wrong | {"block": 3}), messages(fine, fine | {"block": 3}))
    trade = {"feed": "trades", "params": [], "block": 2, "data": [{"price": "1"}]}
    assert [trade] == messages(trade, trade), "trades that look alike are different trades"
    assert ([], [wrong | {"feed": "trades"}]) == (
        messages(trade, trade | {"data": []}),
        messages(trade, wrong | {"feed": "trades"}),
    )
