"""What ``options_*`` tells of a market, held against the state that it tells of; and that the state's proofs are proofs."""

from pathlib import Path
from typing import Any

import pytest

from bridge.wire.errors import RpcError
from bridge.wire.keccak import from_hex, to_hex
from rollup_node.engines.options.reads.methods import BLOCK_PLACES, METHODS, OPTIONS, SLOW
from rollup_node.engines.options.risk.margin import margin
from rollup_node.engines.options.state import tree
from rollup_node.engines.options.state.leaves import Account, decode
from rollup_node.engines.options.testing import Both, options_engine
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import Risks
from rollup_node.engines.options.transition.open_orders import pending_of
from rollup_node.engines.options.transition.testing import EXPIRY, Desk, address, order
from rollup_node.engines.options.values import PRICE_UNIT

DOLLAR = PRICE_UNIT


@pytest.fixture
def desk() -> Desk:
    """Two strikes; Alice has bought and sold, and orders of both rest in the books."""
    desk = Desk()
    calls = desk.open_market({"alice": 20_000, "bob": 50_000}, strikes=(3_000, 3_200))[::2]
    alice, bob = desk.account("alice"), desk.account("bob")
    for series, size in zip(calls, (700, -400), strict=True):
        desk.block(desk.send("alice", "placeOrder", order(alice, series, 200 * DOLLAR, size)))
        desk.block(desk.send("bob", "placeOrder", order(bob, series, 200 * DOLLAR, -size)))
    quotes = [(bob, calls[0], price, size) for price, size in ((190, 200), (180, 300), (260, -100))]
    desk.block(
        *(
            desk.send("bob", "placeOrder", order(who, one, price * DOLLAR, size))
            for who, one, price, size in quotes
        ),
        desk.send("alice", "placeOrder", order(alice, calls[0], 190 * DOLLAR, 100)),
    )
    return desk


async def _asked(desk: Desk, folder: Path, *questions: tuple[str, list[Any]]) -> list[Any]:
    async with options_engine(folder, desk) as engine:
        await engine.start()
        await Both(desk, engine).catch_up()
        return [await engine.request(*question) for question in questions]


async def test_books_orders_and_trades_are_those_of_the_state(desk: Desk, tmp_path: Path) -> None:
    """Levels are sums of the resting orders, the best first; trades come newest first, with what each said."""
    alice, bob = desk.account("alice"), desk.account("bob")
    book, one, orders, trades, last = await _asked(
        desk,
        tmp_path,
        ("options_getBook", [1]),
        ("options_getBook", [1, 1]),
        ("options_getOrders", [bob]),
        ("options_getTrades", []),
        ("options_getTrades", [3, 1]),
    )
    levels = [[str(190 * DOLLAR), "300"], [str(180 * DOLLAR), "300"]]
    assert (levels, [[str(260 * DOLLAR), "100"]]) == (book["bids"], book["asks"])
    assert levels[:1] == one["bids"]
    assert [str(resting.id) for resting in desk.world.orders_of(bob)] == [told["order"] for told in orders]
    assert [("180000000", True), ("190000000", True), ("260000000", False)] == sorted(
        (told["price"], told["buy"]) for told in orders
    )
    assert [(3, "400"), (1, "-700")] == [(told["series"], told["quantity"]) for told in trades]
    assert trades[:1] == last
    assert (bob, alice) == (last[0]["taker"], last[0]["maker"])


