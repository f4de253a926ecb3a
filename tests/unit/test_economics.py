"""The sequencer's books: no wei is lost or made by splitting, and every figure follows from receipts and what rollups count."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.blobs import encode_blobs
from bridge.wire.keccak import to_hex
from bridge.wire.slot import GENESIS_PARENT, Block, Payload, Slot
from bridge.wire.superbatch import encode_superbatch
from orchestrator.cli.testing import within
from orchestrator.economics import Earned, FeeGroup, Paid, Purpose, Statement, book, statement_to_json
from orchestrator.economics.allocation import split, weights_of
from orchestrator.economics.model import EXACT, total_of
from orchestrator.economics.reading import Payees, paid_of, purpose_of

NAMES = {11: "alpha", 12: "beta", 13: "gamma"}
INBOX, ORACLE, BATCHER, PROPOSER = ("0x" + digit * 40 for digit in "1234")
WHOM = Payees(frozenset({BATCHER, PROPOSER}), {INBOX: NAMES}, {ORACLE: "beta"})

weights = st.dictionaries(
    st.sampled_from(sorted(NAMES.values())), st.integers(0, 10**9), min_size=1, max_size=3
)
costs = st.builds(
    lambda purpose, shares, wei, gas: Paid("0x00", 1, purpose, shares, gas, wei),
    st.sampled_from(Purpose),
    weights,
    st.integers(0, 10**20),
    st.integers(0, 10**8),
)
kinds = st.dictionaries(
    st.sampled_from(["maker", "taker", "amm", "gas", "liquidation", "withdrawal", "order"]),
    st.integers(0, 10**15),
)
earnings = st.builds(
    lambda found, parts: Earned(
        "gamma", "options", 10**6, dollars=True, kinds=found, insurance=sum(found.values()) * parts // 100
    ),
    kinds,
    st.integers(0, 100),
)
ALPHA = Earned("alpha", "evm", 10**18, dollars=False, kinds={"base": 3 * 10**15, "priority": 10**15})
BETA = Earned("beta", "evm", 10**18, dollars=False, kinds={"base": 0, "priority": 0})


@given(st.integers(0, 10**24), weights)
def test_a_split_sums_to_the_whole_and_is_fair_to_a_unit(amount: int, shares: dict[str, int]) -> None:
    """Nothing is lost, nobody pays below zero, and each share is within a unit of the exact one."""
    found = split(amount, shares)
    assert amount == sum(found.values())
    total = sum(shares.values())
    for name, part in found.items():
        exact = Decimal(amount) * shares[name] / total if total else Decimal(amount) / len(shares)
        assert part >= 0
        assert abs(part - exact) <= 1


@settings(max_examples=60)
@given(st.lists(costs, max_size=12), earnings, st.sampled_from([None, 2000.0, 0.1, 1234.567891]))
def test_a_statement_adds_up(paid: list[Paid], gamma: Earned, spot: float | None) -> None:
    """Result is fees less cost, the subsidy exactly what is missing, and totals are sums; costs are the receipts' to the wei."""
    found = book("x", spot, 7, [ALPHA, BETA, gamma], paid)
    rate = Decimal(1) if spot is None else Decimal(repr(spot))
    for row in found.rows:
        assert row.result == EXACT.subtract(row.fees, EXACT.add(row.batches, row.proposals))
        assert row.subsidy == max(Decimal(0), EXACT.subtract(row.cost, row.fees))
        assert total_of(row.groups.values()) == total_of(row.kinds.values())
    for purpose, booked in ((Purpose.BATCH, found.total.batches), (Purpose.PROPOSAL, found.total.proposals)):
        spent = Decimal(sum(one.wei for one in paid if one.purpose is purpose))
        assert EXACT.multiply(booked, Decimal(10**18)) == EXACT.multiply(rate, spent)
    assert found.total.result == total_of(row.result for row in found.rows)
    assert found.total.subsidy == total_of(row.subsidy for row in found.rows)
    dollars = Decimal(sum(gamma.kinds.values()) - gamma.insurance) / 10**6
    assert dollars == found.rows[2].fees
    assert Decimal(4) / 1000 * rate == found.rows[0].fees


def _slot(sizes: dict[int, int]) -> Slot:
    blocks = tuple(
        Block(chain, 1, GENESIS_PARENT, GENESIS_PARENT, Payload(1, ("0x" + "ab" * size,), ()))
        for chain, size in sorted(sizes.items())
    )
    return Slot(1, 0, GENESIS_PARENT, 1, blocks, (), {})


