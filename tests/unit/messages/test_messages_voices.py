"""Messages between rollups over the real messengers and portals: who may speak, and what a rollup that lies can do."""

from typing import Any

import pytest

from bridge.contracts.addresses import (
    CROSS_ROLLUP_MAILBOX,
    L2_CROSS_DOMAIN_MESSENGER,
    L2_TO_L1_MESSAGE_PASSER,
)
from bridge.contracts.artifacts import artifact
from bridge.contracts.testing import (
    NOBODY,
    Failed,
    inner_error,
    ours,
    theirs,
)
from bridge.wire.deposits import apply_alias
from bridge.wire.keccak import from_hex, keccak256
from orchestrator.settlement.testing_messages import (
    ETHER,
    FRIEND,
    L2_MESSENGER,
    NO_SUCH_ROLLUP,
    OUTGOING,
    SMALL,
    STRANGER,
    USER,
    ZERO,
    World,
    sent_message,
    word,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_only_the_router_delivers_and_returns(world: World) -> None:
    """Neither a user, nor one with the router's own address on the rollup, nor a contract on L1 through the messenger."""
    message = await world.send(value=ETHER)
    calls = (("deliver", message.envelope), ("onUndelivered", message.digest, 0))
    for chain, mailbox in ((world.destination, world.inbox), (world.source, world.outbox)):
        for function, *arguments in calls:
            for caller in (USER, world.router.address):
                await mailbox.chain.fund(caller, ETHER)
                with pytest.raises(Failed, match="NotMessenger"):
                    await mailbox.send(caller, function, *arguments)
            l1_messenger = theirs(world.bridge.l1, "L1CrossDomainMessenger", chain.messenger)
            data = mailbox.interface.encode_call(function, *arguments)
            receipt = await l1_messenger.send(USER, "sendMessage", CROSS_ROLLUP_MAILBOX, data, 500_000)
            world.bridge.note(receipt)
            receipt = await world.bridge.derive(chain.chain_id)
            assert "NotRouter" == await inner_error(chain.chain, receipt, mailbox)
    assert ("SENT", "NONE", "NONE") == await world.states(message)


async def test_the_router_listens_only_to_mailboxes_through_their_messengers(world: World) -> None:
    """A user's own message to the router, and a direct call, are refused; no word of them is believed."""
    message = await world.send(value=ETHER)
    header = (*message.envelope[:9], keccak256(message.envelope[9]))
    world.source.withdrawals.clear()
    for function, argument in (("forward", (message.envelope,)), ("returnUndelivered", (header, 1))):
        with pytest.raises(Failed, match="NotMessenger"):
            await world.router.send(USER, function, *argument)
        data = world.router.interface.encode_call(function, *argument)
        messenger = theirs(world.destination.chain, "L2CrossDomainMessenger", L2_CROSS_DOMAIN_MESSENGER)
        receipt = await messenger.send(USER, "sendMessage", world.router.address, data, 1_000_000)
        world.bridge.note(receipt, world.destination.chain_id)
        assert "NotPeer" == await world.refusal_on_l1(world.destination)
    assert ("SENT", "NONE", "NONE") == await world.states(message)


async def test_nobody_on_l1_sends_messages_in_the_messengers_name(world: World) -> None:
    """A deposit that makes the messenger call ``send`` is refused, else anyone on L1 could be that sender."""
    data = world.outbox.interface.encode_call(
        "send", world.destination.chain_id, word(FRIEND), 0, world.now + 99, b""
    )
    l1_messenger = theirs(world.bridge.l1, "L1CrossDomainMessenger", world.source.messenger)
    receipt = await l1_messenger.send(USER, "sendMessage", CROSS_ROLLUP_MAILBOX, data, 500_000)
    world.bridge.note(receipt)
    receipt = await world.bridge.derive(world.source.chain_id)
    assert "UnsafeSender" == await inner_error(world.source.chain, receipt, world.outbox)


async def test_a_contract_on_l1_sends_under_its_alias(world: World) -> None:
    """A contract on L1 with the address of someone on a rollup isn't taken for it (X12)."""
    code = artifact("Puppet").creation_code
    impostor = ours(world.bridge.l1, "Puppet", await world.bridge.l1.create(USER, code))
    data = world.outbox.interface.encode_call(
        "send", world.destination.chain_id, word(world.puppet.address), 100_000, world.now + 99, b"ping"
    )
    portal = theirs(world.bridge.l1, "OptimismPortal", world.source.portal)
    deposit = portal.interface.encode_call(
        "depositTransaction", CROSS_ROLLUP_MAILBOX, 0, 1_000_000, False, data
    )
    world.bridge.note(await impostor.send(USER, "act", portal.address, 0, deposit))
    receipt = await world.bridge.derive(world.source.chain_id)
    alias = apply_alias(from_hex(impostor.address))
    assert alias.rjust(32, b"\0") == sent_message(world.outbox, receipt).envelope[4]
    await world.bridge.settle()
    assert alias.rjust(32, b"\0") == await world.puppet.read("senderSeen")


async def test_a_relayed_message_cannot_forge_the_word(world: World) -> None:
    """A target can make the messenger speak to the router, but only in its own name (X13, INV-08)."""
    victim = await world.send(value=ETHER, valid_s=100)
    await world.cross()
    assert "EXECUTED" == (await world.states(victim))[2]
    header = (*victim.envelope[:9], keccak256(victim.envelope[9]))
    speech = world.router.interface.encode_call("returnUndelivered", header, victim.envelope[8] + 1)
    lie = L2_MESSENGER.encode_call("sendMessage", world.router.address, speech, 1_000_000)
    await world.puppet.send(USER, "rehearse", L2_CROSS_DOMAIN_MESSENGER, lie)
    await world.send(gas=1_000_000)
    receipt = await world.cross()
    world.bridge.note(receipt, world.destination.chain_id)
    world.destination.withdrawals.pop()
    assert True is await world.puppet.read("scriptSuccess")
    assert "NotPeer" == await world.refusal_on_l1(world.destination)
    assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(victim)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"target": word(L2_CROSS_DOMAIN_MESSENGER)}, "UnsafeTarget"),
        ({"target": word(CROSS_ROLLUP_MAILBOX)}, "UnsafeTarget"),
        ({"target": word(L2_TO_L1_MESSAGE_PASSER)}, "UnsafeTarget"),
        ({"target": bytes(32)}, "UnsafeTarget"),
        ({"target": b"\1" * 32}, "UnsafeTarget"),
        ({"version": 2}, "UnknownVersion"),
        ({"gasLimit": 2**32 * 63 // 64}, "NotEnoughGas"),
    ],
)
async def test_what_a_lying_source_sends_is_kept_not_run(
    world: World, changes: dict[str, Any], error: str
) -> None:
    """The destination checks again what a mailbox should have refused; even then the value is held, not lost."""
    message = await world.send(value=1)
    world.source.withdrawals.clear()
    envelope = message.altered(**changes)
    await world.lie(world.source, "forward", envelope, value=1)
    (event,) = world.inbox.events(await world.cross())
    reason = world.inbox.interface.decode_error(event.arguments["reason"])
    assert reason is not None
    assert ("MessageFailed", error) == (event.name, reason.name)
    assert 1 == await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX)


