"""A block's order follows from its payload alone, and its header commits to every step."""

from functools import cache
from typing import Any

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from bridge.wire.system import close_guard, open_guard
from rollup_node.engines.options.state.trie import ordered_root
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.decode import Section
from rollup_node.engines.options.transactions.interfaces import ACCOUNTS, BY_NAME, EXCHANGE
from rollup_node.engines.options.transactions.receipts import bloom
from rollup_node.engines.options.transition import sealing
from rollup_node.engines.options.transition.arrange import arrange
from rollup_node.engines.options.transition.block import BlockContent, execute
from rollup_node.engines.options.transition.genesis import create
from rollup_node.engines.options.transition.sealing import (
    Sealed,
    seal,
    step_proof,
    step_proofs,
    steps_root,
    verify_step,
)
from rollup_node.engines.options.transition.testing import PARAMETERS, Desk, address, order
from rollup_node.engines.options.values import PRICE_UNIT

CHAIN = 901
KEYS = [to_hex(keccak256(bytes([index]))) for index in range(3)]
ORDER = (1, 1, True, 5, 10, 0, 0, False, 0, 0)
UPDATE = ((b"ETH".ljust(32, b"\0"), 1, 1, 1, 1, 1, (), ()), ())
CARRIED = BY_NAME["cancelOrder"].selector + abi.encode(BY_NAME["cancelOrder"].arguments, (1, 2))
CALLS = {
    "oracle": ("update", UPDATE, Section.ORACLE),
    "cancel": ("cancelOrder", (1, 7), Section.MAKERS),
    "post": ("placeOrder", ((*ORDER[:5], 3, *ORDER[6:]),), Section.MAKERS),
    "order": ("placeOrder", (ORDER,), Section.REST),
    "transfer": ("transfer", (1, 2, 5), Section.REST),
    "act": ("act", ((1, 1, 9, bytes(32), EXCHANGE, CARRIED), b""), Section.MAKERS),
    "actAll": ("actAll", (((1, 1, 9, bytes(32), ACCOUNTS, CARRIED),), (b"",)), Section.REST),
}  # fmt: skip


@cache
def _signed(kind: str, key: int, nonce: int, chain_id: int = CHAIN) -> bytes:
    name, arguments, _ = CALLS[kind]
    call = BY_NAME[name]
    data = call.selector + abi.encode(call.arguments, arguments)
    unsigned = UnsignedTransaction(chain_id, nonce, 0, 0, 200_000, call.target, data)
    return sign_transaction(unsigned, KEYS[key])


payloads = st.lists(st.tuples(st.sampled_from(sorted(CALLS)), st.integers(0, 2)), max_size=8)


@settings(max_examples=60, deadline=None)
@given(payloads, payloads)
def test_sections_come_in_order_and_nobody_overtakes_himself(
    singles: list[tuple[str, int]], legs: list[tuple[str, int]]
) -> None:
    """Each transaction is in the first section that its kind and its sender's earlier ones allow; ties keep their order; bundles stay last."""
    nonces = [0, 0, 0]
    raws: list[bytes] = []
    for kind, key in singles + legs:
        raws.append(_signed(kind, key, nonces[key]))
        nonces[key] += 1
    tail = [open_guard(1, 0, b"\x0b" * 32), *raws[len(singles) :], close_guard(1, 1)]
    payload = raws[: len(singles)] + tail
    arranged = arrange(payload, CHAIN)
    assert () == arranged.refused
    bound = [Section.INBOX] * 3
    expected: list[tuple[Section, int]] = []
    for index, (kind, key) in enumerate(singles):
        bound[key] = max(bound[key], CALLS[kind][2])
        expected.append((bound[key], index))
    expected += [(Section.BUNDLES, index) for index in range(len(singles), len(payload))]
    assert sorted(expected) == [(one.section, one.index) for one in arranged.placed]
    # a dropped bundle leaves no trace in the order of the others
    alone = arrange(raws[: len(singles)], CHAIN)
    assert alone.placed == arranged.placed[: len(singles)]


def test_what_is_no_transaction_here_is_told_with_its_reason() -> None:
    """Garbage, another rollup's transaction and a repeated one are refused by index; the rest stands."""
    good = _signed("order", 0, 0)
    arranged = arrange([b"\x05garbage", _signed("order", 1, 0, 902), good, good, b""], CHAIN)
    assert [2] == [one.index for one in arranged.placed]
    reasons = dict(arranged.refused)
    assert {0, 1, 3, 4} == set(reasons)
    assert "invalid chain id for signer: have 902 want 901" == reasons[1]
    assert reasons[3].startswith("already known")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data())
def test_every_step_is_proven_and_no_other(count: int, data: st.DataObject) -> None:
    """A proof convinces of its own step at its own place, and of nothing else."""
    steps = [(keccak256(bytes([i])), keccak256(bytes([i, 1]))) for i in range(count)]
    root = steps_root(steps)
    index = data.draw(st.integers(0, count - 1))
    proof = step_proof(steps, index)
    assert verify_step(root, count, index, steps[index], proof)
    other = data.draw(st.integers(0, count - 1))
    assert (other == index) == verify_step(root, count, other, steps[index], proof)
    changed = (steps[index][0], keccak256(b"another root"))
    assert not verify_step(root, count, index, changed, proof)
    assert not verify_step(root, count, index, steps[index], [*proof, bytes(32)])
    if proof:
        assert not verify_step(root, count, index, steps[index], proof[1:])
    assert not verify_step(root, count, count, steps[index], proof)


