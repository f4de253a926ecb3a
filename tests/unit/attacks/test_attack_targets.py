"""Attacks on withdrawals: refused or harmless, and the portal's ether still adds up after each. Targets, the guardian, and odd ways.

The names X… are those of the attacks in the protocol reference.
"""

from dataclasses import replace

import pytest

from bridge.contracts.addresses import L2_CROSS_DOMAIN_MESSENGER
from bridge.wire.deposits import decode_deposit
from bridge.wire.keccak import from_hex, keccak256
from orchestrator.settlement.testing_accounting import MESSENGER, Message, erc20, ether, relayed
from orchestrator.settlement.testing_attacks import oracle, proven, refused
from orchestrator.settlement.testing_bridge import PERIOD_S, finalizing, proving
from orchestrator.settlement.testing_chains import Refused, events
from orchestrator.settlement.testing_scene import ACCEPT, BURN, ETHER, FRIEND, Scene
from orchestrator.settlement.testing_sides import Call, theirs

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOBODY = "0x" + "00" * 20
DEFAULT_L2_SENDER = "0x000000000000000000000000000000000000dead"


async def test_the_portal_is_no_target(scene: Scene) -> None:
    """X5: a withdrawal that would make the portal call itself is never proven; its ether stays and is nobody's."""
    wanted = theirs(
        "OptimismPortal", scene.alpha.portal, "depositTransaction", FRIEND, ETHER, 100_000, False, b""
    )
    found = await scene.withdraw(scene.alpha.portal, ETHER, wanted.data)
    with pytest.raises(Refused, match="BadTarget"):
        await scene.bridge.prove(scene.crook, scene.alpha, found)


async def test_the_portals_own_voice_opens_no_door(scene: Scene) -> None:
    """X5: called *by the portal*, the system's contracts do nothing for somebody who is not the rollup's messenger."""
    at, crook = scene.alpha.where, scene.crook.address
    loot = Message(2**240, L2_CROSS_DOMAIN_MESSENGER, crook, ETHER, 0, b"")
    bridge_pays = theirs(
        "L1StandardBridge", at.standard_bridge, "finalizeBridgeERC20",
        *(scene.token.l1, scene.token.l2, crook, crook, 1, b""),
    )  # fmt: skip
    calls = [
        loot.relay(at.messenger),
        bridge_pays,
        oracle(scene, "deleteL2Outputs", 0),
        theirs("SystemConfig", at.system_config, "setBatcherHash", bytes(32)),
        theirs("ProxyAdmin", at.l1["ProxyAdmin"], "upgrade", at.portal, at.messenger),
        theirs("SuperchainConfig", scene.superchain, "pause", ""),
        erc20(scene.token.l1, "transferFrom", at.standard_bridge, crook, 1),
    ]
    for call in calls:
        assert call.to is not None
        found = await scene.withdraw(call.to, 0, call.data, 500_000)
        receipt = await scene.bridge.finish(scene.crook, scene.alpha, found)
        (finalized,) = events(dict(receipt), "OptimismPortal", scene.alpha.portal)
        assert not finalized.arguments["success"], call.function
    assert (False, False) == await relayed(scene.bridge.l1, at.messenger, loot)
    assert 0 == await scene.bridge.l1.read(erc20(scene.token.l1, "balanceOf", crook))


async def test_approvals_of_the_portal_are_worth_nothing(scene: Scene) -> None:
    """X5: anybody may make the portal approve anything; it owns no tokens, the bridge does."""
    approve = erc20(scene.token.l1, "approve", scene.crook.address, 2**256 - 1)
    found = await scene.withdraw(scene.token.l1, 0, approve.data)
    await scene.bridge.finish(scene.crook, scene.alpha, found)
    for owner in (scene.alpha.portal, scene.alpha.where.standard_bridge):
        drain = erc20(scene.token.l1, "transferFrom", owner, scene.crook.address, 1)
        await refused(scene, drain, "Insufficient")


async def test_a_target_without_code_is_paid_and_its_data_is_lost(scene: Scene) -> None:
    """X14: the call of an address without code succeeds, once; code that comes later isn't called."""
    found = await scene.withdraw(FRIEND, ETHER, b"\1\2\3\4")
    receipt = await scene.bridge.finish(scene.crook, scene.alpha, found)
    (finalized,) = events(dict(receipt), "OptimismPortal", scene.alpha.portal)
    assert finalized.arguments["success"]
    assert ETHER == await scene.bridge.l1.balance(FRIEND)


async def test_a_target_that_refuses_keeps_nothing_and_blocks_nobody(scene: Scene) -> None:
    """At the portal itself nothing is replayed: the wei stay in it, are nobody's, and the next withdrawal is paid."""
    found = await scene.withdraw(scene.alpha.where.output_oracle, ETHER)
    before = await ether(scene.bridge, scene.alpha)
    receipt = await scene.bridge.finish(scene.crook, scene.alpha, found)
    (finalized,) = events(dict(receipt), "OptimismPortal", scene.alpha.portal)
    assert not finalized.arguments["success"]
    after = await ether(scene.bridge, scene.alpha)
    assert (before.held, before.leaving - ETHER, before.stranded + ETHER) == (
        after.held,
        after.leaving,
        after.stranded,
    )
    await refused(scene, finalizing(scene.alpha, found.withdrawal), "already been finalized")
    await scene.bridge.finish(scene.crook, scene.alpha, scene.crowd[0])


