"""Reading sequencers and L1 at the end of a run. An edge."""

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.contracts.op import op_artifact
from bridge.wire.deposits import DEPOSITED_TOPIC, decode_deposit, user_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.chains import ChainHandle, SequencerHandle
from orchestrator.checks.decoding import good, slot_served, status_seen
from orchestrator.checks.observed import (
    Amounts,
    DepositSeen,
    FinalizedSeen,
    L1Seen,
    ProvenSeen,
    SequencerSeen,
    SlotServed,
)
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.funding import rollup_supply
from orchestrator.topology.plan import Plan

SLOTS_PAGE = 100
L1_PAGE = 60
"""Blocks in one request."""
READ_S = 60.0
"""Longest wait for one page, seconds."""
_PORTAL = op_artifact("OptimismPortal").interface
_FINALIZED_TOPIC = to_hex(_PORTAL.topic("WithdrawalFinalized"))
_PROVEN_TOPIC = to_hex(_PORTAL.topic("WithdrawalProven"))


async def observe_sequencer(
    sequencer: SequencerHandle, rollups: Mapping[int, str], ids: Iterable[str]
) -> SequencerSeen:
    """Read a sequencer's whole log, and what it says of some items.

    Args:
        sequencer: whom to ask.
        rollups: names by chain id.
        ids: bundle and transaction hashes.

    Raises:
        RpcError, PeerUnreachable: it can't be read.
    """
    client = sequencer.client
    status = await client.call("rollnet_status")
    slots: list[SlotServed] = []
    while len(slots) < status["slots"]:
        page = await client.call("rollnet_getSlots", len(slots), SLOTS_PAGE, deadline=READ_S)
        if not page:
            break
        slots += [slot_served(slot, rollups) for slot in page]
    asked = list(ids)
    answers = good(await client.batch([("rollnet_getStatus", [each]) for each in asked], READ_S))
    return SequencerSeen(
        term=status["term"],
        waiting=status["waiting"],
        slots=tuple(slots),
        statuses={each: status_seen(answer) for each, answer in zip(asked, answers, strict=True)},
    )


async def observe_l1(chain: ChainHandle, plan: Plan, number: int) -> L1Seen:
    """Read L1's side of the bridges up to a block.

    Raises:
        RpcError, PeerUnreachable: it can't be read.
        Malformed: a portal's log is none.
    """
    client, at = chain.client, hex(number)
    portals = {one.portal.lower(): name for name, one in deployments(plan).rollups.items()}
    block = await client.call("eth_getBlockByNumber", at, False)
    logs = await client.call(
        "eth_getLogs",
        {
            "address": list(portals),
            "fromBlock": "0x0",
            "toBlock": at,
            "topics": [[DEPOSITED_TOPIC, _FINALIZED_TOPIC, _PROVEN_TOPIC]],
        },
        deadline=READ_S,
    )
    balances = good(await client.batch([("eth_getBalance", [portal, at]) for portal in portals]))
    before = {rollup.name: rollup_supply(plan, rollup) for rollup in plan.rollups}
    return L1Seen(
        number=number,
        hash=block["hash"],
        deposits=tuple(_deposit(log, portals) for log in logs if log["topics"][0] == DEPOSITED_TOPIC),
        finalized=tuple(_finalized(log, portals) for log in logs if log["topics"][0] == _FINALIZED_TOPIC),
        portals={
            name: Amounts(before[name], int(balance, 16))
            for name, balance in zip(portals.values(), balances, strict=True)
        },
        proven=tuple(_proven(log, portals) for log in logs if log["topics"][0] == _PROVEN_TOPIC),
        blocks=await _hashes(chain, number),
    )


async def _hashes(chain: ChainHandle, last: int) -> tuple[str, ...]:
    """Hash of every block up to one."""
    found: list[str] = []
    for first in range(0, last + 1, L1_PAGE):
        numbers = range(first, min(first + L1_PAGE, last + 1))
        blocks = good(
            await chain.client.batch(
                [("eth_getBlockByNumber", [hex(number), False]) for number in numbers], READ_S
            )
        )
        found += [block["hash"] for block in blocks]
    return tuple(found)


def _deposit(log: Mapping[str, Any], portals: Mapping[str, str]) -> DepositSeen:
    raw = user_deposit(log, log["blockHash"])
    decoded = decode_deposit(raw)
    return DepositSeen(
        rollup=portals[log["address"].lower()],
        transaction=to_hex(keccak256(raw)),
        l1_block=int(log["blockNumber"], 16),
        sender=to_hex(decoded.sender),
        mint=decoded.mint,
        l1_transaction=log["transactionHash"],
    )


def _proven(log: Mapping[str, Any], portals: Mapping[str, str]) -> ProvenSeen:
    return ProvenSeen(portals[log["address"].lower()], log["topics"][1])


def _finalized(log: Mapping[str, Any], portals: Mapping[str, str]) -> FinalizedSeen:
    event = _PORTAL.decode_event([from_hex(topic) for topic in log["topics"]], from_hex(log["data"]))
    assert event is not None, "the topic is that of the event"
    return FinalizedSeen(
        rollup=portals[log["address"].lower()],
        withdrawal=to_hex(event.arguments["withdrawalHash"]),
        success=event.arguments["success"],
        l1_block=int(log["blockNumber"], 16),
        l1_transaction=log["transactionHash"],
    )
