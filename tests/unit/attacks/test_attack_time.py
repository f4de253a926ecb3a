"""Attacks on withdrawals: refused or harmless, and the portal's ether still adds up after each. Too early, twice, and a proposer that lies.

The names X… are those of the attacks in the protocol reference.
"""

from dataclasses import replace

import pytest

from bridge.relayer.withdrawal import Withdrawal
from bridge.wire.keccak import keccak256, to_hex
from orchestrator.settlement.testing_attacks import forged, oracle, proven, refused
from orchestrator.settlement.testing_bridge import INTERVAL, PERIOD_S, finalizing, proving
from orchestrator.settlement.testing_chains import Refused
from orchestrator.settlement.testing_scene import ETHER, FRIEND, Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_nothing_is_finalized_unproven_or_early_or_twice(scene: Scene) -> None:
    """Not before the proof, not in the last second of the challenge period, in the next second yes, and never again."""
    l1, found = scene.bridge.l1, scene.crowd[0].withdrawal
    l1.wait(10 * PERIOD_S)  # the output is old: what is waited for is the proof
    await refused(scene, finalizing(scene.alpha, found), "has not been proven")
    await proven(scene, scene.crowd[0])
    at = l1.now
    await refused(scene, finalizing(scene.alpha, found), "period has not elapsed")
    l1.wait(PERIOD_S - 2)
    await refused(
        scene, finalizing(scene.alpha, found), "proven withdrawal finalization period has not elapsed"
    )
    assert at + PERIOD_S == l1.now
    await l1.send(scene.crook, finalizing(scene.alpha, found))
    again = finalizing(scene.alpha, found)
    for call in (again, replace(again, data=again.data + b"\1" * 32)):  # another encoding of the same
        await refused(scene, call, "already been finalized")
    assert ETHER == await l1.balance(found.target)
    with pytest.raises(Refused, match="already been proven"):
        await proven(scene, scene.crowd[0])


async def test_two_finalizations_in_one_block_pay_once(scene: Scene) -> None:
    """Two relayers that race end with one payment and one revert."""
    found = scene.crowd[0].withdrawal
    await proven(scene, scene.crowd[0])
    scene.bridge.l1.wait(PERIOD_S)
    call = finalizing(scene.alpha, found)
    receipts = await scene.bridge.l1.together((scene.user, call), (scene.crook, call))
    assert ["0x0", "0x1"] == sorted(receipt["status"] for receipt in receipts)
    assert ETHER == await scene.bridge.l1.balance(found.target)


async def test_a_stranger_cannot_delay_a_withdrawal_by_proving_it_again(scene: Scene) -> None:
    """X11: neither against the same output nor against a later one; the victim's clock goes on."""
    l1, found = scene.bridge.l1, scene.crowd[0]
    await proven(scene, found)
    later = await scene.bridge.propose(scene.alpha, scene.alpha.head.number + INTERVAL)
    assert later > scene.index
    l1.wait(PERIOD_S - 10)
    for index in (scene.index, later):
        inclusion = await scene.inclusion(found.withdrawal, index)
        call = proving(scene.alpha, found.withdrawal, index, inclusion)
        await refused(scene, call, "already been proven")
    l1.wait(10)
    await l1.send(scene.user, finalizing(scene.alpha, found.withdrawal))


async def test_what_was_proven_against_a_deleted_output_waits_for_a_new_proof(scene: Scene) -> None:
    """Deleted: no finalization. Replaced by another root: none either. Proven against that: after a new whole period."""
    l1, found = scene.bridge.l1, scene.crowd[0]
    await proven(scene, found)
    await l1.send(scene.alpha.challenger, oracle(scene, "deleteL2Outputs", scene.index))
    l1.wait(2 * PERIOD_S)
    await refused(scene, finalizing(scene.alpha, found.withdrawal), "Panic")

    number = (scene.index + 1) * INTERVAL
    wrong = {number: to_hex(keccak256(b"another"))}
    assert scene.index == await scene.bridge.propose(scene.alpha, number, wrong)
    l1.wait(2 * PERIOD_S)
    await refused(scene, finalizing(scene.alpha, found.withdrawal), "not the same as current output root")

    later = await scene.bridge.propose(scene.alpha, number + INTERVAL)
    inclusion = await scene.inclusion(found.withdrawal, later)
    await l1.send(scene.crook, proving(scene.alpha, found.withdrawal, later, inclusion))
    await refused(scene, finalizing(scene.alpha, found.withdrawal), "period has not elapsed")
    l1.wait(PERIOD_S)
    await l1.send(scene.crook, finalizing(scene.alpha, found.withdrawal))


