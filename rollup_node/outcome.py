"""What a rollup node's journal says of transactions and of a bundle's legs: staged, executed, reverted, settled.

Each event names the sequencer's event that caused it, so the graph of one message is exact across nodes.
"""

from collections.abc import Mapping
from typing import Any

from bridge.wire.journal import Journal
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.slot import Payload
from bridge.wire.stages import Stage
from rollup_node.engines.base import TransactionResult
from rollup_node.messages import Commit, StageRequest


def journal_staged(
    journal: Journal, request: StageRequest, results: Mapping[str, TransactionResult]
) -> dict[str, list[str]]:
    """Journal how a staged payload fared.

    Args:
        journal: the node's.
        request: what was asked for.
        results: by transaction hash.

    Returns:
        The journal events of each bundle's (or transaction's) legs.
    """
    marks: dict[str, Any] = {"slot": request.slot, "round": request.attempt}
    events: dict[str, list[str]] = {}
    for raw in request.payload.transactions:
        result = results[_digest(raw)]
        cause = _cause(request.causes, result.hash)
        events[result.hash] = [
            journal.emit(Stage.LEG_STAGED, msg_id=result.hash, cause=cause, **marks, status=result.status)
        ]
    for part in request.payload.bundles:
        cause = _cause(request.causes, part.bundle)
        events[part.bundle] = [
            journal.emit(
                Stage.LEG_STAGED,
                bundle_id=part.bundle,
                leg=leg,
                cause=cause,
                **marks,
                status=results[_digest(raw)].status,
            )
            for leg, raw in zip(part.legs, part.transactions, strict=True)
        ]
    return events


def journal_outcome(journal: Journal, message: Commit, *, recovered: bool) -> None:
    """Journal what became of a slot's legs on this rollup.

    Args:
        journal: the node's.
        message: the decision.
        recovered: whether it was read from the sequencer's log, not told when it was taken.
    """
    marks: dict[str, Any] = {"slot": message.slot} | ({"recovered": True} if recovered else {})
    for bundle, legs in message.aborted:
        cause = _cause(message.causes, bundle)
        for leg in legs:
            journal.emit(Stage.LEG_REVERTED, bundle_id=bundle, leg=leg, cause=cause, **marks)
    if message.block is None:
        return
    marks["block"] = message.block.number
    for raw in message.block.payload.transactions:
        digest = _digest(raw)
        cause = _cause(message.causes, digest)
        journal.emit(Stage.LEG_EXECUTED, msg_id=digest, cause=cause, tx=digest, **marks)
    for part in message.block.payload.bundles:
        cause = _cause(message.causes, part.bundle)
        for leg, raw in zip(part.legs, part.transactions, strict=True):
            journal.emit(
                Stage.LEG_EXECUTED, bundle_id=part.bundle, leg=leg, cause=cause, tx=_digest(raw), **marks
            )


def journal_settled(journal: Journal, number: int, payload: Payload, **output: Any) -> None:
    """Journal that the legs of a block are covered by an output that is final on L1; a bundle is settled once all its rollups say so.

    Args:
        journal: the node's.
        number: of the block.
        payload: what took effect in it.
        output: details of the output that covers it.
    """
    marks = {"block": number, **output}
    for raw in payload.transactions:
        journal.emit(Stage.SETTLED, msg_id=_digest(raw), **marks)
    for part in payload.bundles:
        for leg in part.legs:
            journal.emit(Stage.SETTLED, bundle_id=part.bundle, leg=leg, **marks)


def _digest(raw: str) -> str:
    return to_hex(keccak256(from_hex(raw)))


def _cause(causes: Mapping[str, str], key: str) -> tuple[str, ...]:
    return (causes[key],) if key in causes else ()
