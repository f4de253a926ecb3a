"""What a chain's JSON-RPC says becomes what was seen: which bundle was open, what minted, what was traded."""

from typing import Any

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.wire import rlp
from bridge.wire.errors import RpcError
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.system import close_guard, open_guard
from orchestrator.checks.decoding import block_seen, events_seen, good
from orchestrator.checks.ledger import Ledger, fair_premium
from orchestrator.checks.observed import EventSeen
from orchestrator.checks.testing_recorder import CALL, CAP, PRICE, PUT, SERIES

ALICE, BOB = "0x" + "aa" * 20, "0x" + "bb" * 20
FIRST, SECOND = keccak256(b"first"), keccak256(b"second")


def system(raw: bytes) -> dict[str, Any]:
    """A system transaction as JSON-RPC gives it."""
    _, sender, to, *_, data = rlp.items(rlp.decode(raw[1:]))
    assert isinstance(sender, bytes)
    assert isinstance(to, bytes)
    assert isinstance(data, bytes)
    return sent(to_hex(keccak256(raw)), to_hex(sender), to_hex(to), kind="0x7e", data=to_hex(data))


def sent(
    digest: str, sender: str, to: str | None, *, kind: str = "0x2", data: str = "0x", **more: str
) -> Any:
    """A transaction as JSON-RPC gives it."""
    return {
        "hash": digest,
        "type": kind,
        "from": sender,
        "to": to,
        "nonce": "0x5",
        "value": "0x7",
        "input": data,
        **more,
    }


def block(*transactions: Any) -> Any:
    """A block with them, and its receipts."""
    receipts = [
        {
            "transactionHash": one["hash"],
            "status": "0x1",
            "gasUsed": "0x2",
            "effectiveGasPrice": "0x3",
            "logs": [],
            "contractAddress": BOB,
        }
        for one in transactions
    ]
    made = {
        "number": "0x9",
        "hash": "0x99",
        "parentHash": "0x98",
        "timestamp": "0x10",
        "transactions": transactions,
    }
    return block_seen(made, receipts)


def test_a_leg_is_known_by_the_bundle_that_is_open_while_it_runs() -> None:
    """Between open and the next open or close; before and after there is none."""
    seen = block(
        sent("0x01", ALICE, BOB),
        system(open_guard(9, 0, FIRST)),
        sent("0x02", ALICE, BOB),
        system(open_guard(9, 1, SECOND)),
        sent("0x03", ALICE, BOB),
        system(close_guard(9, 2)),
        sent("0x04", ALICE, BOB),
    )
    assert [("0x01", None), ("0x02", to_hex(FIRST)), ("0x03", to_hex(SECOND)), ("0x04", None)] == [
        (one.hash, one.bundle) for one in seen.transactions
    ]
    assert (9, "0x98", 16) == (seen.number, seen.parent, seen.timestamp)


def test_fees_are_paid_by_transactions_and_mints_come_with_deposits() -> None:
    """A deposit pays nothing and belongs to no bundle; a creation goes to the contract that it made."""
    deposit, creation = block(
        sent("0x01", ALICE, BOB, kind="0x7e", mint="0x64"), sent("0x02", ALICE, None)
    ).transactions
    assert (True, 100, 0) == (deposit.deposit, deposit.mint, deposit.fee)
    assert (False, 0, 6, BOB) == (creation.deposit, creation.mint, creation.fee, creation.to)


def test_receipts_of_other_transactions_are_refused() -> None:
    """A node that mixes blocks up is not believed."""
    made = {"number": "0x9", "transactions": [sent("0x01", ALICE, BOB)]}
    with pytest.raises(ValueError, match="receipts are of other transactions"):
        block_seen(made, [{"transactionHash": "0x02"}])


def test_only_events_of_our_contracts_are_kept() -> None:
    """A trade is decoded with its names; the same log from anybody else is nothing."""
    market = artifact("OptionsMarket").interface
    words = [5, 7, 9]
    log = {
        "address": OPTIONS_MARKET.upper().replace("0X", "0x"),
        "topics": [
            to_hex(market.topic("Trade")),
            CALL,
            "0x" + "00" * 12 + ALICE[2:],
            "0x" + "00" * 12 + BOB[2:],
        ],
        "data": "0x" + "".join(f"{word:064x}" for word in words) + to_hex(FIRST)[2:],
    }
    (trade,) = events_seen([log, {**log, "address": ALICE}, {**log, "topics": []}])
    assert ("OptionsMarket", "Trade") == (trade.contract, trade.name)
    assert {
        "series": CALL,
        "maker": ALICE,
        "taker": BOB,
        "quantity": 5,
        "price": 7,
        "premium": 9,
        "bundle": to_hex(FIRST),
    } == trade.arguments


def test_structs_of_events_are_kept_as_json_has_them() -> None:
    """A message's envelope is a list, with its bytes in hexadecimal: the observation is a file."""
    topic = to_hex(artifact("CrossRollupMailbox").interface.topic("MessageSent"))
    kinds = "(uint8,uint64,uint64,uint256,bytes32,bytes32,uint256,uint64,uint64,bytes)"
    envelope = (1, 901, 902, 2**200, FIRST, SECOND, 7, 30_000, 9, b"hello")
    data = to_hex(eth_abi.encode([kinds], [envelope]))
    topics = [topic, to_hex(FIRST), "0x" + f"{902:064x}", to_hex(SECOND)]
    (event,) = events_seen([{"address": CROSS_ROLLUP_MAILBOX, "topics": topics, "data": data}])
    assert ("MessageSent", to_hex(FIRST)) == (event.name, event.arguments["msgHash"])
    assert [1, 901, 902, 2**200, to_hex(FIRST), to_hex(SECOND), 7, 30_000, 9, "0x68656c6c6f"] == (
        event.arguments["message"]
    )


def test_the_first_error_of_a_batch_is_raised() -> None:
    """Half an answer is none."""
    assert [1, 2] == good([1, 2])
    with pytest.raises(RpcError, match="no such block"):
        good([1, RpcError(-1, "no such block"), RpcError(-1, "another")])


quantities = st.lists(
    st.tuples(st.sampled_from([CALL, PUT]), st.integers(-500, 500).filter(bool)), min_size=1, max_size=12
)


@given(quantities)
def test_the_ledger_keeps_cash_and_positions_and_covers_every_short(trades: list[tuple[str, int]]) -> None:
    """Whatever is traded: cash only changes hands, positions net to zero, and locked cash is what the shorts need."""
    ledger = Ledger(CAP, SERIES, {ALICE: 10**13, BOB: 10**13})
    for series, quantity in trades:
        about = {
            "series": series,
            "maker": BOB,
            "taker": ALICE,
            "quantity": quantity,
            "price": PRICE,
            "premium": fair_premium(PRICE, quantity),
        }
        assert "" == ledger.apply(EventSeen("OptionsMarket", "Trade", about))
    assert 2 * 10**13 == sum(ledger.free.values()) + sum(ledger.locked.values())
    assert 0 == sum(ledger.positions.values())
    for who in (ALICE, BOB):
        assert ledger.needed(who) == ledger.locked[who]