@pytest.mark.parametrize(
    ("changes", "value", "error"),
    [
        ({"srcChainId": 902}, 1, "WrongSource"),
        ({"srcChainId": NO_SUCH_ROLLUP}, 1, "WrongSource"),
        ({}, 0, "WrongValue"),
        ({}, 2, "WrongValue"),
    ],
)
async def test_a_source_speaks_only_for_itself(
    world: World, changes: dict[str, Any], value: int, error: str
) -> None:
    """Messages in another rollup's name, or with less value than they say, don't pass the router (wrong chain)."""
    message = await world.send(value=1)
    world.source.withdrawals.clear()
    await world.lie(world.source, "forward", message.altered(**changes), value=value)
    assert error == await world.refusal_on_l1(world.source)


async def test_a_source_sends_a_message_once(world: World) -> None:
    """The router notes what it forwarded, so not even a lying mailbox delivers twice."""
    message = await world.send(value=1)
    await world.cross()
    await world.lie(world.source, "forward", message.envelope, value=1)
    assert "AlreadyRouted" == await world.refusal_on_l1(world.source)


@pytest.mark.parametrize(
    ("changes", "value", "error"),
    [
        ({"dstChainId": 901}, 0, "WrongDestination"),
        ({"dstChainId": SMALL}, 0, "WrongDestination"),
        ({"srcChainId": NO_SUCH_ROLLUP}, 0, "UnknownRollup"),
        ({}, 2, "WrongValue"),
        ({"value": 5}, 5, "NeverRouted"),
    ],
)
async def test_only_the_destination_returns_a_message(
    world: World, changes: dict[str, Any], value: int, error: str
) -> None:
    """Word from another rollup, of another value or of a message that never passed is refused on L1."""
    message = await world.send(value=1)
    await world.cross()
    *head, data = message.altered(**changes)
    await world.lie(world.destination, "returnUndelivered", (*head, keccak256(data)), 2**40, value=value)
    assert error == await world.refusal_on_l1(world.destination)


async def test_a_lying_destination_takes_nothing_but_its_own(world: World) -> None:
    """Too early a word isn't believed; and were a destination to return what it executed, it pays that itself, once."""
    message = await world.send(value=1)
    await world.cross()
    *head, data = message.envelope
    header, expiry = (*head, keccak256(data)), message.envelope[8]
    for early in (0, expiry):
        await world.lie(world.destination, "returnUndelivered", header, early, value=1)
        assert "WordTooEarly" == await world.refusal_on_l1(world.destination)
    before = await world.bridge.l1.balance(world.destination.portal)
    for _ in range(2):
        await world.lie(world.destination, "returnUndelivered", header, expiry + 1, value=1)
    first, second = world.destination.withdrawals
    await world.bridge.finalize(first)
    receipt = await world.bridge.finalize(second)
    assert "AlreadyRouted" == await inner_error(world.bridge.l1, receipt, world.router)
    assert before - 2 == await world.bridge.l1.balance(world.destination.portal)
    await world.bridge.derive(world.source.chain_id)
    assert "REFUNDED" == OUTGOING[(await world.outbox.read("outgoing", message.digest))[2]]


@pytest.mark.parametrize(
    "rollups",
    [
        [(0, STRANGER)],
        [(5, ZERO)],
        [(5, STRANGER), (5, FRIEND)],
        [(5, STRANGER), (6, STRANGER)],
    ],
)
async def test_a_directory_of_rollups_is_unambiguous(world: World, rollups: list[tuple[int, str]]) -> None:
    """No chain id or messenger is zero or entered twice."""
    contract = artifact("MessageRouter")
    with pytest.raises(Failed) as failed:
        await world.bridge.l1.create(NOBODY, contract.deployment(rollups))
    error = contract.interface.decode_error(failed.value.data)
    assert error is not None
    assert "BadRollup" == error.name
