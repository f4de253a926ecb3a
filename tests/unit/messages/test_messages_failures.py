"""Messages between rollups over the real messengers and portals: failing, and trying again."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.contracts.addresses import (
    CROSS_ROLLUP_MAILBOX,
    L2_CROSS_DOMAIN_MESSENGER,
)
from bridge.contracts.artifacts import artifact
from bridge.contracts.testing import (
    NOBODY,
    Failed,
    names,
    theirs,
)
from bridge.wire.deposits import decode_deposit, encode_deposit
from bridge.wire.keccak import keccak256, to_hex
from orchestrator.settlement.testing_messages import (
    ACCEPT,
    BURN_ALL_GAS,
    ETHER,
    FIELDS,
    FRIEND,
    REFUSE,
    STRANGER,
    USER,
    ZERO,
    Message,
    World,
    word,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_message_that_fails_is_kept_and_replayed_by_anyone_once(world: World) -> None:
    """The value waits in the mailbox, the reason is in the event, and success ends it."""
    await world.puppet.send(USER, "feel", REFUSE)
    message = await world.send(value=ETHER)
    receipt = await world.cross()
    (event,) = world.inbox.events(receipt)
    assert "MessageFailed" == event.name
    assert "Refused(value=1000000000000000000)" == str(
        world.puppet.interface.decode_error(event.arguments["reason"])
    )
    assert ETHER == await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX)
    with pytest.raises(Failed, match="ReplayFailed"):
        await world.inbox.send(STRANGER, "replay", message.envelope)
    await world.puppet.send(USER, "feel", ACCEPT)
    await world.inbox.send(STRANGER, "replay", message.envelope)
    assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(message)
    assert (0, ETHER) == (
        await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX),
        await world.destination.chain.balance(world.puppet.address),
    )
    with pytest.raises(Failed, match="NotReplayable"):
        await world.inbox.send(STRANGER, "replay", message.envelope)


@pytest.mark.parametrize(("field", "bit"), [(name, bit) for name in FIELDS for bit in (0, 1)])
async def test_an_altered_message_is_another_one(world: World, field: str, bit: int) -> None:
    """Whichever field is altered, nobody sent that: it can't be replayed, and an export says nothing about the true one."""
    await world.puppet.send(USER, "feel", REFUSE)
    message = await world.send(value=2, data=b"ping")
    await world.cross()
    await world.puppet.send(USER, "feel", ACCEPT)
    value = message.envelope[FIELDS.index(field)]
    if isinstance(value, int):
        forged = message.altered(**{field: value ^ 1 << bit})
    else:
        forged = message.altered(**{field: value[:-1] + bytes([value[-1] ^ 1 << bit])})
    with pytest.raises(Failed, match="NotReplayable"):
        await world.inbox.send(STRANGER, "replay", forged)
    world.wait(message.envelope[8] + 4)
    if field == "dstChainId":
        with pytest.raises(Failed, match="WrongChain"):
            await world.inbox.send(STRANGER, "exportUndelivered", forged)
    else:
        await world.hand_in(Message(b"", forged, {}))
        await world.bridge.settle()
    assert ("SENT", "FORWARDED", "FAILED") == await world.states(message)
    assert 2 == await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX)


async def test_data_for_an_account_without_code_fails_until_there_is_code(world: World) -> None:
    """No call that does nothing counts as executed (X14); a plain transfer to an account without code does."""
    nonce = int(await world.destination.chain.client.call("eth_getTransactionCount", STRANGER, "latest"), 16)
    assert nonce == 0
    plain = await world.send(FRIEND, b"", value=5)
    await world.cross()
    assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(plain)
    assert 5 == await world.destination.chain.balance(FRIEND)
    message = await world.send(FRIEND, b"ping", value=7)
    (event,) = world.inbox.events(await world.cross())
    error = world.inbox.interface.decode_error(event.arguments["reason"])
    assert error is not None
    assert ("MessageFailed", "NoCode") == (event.name, error.name)
    await world.destination.chain.place(FRIEND, artifact("Puppet").creation_code)
    await world.inbox.send(STRANGER, "replay", message.envelope)
    assert 12 == await world.destination.chain.balance(FRIEND)


@pytest.mark.parametrize("precompile", [1, 2, 4, 9])
async def test_precompiles_have_no_code(world: World, precompile: int) -> None:
    """Data for a precompile fails: nothing there could have wanted a message."""
    message = await world.send(to_hex(precompile.to_bytes(20, "big")), b"ping", value=1)
    await world.cross()
    assert ("SENT", "FORWARDED", "FAILED") == await world.states(message)


async def test_a_target_that_burns_its_gas_leaves_enough_to_note_the_failure(world: World) -> None:
    """On delivery as on replay the message stays replayable, and the value is kept."""
    await world.puppet.send(USER, "feel", BURN_ALL_GAS)
    message = await world.send(value=ETHER)
    await world.cross()
    assert ("SENT", "FORWARDED", "FAILED") == await world.states(message)
    with pytest.raises(Failed, match="ReplayFailed"):
        await world.inbox.send(STRANGER, "replay", message.envelope, gas=1_000_000)
    assert ETHER == await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX)


