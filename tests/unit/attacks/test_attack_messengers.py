"""Attacks on what crosses as a message: refused or harmless, and every wei and every unit of the token is accounted for after each. The messengers, in both directions.

The names X… are those of the attacks in the protocol reference.
"""

from dataclasses import replace
from typing import Any

import pytest

from bridge.contracts.addresses import (
    L2_CROSS_DOMAIN_MESSENGER,
    L2_STANDARD_BRIDGE,
    L2_TO_L1_MESSAGE_PASSER,
)
from bridge.wire.deposits import apply_alias
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.settlement.testing_accounting import (
    MESSENGER,
    Message,
    ether,
    sent,
)
from orchestrator.settlement.testing_bridge import PERIOD_S, finalizing
from orchestrator.settlement.testing_chains import Refused
from orchestrator.settlement.testing_lane import Lane
from orchestrator.settlement.testing_scene import (
    ACCEPT,
    ETHER,
    FRIEND,
    REFUSE,
    Scene,
)
from orchestrator.settlement.testing_sides import theirs

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_message_runs_once_and_carries_its_sender_and_value(lane: Lane) -> None:
    """INV-06, INV-14: delivered, it can't be relayed again; its target sees who sent it, and nobody does afterwards."""
    await lane.intruder.ask(lane.scene.crook, theirs(MESSENGER, lane.messenger, "xDomainMessageSender"))
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", ETHER, 500_000)
    assert (True, False) == await lane.state(message)
    assert from_hex(lane.scene.user.address).rjust(32, b"\0") == await lane.intruder.read("before")
    assert (1, ETHER) == (
        await lane.intruder.read("visits"),
        await lane.there.balance(lane.intruder.address),
    )
    with pytest.raises(Refused, match="cannot be replayed"):
        await lane.relay(message)
    with pytest.raises(Refused, match="is not set"):
        await lane.there.simulate(theirs(MESSENGER, lane.messenger, "xDomainMessageSender"))


async def test_a_message_that_failed_waits_and_runs_once(lane: Lane) -> None:
    """A target that refuses loses nothing: the messenger keeps the ether, anybody replays, the target is paid once."""
    await lane.intruder.feel(lane.scene.crook, REFUSE)
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", ETHER)
    assert (False, True) == await lane.state(message)
    assert ETHER == await lane.there.balance(lane.messenger)
    await lane.relay(message)  # still refused; the relay itself goes well
    assert (False, True) == await lane.state(message)
    await lane.intruder.feel(lane.scene.crook, ACCEPT)
    await lane.relay(message)
    assert (True, True) == await lane.state(message)
    assert (0, ETHER) == (
        await lane.there.balance(lane.messenger),
        await lane.there.balance(lane.intruder.address),
    )
    with pytest.raises(Refused, match="already been relayed"):
        await lane.relay(message)


async def test_a_failed_message_is_replayed_as_it_was_sent(lane: Lane) -> None:
    """INV-11: with any field changed it is a message that never came; with ether on top it is refused."""
    await lane.intruder.feel(lane.scene.crook, REFUSE)
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", ETHER)
    await lane.intruder.feel(lane.scene.crook, ACCEPT)
    changes: dict[str, Any] = {
        "nonce": message.nonce + 1,
        "sender": lane.scene.crook.address,
        "target": FRIEND,
        "value": 2 * ETHER,
        "gas": message.gas - 1,
        "data": b"\2",
    }
    for name, value in changes.items():
        with pytest.raises(Refused, match="cannot be replayed"):
            await lane.relay(replace(message, **{name: value}))
    with pytest.raises(Refused, match="value must be zero"):
        await lane.there.send(lane.scene.crook, replace(message.relay(lane.messenger), value=1))
    await lane.relay(message)


async def test_a_message_of_another_version_is_none(lane: Lane) -> None:
    """The version in the nonce's first bytes doesn't open a second name for a message that ran."""
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", 0, 500_000)
    for version, why in (
        (0, "cannot be replayed"),
        (2, "only version 0 or 1"),
        (0xFFFF, "only version 0 or 1"),
    ):
        nonce = message.nonce % 2**240 + (version << 240)
        with pytest.raises(Refused, match=why):
            await lane.relay(replace(message, nonce=nonce))


