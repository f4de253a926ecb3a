"""What a statement is made of, read from a running devnet: its L1 once from the first block on, and each rollup's own count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.contracts.addresses import PREDEPLOYS
from bridge.contracts.op import op_artifact
from bridge.wire.blobs import decode_blobs
from bridge.wire.errors import Malformed, RpcError
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.chains import ChainHandle, translated
from orchestrator.devnet import Devnet
from orchestrator.economics.allocation import weights_of
from orchestrator.economics.booking import WEI_PER_ETHER, book
from orchestrator.economics.errors import CannotBook
from orchestrator.economics.model import Earned, Paid, Purpose, Statement
from orchestrator.settlement.deployments import Deployments, deployments
from orchestrator.topology.plan import Plan, RollupPlan
from orchestrator.topology.sequencing import sequencing_sets

CASH = 10**6
"""An options rollup's units in a dollar."""
ROUND = 60
"""L1 blocks that are asked for at once."""
BLOB_TYPE = "0x3"
VAULTS: Mapping[str, str] = {
    "base": "BaseFeeVault",
    "priority": "SequencerFeeVault",
    "l1_data": "L1FeeVault",
}
"""Of an EVM rollup, by kind of fee."""


@dataclass(frozen=True, slots=True)
class Payees:
    """Where the operator's transactions go on L1, and for whom; addresses in lower case."""

    payers: frozenset[str]
    inboxes: Mapping[str, Mapping[int, str]]
    """Names of the sequencing set's rollups by chain id, by inbox."""
    oracles: Mapping[str, str]
    """Rollup by L2OutputOracle."""


async def read_statement(net: Devnet) -> Statement:
    """The statement of a running devnet, as of now.

    Raises:
        ChainUnreachable: a node of it doesn't answer.
        Refused: one answers with an error.
        CannotBook: L1 was reorganised meanwhile.
    """
    head, paid = await _read_l1(net.l1, payees(net.plan, deployments(net.plan)))
    earned = [await _earned(net.rollup(one.name), one) for one in net.plan.rollups]
    spot = None if net.plan.market is None else net.plan.market.spot
    return book(net.name, spot, head, earned, paid)


def payees(plan: Plan, contracts: Deployments) -> Payees:
    """Whom to look for on L1. Pure."""
    rollups = contracts.rollups
    return Payees(
        payers=frozenset(
            address.lower() for one in rollups.values() for address in (one.batcher, one.proposer)
        ),
        inboxes={
            rollups[one.rollups[0].name].batch_inbox.lower(): {
                rollup.chain_id: rollup.name for rollup in one.rollups
            }
            for one in sequencing_sets(plan)
        },
        oracles={one.output_oracle.lower(): name for name, one in rollups.items()},
    )


def purpose_of(sent: Mapping[str, Any], whom: Payees) -> Purpose | None:
    """What a transaction of L1 is for; None: it isn't the operator's, or is no cost of sequencing. Pure."""
    target = (sent["to"] or "").lower()
    if sent["from"].lower() not in whom.payers:
        return None
    if target in whom.inboxes:
        return Purpose.BATCH
    return Purpose.PROPOSAL if target in whom.oracles else None


def paid_of(
    sent: Mapping[str, Any], receipt: Mapping[str, Any], blobs: Sequence[str] | None, whom: Payees
) -> Paid:
    """An entry from a transaction, its receipt, and what its blobs hold, if it has any. Pure."""
    purpose = purpose_of(sent, whom)
    assert purpose is not None, "the caller looked"
    target = sent["to"].lower()
    if purpose is Purpose.BATCH:
        weights = weights_of(_data(sent, blobs), whom.inboxes[target])
    else:
        weights = {whom.oracles[target]: 1}
    gas, blob_gas = int(receipt["gasUsed"], 16), int(receipt.get("blobGasUsed") or "0x0", 16)
    wei = gas * int(receipt["effectiveGasPrice"], 16)
    return Paid(
        hash=sent["hash"],
        block=int(receipt["blockNumber"], 16),
        purpose=purpose,
        weights=weights,
        gas=gas,
        wei=wei + blob_gas * int(receipt.get("blobGasPrice") or "0x0", 16),
        blob_gas=blob_gas,
        succeeded=receipt["status"] == "0x1",
    )


def _data(sent: Mapping[str, Any], blobs: Sequence[str] | None) -> bytes:
    if blobs is None:
        return from_hex(sent["input"])
    try:
        return decode_blobs([from_hex(blob) for blob in blobs])
    except Malformed:
        return b""


async def _read_l1(l1: ChainHandle, whom: Payees) -> tuple[int, list[Paid]]:
    """The number of L1's last block, and everything that the operator has paid up to it."""
    head = await l1.height()
    paid: list[Paid] = []
    for first in range(0, head + 1, ROUND):
        asked = [
            ("eth_getBlockByNumber", [hex(number), True])
            for number in range(first, min(first + ROUND, head + 1))
        ]
        blocks = await _all(l1, asked)
        mine = [
            sent for block in blocks for sent in block["transactions"] if purpose_of(sent, whom) is not None
        ]
        receipts = await _all(l1, [("eth_getTransactionReceipt", [sent["hash"]]) for sent in mine])
        carriers = [sent["hash"] for sent in mine if sent["type"] == BLOB_TYPE]
        blobs = await _all(l1, [("anvil_getBlobsByTransactionHash", [digest]) for digest in carriers])
        held = dict(zip(carriers, blobs, strict=True))
        paid += [
            paid_of(sent, receipt, held.get(sent["hash"]), whom)
            for sent, receipt in zip(mine, receipts, strict=True)
        ]
    return head, paid


async def _all(chain: ChainHandle, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
    """Answers to all of some calls.

    Raises:
        CannotBook: one has none: what was there a moment ago isn't any more.
    """
    if not calls:
        return []
    with translated(chain.name):
        answers = await chain.client.batch(calls)
    for (method, parameters), answer in zip(calls, answers, strict=True):
        if answer is None or isinstance(answer, RpcError):
            raise CannotBook(
                f"{chain.name} gave {answer} for {method} {parameters[0]}: it was reorganised, or is being restarted",
                "ask again",
            )
    return answers


async def _earned(chain: ChainHandle, rollup: RollupPlan) -> Earned:
    if rollup.options is not None:
        said = await chain.rpc("options_getFees")
        kinds = {kind: int(amount) for kind, amount in said["kinds"].items()}
        return Earned(
            rollup.name, rollup.engine, CASH, dollars=True, kinds=kinds, insurance=int(said["insurance"]), block=said["block"]
        )  # fmt: skip
    block = await chain.height()
    kinds = await _vaults(chain, hex(block))
    return Earned(rollup.name, rollup.engine, WEI_PER_ETHER, dollars=False, kinds=kinds, block=block)


async def _vaults(chain: ChainHandle, block: str) -> dict[str, int]:
    """What each fee vault has ever taken in: what is in it, and what it has sent to L1."""
    interface = op_artifact("SequencerFeeVault").interface
    asked = to_hex(interface.encode_call("totalProcessed"))
    calls: list[tuple[str, Sequence[Any]]] = []
    for name in VAULTS.values():
        address = PREDEPLOYS[name]
        calls += [("eth_getBalance", [address, block]), ("eth_call", [{"to": address, "data": asked}, block])]
    answers = iter(await _all(chain, calls))
    found: dict[str, int] = {}
    for kind, balance, answer in zip(VAULTS, answers, answers, strict=True):
        (processed,) = interface.decode_result("totalProcessed", from_hex(answer))
        found[kind] = int(balance, 16) + int(processed)
    return found