@settings(
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
@given(gas=st.one_of(st.integers(60_000, 1_500_000), st.integers(1_090_000, 1_180_000)))
async def test_a_replay_with_too_little_gas_never_reaches_the_target(world: World, gas: int) -> None:
    """However the gas is cut (X10), the target has what it was promised or isn't called, and can be tried again."""
    chain = world.destination.chain
    snapshot = await chain.client.call("evm_snapshot")
    try:
        await world.puppet.send(USER, "feel", REFUSE)
        message = await world.send(value=1, gas=1_000_000)
        await world.cross()
        await world.puppet.send(USER, "feel", ACCEPT)
        try:
            await world.inbox.send(STRANGER, "replay", message.envelope, gas=gas)
        except Failed:
            assert ("SENT", "FORWARDED", "FAILED") == await world.states(message)
            assert 0 == await world.puppet.read("calls")
            await world.inbox.send(STRANGER, "replay", message.envelope)
        assert 1_000_000 <= await world.puppet.read("gasSeen")
        assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(message)
    finally:
        await chain.client.call("evm_revert", snapshot)


async def test_a_message_cannot_run_again_inside_itself(world: World) -> None:
    """While it runs it counts as executed already (X8)."""
    await world.puppet.send(USER, "feel", REFUSE)
    message = await world.send(value=2)
    await world.cross()
    await world.puppet.send(USER, "feel", ACCEPT)
    again = world.inbox.interface.encode_call("replay", message.envelope)
    await world.puppet.send(USER, "rehearse", CROSS_ROLLUP_MAILBOX, again)
    await world.inbox.send(STRANGER, "replay", message.envelope)
    error = world.inbox.interface.decode_error(await world.puppet.read("scriptResult"))
    assert error is not None
    assert ("NotReplayable", 2) == (error.name, error.arguments["state"])
    assert (1, 2) == (
        await world.puppet.read("calls"),
        await world.destination.chain.balance(world.puppet.address),
    )


async def test_no_message_runs_inside_another(world: World) -> None:
    """A second message replayed by the first one's target is refused and stays as it was; the sender that is seen doesn't change."""
    await world.puppet.send(USER, "feel", REFUSE)
    outer, inner = await world.send(), await world.send(value=5, sender=STRANGER)
    await world.bridge.settle()
    await world.puppet.send(USER, "feel", ACCEPT)
    other = world.inbox.interface.encode_call("replay", inner.envelope)
    await world.puppet.send(USER, "rehearse", CROSS_ROLLUP_MAILBOX, other)
    await world.inbox.send(STRANGER, "replay", outer.envelope)
    error = world.inbox.interface.decode_error(await world.puppet.read("scriptResult"))
    assert error is not None
    assert "ReplayFailed" == error.name
    assert keccak256(b"Reentered()")[:4] == error.arguments["reason"]
    assert ("FAILED", "EXECUTED") == ((await world.states(inner))[2], (await world.states(outer))[2])
    assert word(USER) == await world.puppet.read("senderSeen")


async def test_a_delivery_inside_another_message_is_kept_not_run(world: World) -> None:
    """A target that makes the messenger relay another delivery finds it taken into custody as failed, and its own sender unchanged (INV-14)."""
    await world.puppet.send(USER, "feel", REFUSE)
    outer = await world.send()
    await world.cross()
    inner = await world.send(value=5, sender=STRANGER)
    (withdrawal,) = world.source.withdrawals
    await world.bridge.finalize(withdrawal)
    relay = await starve(world)
    assert "NONE" == (await world.states(inner))[2]
    await world.puppet.send(USER, "feel", ACCEPT)
    await world.puppet.send(USER, "rehearse", L2_CROSS_DOMAIN_MESSENGER, relay)
    await world.inbox.send(STRANGER, "replay", outer.envelope)
    assert True is await world.puppet.read("scriptSuccess")
    assert (1, word(USER)) == (await world.puppet.read("calls"), await world.puppet.read("senderSeen"))
    assert "FAILED" == (await world.states(inner))[2]
    assert 5 == await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX)
    await world.puppet.send(USER, "rehearse", ZERO, b"")
    await world.inbox.send(NOBODY, "replay", inner.envelope)
    assert word(STRANGER) == await world.puppet.read("senderSeen")


async def starve(world: World) -> bytes:
    """Derive the destination's next deposit with too little gas for its call; the messenger keeps it. Returns the call to repeat."""
    deposit = decode_deposit(world.destination.deposits.popleft())
    receipt = await world.destination.chain.send_raw(encode_deposit(replace(deposit, gas=300_000)))
    messenger = theirs(world.destination.chain, "L2CrossDomainMessenger", L2_CROSS_DOMAIN_MESSENGER)
    assert ["FailedRelayedMessage"] == names(messenger.events(receipt))
    return deposit.data


async def test_the_same_deposit_twice_is_one_delivery(world: World) -> None:
    """Should a rollup ever derive a deposit again, the messenger refuses it and nothing changes (X15)."""
    message = await world.send(value=1)
    (withdrawal,) = world.source.withdrawals
    await world.bridge.finalize(withdrawal)
    deposit = decode_deposit(world.destination.deposits[0])
    await world.bridge.derive(world.destination.chain_id)
    again = replace(deposit, source_hash=b"\7" * 32, mint=0, value=0)
    receipt = await world.destination.chain.send_raw(encode_deposit(again))
    assert "0x0" == receipt["status"]
    assert 1 == await world.puppet.read("calls")
    assert "EXECUTED" == (await world.states(message))[2]


async def test_a_withdrawal_is_finalized_once(world: World) -> None:
    """The portal refuses the second time, so a message is routed once."""
    await world.send(value=1)
    (withdrawal,) = world.source.withdrawals
    await world.bridge.finalize(withdrawal)
    with pytest.raises(Failed, match="already been"):
        await world.bridge.finalize(withdrawal)
    assert 1 == len(world.destination.deposits)
