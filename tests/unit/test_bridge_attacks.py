"""Attacks on withdrawals (proofs, outputs, finalization): refused or harmless, and the portal's ether still adds up after each.

The names X… are those of the attacks in the protocol reference. What crosses as a message is attacked in
``test_bridge_attacks_messages``, what goes in by deposits in ``test_bridge_attacks_deposits``.
"""

from collections.abc import AsyncIterator
from dataclasses import fields, replace
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts.addresses import L2_CROSS_DOMAIN_MESSENGER
from bridge.relayer.withdrawal import Inclusion, Passed, Withdrawal, storage_key
from bridge.wire import rlp
from bridge.wire.deposits import decode_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.outputs import OutputParts
from orchestrator.settlement.testing_accounting import MESSENGER, Message, erc20, ether, relayed
from orchestrator.settlement.testing_bridge import INTERVAL, PERIOD_S, finalizing, proving
from orchestrator.settlement.testing_chains import Refused, events
from orchestrator.settlement.testing_scene import ACCEPT, BURN, ETHER, FRIEND, Scene, scene_of_attack
from orchestrator.settlement.testing_sides import Call, theirs

pytestmark = pytest.mark.asyncio(loop_scope="module")

ZERO = "0x" + "00" * 32
NOBODY = "0x" + "00" * 20
DEFAULT_L2_SENDER = "0x000000000000000000000000000000000000dead"
FIELDS = {
    "nonce": st.integers(0, 2**256 - 1),
    "sender": st.binary(min_size=20, max_size=20).map(to_hex),
    "target": st.binary(min_size=20, max_size=20).map(to_hex),
    "value": st.integers(0, 2**256 - 1),
    "gas_limit": st.integers(0, 2**256 - 1),
    "data": st.binary(max_size=100),
}
"""Values of each field of a withdrawal."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """One scene for all tests; each leaves it as it was."""
    async with scene_of_attack(tmp_path_factory.mktemp("scene")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def scene(stage: Scene) -> AsyncIterator[Scene]:
    """The scene; whatever a test did in it, no wei was made, and none can be claimed that isn't there."""
    async with stage.bridge.undone():
        yield stage
        for rollup in (stage.alpha, stage.beta):
            assert 0 == (await ether(stage.bridge, rollup)).surplus


def oracle(scene: Scene, function: str, *arguments: Any) -> Call:
    """A call of alpha's output oracle."""
    return theirs("L2OutputOracle", scene.alpha.where.output_oracle, function, *arguments)


async def proven(scene: Scene, found: Passed) -> None:
    """Prove one of the crowd's withdrawals against the scene's output."""
    inclusion = await scene.inclusion(found.withdrawal)
    call = proving(scene.alpha, found.withdrawal, scene.index, inclusion)
    await scene.bridge.l1.send(scene.user, call)


async def refused(scene: Scene, call: Call, match: str) -> None:
    """A transaction of the crook has no effect, for that reason."""
    with pytest.raises(Refused, match=match):
        await scene.bridge.l1.send(scene.crook, call)


# -- roots


async def test_the_scene_is_worth_attacking(scene: Scene) -> None:
    """All that is refused below is refused for its flaw: without it, the same proof is taken and the ether comes out."""
    found = scene.crowd[3]
    await proven(scene, found)
    scene.bridge.l1.wait(PERIOD_S)
    before = await scene.bridge.l1.balance(scene.alpha.portal)
    receipt = await scene.bridge.l1.send(scene.crook, finalizing(scene.alpha, found.withdrawal))
    (finalized,) = events(dict(receipt), "OptimismPortal", scene.alpha.portal)
    assert (from_hex(found.withdrawal.hash), True) == tuple(finalized.arguments.values())
    assert ETHER == await scene.bridge.l1.balance(found.withdrawal.target)
    assert before - ETHER == await scene.bridge.l1.balance(scene.alpha.portal)


async def test_an_output_that_was_never_proposed_proves_nothing(scene: Scene) -> None:
    """X1: beyond the last index there is no root, not a zero root that zero parts or an empty proof would match."""
    found = scene.crowd[0].withdrawal
    true = await scene.inclusion(found)
    nothing = OutputParts(ZERO, ZERO, ZERO)
    for index in (scene.index + 1, 2**128, 2**256 - 1):
        for inclusion in (true, Inclusion(nothing, true.nodes), Inclusion(nothing, ())):
            await refused(scene, proving(scene.alpha, found, index, inclusion), "Panic")


async def test_a_deleted_output_proves_nothing(scene: Scene) -> None:
    """X1: where an output was deleted there is no root either, though its words are still in storage."""
    found = scene.crowd[0].withdrawal
    inclusion = await scene.inclusion(found)
    challenger = scene.alpha.challenger
    await scene.bridge.l1.send(challenger, oracle(scene, "deleteL2Outputs", scene.index))
    await refused(scene, proving(scene.alpha, found, scene.index, inclusion), "Panic")


