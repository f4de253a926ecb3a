"""From what JSON-RPC answers to what was seen: blocks with their receipts, events, slots. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from bridge.contracts.addresses import (
    BUNDLE_GUARD,
    CROSS_ROLLUP_MAILBOX,
    L1_BLOCK,
    L2_TO_L1_MESSAGE_PASSER,
    OPTIONS_MARKET,
    OPTIONS_SYSTEM,
    SYSTEM_SENDER_PREFIX,
)
from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import Interface
from bridge.contracts.op import op_artifact
from bridge.wire.errors import RpcError
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.slot import Slot, slot_hash
from orchestrator.checks.observed import (
    BlockSeen,
    DecisionSeen,
    EventSeen,
    SlotServed,
    StatusSeen,
    TransactionSeen,
)
from orchestrator.load.history import slot_digest

OPEN = to_hex(keccak256(b"open(bytes32)")[:4])
"""Selector of the guard's ``open``; its argument is the bundle."""
_ORIGIN = slice(2 + 2 * 28, 2 + 2 * 36)
"""Where the L1 block's number stands in the hexadecimal call data of the L1 attributes (Ecotone)."""
_WANTED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    OPTIONS_MARKET: (
        "OptionsMarket",
        ("Trade", "Settled", "Deposited", "Withdrawn", "Reserved", "Released"),
    ),
    L2_TO_L1_MESSAGE_PASSER: ("L2ToL1MessagePasser", ("MessagePassed",)),
    OPTIONS_SYSTEM["IOptionsExchange"]: ("IOptionsExchange", ("Trade",)),
    OPTIONS_SYSTEM["IOptionsRisk"]: ("IOptionsRisk", ("PositionSettled",)),
    OPTIONS_SYSTEM["IOptionsLiquidation"]: (
        "IOptionsLiquidation",
        ("Liquidated", "AuctionBid", "BackstopTook", "Deleveraged"),
    ),
    CROSS_ROLLUP_MAILBOX: (
        "CrossRollupMailbox",
        ("MessageSent", "MessageExecuted", "MessageFailed", "MessageRefunded"),
    ),
}
"""Events that checkers ask for, by the contract's address."""
_LEFT_OUT = {"L2ToL1MessagePasser": ("data",), "CrossRollupMailbox": ("data", "reason")}
"""Arguments that nobody judges, and that can be long."""


def block_seen(block: Mapping[str, Any], receipts: Sequence[Mapping[str, Any]]) -> BlockSeen:
    """One block of a rollup, from ``eth_getBlockByNumber`` (with transactions) and ``eth_getBlockReceipts``.

    Raises:
        KeyError, ValueError, TypeError: they are something else, or of two blocks.
    """
    origin: int | None = None
    bundle: str | None = None
    transactions: list[TransactionSeen] = []
    derived: list[EventSeen] = []
    for sent, receipt in zip(block["transactions"], receipts, strict=True):
        if sent["hash"] != receipt["transactionHash"]:
            raise ValueError(f"block {block['number']}: receipts are of other transactions")
        to = (sent.get("to") or "").lower()
        if sent["from"].lower().startswith(SYSTEM_SENDER_PREFIX):
            if to == L1_BLOCK:
                origin = int(sent["input"][_ORIGIN], 16)
            elif to == BUNDLE_GUARD:
                bundle = "0x" + sent["input"][10:74] if sent["input"].startswith(OPEN) else None
            derived += events_seen(receipt["logs"])
            continue
        transactions.append(_transaction(sent, receipt, bundle))
    return BlockSeen(
        number=int(block["number"], 16),
        hash=block["hash"],
        parent=block["parentHash"],
        timestamp=int(block["timestamp"], 16),
        origin=origin,
        transactions=tuple(transactions),
        derived=tuple(derived),
    )


def events_seen(logs: Iterable[Mapping[str, Any]]) -> tuple[EventSeen, ...]:
    """The events that checkers ask for, in order."""
    found: list[EventSeen] = []
    for entry in logs:
        address = str(entry["address"]).lower()
        if address not in _WANTED or not entry["topics"]:
            continue
        contract, interface, topics = _contract(address)
        if entry["topics"][0] not in topics:
            continue
        event = interface.decode_event(
            [from_hex(topic) for topic in entry["topics"]], from_hex(entry["data"])
        )
        if event is not None:
            left_out = _LEFT_OUT.get(contract, ())
            arguments = {
                name: _plain(value) for name, value in event.arguments.items() if name not in left_out
            }
            found.append(EventSeen(contract, event.name, arguments))
    return tuple(found)


def slot_served(slot: Mapping[str, Any], rollups: Mapping[int, str]) -> SlotServed:
    """One slot as ``rollnet_getSlots`` serves it.

    Args:
        slot: the answer.
        rollups: names by chain id.
    """
    decoded = Slot.from_json({**slot, "causes": {}})
    return SlotServed(
        number=decoded.number,
        term=decoded.term,
        hash=slot_digest(slot),
        link=slot_hash(decoded),
        parent=decoded.parent,
        timestamp=decoded.timestamp,
        blocks={rollups[block.chain_id]: (block.number, block.hash) for block in decoded.blocks},
        decisions=tuple(DecisionSeen(each.id, each.outcome) for each in decoded.decisions),
    )


def status_seen(status: Mapping[str, Any] | None) -> StatusSeen | None:
    """What ``rollnet_getStatus`` answers."""
    if status is None:
        return None
    return StatusSeen(
        status=status["status"],
        kind=status["kind"],
        slot=status["slot"],
        legs=tuple((leg["rollup"], leg["transactionHash"]) for leg in status["legs"]),
        reason=(status["reason"] or {}).get("message", ""),
    )


def good(answers: Sequence[Any | RpcError]) -> list[Any]:
    """The answers of a batch.

    Raises:
        RpcError: the first that is an error.
    """
    for answer in answers:
        if isinstance(answer, RpcError):
            raise answer
    return list(answers)


def _transaction(sent: Mapping[str, Any], receipt: Mapping[str, Any], bundle: str | None) -> TransactionSeen:
    deposit = int(sent["type"], 16) == 0x7E
    to = sent.get("to") or receipt.get("contractAddress")
    return TransactionSeen(
        hash=sent["hash"],
        sender=sent["from"].lower(),
        nonce=int(sent["nonce"], 16),
        to=to.lower() if to else None,
        value=int(sent["value"], 16),
        ok=receipt["status"] == "0x1",
        fee=0 if deposit else int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16),
        deposit=deposit,
        mint=int(sent.get("mint") or "0x0", 16) if deposit else 0,
        bundle=None if deposit else bundle,
        events=events_seen(receipt["logs"]),
    )


@cache
def _contract(address: str) -> tuple[str, Interface, frozenset[str]]:
    name, events = _WANTED[address]
    of_op_stack = name == "L2ToL1MessagePasser"
    interface = op_artifact(name).interface if of_op_stack else artifact(name).interface
    return name, interface, frozenset(to_hex(interface.topic(event)) for event in events)


def _plain(value: Any) -> Any:
    """As JSON has it: structs as lists, bytes as 0x-hex."""
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return value.lower() if isinstance(value, str) and value.startswith("0x") else value