def test_proofs_of_all_steps_cost_what_the_root_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node makes them of whatever anybody claims to be the steps of a block: two hashes a leaf, and one for each node above."""
    steps = [(keccak256(bytes([i])), keccak256(bytes([i, 1]))) for i in range(200)]
    single = [step_proof(steps, index) for index in range(200)]
    hashed = []
    monkeypatch.setattr(sealing, "keccak256", lambda data: hashed.append(data) or keccak256(data))
    assert single == step_proofs(steps, range(200))
    assert len(hashed) < 3 * len(steps) + 10


def test_no_steps_have_no_root() -> None:
    """An engine that takes no roots between transactions says so in an empty field."""
    assert b"" == steps_root([])


def test_the_header_is_read_by_others() -> None:
    """The RLP of the header is a list of sixteen members that the reference library reads back."""
    sealed = Sealed(b"\1" * 32, b"\2" * 32, b"\3" * 32, b"\4" * 32, bytes(256), 7, 30_000_000, 21_000, 1_800_000_000, b"\5" * 32, 0)  # fmt: skip
    fields = rlp.decode(sealed.encoded)
    assert 16 == len(fields)
    assert (b"\1" * 32, b"\2" * 32, b"\x07", b"\5" * 32) == (fields[0], fields[3], fields[8], fields[12])
    assert keccak256(sealed.encoded) == sealed.hash


@pytest.mark.parametrize("kind", sorted(CALLS))
def test_a_bundle_is_not_sorted(kind: str) -> None:
    """A leg runs where its bundle says, whatever it is."""
    raws = [open_guard(1, 0, b"\x0b" * 32), _signed("order", 0, 0), _signed(kind, 1, 0), close_guard(1, 1)]
    assert [0, 1, 2, 3] == [one.index for one in arrange(raws, CHAIN).placed]


def _naive_root(values: list[bytes]) -> bytes:
    """A Merkle Patricia trie as the Yellow Paper defines it, recursively and without any memory."""
    pairs = {
        tuple(int(digit, 16) for digit in rlp.encode(place).hex()): value
        for place, value in enumerate(values)
    }

    def compact(path: tuple[int, ...], leaf: bool) -> bytes:
        flag = 2 * leaf + len(path) % 2
        digits = ([flag] if len(path) % 2 else [flag, 0]) + list(path)
        return bytes(16 * one + other for one, other in zip(digits[::2], digits[1::2], strict=True))

    def node(entries: dict[tuple[int, ...], bytes]) -> list[Any]:
        paths = sorted(entries)
        if len(paths) == 1:
            return [compact(paths[0], leaf=True), entries[paths[0]]]
        common = 0
        while paths[0][common] == paths[-1][common]:
            common += 1
        if common:
            rest = {path[common:]: value for path, value in entries.items()}
            return [compact(paths[0][:common], leaf=False), refer(node(rest))]
        below = [{path[1:]: v for path, v in entries.items() if path[0] == digit} for digit in range(16)]
        return [*(refer(node(one)) if one else b"" for one in below), b""]

    def refer(made: list[Any]) -> Any:
        encoded = rlp.encode(made)
        return made if len(encoded) < 32 else keccak256(encoded)

    return keccak256(rlp.encode(node(pairs) if pairs else b""))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=60), max_size=20))
def test_transactions_and_receipts_have_the_roots_of_the_yellow_paper(values: list[bytes]) -> None:
    """The tries of a header, against a naive reference."""
    assert _naive_root(values) == ordered_root(values)


def test_a_long_block_has_the_roots_of_the_yellow_paper() -> None:
    """Places of one, two and three bytes."""
    values = [keccak256(bytes([place % 256, place // 256])) for place in range(300)]
    assert _naive_root(values) == ordered_root(values)


def test_a_sealed_block_commits_to_all_of_it() -> None:
    """The header of a real block: the receipts' logs are in its bloom, and every step is proven by its extra data."""
    desk = Desk()
    desk.open_market({"alice": 1_000, "bob": 1_000})
    executed = desk.block(
        desk.update(3_050 * PRICE_UNIT),
        desk.send("alice", "placeOrder", order(desk.account("alice"), 1, PRICE_UNIT, 100)),
        desk.send("bob", "withdraw", desk.account("bob"), address("bob"), 5_000 * PRICE_UNIT),
    )
    sealed = seal(executed, desk.history[-1], b"\1" * 32, 30_000_000)
    hashes = [receipt.hash for receipt in executed.receipts]
    assert 4 == len(hashes)  # the risk rows are a step of their own
    assert [keccak256(receipt.raw) for receipt in executed.receipts] == hashes
    assert (executed.root, executed.steps[-1][1]) == (sealed.state_root, sealed.state_root)
    for index, step in enumerate(executed.steps):
        proof = step_proof(executed.steps, index)
        assert verify_step(sealed.extra, len(hashes), index, step, proof)
    bits = int.from_bytes(sealed.bloom, "big")
    for receipt in executed.receipts:
        for log in receipt.logs:
            own = int.from_bytes(bloom([log]), "big")
            assert own == own & bits
    decoded = rlp.decode(executed.receipts[-1].encoded[1:])
    assert b"" == decoded[0]  # status 0
    again = seal(execute(create(PARAMETERS, [], 0), PARAMETERS, BlockContent(1, 1, 0, [])), BlockContent(1, 1, 0, []), bytes(32), 1)  # fmt: skip
    assert (b"", bytes(256), 0) == (again.extra, again.bloom, again.gas_used)
