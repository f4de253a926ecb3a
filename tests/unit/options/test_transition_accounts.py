"""Accounts: cash from L1 and back, keys, actions, and what is refused on the way."""

from collections.abc import Callable
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils import keccak

from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import Decoded
from bridge.contracts.op import op_artifact
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.decode import read_message
from rollup_node.engines.options.transactions.interfaces import BY_NAME, EXCHANGE, MESSAGE_PASSER, Scope
from rollup_node.engines.options.transactions.receipts import Receipt
from rollup_node.engines.options.transactions.refusals import selector_of
from rollup_node.engines.options.transition.accounts import owner_of
from rollup_node.engines.options.transition.context import WEI_PER_CASH
from rollup_node.engines.options.transition.parameters import Parameters
from rollup_node.engines.options.transition.testing import (
    FAR,
    MARKET,
    Desk,
    address,
    call_data,
    key_of,
    order,
)
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.values import PRICE_UNIT

DOLLAR = PRICE_UNIT


@pytest.fixture
def desk() -> Desk:
    """Alice, Bob and Carol have a thousand dollars each."""
    desk = Desk()
    desk.block(*(desk.deposit(name, 1_000 * DOLLAR) for name in ("alice", "bob", "carol")))
    return desk


def _events(receipt: Receipt) -> list[Decoded]:
    found = []
    for log in receipt.logs:
        for name in ("IOptionsAccounts", "IOptionsExchange"):
            decoded = artifact(name).interface.decode_event(log.topics, log.data)
            if decoded is not None:
                found.append(decoded)
    return found


def _refused(desk: Desk, raw: bytes, error: str) -> None:
    """The transaction fails with this error, and changes nothing but its sender's nonce."""
    before = dict(desk.world.accounts.items())
    globals_before = (desk.world.globals.dust, desk.world.globals.vault, desk.world.globals.withdrawals)
    (result,) = desk.block(raw).results
    assert ("failed", selector_of(error)) == (result.status, result.data[:4])
    assert result.reason.startswith(f"{error}(")
    assert before == dict(desk.world.accounts)
    now = desk.world.globals
    assert globals_before == (now.dust, now.vault, now.withdrawals)
    assert [] == violations(desk.world)


def test_a_deposit_credits_whole_units_and_keeps_the_dust(desk: Desk) -> None:
    """Wei below one unit of cash belong to nobody, and are counted."""
    desk.block(desk.deposit("dave", 5, wei=7))
    assert 5 == desk.world.accounts[desk.account("dave")].cash
    assert (7, desk.deposited) == (desk.world.globals.dust, desk.world.globals.vault)
    desk.block(desk.deposit("dave", 0, wei=WEI_PER_CASH - 7))
    assert (0, 1) == (desk.world.globals.dust, desk.world.globals.insurance)  # a whole unit is swept up
    assert [] == violations(desk.world)


def test_a_deposit_moves_its_value_and_keeps_its_mint_when_that_fails(desk: Desk) -> None:
    """Value goes to whom the deposit is for; if it can't, the sender has it."""
    good = desk.deposit("dave", 10, to=address("erin"), value=10 * WEI_PER_CASH)
    bad = desk.deposit("dave", 4, to=address("erin"), value=5 * WEI_PER_CASH)
    executed = desk.block(good, bad)
    assert ["success", "failed"] == [result.status for result in executed.results]
    assert 4 == desk.world.accounts[desk.account("dave")].cash
    assert 10 == desk.world.accounts[desk.account("erin")].cash


