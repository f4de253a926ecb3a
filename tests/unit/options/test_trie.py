"""The message passer's trie against a recomputation from its definition, and byte for byte against what a real anvil proves."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire import rlp
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.market.scratch import scratch_anvil
from rollup_node.engines.options.state import trie as subject
from rollup_node.engines.options.state.trie import EMPTY_ROOT, Trie, verify

keys = st.integers(0, 40).map(lambda number: number.to_bytes(32, "big"))
entries = st.dictionaries(keys, st.binary(min_size=1, max_size=40), max_size=25)


def naive(entries: Iterable[tuple[str, bytes]], depth: int = 0) -> list[object]:
    """Appendix D of the Yellow Paper as it is written: all entries at once, from above."""
    known = sorted(entries)
    path = known[0][0][depth:]
    if len(known) == 1:
        return [_prefixed(path, 2), known[0][1]]
    shared = 0
    while all(key[depth + shared] == path[shared] for key, _ in known):
        shared += 1
    if shared:
        return [_prefixed(path[:shared], 0), _reference(naive(known, depth + shared))]
    parts = [[entry for entry in known if entry[0][depth] == digit] for digit in "0123456789abcdef"]
    return [*(_reference(naive(part, depth + 1)) if part else b"" for part in parts), b""]


def _prefixed(path: str, flag: int) -> bytes:
    return bytes.fromhex(f"{flag + len(path) % 2:x}{'' if len(path) % 2 else '0'}{path}")


def _reference(node: list[object]) -> object:
    encoded = rlp.encode(node)
    return node if len(encoded) < 32 else keccak256(encoded)


def naive_root(entries: dict[bytes, bytes]) -> bytes:
    """Of a map with these secured keys."""
    if not entries:
        return keccak256(b"\x80")
    return keccak256(rlp.encode(naive((keccak256(key).hex(), value) for key, value in entries.items())))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(keys, st.binary(max_size=40)), max_size=40))
def test_every_change_leads_to_the_root_of_the_definition(changes: list[tuple[bytes, bytes]]) -> None:
    """Entries set, changed and removed one by one: after each the root is that of all entries computed anew."""
    trie, known = Trie(), dict[bytes, bytes]()
    for key, value in changes:
        trie.put(key, value)
        known[key] = value
        if not value:
            del known[key]
        assert naive_root(known) == trie.root


@settings(max_examples=50, deadline=None)
@given(entries, keys)
def test_proofs_show_what_is_there_and_what_is_not(known: dict[bytes, bytes], key: bytes) -> None:
    """Of every key the value, of others that there is none; and a proof with anything changed shows nothing, or the same."""
    trie = Trie()
    for each, value in known.items():
        trie.put(each, value)
    assert known or verify(trie.root, key, []) is None
    for each in {*known, key}:
        proof = trie.prove(each)
        assert known.get(each) == verify(trie.root, each, proof)
        for broken in (
            proof[:-1],
            [*proof, b"\x80"],
            [*proof, *proof[:1]],
            proof[1:],
            [*proof[:-1], b"\xc0"],
        ):
            if broken != proof and (known or broken):  # some clients show the empty trie by nothing
                with pytest.raises(Malformed):
                    verify(trie.root, each, broken)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_short_nodes_stand_within_their_parents(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """Paths as short as only a hash that collides could make them: nodes below 32 bytes are written into their parent, roots still agree."""
    monkeypatch.setattr(
        subject, "_nibbles", lambda data: _nibbles(data[:length] if len(data) == 32 else data)
    )
    seed = random.Random(length)
    trie, known = Trie(), dict[str, bytes]()
    for _ in range(200):
        key = seed.randbytes(3)
        value = seed.choice([b"\1", b"\2"])
        trie.put(key, value)
        known[keccak256(key)[:length].hex()] = value
        assert keccak256(rlp.encode(naive(known.items()))) == trie.root
        assert value == verify(trie.root, key, trie.prove(key))


def _nibbles(data: bytes) -> bytes:
    return bytes(int(digit, 16) for digit in data.hex())


async def test_roots_and_proofs_are_those_of_a_real_anvil_byte_for_byte() -> None:
    """``sentMessages`` of a thousand messages in anvil's storage: the same storage hash, the same nodes for what is sent and what isn't."""
    address = "0x4200000000000000000000000000000000000016"
    seed, trie, slots = random.Random(7), Trie(), []
    async with scratch_anvil() as anvil:
        await anvil.call("anvil_setCode", address, "0x60")
        for size in (0, 1, 2, 3, 17, 300):
            while len(slots) < size:
                slot = keccak256(seed.randbytes(32) + bytes(32))  # mapping(bytes32 => bool) in the first slot
                slots.append(slot)
                trie.put(slot, b"\1")
                await anvil.call("anvil_setStorageAt", address, to_hex(slot), "0x" + "00" * 31 + "01")
            asked = [*slots[:40], *(seed.randbytes(32) for _ in range(10))]
            await anvil.call("evm_mine")
            found = await anvil.call("eth_getProof", address, [to_hex(slot) for slot in asked], "latest")
            assert found["storageHash"] == to_hex(trie.root)
            for slot, shown in zip(asked, found["storageProof"], strict=True):
                assert list(map(from_hex, shown["proof"])) == trie.prove(slot)
                sent = b"\1" if slot in slots else None
                assert sent == verify(
                    from_hex(found["storageHash"]), slot, list(map(from_hex, shown["proof"]))
                )
    assert EMPTY_ROOT == Trie().root
