"""Messages between rollups over the real messengers and portals: expiry and refund."""

import pytest

from bridge.contracts.addresses import (
    CROSS_ROLLUP_MAILBOX,
)
from bridge.contracts.testing import (
    Failed,
    names,
)
from bridge.wire.keccak import keccak256
from orchestrator.settlement.testing_messages import (
    ACCEPT,
    BURN_ALL_GAS,
    ETHER,
    FRIEND,
    NO_SUCH_ROLLUP,
    REFUSE,
    SMALL,
    STRANGER,
    USER,
    World,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_last_valid_second_is_valid_and_the_next_is_not(world: World) -> None:
    """At ``validUntil`` a message runs and can't be exported; a second later the other way round (X13)."""
    await world.puppet.send(USER, "feel", REFUSE)
    message, other = await world.send(value=1), await world.send(value=1, valid_s=1_000)
    await world.bridge.settle()
    await world.puppet.send(USER, "feel", ACCEPT)
    world.wait(message.envelope[8])
    with pytest.raises(Failed, match="StillValid"):
        await world.hand_in(message)
    await world.inbox.send(STRANGER, "replay", message.envelope)
    world.wait(other.envelope[8] + 1)
    with pytest.raises(Failed, match="ReplayFailed") as failed:
        await world.inbox.send(STRANGER, "replay", other.envelope)
    assert failed.value.error is not None
    assert keccak256(b"Expired(uint64,uint256)")[:4] == failed.value.error.arguments["reason"][:4]
    await world.hand_in(other)
    with pytest.raises(Failed, match="NotExportable"):
        await world.hand_in(message)


async def test_an_expired_message_refunds_its_sender_once(world: World) -> None:
    """The value that failed at the destination comes back over L1 to the sender; afterwards nothing moves any more."""
    await world.puppet.send(USER, "feel", REFUSE)
    message = await world.send(value=ETHER)
    await world.cross()
    await world.puppet.send(USER, "feel", ACCEPT)
    world.wait(message.envelope[8] + 1)
    before = await world.source.chain.balance(USER)
    await world.hand_in(message)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "EXPORTED") == await world.states(message)
    assert before + ETHER == await world.source.chain.balance(USER)
    for function in ("exportUndelivered", "replay"):
        with pytest.raises(Failed, match=r"NotExportable|NotReplayable"):
            await world.inbox.send(STRANGER, function, message.envelope)
    for mailbox in (world.inbox, world.outbox):
        assert 0 == await mailbox.chain.balance(CROSS_ROLLUP_MAILBOX)


async def test_a_message_that_comes_too_late_is_kept_and_returned(world: World) -> None:
    """Delivered after ``validUntil`` it never runs, and goes back like any other that expired."""
    message = await world.send(value=ETHER, valid_s=100)
    world.wait(message.envelope[8] + 1)
    (event,) = world.inbox.events(await world.cross())
    assert "MessageFailed" == event.name
    assert 0 == await world.puppet.read("calls")
    await world.hand_in(message)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "EXPORTED") == await world.states(message)


async def test_a_word_ahead_of_its_message_stops_it_on_l1(world: World) -> None:
    """Exported before it was even finalized: the source knows at once, and when L1 meets the value, it turns round there."""
    message = await world.send(value=ETHER, valid_s=100)
    world.wait(message.envelope[8] + 1)
    await world.hand_in(message)
    (word_of_it,) = world.destination.withdrawals
    await world.bridge.finalize(word_of_it)
    await world.bridge.derive(world.source.chain_id)
    assert ("EXPIRED", "CANCELLED", "EXPIRED") == await world.states(message)
    before = await world.source.chain.balance(USER)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "EXPIRED") == await world.states(message)
    assert before + ETHER == await world.source.chain.balance(USER)
    assert 0 == await world.bridge.l1.balance(world.router.address)


