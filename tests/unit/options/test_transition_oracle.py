"""The oracle's word: signed by enough, in order, fresh and complete, or refused; and signers who say two things."""

from collections.abc import Callable
from typing import Any

import pytest

from rollup_node.engines.options.transactions.actions import update_digest
from rollup_node.engines.options.transition.testing import (
    EXPIRY,
    PARAMETERS,
    START,
    SYMBOL,
    Desk,
    address,
    errors_of,
    event_names,
    order,
    sign,
)
from rollup_node.engines.options.values import PRICE_UNIT, WAD

DOLLAR = PRICE_UNIT
ONE = 10_000
"""A contract."""
CALL, PUT = 1, 2


@pytest.fixture
def desk() -> Desk:
    """Alice and Bob can afford anything, Carol little; a call and a put at 3,000, worth about 240."""
    desk = Desk()
    assert [CALL, PUT] == desk.open_market({"alice": 100_000, "bob": 100_000, "carol": 500})
    return desk


def test_a_word_that_comes_after_the_rows_makes_no_mark_look_fresh(desk: Desk) -> None:
    """Behind its sender's own earlier transaction, or in a bundle, an update is refused: who trades on old marks is refused as before, until a word comes in time."""
    alice, silence = desk.account("alice"), PARAMETERS.max_oracle_age + 1
    bid = order(alice, CALL, 200 * DOLLAR, ONE)
    desk.block(desk.deposit("pusher", 5), seconds=silence)
    before = desk.world.oracles[1]
    late = desk.block(
        desk.send("pusher", "openAccount"),
        desk.update(4_000 * DOLLAR),
        desk.send("alice", "placeOrder", bid),
    )
    assert ["", "WrongSection", "StaleOracle"] == errors_of(late)
    legs = desk.bundle(desk.update(4_000 * DOLLAR), desk.send("alice", "placeOrder", bid))
    assert ["", "WrongSection", "StaleOracle", ""] == errors_of(desk.block(*legs))
    assert before == desk.world.oracles[1]
    in_time = desk.block(
        desk.send("alice", "placeOrder", bid),
        desk.update(4_000 * DOLLAR),
    )
    assert ["", ""] == errors_of(in_time)
    assert desk.world.oracles[1].sequence == desk.world.risk[CALL].sequence


UPDATES: list[tuple[str, Callable[[Desk], bytes]]] = [
    ("TooFewSigners", lambda d: d.update(3_100 * DOLLAR, signers=d.signers[:1])),
    ("TooFewSigners", lambda d: d.update(3_100 * DOLLAR, signers=[d.signers[0]] * 2)),
    ("TooFewSigners", lambda d: d.update(3_100 * DOLLAR, signers=["mallory", "feed a"])),
    ("TooFewSigners", lambda d: d.update(3_100 * DOLLAR, signers=d.signers[1::-1])),
    ("UpdateOutOfOrder", lambda d: d.update(3_100 * DOLLAR, sequence=1)),
    ("UpdateOutOfOrder", lambda d: d.update(3_100 * DOLLAR, timestamp=d.timestamp + 2)),
    ("UpdateOutOfOrder", lambda d: d.update(3_100 * DOLLAR, timestamp=START)),
    ("UnknownUnderlying", lambda d: d.update(3_100 * DOLLAR, underlying=b"BTC".ljust(32, b"\0"))),
    ("SeriesUnquoted", lambda d: d.update(3_100 * DOLLAR, volatilities=())),
    ("SeriesUnquoted", lambda d: d.update(3_100 * DOLLAR, forwards=())),
    ("OutOfRange", lambda d: d.update(0)),
    ("OutOfRange", lambda d: d.update(3_100 * DOLLAR, discount=WAD + 1)),
    ("OutOfRange", lambda d: d.update(3_100 * DOLLAR, confidence=WAD + 1)),
    ("OutOfRange", lambda d: d.update(3_100 * DOLLAR, forwards=((EXPIRY, 1), (EXPIRY, 1)))),
]  # fmt: skip


@pytest.mark.parametrize(("error", "make"), UPDATES, ids=[f"{i}-{one[0]}" for i, one in enumerate(UPDATES)])
def test_a_bad_update_is_refused_and_marks_stay(
    desk: Desk, error: str, make: Callable[[Desk], bytes]
) -> None:
    """Too few, doubled, foreign or unsorted signers, old or early updates, unknown markets, series left out, impossible numbers."""
    before = dict(desk.world.risk), dict(desk.world.oracles)
    executed = desk.block(make(desk))
    assert [error] == errors_of(executed)
    assert before == (dict(desk.world.risk), dict(desk.world.oracles))


def test_on_stale_marks_nothing_adds_risk(desk: Desk) -> None:
    """After the longest age, orders and listings are refused; cancels, reductions and withdrawals of free cash aren't."""
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, -ONE)),
        desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, ONE)),
    )
    stale = order(alice, CALL, 200 * DOLLAR, ONE)
    executed = desk.block(
        desk.send("alice", "placeOrder", stale),
        desk.send("alice", "placeOrder", order(alice, CALL, 200 * DOLLAR, ONE, reduce_only=True)),
        desk.send("alice", "cancelAll", alice, 0),
        desk.send("bob", "listSeries", SYMBOL, EXPIRY, 3_100 * DOLLAR, True),
        desk.send("carol", "withdraw", desk.account("carol"), address("carol"), DOLLAR),
        seconds=PARAMETERS.max_oracle_age + 5,
    )
    assert ["StaleOracle", "", "", "StaleOracle", ""] == errors_of(executed)


def test_a_signer_who_says_two_things_leaves_and_with_too_few_only_reducing_goes_on(desk: Desk) -> None:
    """Equivocation is shown by anyone; two of three signers gone, the breaker opens."""
    alice = desk.account("alice")
    desk.sequence += 1
    one, other = desk.quote(3_000 * DOLLAR), desk.quote(3_001 * DOLLAR)
    later = replace_sequence(other, desk.sequence + 1)

    def proof(name: str, second: Any) -> tuple[Any, ...]:
        chain = desk.parameters.chain_id
        return (one, sign(update_digest(chain, one), name), second, sign(update_digest(chain, second), name))

    executed = desk.block(
        desk.send("bob", "proveEquivocation", *proof("feed a", one)),
        desk.send("bob", "proveEquivocation", *proof("feed a", later)),
        desk.send("bob", "proveEquivocation", *proof("mallory", other)),
        desk.send("bob", "proveEquivocation", *proof("feed a", other)),
        desk.send("bob", "proveEquivocation", *proof("feed a", other)),
        desk.send("bob", "proveEquivocation", *proof("feed b", other)),
    )
    assert ["NoEquivocation"] * 3 + ["", "NoEquivocation", ""] == errors_of(executed)
    assert ["SignerRemoved", "BreakerMoved"] == event_names(executed.receipts[5])
    executed = desk.block(desk.send("alice", "placeOrder", order(alice, CALL, 200 * DOLLAR, ONE)))
    assert ["BreakerOpen"] == errors_of(executed)


def replace_sequence(update: tuple[Any, ...], sequence: int) -> tuple[Any, ...]:
    """The update with another sequence."""
    return (update[0], sequence, *update[2:])


def test_an_update_in_a_bundle_is_refused(desk: Desk) -> None:
    """Marks don't move between the legs of a bundle."""
    executed = desk.block(*desk.bundle(desk.update(3_100 * DOLLAR)))
    assert ["", "WrongSection", ""] == errors_of(executed)