async def test_a_zero_root_cannot_be_proposed(scene: Scene) -> None:
    """X1: not even by the proposer."""
    number = await scene.bridge.l1.read(oracle(scene, "nextBlockNumber"))
    zero, other = (
        oracle(scene, "proposeL2Output", root, number, bytes(32), 0) for root in (bytes(32), b"\1" * 32)
    )
    with pytest.raises(Refused, match="cannot be the zero hash"):
        await scene.bridge.l1.simulate(zero, scene.alpha.proposer.address)
    await scene.bridge.l1.simulate(other, scene.alpha.proposer.address)


async def test_the_parts_of_an_output_must_be_those_of_its_root(scene: Scene) -> None:
    """Each of the four parts, altered, exchanged or zero, is refused before any proof is looked at."""
    found = scene.crowd[0].withdrawal
    inclusion = await scene.inclusion(found)
    true = inclusion.parts.struct
    wrong = [(*true[:place], bytes(31) + b"\1", *true[place + 1 :]) for place in range(4)]
    wrong += [(true[0], *others) for others in ((true[2], true[1], true[3]), (true[1], true[3], true[2]))]
    wrong += [(bytes(32),) * 4]
    for parts in wrong:
        call = theirs(
            "OptimismPortal",
            scene.alpha.portal,
            "proveWithdrawalTransaction",
            *(found.struct, scene.index, parts, inclusion.nodes),
        )
        await refused(scene, call, "invalid output root proof")


# -- proofs


@st.composite
def another_node(draw: st.DrawFn, node: bytes, strange: tuple[bytes, ...]) -> bytes:
    """A node in the place of a true one: other bits, another length, wrapped, foreign or anything."""
    at, bit = draw(st.integers(0, len(node) - 1)), draw(st.integers(0, 7))
    flipped = node[:at] + bytes([node[at] ^ 1 << bit]) + node[at + 1 :]
    grown = node + draw(st.binary(min_size=1, max_size=40))
    return draw(
        st.sampled_from(
            [flipped, node[:at], grown, rlp.encode([node]), draw(st.binary(max_size=70)), *strange]
        )
    )


@st.composite
def altered(draw: st.DrawFn, nodes: tuple[bytes, ...], strange: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """A proof in which one to three nodes are others, left out, repeated, exchanged or put in between."""
    proof = list(nodes)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(nodes) - 1))
        kind = draw(st.sampled_from(["replace", "drop", "repeat", "insert", "swap"]))
        if kind == "replace":
            proof[place : place + 1] = [draw(another_node(nodes[place], strange))]
        elif kind == "drop":
            del proof[place : place + draw(st.integers(1, len(nodes)))]
        elif kind == "swap":
            proof[place : place + 2] = proof[place : place + 2][::-1]
        else:
            proof.insert(place, nodes[place] if kind == "repeat" else draw(st.sampled_from(strange)))
    return tuple(proof)


@settings(max_examples=250)
@given(data=st.data())
async def test_no_altered_proof_proves_anything(stage: Scene, data: st.DataObject) -> None:
    """X2: whatever is changed in the nodes of a proof, or added to them, the portal refuses it; unchanged it takes it."""
    found = stage.crowd[data.draw(st.integers(0, len(stage.crowd) - 1))].withdrawal
    true = await stage.inclusion(found)
    strange = (*(await stage.inclusion(stage.crowd[7].withdrawal)).nodes, b"", b"\x80", b"\xc0")
    assert len(true.nodes) > 1
    nodes = data.draw(altered(true.nodes, strange))
    call = proving(stage.alpha, found, stage.index, replace(true, nodes=nodes))
    if nodes == true.nodes:
        await stage.bridge.l1.simulate(call)
    else:
        with pytest.raises(Refused):
            await stage.bridge.l1.simulate(call)


@settings(max_examples=200)
@given(data=st.data())
async def test_no_altered_withdrawal_is_proven_or_finalized(stage: Scene, data: st.DataObject) -> None:
    """INV-11: each of the six fields counts; a withdrawal that differs in any is another one, which never happened."""
    true = stage.crowd[0].withdrawal
    assert FIELDS.keys() == {field.name for field in fields(Withdrawal)}
    some = data.draw(st.sets(st.sampled_from(sorted(FIELDS)), min_size=1))
    changed = replace(true, **{name: data.draw(FIELDS[name], label=name) for name in sorted(some)})
    if changed == true:
        return
    call = proving(stage.alpha, changed, stage.index, await stage.inclusion(true))
    with pytest.raises(Refused, match=r"invalid|BadTarget|MerkleTrie"):
        await stage.bridge.l1.simulate(call)
    with pytest.raises(Refused, match="has not been proven"):
        await stage.bridge.l1.simulate(finalizing(stage.alpha, changed))


