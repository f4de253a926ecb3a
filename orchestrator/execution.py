"""Running a strategy on a devnet as a bundle: resolve → submit → wait → read what it came to.

The outcome is what the sequencer decided; while it is down the wait goes on, because an acknowledged bundle has an end. Only when
the deadline and a grace after it have passed without an answer is the outcome ``unknown``.

A bundle is atomic within the rollups of one sequencer: :func:`chosen_mode` is where that is decided; what no bundle can hold goes
over the bridge (``orchestrator.bridge_execution.running``).
"""

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.journal import Journal
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.stages import Stage
from orchestrator.chains import ChainHandle, ChainReads, ChainUnreachable, SequencerHandle
from orchestrator.errors import RollnetError
from orchestrator.strategies.model import ExecutionMode, Strategy
from orchestrator.strategies.resolve import ResolvedStrategy, place, resolve
from orchestrator.strategies.result import (
    StrategyResult,
    committed,
    committed_unread,
    not_committed,
    revert_reason,
)
from orchestrator.topology.plan import Account, Plan
from orchestrator.topology.sequencing import sets_of
from orchestrator.tracing import Outcome, analyse, load_trace
from orchestrator.tracing.capital import capital_of
from orchestrator.tracing.errors import TracingError

LIFETIME_S = 20
"""Default time that a strategy may wait for a slot, seconds."""
GRACE_S = 30.0
"""After the deadline, time for a sequencer that is down to come back and say what became of the bundle, seconds."""
END_TO_END = "end_to_end"
"""Key of the whole latency beside the stages."""
RETRY_S = 0.05
"""Between two questions to a sequencer that does not answer."""
JOURNALS_S = 0.5
"""Longest wait for journals to tell an end that was answered already, seconds: those of another machine are brought here."""


class NotAcknowledged(RollnetError):  # noqa: N818 - states what happened
    """The bundle was refused, or no answer came: nothing was promised."""


class NeedsBridge(RollnetError):  # noqa: N818 - states what is so
    """The legs lie on rollups of several sequencers: no bundle can hold them."""

    exit_code = 2


def bundle_sequencer(plan: Plan, rollups: Iterable[str]) -> str:
    """The sequencer that can order legs on these rollups as one atomic bundle: its node's name.

    Raises:
        NeedsBridge: no single sequencer orders them all.
    """
    names = sorted(set(rollups))
    sets = sets_of(plan, names)
    if len(sets) != 1:
        raise NeedsBridge(
            f"legs on {', '.join(names)} can't be one atomic bundle: in messaging mode {plan.messaging.mode} "
            "each rollup has its own sequencer",
            "this needs execution: bridge (or auto), such as `rollnet strategy run … --execution bridge`; or put all legs "
            "on one rollup, or run a topology with messaging: {mode: shared-sequencer}",
        )
    return sets[0].node


def chosen_mode(plan: Plan, strategy: Strategy, wanted: ExecutionMode | None = None) -> ExecutionMode:
    """How a strategy is executed: ``bundle`` or ``bridge``. Pure.

    Args:
        plan: the devnet.
        strategy: whose own wish counts where there is no other.
        wanted: by whoever runs it; goes before the strategy's wish.

    Raises:
        ResolutionError: a leg is for a rollup that has no market.
        NeedsBridge: a bundle is wanted for legs that no single sequencer orders.
    """
    mode = wanted or strategy.execution
    if mode is ExecutionMode.BRIDGE:
        return mode
    rollups = {rollup.name for rollup in place(strategy, plan.rollups)}
    if mode is ExecutionMode.AUTO and len(sets_of(plan, rollups)) != 1:
        return ExecutionMode.BRIDGE
    bundle_sequencer(plan, rollups)
    return ExecutionMode.BUNDLE


@dataclass(frozen=True, slots=True)
class Timing:
    """What the journals say of one bundle or strategy."""

    latency_ms: Mapping[str, float]
    """By stage, and :data:`END_TO_END`."""
    critical_path: tuple[Mapping[str, Any], ...] = ()
    l1_gas: int = 0
    """Gas of the L1 transactions that were sent for it alone, each counted once."""
    ended: bool = False
    """Whether they tell its end."""
    locked_s: Mapping[int, float] = field(default_factory=dict)
    """How long cash was set aside, seconds, by leg; over the bridge a leg is a participating rollup."""


async def timing(run_dir: Path, digest: str) -> Timing:
    """Read the journals of a run; what they don't tell is left out."""
    try:
        trace = await asyncio.to_thread(load_trace, run_dir, digest)
        found = await asyncio.to_thread(analyse, trace)
    except TracingError:
        return Timing({})
    latency = {taken.stage.value: taken.duration_ns / 1e6 for taken in found.stage_times}
    if found.end_to_end_ns is not None:
        latency[END_TO_END] = found.end_to_end_ns / 1e6
    path = tuple(
        {
            "since": part.since,
            "until": part.until,
            "node": part.node,
            "leg": part.leg,
            "ms": part.duration_ns / 1e6,
        }
        for part in found.segments
    )
    paid = {
        event.attrs["l1_tx"]: event.attrs["gas"]
        for event in trace.events
        if {"l1_tx", "gas"} <= event.attrs.keys()
    }
    locks = {lock.leg: lock for lock in capital_of(found.built).locks}
    locked = {
        leg: (lock.until_ns - lock.since_ns) / 1e9 for leg, lock in locks.items() if lock.until_ns is not None
    }
    return Timing(latency, path, sum(paid.values()), found.outcome is not Outcome.UNKNOWN, locked)