def test_a_withdrawal_leaves_as_the_message_that_the_portal_proves(desk: Desk) -> None:
    """The event is the OP Stack's, and its hash is what the portal computes of the event's fields."""
    alice = desk.account("alice")
    raw = desk.send("alice", "withdraw", alice, address("alice"), 300 * DOLLAR)
    plain = desk.send(
        "alice", "initiateWithdrawal", address("bob"), 90_000, b"", value=100 * DOLLAR * WEI_PER_CASH
    )
    first, second = desk.block(raw, plain).receipts
    assert 600 * DOLLAR == desk.world.accounts[alice].cash
    values, hashes = [], []
    for place, receipt in enumerate((first, second)):
        (log,) = [log for log in receipt.logs if log.address == MESSAGE_PASSER]
        decoded = _passed(log.topics, log.data)
        assert (1 << 240) + place == decoded["nonce"]
        values.append(decoded["value"])
        hashes.append(decoded["withdrawalHash"])

        fields = [decoded[key] for key in ("nonce", "sender", "target", "value", "gasLimit", "data")]
        packed = encode(["uint256", "address", "address", "uint256", "uint256", "bytes"], fields)
        assert keccak(packed) == decoded["withdrawalHash"]
    assert [300 * DOLLAR * WEI_PER_CASH, 100 * DOLLAR * WEI_PER_CASH] == values
    assert hashes[0] != hashes[1]
    assert [] == violations(desk.world)


def _passed(topics: Any, data: bytes) -> dict[str, Any]:

    decoded = op_artifact("L2ToL1MessagePasser").interface.decode_event(topics, data)
    assert decoded is not None
    return dict(decoded.arguments)


REFUSED: list[tuple[str, Callable[[Desk], bytes]]] = [
    ("InsufficientCash", lambda d: d.send("alice", "withdraw", d.account("alice"), address("alice"), 1_001 * DOLLAR)),
    ("NotAuthorized", lambda d: d.send("bob", "withdraw", d.account("alice"), address("bob"), 1)),
    ("NotAuthorized", lambda d: d.send("bob", "transfer", d.account("alice"), d.account("bob"), 1)),
    ("UnknownAccount", lambda d: d.send("bob", "transfer", d.account("bob"), 999, 1)),
    ("UnknownAccount", lambda d: d.send("bob", "setMode", 0, False)),
    ("ValueRefused", lambda d: d.send("bob", "setMode", d.account("bob"), False, value=WEI_PER_CASH)),
    ("ValueRefused", lambda d: d.send("bob", "deposit", d.account("alice"), value=WEI_PER_CASH + 1)),
    ("NotAuthorized", lambda d: d.send("bob", "registerKey", d.account("bob"), address("key"), 8, FAR)),
    ("NotAuthorized", lambda d: d.send("bob", "registerKey", d.account("bob"), address("bob"), 1, FAR)),
    ("NotAuthorized", lambda d: d.send("bob", "revokeKey", d.account("bob"), address("nobody"))),
    ("UnknownFunction", lambda d: d.send("bob", "liquidate", d.account("alice"))),
    ("UnknownFunction", lambda d: d.send("bob", "sweepFees")),
    ("UnknownFunction", lambda d: d.send("bob", "open", b"\x01" * 32)),
    ("UnknownSeries", lambda d: d.send("bob", "placeOrder", order(d.account("bob"), 5, DOLLAR, 100))),
    ("UnknownOrder", lambda d: d.send("bob", "cancelOrder", d.account("bob"), 5 << 32 | 1)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "make"), REFUSED, ids=[f"{i}-{one[0]}" for i, one in enumerate(REFUSED)])
def test_what_nobody_may_do_has_an_error_and_no_effect(
    desk: Desk, error: str, make: Callable[[Desk], bytes]
) -> None:
    """Others' accounts, too much cash, value where none is taken, the protocol's own functions."""
    _refused(desk, make(desk), error)


def test_a_transaction_that_can_not_be_is_not_in_the_block(desk: Desk) -> None:
    """A used nonce is invalid, one ahead is a gap, and neither leaves a receipt."""
    first = desk.send("alice", "openAccount", nonce=1)  # her deposit was her first
    executed = desk.block(first, desk.send("alice", "openAccount", nonce=5), first)
    assert ["success", "gap", "invalid"] == [result.status for result in executed.results]
    assert 1 == len(executed.receipts)
    again = desk.block(first)
    assert "nonce too low: next nonce 2, tx nonce 1" == again.results[0].reason