async def test_a_finalizer_cannot_starve_the_target(scene: Scene) -> None:
    """X10 (63/64): whatever gas a relayer sends, either nothing happens or the target gets all that the withdrawal asked for."""
    wanted = 400_000
    found = await scene.withdraw(scene.on_l1.address, ETHER, b"\1", wanted)
    await scene.bridge.prove(scene.crook, scene.alpha, found)
    scene.bridge.l1.wait(PERIOD_S)
    call = finalizing(scene.alpha, found.withdrawal)
    outcomes = []
    for gas in range(60_000, 900_000, 20_000):
        async with scene.bridge.undone():
            try:
                await scene.bridge.l1.send(scene.crook, replace(call, gas=gas))
            except Refused:
                assert 0 == await scene.bridge.l1.balance(scene.on_l1.address)
                await scene.bridge.l1.send(scene.crook, call)  # it lost nothing but time
                outcomes.append("refused")
            else:
                assert wanted - 500 < await scene.on_l1.read("gasSeen")  # its own way to the note costs some
                outcomes.append("paid")
            assert ETHER == await scene.bridge.l1.balance(scene.on_l1.address)
    assert ["refused", "paid"] == list(dict.fromkeys(outcomes))


async def test_a_target_that_burns_all_gas_burns_only_its_own(scene: Scene) -> None:
    """The relayer's transaction succeeds: a sixty-fourth is enough to note that the withdrawal is done."""
    await scene.on_l1.feel(scene.crook, BURN)
    found = await scene.withdraw(scene.on_l1.address, ETHER, b"\1", 1_000_000)
    receipt = await scene.bridge.finish(scene.crook, scene.alpha, found)
    (finalized,) = events(dict(receipt), "OptimismPortal", scene.alpha.portal)
    assert not finalized.arguments["success"]
    await scene.on_l1.feel(scene.crook, ACCEPT)
    await refused(scene, finalizing(scene.alpha, found.withdrawal), "already been finalized")


async def test_a_target_that_calls_back_gets_nothing_out_of_it(scene: Scene) -> None:
    """X8, X7: inside its finalization a target can finalize neither itself nor others, nor initialise anything again."""
    portal, other = scene.alpha.portal, scene.crowd[0]
    found = await scene.withdraw(scene.on_l1.address, ETHER, b"\1", 2_000_000)
    await proven(scene, other)
    await scene.bridge.prove(scene.crook, scene.alpha, found)
    at = scene.alpha.where
    script = (
        finalizing(scene.alpha, found.withdrawal),
        finalizing(scene.alpha, other.withdrawal),
        theirs("OptimismPortal", portal, "initialize", *[NOBODY] * 3),
        theirs(MESSENGER, at.messenger, "initialize", *[NOBODY] * 3),
        theirs("L1StandardBridge", at.standard_bridge, "initialize", *[NOBODY] * 3),
    )
    await scene.on_l1.rehearse(scene.crook, *script)
    await scene.on_l1.ask(scene.crook, theirs("OptimismPortal", portal, "l2Sender"))
    scene.bridge.l1.wait(PERIOD_S)
    await scene.bridge.l1.send(scene.user, finalizing(scene.alpha, found.withdrawal))
    outcomes = await scene.on_l1.outcomes(len(script))
    assert [False] * len(script) == [success for success, _ in outcomes]
    assert {keccak256(b"NonReentrant()")[:4]} == {reason[:4] for _, reason in outcomes[:2]}
    asked = [await scene.on_l1.read(when) for when in ("before", "afterwards")]
    assert [from_hex(scene.user.address).rjust(32, b"\0")] * 2 == asked
    assert DEFAULT_L2_SENDER == await scene.bridge.l1.read(theirs("OptimismPortal", portal, "l2Sender"))
    assert [1, 0] == [await scene.on_l1.read("visits"), await scene.on_l1.read("nested")]
    assert ETHER == await scene.bridge.l1.balance(scene.on_l1.address)
    await scene.bridge.l1.send(scene.crook, finalizing(scene.alpha, other.withdrawal))
    await refused(scene, finalizing(scene.alpha, found.withdrawal), "already been finalized")


async def test_a_target_may_deposit_what_it_is_paid(scene: Scene) -> None:
    """Straight back to the rollup, inside the finalization: the ether goes round and is counted once."""
    back = theirs(
        "OptimismPortal",
        scene.alpha.portal,
        "depositTransaction",
        FRIEND,
        ETHER,
        100_000,
        False,
        b"",
        value=ETHER,
    )
    await scene.on_l1.rehearse(scene.crook, back)
    found = await scene.withdraw(scene.on_l1.address, ETHER, b"", 1_500_000)
    before = await ether(scene.bridge, scene.alpha)
    await scene.bridge.finish(scene.crook, scene.alpha, found)
    after = await ether(scene.bridge, scene.alpha)
    assert [(True, b"")] == await scene.on_l1.outcomes(1)
    assert (before.held, before.alive + ETHER) == (after.held, after.alive)
    assert ETHER == await scene.alpha.balance(FRIEND)