async def test_nobody_else_delivers(lane: Lane) -> None:
    """X4: a message that was never sent is refused, from an account, from a contract, and from whom the bridge trusts most."""
    scene, messenger = lane.scene, lane.messenger
    loot = Message(2**240 + 99, L2_STANDARD_BRIDGE, scene.crook.address, 0, 0, b"")
    with pytest.raises(Refused, match="cannot be replayed"):
        await lane.relay(loot)
    with pytest.raises(Refused, match="cannot be replayed"):
        await lane.there.send(scene.crook, lane.intruder.acting(loot.relay(messenger)))
    message = await lane.deliver(scene.crook, messenger, loot.relay(messenger).data)
    assert (False, False) == await lane.state(loot)
    assert not (await lane.state(message))[0]


async def test_unsafe_targets_are_refused_and_cost_only_their_sender(lane: Lane) -> None:
    """X5, INV-13: a message to the messenger, the portal or the passer does not arrive; what it carried is its sender's loss."""
    scene = lane.scene
    targets = [lane.messenger, scene.alpha.portal if lane.up else L2_TO_L1_MESSAGE_PASSER]
    alias = to_hex(apply_alias(from_hex(scene.alpha.where.messenger)))
    for count, target in enumerate(targets, 1):
        before = await ether(scene.bridge, scene.alpha)
        message = await lane.deliver(scene.crook, target, b"", ETHER)
        after = await ether(scene.bridge, scene.alpha)
        assert (False, False) == await lane.state(message)
        with pytest.raises(Refused, match="cannot be replayed"):
            await lane.relay(message)
        if lane.up:
            assert (before.held, before.stranded + ETHER) == (after.held, after.stranded)
        else:
            assert count * ETHER == await scene.alpha.balance(alias)  # the mint of a deposit that failed


async def test_a_target_without_code_takes_a_message_for_good(lane: Lane) -> None:
    """X14: it is done when it ran against nothing; code that is put there later can't have it again."""
    message = await lane.deliver(lane.scene.user, FRIEND, b"\1\2\3\4", ETHER)
    assert (True, False) == await lane.state(message)
    assert ETHER == await lane.there.balance(FRIEND)
    with pytest.raises(Refused, match="cannot be replayed"):
        await lane.relay(message)


async def test_a_message_into_itself_is_not_run_twice(lane: Lane) -> None:
    """X8: a target that relays the message that it is called by, while it runs or while it is replayed, is called once."""
    await lane.intruder.feel(lane.scene.crook, REFUSE)
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", ETHER, 1_000_000)
    await lane.intruder.feel(lane.scene.crook, ACCEPT)
    await lane.intruder.rehearse(lane.scene.crook, message.relay(lane.messenger))
    await lane.relay(message)
    assert [True] == [success for success, _ in await lane.intruder.outcomes(1)]  # noted as failed once more
    assert (True, True) == await lane.state(message)
    assert [1, 0] == [await lane.intruder.read("visits"), await lane.intruder.read("nested")]
    assert ETHER == await lane.there.balance(lane.intruder.address)
    with pytest.raises(Refused, match="already been relayed"):
        await lane.relay(message)


async def test_a_message_into_another_neither_runs_it_nor_lends_it_a_sender(lane: Lane) -> None:
    """X8, INV-14: inside a relay, other messages don't run; the sender that a target sees stays its own; all run later."""
    scene = lane.scene
    await lane.intruder.feel(scene.crook, REFUSE)
    other = await lane.deliver(scene.crook, lane.intruder.address, b"\2", 7)
    await lane.intruder.feel(scene.crook, ACCEPT)
    await lane.intruder.rehearse(scene.crook, other.relay(lane.messenger))
    await lane.intruder.ask(scene.crook, theirs(MESSENGER, lane.messenger, "xDomainMessageSender"))
    message = await lane.deliver(scene.user, lane.intruder.address, b"\1", 0, 1_500_000)
    assert ((True, False), (False, True)) == (await lane.state(message), await lane.state(other))
    asked = [await lane.intruder.read(when) for when in ("before", "afterwards")]
    assert [from_hex(scene.user.address).rjust(32, b"\0")] * 2 == asked
    assert (0, 7) == (
        await lane.there.balance(lane.intruder.address),
        await lane.there.balance(lane.messenger),
    )
    await lane.intruder.rehearse(scene.crook)
    await lane.relay(other)
    assert 7 == await lane.there.balance(lane.intruder.address)