def test_an_owner_has_several_accounts_and_a_bound(desk: Desk) -> None:
    """Sub-accounts have their own cash; the seventeenth is refused."""
    executed = desk.block(*(desk.send("alice", "openAccount") for _ in range(16)))
    assert ["success"] * 15 + ["failed"] == [result.status for result in executed.results]
    owner = owner_of(desk.world, address("alice"))
    assert owner is not None
    assert 16 == len(set(owner.accounts))
    second = owner.accounts[1]
    desk.block(desk.send("alice", "transfer", owner.accounts[0], second, 5))
    assert 5 == desk.world.accounts[second].cash


def test_a_session_key_does_what_its_scope_says_until_it_expires(desk: Desk) -> None:
    """A key for transfers transfers; it can't withdraw, nor make keys, nor act on others' accounts, nor after its time."""
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(desk.send("alice", "registerKey", alice, address("key"), Scope.TRANSFER, desk.timestamp + 5))
    transfer = ("transfer", (alice, bob, 10))
    executed = desk.block(
        desk.act("relay", ("key", alice, 1, *transfer)),
        desk.act("relay", ("key", alice, 2, "withdraw", (alice, address("key"), 1))),
        desk.act("relay", ("key", alice, 3, "registerKey", (alice, address("evil"), 7, FAR))),
        desk.act("relay", ("key", bob, 1, "transfer", (bob, alice, 1))),
        desk.act("relay", ("key", alice, 4, "transfer", (bob, alice, 1))),
        desk.act("relay", ("key", alice, 5, "cancelAll", (alice, 0))),
    )
    errors = [result.data[:4] for result in executed.results[1:]]
    assert "success" == executed.results[0].status
    assert [selector_of("NotAuthorized")] * 5 == errors
    assert ["Transferred", "ActionExecuted"] == [one.name for one in _events(executed.receipts[0])]
    assert 1_000 * DOLLAR - 10 == desk.world.accounts[alice].cash
    desk.block(seconds=10)
    _refused(desk, desk.act("relay", ("key", alice, 9, *transfer)), "NotAuthorized")


def test_an_action_counts_once_in_its_time_its_bundle_and_its_rollup(desk: Desk) -> None:
    """Replayed, older, expired, outside its bundle, on another rollup: refused, each with its error."""
    alice, bob = desk.account("alice"), desk.account("bob")
    transfer = ("transfer", (alice, bob, 10))
    good = ("alice", alice, 7, *transfer)
    assert "success" == desk.block(desk.act("relay", good)).results[0].status
    _refused(desk, desk.act("relay", good), "NonceUsed")
    _refused(desk, desk.act("relay", ("alice", alice, 6, *transfer)), "NonceUsed")
    _refused(desk, desk.act("relay", ("alice", alice, 8, *transfer), expiry=desk.timestamp), "ActionExpired")
    _refused(desk, desk.act("relay", ("alice", alice, 8, *transfer), bundle=b"\x0b" * 32), "BundleNotOpen")
    other = Desk(Parameters(902, {1: MARKET}, signers_needed=2))
    made = other.act("relay", ("alice", alice, 8, *transfer))

    message = read_message(made)
    call = BY_NAME["act"]

    _refused(desk, desk.send("relay", "act", *abi.decode(call.arguments, message.data[4:])), "NotAuthorized")
    leg = desk.act("relay", ("alice", alice, 8, *transfer), bundle=b"\x0b" * 32)
    executed = desk.block(*desk.bundle(leg))
    assert ["success"] * 3 == [result.status for result in executed.results]


def test_a_failed_action_leaves_its_nonce(desk: Desk) -> None:
    """What had no effect may be tried again, with the same signature, until it expires."""
    alice, bob = desk.account("alice"), desk.account("bob")
    act = desk.act("relay", ("alice", alice, 1, "transfer", (alice, bob, 1_500 * DOLLAR)))
    _refused(desk, act, "InsufficientCash")
    assert 0 == desk.world.accounts[alice].nonce
    again = desk.act("relay", ("alice", alice, 1, "transfer", (alice, bob, 1_500 * DOLLAR)))
    desk.block(desk.deposit("alice", 600 * DOLLAR), again)
    assert (100 * DOLLAR, 1) == (desk.world.accounts[alice].cash, desk.world.accounts[alice].nonce)