async def test_each_field_alone_counts_also_once_the_true_withdrawal_is_proven(scene: Scene) -> None:
    """Swapping the target or the value between proof and finalization gives nothing."""
    found = scene.crowd[0]
    await proven(scene, found)
    scene.bridge.l1.wait(PERIOD_S)
    true = found.withdrawal
    changes: dict[str, Any] = {
        "nonce": true.nonce + 1,
        "sender": scene.crook.address,
        "target": scene.crook.address,
        "value": 2 * true.value,
        "gas_limit": true.gas_limit + 1,
        "data": true.data + b"\0",
    }
    for name, value in changes.items():
        await refused(scene, finalizing(scene.alpha, replace(true, **{name: value})), "has not been proven")
    await scene.bridge.l1.send(scene.crook, finalizing(scene.alpha, true))


async def test_absence_is_no_inclusion(scene: Scene) -> None:
    """A withdrawal of a later block, or of no block, isn't proven by the tree's own proof that it isn't there."""
    later = await scene.withdraw(FRIEND, ETHER)
    never = replace(later.withdrawal, value=100 * ETHER)
    for absent in (later.withdrawal, never):
        inclusion = await scene.inclusion(absent)  # against an output before it
        assert inclusion.nodes
        await refused(scene, proving(scene.alpha, absent, scene.index, inclusion), "MerkleTrie|invalid")


async def test_other_words_of_the_message_passer_prove_nothing(scene: Scene) -> None:
    """The proof of the passer's nonce, and the account proof of the passer itself, are no proofs of a withdrawal."""
    found, number = scene.crowd[0].withdrawal, (scene.index + 1) * INTERVAL
    parts = (await scene.inclusion(found)).parts
    passer = "0x4200000000000000000000000000000000000016"
    proof = await scene.alpha.request("eth_getProof", passer, ["0x" + "00" * 31 + "01"], hex(number))
    for nodes in (proof["storageProof"][0]["proof"], proof["accountProof"]):
        inclusion = Inclusion(parts, tuple(map(from_hex, nodes)))
        await refused(scene, proving(scene.alpha, found, scene.index, inclusion), "MerkleTrie|invalid")


async def test_another_rollups_withdrawal_is_not_ours(scene: Scene) -> None:
    """Wrong chain: the same withdrawal, made on beta, is proven at beta's portal alone; each portal pays its own once."""
    theirs_ = await scene.withdraw(FRIEND, ETHER, rollup=scene.beta)
    index = await scene.bridge.propose(scene.beta)
    inclusion = await scene.beta.inclusion(theirs_.withdrawal, (index + 1) * INTERVAL)
    for wrong in range(scene.index + 1):
        call = proving(scene.alpha, theirs_.withdrawal, wrong, inclusion)
        await refused(scene, call, "invalid output root proof")
    found = scene.crowd[0].withdrawal
    ours = await scene.inclusion(found)
    for wrong in range(index + 1):
        await refused(scene, proving(scene.beta, found, wrong, ours), "invalid output root proof")
    await scene.bridge.l1.send(scene.crook, proving(scene.beta, theirs_.withdrawal, index, inclusion))
    await proven(scene, scene.crowd[0])
    scene.bridge.l1.wait(PERIOD_S)
    await refused(scene, finalizing(scene.alpha, theirs_.withdrawal), "has not been proven")
    await refused(scene, finalizing(scene.beta, found), "has not been proven")
    await scene.bridge.l1.send(scene.crook, finalizing(scene.beta, theirs_.withdrawal))
    await scene.bridge.l1.send(scene.crook, finalizing(scene.alpha, found))


async def test_equal_withdrawals_of_two_rollups_have_one_name_and_are_paid_by_both(scene: Scene) -> None:
    """Two rollups may make the very same withdrawal (nonces count per rollup); neither portal takes the other's for its own."""
    first = scene.crowd[0].withdrawal
    while len(scene.beta.passed) < 1:
        await scene.withdraw(first.target, first.value, first.data, first.gas_limit, rollup=scene.beta)
    twin = scene.beta.passed[0]
    assert first == twin.withdrawal
    await scene.bridge.finish(scene.crook, scene.beta, twin)
    assert ETHER == await scene.bridge.l1.balance(first.target)
    await refused(scene, finalizing(scene.alpha, first), "has not been proven")
    await refused(scene, finalizing(scene.beta, first), "already been finalized")
    await scene.bridge.finish(scene.crook, scene.alpha, scene.crowd[0])
    assert 2 * ETHER == await scene.bridge.l1.balance(first.target)


# -- time


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


# -- a proposer that lies


def forged(withdrawal: Withdrawal) -> Inclusion:
    """A state in which a withdrawal that never happened is the only one, and the proof that it is in it."""
    path = keccak256(from_hex(storage_key(withdrawal.hash)))
    leaf = rlp.encode([b"\x20" + path, b"\1"])
    return Inclusion(OutputParts(ZERO, to_hex(keccak256(leaf)), ZERO), (leaf,))


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


# -- targets


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


# -- the guardian, and odd ways


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
