"""Going back to be read and coming again: after any way there and back the world is the same, and what it said of a block is what it says."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.state.snapshot import dump
from rollup_node.engines.options.state.world import TooFarBack
from rollup_node.engines.options.testing import Both, options_engine
from rollup_node.engines.options.transition.testing import Desk, order
from rollup_node.engines.options.travel import KEPT, Travel
from rollup_node.engines.options.values import PRICE_UNIT

DOLLAR = PRICE_UNIT
NAMES = ("alice", "bob", "carol")


def _desk() -> tuple[Desk, list[int]]:
    desk = Desk()
    return desk, desk.open_market(dict.fromkeys(NAMES, 50_000))


moves = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(["buy", "sell", "replace", "cancel all", "withdraw"]),
            st.integers(200, 260),
            st.integers(1, 20),
        ),
        max_size=6,
    ),
    min_size=1,
    max_size=5,
)


def _sent(desk: Desk, series: int, move: tuple[str, str, int, int]) -> bytes:
    name, what, price, lots = move
    account = desk.account(name)
    wanted = order(
        account, series, price * DOLLAR, 100 * lots * (-1 if what == "sell" else 1), self_trade=price % 4
    )
    resting = desk.world.orders_of(account)
    if what == "replace" and resting:
        return desk.send(name, "replaceOrder", account, resting[0].id, wanted)
    if what == "cancel all":
        return desk.send(name, "cancelAll", account, 0)
    if what == "withdraw":
        return desk.send(name, "withdraw", account, bytes(20), lots * DOLLAR)
    return desk.send(name, "placeOrder", wanted)


@settings(max_examples=25)
@given(moves, st.data())
def test_every_way_there_and_back_leads_to_the_same_state(
    blocks: list[list[tuple[str, str, int, int]]], data: st.DataObject
) -> None:
    """Books, accounts and messages, to the byte; with reads, transactions that are taken back, and cuts on the way."""
    desk, (series, _) = _desk()
    travel = Travel(desk.world, desk.number)
    first, dumps = desk.number, [dump(desk.world)]
    for block in blocks:
        desk.block(*(_sent(desk, series, move) for move in block))
        travel.grown()
        dumps.append(dump(desk.world))
    stops = st.lists(st.integers(0, len(blocks)), max_size=6)
    for stop in data.draw(stops, "stops"):
        mark = travel.go(first + stop).mark()
        _disturb(desk, series)
        travel.world.undo(mark)
        assert dumps[stop] == dump(travel.world)
    cut = data.draw(st.integers(0, len(blocks)), "cut")
    travel.cut(first + cut)
    assert (first + cut, first + cut) == (travel.head, travel.at)
    assert dumps[cut] == dump(travel.world)
    with pytest.raises(TooFarBack):
        travel.go(first + cut + 1)
    for stop in range(cut + 1):
        assert dumps[stop] == dump(travel.go(first + stop))


def _disturb(desk: Desk, series: int) -> None:
    """Something that a simulated transaction may do."""
    book = desk.world.book(series)
    for resting in list(book)[:2]:
        book.cancel(resting.account, resting.id)
    desk.world.pass_message(b"\x07" * 32)
    for number in list(desk.world.accounts)[:1]:
        desk.world.accounts[number] = desk.world.accounts[number]


def test_only_the_last_blocks_can_be_gone_back_to() -> None:
    """As many as are kept; the next earlier one is refused, and nothing is changed by asking."""
    desk = Desk()
    travel = Travel(desk.world, 0)
    for _ in range(KEPT + 3):
        desk.block()
        travel.grown()
    root = desk.world.root()
    with pytest.raises(TooFarBack):
        travel.go(2)
    assert root == travel.world.root()
    travel.go(3)
    assert root == travel.go(KEPT + 3).root()


async def test_an_engine_answers_of_the_gate_while_a_block_is_staged_above(tmp_path: Path) -> None:
    """Every read of the decided block says the same before, while and after others are staged and undone."""
    desk, (series, _) = _desk()
    async with options_engine(tmp_path, desk) as engine:
        await engine.start()
        gate = await Both(desk, engine).catch_up()
        account, at = desk.account("alice"), hex(gate.number)
        methods = ("options_getAccount", "options_getMargin", "options_getOrders", "options_getPositions")
        reads = [(method, [account, at]) for method in methods]
        reads.append(("options_getBook", [series, 5, at]))
        expected = [await engine.request(*read) for read in reads]
        for price in (210, 220):
            mark = desk.world.mark()
            desk.block(_sent(desk, series, ("alice", "buy", price, 3)))
            staged = await Both(desk, engine).catch_up()
            assert expected == [await engine.request(*read) for read in reads]
            latest = await engine.request("options_getBook", [series, 5])
            assert [[str(price * DOLLAR), "300"]] == latest["bids"]
            assert staged == await engine.head()
            await engine.rewind(gate.number)
            assert expected == [await engine.request(*read) for read in reads]
            desk.world.undo(mark)
            desk.number, desk.timestamp = desk.number - 1, desk.timestamp - 1
            desk.history.pop()
