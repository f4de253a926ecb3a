"""Messages to and from an options rollup: named as everywhere, told as everywhere, executed once or refunded, and no wei lost."""

from collections.abc import Callable
from typing import Any

import pytest
from eth_abi.abi import decode as eth_decode
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import signature
from bridge.contracts.op import op_artifact
from bridge.relayer.carried import Forward, Places, Return, carried
from bridge.relayer.messages import envelope as relayers
from bridge.relayer.withdrawal import passed as read_passed
from bridge.wire.keccak import to_hex
from rollup_node.engines.options.reads.bridge import BRIDGE_VIEWS
from rollup_node.engines.options.reads.transactions import logs_json
from rollup_node.engines.options.state.snapshot import dump, load
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.transactions.interfaces import (
    ACCOUNTS,
    BRIDGE_ERRORS,
    BY_NAME,
    ESCROW,
    EVENTS,
    EXCHANGE,
    MAILBOX,
    MESSENGER,
)
from rollup_node.engines.options.transition import mailbox, messenger
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.envelopes import Envelope, account_word, remote
from rollup_node.engines.options.transition.letters import Box, post, state_of
from rollup_node.engines.options.transition.mailbox import Incoming, Outgoing
from rollup_node.engines.options.transition.outward import FORWARD, RETURN, VOTE
from rollup_node.engines.options.transition.testing import CHAIN_ID, address, call_data, errors_of
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.transition.testing_mail import FRIEND, QUICK, post_day
from rollup_node.engines.options.transition.testing_messages import (
    ENDS,
    OTHER,
    Counterpart,
    envelope,
    events,
    linked,
    passed,
)

UNIT = WEI_PER_CASH
PLACES = Places(CHAIN_ID, to_hex(ENDS.messenger), to_hex(ENDS.router), to_hex(ENDS.registry))
words = st.binary(min_size=32, max_size=32)
longs = st.integers(0, 2**64 - 1)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 255), longs, longs, st.integers(0, 2**256 - 1), words, words, longs, st.binary(max_size=70)
)
def test_a_message_has_the_name_that_the_bridge_gives_it(
    version: int,
    source: int,
    destination: int,
    nonce: int,
    sender: bytes,
    target: bytes,
    gas: int,
    data: bytes,
) -> None:
    """For any envelope; and every field counts."""
    ours = Envelope(version, source, destination, nonce, sender, target, nonce, gas, gas, data)
    theirs = relayers.Envelope(
        version, source, destination, nonce, to_hex(sender), to_hex(target), nonce, gas, gas, data
    )
    assert theirs.hash == to_hex(ours.name)
    names = {ours._replace(**{name: _other(value)}).name for name, value in ours._asdict().items()}
    assert len(Envelope._fields) == len(names - {ours.name})


def _other(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:] if value else b"\1"
    return value ^ 1


@pytest.mark.parametrize(
    ("target", "published"),
    [
        (MAILBOX, artifact("CrossRollupMailbox").abi),
        (ESCROW, (*artifact("LegEscrow").abi, *artifact("IOptionsEscrow").abi)),
        (MESSENGER, op_artifact("L2CrossDomainMessenger").abi),
    ],
    ids=["mailbox", "escrow", "messenger"],
)
def test_it_speaks_as_the_contracts_of_other_rollups(target: bytes, published: Any) -> None:
    """Functions, views and events are those of the compiled contracts, to the type; of mailbox and escrow nothing is missing."""
    shapes = {
        signature(entry): entry for entry in published if entry["type"] in ("function", "event", "error")
    }
    functions = {call.name + call.types: call for call in BY_NAME.values() if call.target == target}
    views = {name + arguments: results for to, name, arguments, results, _ in BRIDGE_VIEWS if to == target}
    for text, call in functions.items():
        assert call.payable == (shapes[text]["stateMutability"] == "payable")
    for text, results in views.items():
        kinds = ",".join(_kind(one) for one in shapes[text]["outputs"])
        assert f"({kinds})" == results
    for shape in EVENTS.values():
        if shape.source == target:
            indexed = [one["indexed"] for one in shapes[shape.signature]["inputs"]]
            assert [True] * len(shape.indexed.members) + [False] * len(shape.plain.members) == indexed
    if target != MESSENGER:
        changing = {
            text
            for text, entry in shapes.items()
            if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable")
        }
        assert changing == set(functions)


def _kind(entry: Any) -> str:
    if "components" not in entry:
        return str(entry["type"])
    inner = ",".join(_kind(one) for one in entry["components"])
    return f"({inner}){entry['type'].removeprefix('tuple')}"