async def test_an_output_proposed_again_matures_again(scene: Scene) -> None:
    """The same root, deleted and proposed again, is as young as its second proposal, however old the proof."""
    l1, found = scene.bridge.l1, scene.crowd[0].withdrawal
    await proven(scene, scene.crowd[0])
    await l1.send(scene.alpha.challenger, oracle(scene, "deleteL2Outputs", scene.index))
    l1.wait(PERIOD_S)
    assert scene.index == await scene.bridge.propose(scene.alpha, (scene.index + 1) * INTERVAL)
    await refused(
        scene, finalizing(scene.alpha, found), "output proposal finalization period has not elapsed"
    )
    l1.wait(PERIOD_S)
    await l1.send(scene.crook, finalizing(scene.alpha, found))


async def test_a_final_output_stays(scene: Scene) -> None:
    """The challenger deletes up to the last second of the challenge period and not after it; others never."""
    l1 = scene.bridge.l1
    delete, challenger = oracle(scene, "deleteL2Outputs", scene.index), scene.alpha.challenger
    for other in (scene.crook, scene.alpha.proposer, scene.bridge.role("deployer")):
        with pytest.raises(Refused, match="only the challenger"):
            await l1.send(other, delete)
    l1.wait(PERIOD_S)
    with pytest.raises(Refused, match="already been finalized"):
        await l1.send(challenger, delete)


async def test_a_forged_output_would_pay_out_if_nobody_challenged_it(scene: Scene) -> None:
    """The forgery below is a good one: with the proposer's key and no challenger, it empties the portal."""
    l1, number = scene.bridge.l1, scene.alpha.head.number + INTERVAL
    held = await l1.balance(scene.alpha.portal)
    loot = Withdrawal(2**240 + 999, scene.crook.address, FRIEND, held, 0, b"")
    async with scene.bridge.undone():
        due = -(-number // INTERVAL) * INTERVAL
        index = await scene.bridge.propose(scene.alpha, number, {due: forged(loot).parts.root})
        await l1.send(scene.crook, proving(scene.alpha, loot, index, forged(loot)))
        l1.wait(PERIOD_S)
        await l1.send(scene.crook, finalizing(scene.alpha, loot))
        assert (held, 0) == (await l1.balance(FRIEND), await l1.balance(scene.alpha.portal))


async def test_a_forged_output_that_is_deleted_in_time_never_pays(scene: Scene) -> None:
    """X4: proven while it stood, gone before it was final; the true output in its place doesn't hold the forgery."""
    l1, number = scene.bridge.l1, scene.alpha.head.number + INTERVAL
    due = -(-number // INTERVAL) * INTERVAL
    loot = Withdrawal(2**240 + 999, scene.crook.address, FRIEND, ETHER, 0, b"")
    index = await scene.bridge.propose(scene.alpha, number, {due: forged(loot).parts.root})
    await l1.send(scene.crook, proving(scene.alpha, loot, index, forged(loot)))
    l1.wait(PERIOD_S - 3)
    await l1.send(scene.alpha.challenger, oracle(scene, "deleteL2Outputs", index))
    l1.wait(PERIOD_S)
    await refused(scene, finalizing(scene.alpha, loot), "Panic")
    assert index == await scene.bridge.propose(scene.alpha, due)
    l1.wait(2 * PERIOD_S)
    await refused(scene, finalizing(scene.alpha, loot), "not the same as current output root")
    true = replace(forged(loot), parts=scene.alpha.output(due).parts)
    await refused(scene, proving(scene.alpha, loot, index, true), "MerkleTrie|invalid")
    assert 0 == await l1.balance(FRIEND)
