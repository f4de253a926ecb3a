"""Attacks on withdrawals: refused or harmless, and the portal's ether still adds up after each. Roots and proofs.

The names X… are those of the attacks in the protocol reference.
"""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.relayer.withdrawal import Inclusion, Withdrawal
from bridge.wire import rlp
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.outputs import OutputParts
from orchestrator.settlement.testing_attacks import oracle, proven, refused
from orchestrator.settlement.testing_bridge import INTERVAL, PERIOD_S, finalizing, proving
from orchestrator.settlement.testing_chains import Refused, events
from orchestrator.settlement.testing_scene import ETHER, FRIEND, Scene
from orchestrator.settlement.testing_sides import theirs

pytestmark = pytest.mark.asyncio(loop_scope="module")
ZERO = "0x" + "00" * 32
FIELDS = {
    "nonce": st.integers(0, 2**256 - 1),
    "sender": st.binary(min_size=20, max_size=20).map(to_hex),
    "target": st.binary(min_size=20, max_size=20).map(to_hex),
    "value": st.integers(0, 2**256 - 1),
    "gas_limit": st.integers(0, 2**256 - 1),
    "data": st.binary(max_size=100),
}
"""Values of each field of a withdrawal."""


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