def test_errors_and_calls_to_l1_are_those_of_the_contracts() -> None:
    """Whoever decodes a mailbox's or an escrow's revert data decodes ours; what we ask L1 for has the selectors that it knows."""
    theirs = (*artifact("CrossRollupMailbox").abi, *artifact("LegEscrow").abi)
    assert set(BRIDGE_ERRORS.values()) <= {signature(entry) for entry in theirs if entry["type"] == "error"}
    onward = (*artifact("MessageRouter").abi, *artifact("StrategyRegistry").abi)
    known = {signature(entry) for entry in onward if entry["type"] == "function"}
    assert {call.name + call.types for call in (FORWARD, RETURN, VOTE)} <= known


def test_the_relayer_reads_what_is_sent_and_given_back() -> None:
    """A message and word of an expiry are withdrawals that the relayer takes for what they are, with the value and gas that L1 wants."""
    desk, target = linked(), account_word(FRIEND)
    l1 = Counterpart(desk)
    desk.block(desk.deposit("alice", 1_000))
    until = desk.timestamp + 50
    sent = desk.block(desk.send("alice", "send", OTHER, target, 70_000, until, b"hello", value=9 * UNIT))
    name = sent.results[0].data
    (forward,) = _carried(sent)
    assert isinstance(forward, Forward)
    assert to_hex(name) == forward.envelope.hash
    assert (CHAIN_ID, OTHER, 0, 9 * UNIT, 70_000, until, b"hello") == (
        forward.envelope.source, forward.envelope.destination, forward.envelope.nonce, forward.envelope.value,
        forward.envelope.gas_limit, forward.envelope.valid_until, forward.envelope.data,
    )  # fmt: skip
    ((to, wei, (nonce, sender, *_, gas, _)),) = passed(sent)
    assert (ENDS.messenger, 9 * UNIT, 1 << 240, MAILBOX) == (to, wei, nonce, sender)
    assert 600_000 + 160_000 + 70_000 * 64 // 63 + (24 + 64) * 5 == gas
    message = envelope(value=2 * UNIT + 5, data=b"nothing here", valid_until=desk.timestamp + 3)
    desk.block(l1.deliver(message))
    back = desk.block(desk.send("bob", "exportUndelivered", tuple(message)), seconds=5)
    (returned,) = _carried(back)
    assert isinstance(returned, Return)
    assert (to_hex(message.name), desk.timestamp) == (returned.header.hash, returned.time)
    assert 2 * UNIT + 5 == passed(back)[0][1]


def _carried(executed: Executed) -> list[Any]:
    class Head:
        hash, number = bytes(32), 1

        class sealed:  # noqa: N801 - stands for a field
            timestamp = 0

    logs = [log for receipt in executed.receipts for log in logs_json(Head, 0, receipt, 0)]  # type: ignore[arg-type]
    topic = to_hex(EVENTS["MessagePassed"].topic)
    return [carried(read_passed(log).withdrawal, PLACES) for log in logs if log["topics"][0] == topic]


def test_a_message_calls_what_l1_could_force_in_the_name_of_its_sender_there() -> None:
    """It has no right to what the same address owns here, until it was given a key; and never to trade."""
    desk = linked(QUICK)
    l1 = Counterpart(desk)
    desk.block(desk.deposit("alice", 1_000), desk.deposit("bob", 10))
    alice, bob = desk.account("alice"), desk.account("bob")
    there = remote(OTHER, account_word(address("alice")))
    take = call_data("transfer", alice, bob, 400)

    def sent(data: bytes, to: bytes = ACCOUNTS, **changes: Any) -> Envelope:
        fields = {"sender": account_word(address("alice")), "target": account_word(to), "data": data}
        return envelope(nonce=l1.sent, **(fields | changes))

    first = sent(take)
    assert ["MessageFailed", "RelayedMessage"] == _names(desk.block(l1.deliver(first)))
    desk.block(desk.send("alice", "registerKey", alice, there, 4, 2**40))
    assert ["success"] == [one.status for one in desk.block(desk.send("bob", "replay", tuple(first))).results]
    assert 600 == desk.world.accounts[alice].cash
    assert ["NotReplayable"] == errors_of(desk.block(desk.send("bob", "replay", tuple(first))))
    other = sent(take, source=903)
    assert "MessageFailed" in _names(desk.block(l1.deliver(other)))
    order = call_data("placeOrder", (alice, 1, True, 1, 1, 0, 0, False, 0, 0))
    assert "MessageFailed" in _names(desk.block(l1.deliver(sent(order, EXCHANGE))))
    assert "MessageFailed" in _names(desk.block(l1.deliver(sent(b"", MAILBOX))))
    funded = sent(call_data("deposit", bob), value=30 * UNIT + 4)
    assert "MessageExecuted" in _names(desk.block(l1.deliver(funded)))
    assert (440, 4) == (desk.world.accounts[bob].cash, desk.world.globals.dust)
    assert [] == violations(desk.world)