async def test_a_target_may_send_on_while_it_is_called(lane: Lane) -> None:
    """A message out of a message is a new one, from the target, paid by the target."""
    back, source = lane.scene, lane.messenger
    answer = theirs(MESSENGER, source, "sendMessage", FRIEND, b"", 100_000, value=ETHER)
    await lane.intruder.rehearse(back.crook, answer)
    message = await lane.deliver(back.user, lane.intruder.address, b"\1", ETHER, 2_000_000)
    assert (True, False) == await lane.state(message)
    assert [True] == [success for success, _ in await lane.intruder.outcomes(1)]
    assert 0 == await lane.there.balance(lane.intruder.address)
    if lane.up:
        await back.alpha.follow()
        assert ETHER == await back.alpha.balance(FRIEND)
    else:
        await back.bridge.finish(back.crook, back.alpha, back.alpha.passed[-1])
        assert ETHER == await back.bridge.l1.balance(FRIEND)


async def test_too_little_gas_fails_a_message_but_never_loses_it(scene: Scene) -> None:
    """X10: for every amount of gas of a relayer, a withdrawn message is refused, run with the gas it asked for, or kept for replay."""
    lane, wanted = Lane(scene, up=True), 300_000
    passed, receipt = await scene.message_to_l1(scene.user, scene.on_l1.address, b"\1", ETHER, wanted)
    (message,) = sent(receipt, L2_CROSS_DOMAIN_MESSENGER)
    await scene.bridge.prove(scene.crook, scene.alpha, passed)
    scene.bridge.l1.wait(PERIOD_S)
    call, outcomes = finalizing(scene.alpha, passed.withdrawal), set()
    for gas in range(300_000, 1_000_000, 20_000):
        async with scene.bridge.undone():
            try:
                await scene.bridge.l1.send(scene.crook, replace(call, gas=gas))
            except Refused:
                outcome = "refused"
                await scene.bridge.l1.send(scene.crook, call)
            else:
                outcome = {(True, False): "ran", (False, True): "kept"}[await lane.state(message)]
            if outcome == "kept":
                await lane.relay(message)
            outcomes.add(outcome)
            assert (True, outcome == "kept") == await lane.state(message)
            assert wanted - 500 < await scene.on_l1.read("gasSeen")
            assert ETHER == await scene.bridge.l1.balance(scene.on_l1.address)
    assert {"refused", "ran"} <= outcomes


async def test_a_replay_with_too_little_gas_can_be_repeated(lane: Lane) -> None:
    """X10: a starved replay is refused or fails; the message stays as replayable as before."""
    await lane.intruder.feel(lane.scene.crook, REFUSE)
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", ETHER, 300_000)
    await lane.intruder.feel(lane.scene.crook, ACCEPT)
    starved = set()
    for gas in range(25_000, 400_000, 25_000):
        try:
            await lane.relay(message, gas)
        except Refused:
            starved.add("refused")
        else:
            starved.add("noted")
        assert (False, True) == await lane.state(message)
    assert {"refused", "noted"} == starved
    await lane.relay(message)
    assert (True, True) == await lane.state(message)
    assert wanted_gas(message) < await lane.intruder.read("gasSeen")


def wanted_gas(message: Message) -> int:
    """What a target has at least when it looks: what it was promised, less its own way to the note."""
    return message.gas - 500


async def test_a_deposited_message_always_has_the_gas_to_be_noted(scene: Scene) -> None:
    """X10: the L1 messenger buys enough gas for whatever minimum is asked, none included, so that no message is lost in the deposit."""
    for gas in (0, 1, 1_000, 21_000, 1_000_000):
        for data in (b"\1", b"\1" * 5_000):
            message = await Lane(scene, up=False).deliver(scene.user, scene.on_l2.address, data, 1, gas)
            assert True in await Lane(scene, up=False).state(message)


async def test_a_pause_keeps_messages_on_l1_from_running(scene: Scene) -> None:
    """The guardian stops replays on L1 and what the bridge pays there; deposits to the rollup go on."""
    lane, guardian = Lane(scene, up=True), scene.bridge.role("guardian")
    await scene.on_l1.feel(scene.crook, REFUSE)
    message = await lane.deliver(scene.user, scene.on_l1.address, b"\1", ETHER)
    await scene.on_l1.feel(scene.crook, ACCEPT)
    await scene.bridge.l1.send(guardian, theirs("SuperchainConfig", scene.superchain, "pause", "attack"))
    with pytest.raises(Refused, match="paused"):
        await lane.relay(message)
    down = await Lane(scene, up=False).deliver(scene.user, FRIEND, b"", ETHER)
    assert (True, False) == await Lane(scene, up=False).state(down)
    await scene.bridge.l1.send(guardian, theirs("SuperchainConfig", scene.superchain, "unpause"))
    await lane.relay(message)