async def test_a_pause_stops_what_leaves_and_nothing_else(scene: Scene) -> None:
    """The guardian alone pauses; proofs and finalizations wait and lose nothing; deposits go on."""
    l1, guardian = scene.bridge.l1, scene.bridge.role("guardian")
    found, other = scene.crowd[:2]
    await proven(scene, found)
    pause = theirs("SuperchainConfig", scene.superchain, "pause", "attack")
    resume = theirs("SuperchainConfig", scene.superchain, "unpause")
    for call in (pause, resume):
        await refused(scene, call, "only guardian")
    await l1.send(guardian, pause)
    l1.wait(PERIOD_S)
    await refused(scene, finalizing(scene.alpha, found.withdrawal), "CallPaused")
    proof = proving(scene.alpha, other.withdrawal, scene.index, await scene.inclusion(other.withdrawal))
    await refused(scene, proof, "CallPaused")
    await l1.send(
        scene.user,
        theirs(
            "OptimismPortal",
            scene.alpha.portal,
            "depositTransaction",
            FRIEND,
            7,
            100_000,
            False,
            b"",
            value=7,
        ),
    )
    await scene.alpha.follow()
    assert 7 == await scene.alpha.balance(FRIEND)
    await l1.send(guardian, resume)
    await l1.send(scene.crook, finalizing(scene.alpha, found.withdrawal))


async def test_ether_sent_to_the_message_passer_is_a_withdrawal_and_burning_takes_no_other(
    scene: Scene,
) -> None:
    """Plain ether to the passer leaves for its sender's own address; ``burn`` destroys only what has left already."""
    passer = "0x4200000000000000000000000000000000000016"
    await scene.alpha.send(scene.user, Call(passer, value=ETHER, gas=200_000))
    found = scene.alpha.passed[-1]
    assert (scene.user.address.lower(), ETHER) == (found.withdrawal.target, found.withdrawal.value)
    before = await ether(scene.bridge, scene.alpha)
    await scene.alpha.send(scene.crook, theirs("L2ToL1MessagePasser", passer, "burn"))
    assert 0 == await scene.alpha.balance(passer)
    assert before == await ether(scene.bridge, scene.alpha)
    held = await scene.bridge.l1.balance(scene.user.address)
    await scene.bridge.finish(scene.crook, scene.alpha, found)
    assert held + ETHER == await scene.bridge.l1.balance(scene.user.address)


async def test_ether_forced_into_a_contract_gives_nobody_a_claim(scene: Scene) -> None:
    """X24: self-destruction into the passer makes no withdrawal, and into the portal no deposit: the ether is lost, or spare."""
    passer = "0x4200000000000000000000000000000000000016"
    withdrawals = len(scene.alpha.passed)
    back = theirs("OptimismPortal", scene.alpha.portal, "depositTransaction", FRIEND, 0, 100_000, False, b"")
    async with scene.bridge.undone():
        await scene.alpha.send(scene.crook, _burst(passer))
        assert withdrawals == len(scene.alpha.passed)
        assert ETHER == (await ether(scene.bridge, scene.alpha)).surplus
        await scene.bridge.l1.send(scene.crook, _burst(scene.alpha.portal))
        await scene.bridge.l1.send(scene.user, replace(back, value=3))
        assert 2 * ETHER == (await ether(scene.bridge, scene.alpha)).surplus
        assert 3 == decode_deposit(from_hex(scene.alpha.deposited[-1])).mint


async def test_a_finalization_that_l1_takes_back_pays_once_in_the_end(scene: Scene) -> None:
    """X23: proof, payment and the mark against a second one go back together; made again they count once."""
    found, held = scene.crowd[0], await scene.bridge.l1.balance(scene.alpha.portal)
    async with scene.bridge.undone():
        await proven(scene, found)
        scene.bridge.l1.wait(PERIOD_S)
        await scene.bridge.l1.send(scene.crook, finalizing(scene.alpha, found.withdrawal))
        assert ETHER == await scene.bridge.l1.balance(found.withdrawal.target)
    assert 0 == await scene.bridge.l1.balance(found.withdrawal.target)
    await refused(scene, finalizing(scene.alpha, found.withdrawal), "has not been proven")
    await proven(scene, found)
    scene.bridge.l1.wait(PERIOD_S)
    await scene.bridge.l1.send(scene.crook, finalizing(scene.alpha, found.withdrawal))
    await refused(scene, finalizing(scene.alpha, found.withdrawal), "already been finalized")
    assert held - ETHER == await scene.bridge.l1.balance(scene.alpha.portal)


def _burst(heir: str) -> Call:
    """A contract that ends in its constructor and leaves its ether to somebody unasked."""
    return Call(None, b"\x73" + from_hex(heir) + b"\xff", value=ETHER)