async def test_margin_positions_and_greeks_follow_from_the_rules(desk: Desk, tmp_path: Path) -> None:
    """Margin is the risk rules' on the account's leaf; a portfolio's Greeks are the sums of its contracts'."""
    number = desk.account("alice")
    account = desk.world.accounts[number]
    told, positions, greeks, marks = await _asked(
        desk,
        tmp_path,
        ("options_getMargin", [number]),
        ("options_getPositions", [number]),
        ("options_getGreeks", [number]),
        ("options_getMarks", ["ETH"]),
    )
    risks = Risks(desk.world)
    expected = margin(account.cash, account.positions, risks, pending=pending_of(desk.world, number))
    assert [str(expected.equity), str(expected.initial), str(expected.maintenance)] == [
        told[name] for name in ("equity", "initial", "maintenance")
    ]
    assert [(1, "700"), (3, "-400")] == [(held["series"], held["quantity"]) for held in positions]
    assert {str(risks[1].mark), str(risks[3].mark)} == {held["mark"] for held in positions}
    each = {one["series"]: one["greeks"] for one in marks[0]["series"]}
    assert [1, 2, 3, 4] == sorted(each)
    for figure in ("price", "delta", "vega", "theta"):
        total = 0.07 * each[1][figure] - 0.04 * each[3][figure]
        assert greeks["total"][figure] == pytest.approx(total)
    assert each[1]["price"] * PRICE_UNIT == pytest.approx(risks[1].mark, abs=1)
    assert Context(desk.parameters, 0, 0, risks).risks is risks


async def test_series_accounts_and_totals_are_those_of_the_state(desk: Desk, tmp_path: Path) -> None:
    """Symbols, strikes, owners and their accounts, what is fixed, and what L1 holds."""
    owner = to_hex(address("alice"))
    series, none, accounts, account, totals, fixed = await _asked(
        desk,
        tmp_path,
        ("options_getSeries", ["ETH"]),
        ("options_getSeries", ["BTC", True]),
        ("options_getAccounts", [owner]),
        ("options_getAccount", [desk.account("alice")]),
        ("options_getTotals", []),
        ("options_getParameters", []),
    )
    assert [(one, EXPIRY, "live") for one in (1, 2, 3, 4)] == [
        (told["series"], told["expiry"], told["status"]) for told in series
    ]
    assert [("3000000000", True), ("3200000000", False)] == [
        (told["strike"], told["isCall"]) for told in (series[0], series[3])
    ]
    assert [] == none
    assert [desk.account("alice")] == accounts["accounts"]
    assert (owner, "portfolio", False) == (account["owner"], account["mode"], account["liquidating"])
    assert str(desk.deposited) == totals["vault"]
    assert (901, "ETH") == (fixed["chain_id"], fixed["markets"]["1"]["symbol"])


async def test_every_leaf_is_proven_under_the_blocks_state_root(desk: Desk, tmp_path: Path) -> None:
    """Leaves that are there and leaves that aren't, at the head and in an earlier block; with another root nothing is proven."""
    alice = desk.account("alice")
    async with options_engine(tmp_path, desk) as engine:
        await engine.start()
        head = await Both(desk, engine).catch_up()
        for kind, number, there in (("account", alice, True), ("book", 1, True), ("account", 99, False)):
            for block in (head.number, head.number - 2):
                told = await engine.request("options_getProof", [kind, number, hex(block)])
                header = await engine.header(block)
                assert header is not None
                assert header.state_root == told["stateRoot"]
                proof = tree.LeafProof.decode(from_hex(told["encoded"]))
                leaf = from_hex(told["leaf"]) if there else None
                assert tree.verify(from_hex(header.state_root), proof, leaf)
                assert not tree.verify(bytes(32), proof, leaf)
        told = await engine.request("options_getProof", ["account", alice])
        _, account = decode(from_hex(told["leaf"]))
        assert isinstance(account, Account)
        assert desk.world.accounts[alice] == account
        with pytest.raises(RpcError):
            await engine.request("options_getProof", ["account", 1 << 28])


def test_every_method_says_what_it_takes() -> None:
    """The table that documents and gateways are made from: names, summaries, one block at most and at the end."""
    for name, method in METHODS.items():
        assert (name, True) == (method.name, method.summary.endswith("."))
        required = [param.required for param in method.params]
        assert sorted(required, reverse=True) == required, name
    assert {method.name for method in OPTIONS} - {"options_getParameters"} == set(BLOCK_PLACES)
    for method in OPTIONS:
        assert BLOCK_PLACES.get(method.name, -1) == len(method.params) - 1
    assert set(METHODS) >= SLOW