@dataclass(frozen=True, slots=True)
class Execution:
    """Where strategies run."""

    plan: Plan
    run_dir: Path
    rollups: Mapping[str, ChainHandle]
    sequencers: Mapping[str, SequencerHandle]
    """By the name of the node."""
    journal: Journal
    """The client's own journal."""

    async def run(
        self,
        strategy: Strategy,
        account: Account,
        *,
        lifetime_s: int = LIFETIME_S,
        prices: Sequence[int] = (),
    ) -> StrategyResult:
        """Run a strategy to its end.

        Args:
            strategy: what to do.
            account: who signs.
            lifetime_s: how long it may wait for a slot, seconds.
            prices: settlement prices for the payoff table, 1e-6 USD.

        Raises:
            ResolutionError: it does not fit this devnet.
            NeedsBridge: its legs lie on rollups of several sequencers.
            RollnetError: a rollup that has to be read does not answer.
        """
        bundle_sequencer(self.plan, (rollup.name for rollup in place(strategy, self.plan.rollups)))
        resolved = await resolve(
            strategy,
            self.plan,
            account,
            ChainReads(self.rollups),
            max_timestamp=int(time.time()) + lifetime_s,
            salt=secrets.token_bytes(32),
        )
        try:
            await self.submit(resolved)
        except NotAcknowledged as exc:
            # refused: it has no effect; no answer at all: it may have been acknowledged, only its hash can tell
            unheard = isinstance(exc.__cause__, ChainUnreachable)
            return not_committed(resolved, "unknown" if unheard else "aborted", exc.message)
        return await self.finish(resolved, prices=prices)

    async def submit(self, resolved: ResolvedStrategy) -> str:
        """Send the bundle; returns its hash once it is acknowledged.

        Raises:
            NotAcknowledged: it was refused, or no answer came (sending it again is safe).
            NeedsBridge: its legs lie on rollups of several sequencers.
        """
        sequencer = self._sequencer(resolved)
        digest = to_hex(resolved.bundle_hash)
        event = self.journal.emit(
            Stage.SUBMITTED, bundle_id=digest, legs=len(resolved.legs), strategy=resolved.strategy.name
        )
        try:
            return await sequencer.send_bundle(
                resolved.transactions, resolved.max_timestamp, resolved.salt, event
            )
        except RollnetError as exc:
            self.journal.emit(Stage.REFUSED, bundle_id=digest, cause=(event,), reason=exc.message)
            raise NotAcknowledged(f"bundle {digest} was not acknowledged: {exc.message}", exc.hint) from exc

    async def finish(self, resolved: ResolvedStrategy, *, prices: Sequence[int] = ()) -> StrategyResult:
        """Wait for the end of an acknowledged bundle and read its result."""
        digest = to_hex(resolved.bundle_hash)
        status = await self._end_of(self._sequencer(resolved), digest, resolved.max_timestamp + GRACE_S)
        if status is None or status["status"] == "pending":
            return not_committed(
                resolved, "unknown", f"no answer about {digest}; ask again with `rollnet bundle {digest}`"
            )
        if status["status"] == "committed":
            try:
                receipts = [
                    await self._receipt(self.rollups[leg["rollup"]], leg["transactionHash"])
                    for leg in status["legs"]
                ]
            except TimeoutError:
                latency, _ = await self._timing(digest)
                return committed_unread(
                    resolved,
                    "committed; a rollup has not served its receipt yet, see `rollnet status`",
                    latency,
                )
            latency, path = await self._timing(digest)
            return committed(resolved, receipts, prices=prices, latency_ms=latency, critical_path=path)
        latency, _ = await self._timing(digest)
        return not_committed(resolved, "aborted", self._reason(resolved, status), latency)

    def _sequencer(self, resolved: ResolvedStrategy) -> SequencerHandle:
        return self.sequencers[bundle_sequencer(self.plan, (leg.rollup for leg in resolved.legs))]

    async def _end_of(
        self, sequencer: SequencerHandle, digest: str, give_up: float
    ) -> Mapping[str, Any] | None:
        status: Mapping[str, Any] | None = None
        while time.time() < give_up:
            try:
                status = await sequencer.client.call("rollnet_waitForEnd", digest, 5.0)
            except (PeerUnreachable, RpcError):
                await asyncio.sleep(RETRY_S)
                continue
            if status is None or status["status"] != "pending":
                return status
        return status

    async def _receipt(self, rollup: ChainHandle, digest: str) -> Mapping[str, Any]:
        """The receipt of a decided leg: its rollup may have to come back or catch up first.

        Raises:
            TimeoutError: it has not within :data:`GRACE_S`.
        """
        async with asyncio.timeout(GRACE_S):
            while True:
                try:
                    receipt: Mapping[str, Any] | None = await rollup.client.call(
                        "eth_getTransactionReceipt", digest
                    )
                except (PeerUnreachable, RpcError):
                    receipt = None
                if receipt is not None:
                    return receipt
                await asyncio.sleep(RETRY_S)

    def _reason(self, resolved: ResolvedStrategy, status: Mapping[str, Any]) -> str:
        reason = status["reason"]
        if status["status"] == "expired" or reason["leg"] is None:
            return f"{status['status']}: {reason['message']}"
        data = from_hex(reason["data"])
        if data:
            return revert_reason(resolved, reason["leg"], data)
        return f"leg {reason['leg']} on {reason['rollup']}: {reason['message']}"

    async def _timing(self, digest: str) -> tuple[dict[str, float], tuple[dict[str, Any], ...]]:
        """Latency by stage and the critical path, from the journals, once they tell the end."""
        end = time.monotonic() + JOURNALS_S
        while True:
            found = await timing(self.run_dir, digest)
            if END_TO_END in found.latency_ms or time.monotonic() >= end:
                return dict(found.latency_ms), tuple(map(dict, found.critical_path))
            await asyncio.sleep(RETRY_S)
