"""The state tree against a recomputation from its definition, and its proofs against everything that isn't so."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256, keccak256_portably
from rollup_node.engines.options.state.tree import DEPTH, EMPTY, LeafProof, Tree, verify

indices = st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(2**32 - 4, 2**32 - 1))
leaves = st.dictionaries(indices, st.binary(min_size=1, max_size=70), max_size=20)


def naive(leaves: dict[int, bytes], height: int = DEPTH, place: int = 0) -> bytes:
    """From the definition, from above."""
    inside = {index: leaf for index, leaf in leaves.items() if index >> height == place}
    if not inside:
        return EMPTY
    if height == 0:
        return keccak256(inside[place])
    return keccak256(naive(inside, height - 1, 2 * place) + naive(inside, height - 1, 2 * place + 1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(indices, st.one_of(st.none(), st.binary(min_size=1, max_size=70)), max_size=12),
        max_size=4,
    )
)
def test_every_batch_leads_to_the_root_of_the_definition(batches: list[dict[int, bytes | None]]) -> None:
    """Leaves set, changed and removed in batches: after each the root is that of all leaves computed anew."""
    tree, known = Tree(), dict[int, bytes]()
    for batch in batches:
        for index, leaf in batch.items():
            known.pop(index, None)
            if leaf is not None:
                known[index] = leaf
        assert naive(known) == tree.update(batch) == tree.root
        assert len(known) == len(tree)
    tree.update(dict.fromkeys(known))
    assert [EMPTY, *[{}] * (DEPTH + 1)] == [tree.root, *tree._nodes]


@settings(max_examples=60, deadline=None)
@given(leaves, indices, st.binary(min_size=1, max_size=70))
def test_proofs_show_what_is_there_and_nothing_else(
    known: dict[int, bytes], index: int, other: bytes
) -> None:
    """Each leaf is included as it is, not as another, not as absent; an index without a leaf is absent and not included."""
    tree = Tree()
    root = tree.update(dict(known))
    for place in {*known, index}:
        proof, leaf = tree.prove(place), known.get(place)
        assert verify(root, proof, leaf)
        assert (other == leaf) is verify(root, proof, other)
        assert (leaf is None) is verify(root, proof, None)
        assert proof == LeafProof.decode(proof.encode())


@settings(max_examples=60, deadline=None)
@given(leaves.filter(bool), st.data())
def test_no_changed_proof_is_taken(known: dict[int, bytes], data: st.DataObject) -> None:
    """Another index, another hash at any height, a step more or less: not of this root."""
    tree = Tree()
    root = tree.update(dict(known))
    index = data.draw(st.sampled_from(sorted(known)))
    proof, leaf = tree.prove(index), known[index]
    height = data.draw(st.integers(0, DEPTH - 1))
    siblings = list(proof.siblings)
    siblings[height] = keccak256(siblings[height])
    changed = [
        replace(proof, siblings=tuple(siblings)),
        replace(proof, siblings=proof.siblings[:-1]),
        replace(proof, siblings=(*proof.siblings, EMPTY)),
        replace(proof, siblings=(proof.siblings[0] + proof.siblings[1], *proof.siblings[2:])),
        replace(proof, index=index | 1 << DEPTH),
    ]
    if known.get(index ^ 1 << height) != leaf:
        changed.append(replace(proof, index=index ^ 1 << height))
    assert [] == [one for one in changed if verify(root, one, leaf)]


@given(st.binary(max_size=200))
def test_whatever_decodes_as_a_proof_has_these_bytes(data: bytes) -> None:
    """Strict: no two byte strings are the same proof."""
    try:
        proof = LeafProof.decode(data)
    except Malformed:
        return
    assert data == proof.encode()


@pytest.mark.parametrize("data", [b"", bytes(7), bytes(9), bytes(7) + b"\1", bytes(7) + b"\1" + bytes(32)])
def test_malformed_proofs_are_refused(data: bytes) -> None:
    """Too short, too long, a hash missing, an empty hash written out."""
    with pytest.raises(Malformed):
        LeafProof.decode(data)


@given(st.binary(max_size=300))
def test_both_implementations_of_the_hash_agree(data: bytes) -> None:
    """Whichever a platform has."""
    assert keccak256_portably(data) == keccak256(data)