def test_actions_of_a_batch_stand_each_for_itself(desk: Desk) -> None:
    """A refused member undoes itself alone, and says why; the others have their effect."""
    alice, bob = desk.account("alice"), desk.account("bob")
    members = [
        ("alice", alice, 1, "transfer", (alice, bob, 10)),
        ("alice", alice, 2, "transfer", (alice, bob, 9_999 * DOLLAR)),
        ("alice", alice, 3, "transfer", (alice, bob, 20)),
    ]
    executed = desk.block(desk.act("relay", *members))
    names = [one.name for one in _events(executed.receipts[0])]
    assert ["Transferred", "ActionExecuted", "ActionRefused", "Transferred", "ActionExecuted"] == names
    refused = _events(executed.receipts[0])[2]
    assert (alice, 1, selector_of("InsufficientCash")) == (
        refused.arguments["account"],
        refused.arguments["index"],
        refused.arguments["reason"][:4],
    )
    assert 1_000 * DOLLAR - 30 == desk.world.accounts[alice].cash
    later = [(*step[:2], step[2] + 3, *step[3:]) for step in members]
    leg = desk.act("relay", *later)
    assert "failed" == desk.block(*desk.bundle(leg)).results[1].status  # a leg of a bundle succeeds or fails


def test_l1_forces_what_needs_no_market_and_nothing_else(desk: Desk) -> None:
    """A deposit withdraws and cancels for its sender, whoever sequences; it can't trade, and acts for nobody else."""
    alice = desk.account("alice")
    withdraw = call_data("withdraw", alice, address("alice"), 100 * DOLLAR)
    target = BY_NAME["withdraw"].target
    place = call_data("placeOrder", order(alice, 1, DOLLAR, 100))
    executed = desk.block(
        desk.deposit("alice", 0, to=target, data=withdraw),
        desk.deposit("bob", 0, to=target, data=withdraw),
        desk.deposit("alice", 0, to=EXCHANGE, data=place),
        desk.deposit("alice", 3, to=target, data=b"\x00"),
    )
    errors = ["", "NotAuthorized", "WrongSection", "UnknownFunction"]
    assert errors == [result.reason.split("(")[0] for result in executed.results]
    assert 900 * DOLLAR + 3 == desk.world.accounts[alice].cash


def test_gas_is_paid_where_it_costs_and_limits_blocks(desk: Desk) -> None:
    """With a price, what is used goes to the fees, rounded up; who can't pay isn't in the block; nor is what doesn't fit."""
    paid = Desk(Parameters(901, {1: MARKET}, gas_free=False, gas_limit=3_000_000))
    paid.block(paid.deposit("alice", 10 * DOLLAR))

    def raw(name: str, nonce: int, gas: int) -> bytes:
        call = BY_NAME["openAccount"]
        unsigned = UnsignedTransaction(901, nonce, 10**12, 10**6, gas, call.target, call.selector)
        return sign_transaction(unsigned, key_of(name))

    executed = paid.block(raw("alice", 1, 2_000_000), raw("bob", 0, 100_000), raw("alice", 2, 2_990_000))
    assert ["success", "invalid", "invalid"] == [result.status for result in executed.results]
    assert "insufficient funds" in executed.results[1].reason
    assert "that the block has left" in executed.results[2].reason
    receipt = executed.receipts[0]
    assert 51_000 + 4 * 16 == receipt.gas_used
    cost = -(-receipt.gas_used * receipt.gas_price // WEI_PER_CASH)
    assert 10 * DOLLAR - cost == paid.world.accounts[paid.account("alice")].cash
    assert cost == paid.world.globals.insurance + paid.world.globals.sequencer_fees
    assert [] == violations(paid.world)
    short = paid.block(raw("alice", 2, 21_500))
    assert "OutOfGas" == short.results[0].reason.split("(")[0]