@pytest.mark.parametrize("word_first", [True, False])
async def test_a_message_behind_its_word_is_refused_and_its_value_returned(
    world: World, word_first: bool
) -> None:
    """Late at the destination it is never run; its value comes back by a second export, whichever of both L1 finalizes first."""
    message = await world.send(value=ETHER, valid_s=100)
    (withdrawal,) = world.source.withdrawals
    await world.bridge.finalize(withdrawal)
    world.wait(message.envelope[8] + 1)
    await world.hand_in(message)
    with pytest.raises(Failed, match="NotExportable"):
        await world.hand_in(message)
    receipt = await world.bridge.derive(world.destination.chain_id)
    assert ["MessageLate"] == names(world.inbox.events(receipt))
    assert ("SENT", "FORWARDED", "LATE") == await world.states(message)
    with pytest.raises(Failed, match="NotReplayable"):
        await world.inbox.send(STRANGER, "replay", message.envelope)
    await world.hand_in(message)
    before = await world.source.chain.balance(USER)
    word_of_it, value_of_it = world.destination.withdrawals
    for withdrawal in (word_of_it, value_of_it) if word_first else (value_of_it, word_of_it):
        await world.bridge.finalize(withdrawal)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "EXPORTED") == await world.states(message)
    assert before + ETHER == await world.source.chain.balance(USER)
    assert 0 == await world.puppet.read("calls")


async def test_a_message_without_value_is_over_with_its_word(world: World) -> None:
    """Nothing has to come back, so the word alone refunds; the message itself, late, ends without a trace."""
    message = await world.send(valid_s=100)
    world.wait(message.envelope[8] + 1)
    await world.hand_in(message)
    (word_of_it,) = world.destination.withdrawals
    await world.bridge.finalize(word_of_it)
    await world.bridge.derive(world.source.chain_id)
    assert ("REFUNDED", "CANCELLED", "EXPIRED") == await world.states(message)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "EXPIRED") == await world.states(message)


@pytest.mark.parametrize(
    ("to", "gas", "data"), [(NO_SUCH_ROLLUP, 0, b""), (900, 0, b""), (SMALL, 2_000_000, b"ping")]
)
async def test_what_no_rollup_takes_turns_round_on_l1(world: World, to: int, gas: int, data: bytes) -> None:
    """No such rollup, L1 itself, or more gas than a small rollup's portal ever lets through: refunded without waiting for any expiry."""
    message = await world.send(to=to, gas=gas, data=data, value=ETHER)
    before = await world.source.chain.balance(USER)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "NONE") == await world.states(message)
    assert before + ETHER == await world.source.chain.balance(USER)


async def test_what_fits_a_small_rollup_arrives_there(world: World) -> None:
    """Just not too much."""
    small = world.bridge.rollups[SMALL]
    await world.send(FRIEND, b"", to=SMALL, gas=1_000_000, value=3)
    await world.bridge.settle()
    assert 3 == await small.chain.balance(FRIEND)


@pytest.mark.parametrize("mood", [REFUSE, BURN_ALL_GAS])
async def test_a_refund_that_its_sender_does_not_take_is_claimed(world: World, mood: int) -> None:
    """A sender that refuses ether, or burns all gas it gets, loses nothing: it claims to wherever it likes, once."""
    message = await world.send_as(world.double, ETHER, valid_s=100)
    await world.double.send(USER, "feel", mood)
    world.wait(message.envelope[8] + 1)
    await world.cross()
    await world.hand_in(message)
    receipts = await world.bridge.settle()
    refunds = [event for receipt in receipts for event in world.outbox.events(receipt)]
    assert ["MessageRefunded"] == names(refunds)
    assert True is refunds[0].arguments["claimable"]
    assert ETHER == await world.outbox.read("claimable", world.double.address)
    claim = world.outbox.interface.encode_call("claim", FRIEND)
    await world.double.send(USER, "act", CROSS_ROLLUP_MAILBOX, 0, claim)
    assert ETHER == await world.source.chain.balance(FRIEND)
    with pytest.raises(Failed):
        await world.double.send(USER, "act", CROSS_ROLLUP_MAILBOX, 0, claim)
    with pytest.raises(Failed, match="NothingToClaim"):
        await world.outbox.send(USER, "claim", USER)
    assert 0 == await world.source.chain.balance(CROSS_ROLLUP_MAILBOX)
