"""Reading how a strategy over the bridge ended: on L1 why, on each rollup by which transaction, what was paid and how long cash was locked."""

from typing import Any

from bridge.contracts.addresses import LEG_ESCROW
from bridge.contracts.errors import ContractsError
from bridge.relayer.strategies.chains import ESCROW, Escrow, Happening, Registry, batched, newest, viewed
from bridge.relayer.strategies.lifecycle import Lock
from bridge.relayer.strategies.reasons import Verdict, lateness, verdict
from bridge.wire.errors import RpcError, WireError
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments
from orchestrator.strategies.bridge_result import RollupEnd, Trade, refused, trades_in
from orchestrator.strategies.bridge_terms import BridgeStrategy, Participant

SHOWS = {
    Lock.LOCKED: "LegLocked",
    Lock.REFUSED: "LegRefused",
    Lock.COMMITTED: "LegCommitted",
    Lock.RELEASED: "LegReleased",
    Lock.REFUNDED: "LegRefunded",
}
"""The event that brought an escrow's lock into each state."""


async def rollup_end(rollup: ChainHandle, strategy: bytes, legs: int, lock: Lock | None) -> RollupEnd:
    """How a rollup's part ended; what the rollup can't show (any more) is left out.

    Args:
        rollup: where.
        strategy: its id.
        legs: how many the rollup has.
        lock: what its escrow said last.

    Raises:
        ReceiptError: it traded something else than the legs.
    """
    if lock is None or lock is Lock.NONE:
        return RollupEnd(lock)
    try:
        history = await Escrow(rollup.client).history(to_hex(strategy))
        ended = newest(history, SHOWS[lock])
        if ended is None:
            return RollupEnd(lock)
        transaction = from_hex(ended.transaction, 32)
        trades: tuple[Trade, ...] = ()
        if lock is Lock.COMMITTED:
            receipt = await rollup.client.call("eth_getTransactionReceipt", ended.transaction)
            trades = trades_in(receipt, strategy, legs) if receipt else ()
        locked = newest(history, "LegLocked")
        if locked is None:
            return RollupEnd(lock, transaction, trades)
        seconds = None if lock is Lock.LOCKED else await _seconds(rollup, locked, ended)
        return RollupEnd(lock, transaction, trades, seconds, await _set_aside(rollup, strategy, locked))
    except (WireError, ContractsError):
        return RollupEnd(lock)


async def why(net: Devnet, bridged: BridgeStrategy) -> str:
    """Why L1 decided to abort, with the leg and the rollup where that can be said; nothing if it didn't, or doesn't answer."""
    registry = Registry(net.l1.client, deployments(net.plan).l1["StrategyRegistry"])
    chains = [part.chain_id for part in bridged.participants]
    try:
        found = verdict(await registry.history(to_hex(bridged.id)), chains)
    except (WireError, ContractsError):
        return ""
    if found is None or found.commit:
        return ""
    by_chain = {part.chain_id: part for part in bridged.participants}
    if found.refused_by is None:
        return lateness([by_chain[chain].rollup for chain in found.missing])
    part = by_chain[found.refused_by]
    leg = await _failed_leg(net.rollups[part.rollup], bridged, part, found)
    return refused(part, leg, found.reason)


async def _failed_leg(
    rollup: ChainHandle, bridged: BridgeStrategy, part: Participant, found: Verdict
) -> int | None:
    """Which of a rollup's legs can't be had: the first with which the rollup says again what it said then.

    An escrow tells why but not for which leg. It is asked to reserve the first leg, the first two and so on, in the state in which it was
    asked in earnest; only who pretends to be the escrow itself may ask that.
    """
    if len(part.legs) == 1:
        return 0
    try:
        history = await Escrow(rollup.client).history(to_hex(bridged.id))
        then = newest(history, "LegRefused")
        if then is None:
            return None
        times, block = bridged.deadlines, hex(then.block - 1)
        asked: list[tuple[str, list[Any]]] = []
        for count in range(1, len(part.legs) + 1):
            legs = list(part.trades[:count])
            data = ESCROW.encode_call("reserveLegs", bridged.id, bridged.account, times.refund_after, legs)
            call = {"from": LEG_ESCROW, "to": LEG_ESCROW, "data": to_hex(data)}
            asked.append(("eth_call", [call, block]))
        answers = await rollup.client.batch(asked)
    except (WireError, ContractsError):
        return None
    for place, answer in enumerate(answers):
        if isinstance(answer, RpcError):
            return place if answer.data == to_hex(found.reason) else None
    return None


async def _seconds(rollup: ChainHandle, since: Happening, until: Happening) -> int:
    blocks = await batched(
        rollup.client, [("eth_getBlockByNumber", [hex(each.block), False]) for each in (since, until)]
    )
    first, last = (int(block["timestamp"], 16) for block in blocks)
    return last - first


async def _set_aside(rollup: ChainHandle, strategy: bytes, locked: Happening) -> tuple[int | None, ...]:
    """What of the account's cash was set aside for each leg, as of the block that locked them; empty if that block's state is gone."""
    try:
        (answer,) = await batched(
            rollup.client,
            [viewed(LEG_ESCROW, ESCROW, "reservationsOf", strategy, block=hex(locked.block))],
        )
    except RpcError:
        return ()
    (reservations,) = ESCROW.decode_result("reservationsOf", from_hex(answer))
    return tuple(reservation[-1] for reservation in reservations)