@given(st.dictionaries(st.sampled_from([11, 12, 13, 99]), st.integers(1, 3_000), max_size=4))
def test_a_superbatch_weighs_what_its_blocks_say(sizes: dict[int, int]) -> None:
    """More bytes, more weight; who has no block has none; what is no superbatch weighs nothing for anybody."""
    found = weights_of(encode_superbatch(0, GENESIS_PARENT, 1, [_slot(sizes)]), NAMES)
    for chain, name in NAMES.items():
        size = sizes.get(chain)
        assert found[name] == 0 if size is None else size < found[name] < size + 150
    assert dict.fromkeys(NAMES.values(), 0) == weights_of(b"\x99stranger", NAMES)


def _sent(sender: str, to: str | None, data: bytes = b"", kind: str = "0x2") -> dict[str, Any]:
    return {"hash": "0xaa", "from": sender, "to": to, "input": to_hex(data), "type": kind}


def test_costs_are_those_of_the_receipts_blobs_and_failures_among_them() -> None:
    """Gas times the price that was paid, blob gas likewise; a blob's bytes are read; a failed transaction costs as well."""
    data = encode_superbatch(0, GENESIS_PARENT, 1, [_slot({11: 500, 13: 500})])
    receipt = {"blockNumber": "0x5", "gasUsed": "0x64", "effectiveGasPrice": "0x7", "status": "0x1"}
    carried = {**receipt, "blobGasUsed": "0x20000", "blobGasPrice": "0x3"}
    plain = paid_of(_sent(BATCHER, INBOX, data), receipt, None, WHOM)
    blobs = [to_hex(blob) for blob in encode_blobs(data)]
    carrier = paid_of(_sent(BATCHER, INBOX, kind="0x3"), carried, blobs, WHOM)
    failed = paid_of(_sent(PROPOSER, ORACLE), {**receipt, "status": "0x0"}, None, WHOM)
    assert (700, 700 + 3 * 131_072, 700) == (plain.wei, carrier.wei, failed.wei)
    assert plain.weights == carrier.weights
    assert (0, True) == (plain.weights["beta"], plain.weights["alpha"] == plain.weights["gamma"] > 500)
    assert (Purpose.PROPOSAL, {"beta": 1}, False) == (failed.purpose, failed.weights, failed.succeeded)


@pytest.mark.parametrize(
    ("sent", "purpose"),
    [
        (_sent(BATCHER.upper().replace("0X", "0x"), INBOX), Purpose.BATCH),
        (_sent(PROPOSER, ORACLE), Purpose.PROPOSAL),
        (_sent("0x" + "9" * 40, INBOX), None),
        (_sent(BATCHER, "0x" + "9" * 40), None),
        (_sent(BATCHER, None), None),
    ],
)
def test_only_the_operators_transactions_to_inbox_and_oracle_are_costs(
    sent: dict[str, Any], purpose: Purpose | None
) -> None:
    """A stranger's batch is the stranger's cost, and a transfer of the batcher's is no batch."""
    assert purpose == purpose_of(sent, WHOM)


def test_the_document_has_every_digit_and_its_own_unit() -> None:
    """Decimal text without exponents; ether where no market says what that is worth."""
    paid = [Paid("0xaa", 3, Purpose.BATCH, {"alpha": 1, "beta": 0}, 21_000, 1)]
    found: Statement = book("x", None, 3, [ALPHA, BETA], paid)
    said = statement_to_json(found)
    assert ("ETH", None, 3) == (said["currency"], said["spot"], said["l1_block"])
    assert "0.000000000000000001" == said["rollups"]["alpha"]["l1_cost"]["batches"]
    assert "0.003999999999999999" == said["total"]["profit_and_loss"]
    assert {"batch": 21_000, "proposal": 0} == said["l1_gas"]
    assert {"batch": 1, "proposal": 0} == said["rollups"]["alpha"]["l1_cost"]["transactions"]
    assert {"batch": 0, "proposal": 0} == said["rollups"]["beta"]["l1_cost"]["transactions"]
    assert "0.004" == said["rollups"]["alpha"]["fees"]["groups"][FeeGroup.GAS]


async def test_a_devnet_that_is_down_is_said_to_be(tmp_path: Path) -> None:
    """No statement, and no traceback: an error in words that says what runs, with exit status 1."""
    said = await within(tmp_path, "economics", "nothere", "--json")
    assert 1 == said.code
    assert "devnet 'nothere' is not running" == said.json["error"]["message"]