def test_only_the_rollups_own_messenger_and_router_are_believed() -> None:
    """A forged relay, another speaker, another destination, another value: nothing is delivered, and what came with it isn't lost."""
    desk = linked(QUICK)
    l1 = Counterpart(desk)
    message = envelope(value=5 * UNIT)
    forged = l1.deposit(l1.call(ENDS.router, MAILBOX, call_data("deliver", tuple(message)), 5 * UNIT), FRIEND)
    assert ["NotReplayable"] == errors_of(desk.block(forged))
    speaker = l1.deposit(l1.call(b"\x66" * 20, MAILBOX, call_data("deliver", tuple(message)), 5 * UNIT))
    elsewhere = l1.deliver(message._replace(destination=OTHER))
    short = l1.deliver(message, 4 * UNIT)
    direct = desk.deposit("alice", 5, to=MAILBOX, data=call_data("deliver", tuple(message)), value=5 * UNIT)
    executed = desk.block(speaker, elsewhere, short, direct)
    assert ["", "", "", "WrongSection"] == errors_of(executed)
    assert ["FailedRelayedMessage"] * 3 == [name for name in _names(executed) if "Relayed" in name]
    assert Incoming.NONE == state_of(desk.world, Box.INCOMING, message.name)
    assert 14 * UNIT == post(desk.world).held
    assert [] == violations(desk.world)
    desk.block(desk.deposit("bob", 50_000_000))
    again = desk.send("bob", "relayMessage", *l1.call(ENDS.router, MAILBOX, b"", nonce=7))
    assert ["NotReplayable"] == errors_of(desk.block(again))


def _names(executed: Executed) -> list[str]:
    return [name for receipt in executed.receipts for name, _ in events(receipt)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_every_message_ends_in_one_way_and_no_wei_is_lost(seed: int) -> None:
    """Whatever comes twice, late or early: executed at most once, refunded at most once; and a snapshot of it is the same state."""
    world = post_day(seed, 30).desk.world
    assert world.root() == load(dump(world)).root()


def _delivers_twice(old: Any) -> Any:
    def state(world: World, box: Box, name: bytes) -> int:
        found = int(old(world, box, name))
        return 0 if (box, found) == (Box.INCOMING, Incoming.EXECUTED) else found

    return state


def _ignores_expiry(old: Any) -> Any:
    def run(world: World, context: Context, message: Envelope, how: Any) -> Any:
        now, context.timestamp = context.timestamp, 0
        try:
            return old(world, context, message, how)
        finally:
            context.timestamp = now

    return run


def _forgets_refunds(old: Any) -> Any:
    return lambda world, letter: old(world, letter) if letter.state != Outgoing.REFUNDED else None


def _keeps_custody(old: Any) -> Any:
    return lambda world, wei: None


def _exports_again(old: Any) -> Any:
    def put(world: World, box: Box, name: bytes, state: int) -> None:
        if state != Incoming.EXPORTED:
            old(world, box, name, state)

    return put


def _gives_to_the_speaker(old: Any) -> Any:
    return lambda world, context, who, wei: old(world, context, b"\x66" * 20, wei)


@pytest.mark.parametrize(
    ("target", "name", "made"),
    [
        (mailbox, "state_of", _delivers_twice),
        (mailbox, "_execute", _ignores_expiry),
        (mailbox, "put", _forgets_refunds),
        (mailbox, "hold", _keeps_custody),
        (mailbox, "put_state", _exports_again),
        (mailbox, "give", _gives_to_the_speaker),
        (messenger, "hold", _keeps_custody),
    ],
    ids=lambda one: one.__name__[1:] if callable(one) else None,
)
def test_a_mutant_is_caught(target: Any, name: str, made: Callable[[Any], Any]) -> None:
    """Each of these mistakes shows within a few days."""
    with patched(target, name, made), pytest.raises(AssertionError):
        _days(12)


def _days(count: int) -> None:
    for seed in range(count):
        post_day(seed, 30)


def test_a_calldata_of_the_mailbox_is_what_solidity_decodes() -> None:
    """The envelope of an event, read by the reference decoder, is the one that was sent."""
    desk = linked(QUICK)
    desk.block(desk.deposit("alice", 100))
    executed = desk.block(
        desk.send("alice", "send", OTHER, account_word(FRIEND), 5, desk.timestamp + 9, b"abc", value=UNIT)
    )
    log = next(log for log in executed.receipts[0].logs if log.topics[0] == EVENTS["MessageSent"].topic)
    kind = "(uint8,uint64,uint64,uint256,bytes32,bytes32,uint256,uint64,uint64,bytes)"
    (fields,) = eth_decode([kind], log.data)
    assert log.topics[1] == Envelope(*fields).name


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_long_run_of_days() -> None:
    """The same as above, and longer, fifty times."""
    for seed in range(50):
        post_day(seed, 80)
