"""Running a strategy over the bridge: resolve → open on L1 → follow L1 and every rollup → read what it came to.

::

    StrategyRegistry.open ─► deposits ─► each rollup locks and votes ─► withdrawals ─► decided on L1 ─► deposits ─► traded or given back
    └── this module ──┘                                      └── proven and finalized by the relayer ──┘

After the opening nobody here is needed: whoever started it may go, and ask later (:func:`status`). The strategy's id is known before it is
opened and binds all that it is, so an opening that got lost, or of which it isn't known whether it arrived, is simply sent again.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Final

from bridge.l1.errors import NotDone
from bridge.l1.simulation import gas_for
from bridge.relayer.strategies.chains import REGISTRY
from bridge.relayer.strategies.lifecycle import Decision, State
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.stages import Stage
from orchestrator.bridge_execution.ends import rollup_end, why
from orchestrator.bridge_execution.following import EVERY_S, Opening, Seen, Tell, Watch
from orchestrator.bridging.sending import BridgingFailed, receipt_of, send
from orchestrator.bridging.terms import deposit_limit_s
from orchestrator.chains import ChainReads, ChainUnreachable, translated
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.execution import timing
from orchestrator.settlement.deployments import deployments
from orchestrator.strategies.bridge_result import Measured, bridge_result
from orchestrator.strategies.bridge_terms import (
    BridgeStrategy,
    deadlines,
    participants_of,
    require_expiries,
    strategy_id,
    waits,
)
from orchestrator.strategies.model import Strategy
from orchestrator.strategies.resolve import resolve_legs
from orchestrator.strategies.result import Outcome, StrategyResult
from orchestrator.topology.plan import Account

SETTLED_S: Final = 5.0
"""Longest wait, after the chains have shown the end, until the relayer has written it down, seconds."""


class NotOpened(RollnetError):  # noqa: N818 - states what happened
    """L1 refuses to open the strategy: nothing was locked."""


async def run_over_bridge(
    net: Devnet,
    strategy: Strategy,
    account: Account,
    tell: Tell,
    *,
    lifetime_s: int | None = None,
    prices: Sequence[int] = (),
) -> StrategyResult:
    """Run a strategy to its end.

    Args:
        net: the devnet.
        strategy: what to do.
        account: who opens it on L1 and trades on the rollups.
        tell: told of each step, a line at a time.
        lifetime_s: how long the decision may take, seconds; by default as long as the topology's waits ask for.
        prices: settlement prices for the payoff table, 1e-6 USD.

    Raises:
        ResolutionError: it does not fit this devnet, or not the bridge.
        RollnetError: a node that has to be read beforehand does not answer, or the account can't pay.
    """
    started = time.monotonic()
    bridged = await prepare(net, strategy, account, lifetime_s=lifetime_s)
    way, rollups = waits(net.plan, bridged.rollups), ", ".join(bridged.rollups)
    tell(
        f"{strategy.name} over the bridge on {rollups}; expect about {way.expected_s:.0f} s: {way.order_s:.0f} s to lock all legs, "
        f"{way.vote_s:.0f} s for the votes to reach L1, {way.decision_s:.0f} s to trade"
    )
    try:
        await open_strategy(net, bridged, account, tell)
    except NotOpened as exc:
        return bridge_result(bridged, "aborted", exc.message, {}, Measured({}, (), None), prices)
    return await follow(net, bridged, account, tell, prices=prices, started=started)


async def prepare(
    net: Devnet, strategy: Strategy, account: Account, *, lifetime_s: int | None = None
) -> BridgeStrategy:
    """Decide all that the registry is to be told; raises as :func:`run_over_bridge`."""
    maker, legs, price_cap = await resolve_legs(strategy, net.plan, account, ChainReads(net.rollups))
    parts = participants_of(strategy.name, legs, maker)
    head = await net.l1.rpc("eth_getBlockByNumber", "latest", False)
    times = deadlines(net.plan, [part.rollup for part in parts], int(head["timestamp"], 16), lifetime_s)
    require_expiries(strategy.name, legs, times)
    salt, registry = secrets.token_bytes(32), deployments(net.plan).l1["StrategyRegistry"]
    name = strategy_id(net.plan.l1.chain_id, registry, account.address, salt, parts, times)
    return BridgeStrategy(strategy, account.address, price_cap, legs, parts, times, salt, name)


async def open_strategy(net: Devnet, bridged: BridgeStrategy, account: Account, tell: Tell) -> None:
    """Open it on L1. It may return without it being known whether it is open: :func:`follow` finds that out.

    Raises:
        NotOpened: L1 refuses.
        RollnetError: L1 doesn't answer, or the account can't pay; nothing was sent.
    """
    digest = to_hex(bridged.id)
    event = net.journal.emit(
        Stage.SUBMITTED,
        bundle_id=digest,
        legs=len(bridged.participants),
        strategy=bridged.strategy.name,
        execution="bridge",
    )
    try:
        sent = await _send_opening(net, bridged, account)
    except RollnetError as exc:
        if isinstance(exc.__cause__, ChainUnreachable):
            tell(exc.message)
            return
        net.journal.emit(Stage.REFUSED, bundle_id=digest, cause=(event,), reason=exc.message)
        raise
    try:
        receipt = await receipt_of(net.l1, sent)
    except BridgingFailed as exc:
        tell(exc.message)
        return
    tell(
        f"opened in L1 block {int(receipt['blockNumber'], 16)} for {int(receipt['gasUsed'], 16):,} gas: {digest}"
    )


async def follow(
    net: Devnet,
    bridged: BridgeStrategy,
    account: Account,
    tell: Tell,
    *,
    prices: Sequence[int] = (),
    started: float | None = None,
) -> StrategyResult:
    """Follow a strategy that was opened to its end and read its result; what is told counts from ``started``, monotonic seconds."""
    digest, now = to_hex(bridged.id), int(time.time())
    chains = {part.chain_id: part.rollup for part in bridged.participants}

    async def open_again() -> None:
        try:
            await _send_opening(net, bridged, account)
        except RollnetError as exc:
            tell(f"it can't be opened again: {exc.message}")

    limit_s = max(0, bridged.deadlines.refund_after - now) + deposit_limit_s(net.plan)
    watch = Watch(net, digest, chains, tell, time.monotonic() if started is None else started)
    seen = await watch.until_end(limit_s, Opening(bridged.deadlines.decide_by, open_again))
    ends = {
        part.rollup: await rollup_end(
            net.rollups[part.rollup], bridged.id, len(part.legs), seen.view.locks[part.chain_id]
        )
        for part in bridged.participants
    }
    outcome, reason = await _outcome(net, bridged, seen)
    if seen.never_opened:
        net.journal.emit(Stage.REFUSED, bundle_id=digest, reason=reason)
    measured = await _measured(net, digest, wait=outcome in ("committed", "aborted") and not seen.reason)
    return bridge_result(bridged, outcome, reason, ends, measured, prices)


async def _outcome(net: Devnet, bridged: BridgeStrategy, seen: Seen) -> tuple[Outcome, str | None]:
    """The outcome, and the reason where it needs one."""
    state, standing = seen.view.state, seen.view.standing
    again = f"ask again with `rollnet strategy status {to_hex(bridged.id)}`"
    if state is State.COMMITTED:
        return "committed", None
    if state is State.ABORTED:
        return "aborted", await why(net, bridged) or "the rollups gave their legs back before a decision came"
    if state is State.APART:
        return "partial", "decided to commit, but a leg had been taken back before the decision came"
    if standing is None and seen.never_opened:
        return "aborted", seen.reason
    if standing is not None and standing.decision is Decision.ABORT:
        reason = await why(net, bridged) or "aborted"
        return "aborted", f"{reason}; not seen yet that all legs are given back ({seen.reason}): {again}"
    decided = "decided to commit" if standing and standing.decision is Decision.COMMIT else "undecided"
    return "unknown", f"{decided}: {seen.reason}; {again}"


async def _send_opening(net: Devnet, bridged: BridgeStrategy, account: Account) -> str:
    """Send the opening if L1 would take it; the transaction's hash.

    Raises:
        NotOpened: L1 would refuse it.
        RollnetError: L1 doesn't answer, or the account can't pay. It was not sent, unless caused by :class:`ChainUnreachable`.
    """
    registry = deployments(net.plan).l1["StrategyRegistry"]
    data = REGISTRY.encode_call("open", *bridged.arguments)
    with translated(net.l1.name):
        try:
            await gas_for(net.l1.client, account.address, from_hex(registry, 20), data, 0, interface=REGISTRY)
        except NotDone as exc:
            raise NotOpened(
                f"L1 would not open it: {exc}", "nothing was locked; mend it and run it again"
            ) from exc
    return await send(net, net.l1, account, registry, data, 0)


async def _measured(net: Devnet, digest: str, *, wait: bool) -> Measured:
    """What the journals say, once the relayer has written the end down."""
    end = time.monotonic() + (SETTLED_S if wait else 0.0)
    while True:
        found = await timing(net.directory.path, digest)
        if found.ended or time.monotonic() >= end:
            return Measured(found.latency_ms, found.critical_path, found.l1_gas or None, found.locked_s)
        await asyncio.sleep(EVERY_S)
