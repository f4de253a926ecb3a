"""From the journals of two runs to the comparison: no I/O, the same for the same journals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.wire.stages import Stage
from orchestrator.comparison.model import (
    Comparison,
    Distribution,
    Gas,
    Locked,
    Messages,
    PaidRow,
    Side,
    StageRow,
    Way,
)
from orchestrator.comparison.waits import message_waits, waits_s
from orchestrator.topology.plan import Plan
from orchestrator.tracing.analysis import Analysis, analyse
from orchestrator.tracing.capital import Capital, capital_of
from orchestrator.tracing.gas import Cost, GasAccount, Purpose, account_gas
from orchestrator.tracing.outcome import Outcome
from orchestrator.tracing.percentiles import nearest_rank, quantile
from orchestrator.tracing.stages import PREDECESSOR, way_to
from orchestrator.tracing.trace import Kind, TraceSet

NEVER_TOLD = "no journal knows it"
"""Reason of a strategy that was submitted, and of which no journal tells."""
HALF, MOST = 500, 950
"""Quantiles that are shown, per mille."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A plain message that was part of the work."""

    key: str
    """Its hash."""
    source: str
    destination: str
    """Names of rollups."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run of the work, over."""

    plan: Plan
    run_dir: str
    ready_s: float
    """How long the devnet took to come up."""
    worked_s: float
    """From the first departure until everything had ended, seconds."""
    traces: TraceSet
    strategies: tuple[str, ...]
    """Bundle hashes, or ids on L1, as they were submitted."""
    failures: tuple[str, ...] = ()
    """Why others could not be submitted: they count as refused."""
    messages: tuple[SentMessage, ...] = ()


def build_comparison(
    bundle: Recorded, bridge: Recorded, *, strategy: str, host: str, command: str
) -> Comparison:
    """Hold two runs of the same work side by side.

    Args:
        bundle: the run in mode ``shared-sequencer``.
        bridge: the run in mode ``l1-bridge``.
        strategy: what was run.
        host: what they ran on.
        command: what makes the comparison again.
    """
    over_bridge = _side(bridge, Kind.BRIDGED, None)
    return Comparison(
        strategy=strategy,
        topology=bridge.plan.name,
        seed=bridge.plan.seed,
        host=host,
        command=command,
        bundle=_side(bundle, Kind.BUNDLE, over_bridge.locked.cash),
        bridge=over_bridge,
        messages=_messages(bridge) if bridge.messages else None,
    )


def distribution(samples: Sequence[int], unfinished: int = 0) -> Distribution:
    """Durations in nanoseconds, in any order."""
    ordered = sorted(samples)
    return Distribution(
        finished=len(ordered),
        unfinished=unfinished,
        minimum_ns=ordered[0] if ordered else None,
        maximum_ns=ordered[-1] if ordered else None,
        p50=quantile(ordered, HALF, unfinished),
        p95=quantile(ordered, MOST, unfinished),
    )


def _side(run: Recorded, kind: Kind, cash: int | None) -> Side:
    known = {key: analyse(run.traces.traces[key]) for key in run.strategies if key in run.traces.traces}
    found = list(known.values())
    outcomes: Counter[Outcome] = Counter(each.outcome for each in found)
    outcomes[Outcome.UNKNOWN] += len(run.strategies) - len(found)
    outcomes[Outcome.REFUSED] += len(run.failures)
    reasons = Counter([*(each.verdict.reason for each in found if each.verdict.reason), *run.failures])
    if len(found) < len(run.strategies):
        reasons[NEVER_TOLD] += len(run.strategies) - len(found)
    committed = [each for each in found if each.outcome is Outcome.COMMITTED]
    return Side(
        mode=run.plan.messaging.mode,
        run_dir=run.run_dir,
        ready_s=run.ready_s,
        worked_s=run.worked_s,
        strategies=len(run.strategies) + len(run.failures),
        outcomes=_counted(outcomes),
        reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        end_to_end=_end_to_end(committed, outcomes[Outcome.UNKNOWN]),
        stages=_stages(
            kind, Stage.LEG_EXECUTED, committed, [e for e in found if e.outcome is Outcome.UNKNOWN]
        ),
        gas=_gas(account_gas(run.traces), run),
        locked=_locked([capital_of(each.built) for each in committed], cash),
        median=_median(committed),
        alarms=tuple(f"{key}: {alarm}" for key, each in known.items() for alarm in each.alarms),
    )


def _counted(outcomes: Counter[Outcome]) -> tuple[tuple[Outcome, int], ...]:
    return tuple((outcome, outcomes[outcome]) for outcome in Outcome if outcomes[outcome])


def _end_to_end(found: Sequence[Analysis], unfinished: int) -> Distribution:
    return distribution([each.end_to_end_ns for each in found if each.end_to_end_ns is not None], unfinished)


def _stages(
    kind: Kind, end: Stage, found: Sequence[Analysis], hanging: Sequence[Analysis]
) -> tuple[StageRow, ...]:
    """The stages of messages that came to their end; those that hang count where they hang."""
    way = way_to(kind, end)
    rows = []
    for stage, since in PREDECESSOR[kind].items():
        taken = [time.duration_ns for each in found for time in each.stage_times if time.stage == stage]
        awaited = sum(stage in each.awaited for each in (*found, *hanging))
        if taken or awaited:
            rows.append(StageRow(stage, since, distribution(taken, awaited), stage in way))
    return tuple(rows)


def _gas(account: GasAccount, run: Recorded) -> Gas:
    rows = []
    for purpose in Purpose:
        paid = [row for row in account.rows() if row[0] is purpose]
        if paid:
            payers = tuple(payer for _, payer, _, _ in paid)
            cost = sum((cost for _, _, _, cost in paid), Cost())
            rows.append(PaidRow(purpose, payers, sum(count for _, _, count, _ in paid), cost))
    strategies = [account.share(key) for key in run.strategies]
    messages = [account.share(each.key) for each in run.messages]
    used = sum((share.total for share in (*strategies, *messages)), Cost())
    return Gas(
        rows=tuple(rows),
        strategies_own=sum((share.own for share in strategies), Cost()),
        strategies_shared=sum((share.shared for share in strategies), Cost()),
        messages_own=sum((share.own for share in messages), Cost()),
        messages_shared=sum((share.shared for share in messages), Cost()),
        overhead=Cost(account.total.gas - used.gas, account.total.wei - used.wei),
    )


def _locked(found: Sequence[Capital], cash: int | None) -> Locked:
    """What committed strategies tied up.

    Args:
        found: of each.
        cash: of one, from elsewhere, where the journals of this side don't state it: the same legs take the same.
    """
    times = [each.locked_ns for each in found if each.locked_ns is not None]
    amounts = [each.amount for each in found if each.amount is not None]
    products = [each.cash_ns for each in found if each.cash_ns is not None]
    spans = distribution(times, len(found) - len(times))
    if amounts and products:
        return Locked(spans, sum(amounts) // len(amounts), sum(products) // len(products), bound=False)
    if cash is None or not times:
        return Locked(spans, None, None, bound=False)
    return Locked(spans, cash, cash * sum(times) // len(times), bound=True)


def _median(committed: Sequence[Analysis]) -> Way | None:
    """The run in the middle: one that really happened, so that its path is one."""
    timed = sorted(
        (each.end_to_end_ns, each.key, each.segments) for each in committed if each.end_to_end_ns is not None
    )
    if not timed:
        return None
    took, key, segments = timed[nearest_rank(len(timed), HALF) - 1]
    return Way(key, took, segments)


def _messages(run: Recorded) -> Messages:
    known = {
        each.key: analyse(run.traces.traces[each.key])
        for each in run.messages
        if each.key in run.traces.traces
    }
    outcomes: Counter[Outcome] = Counter(each.outcome for each in known.values())
    outcomes[Outcome.UNKNOWN] += len(run.messages) - len(known)
    executed = [each for each in known.values() if each.outcome is Outcome.EXECUTED]
    hanging = [each for each in known.values() if each.outcome in (Outcome.UNKNOWN, Outcome.FAILED)]
    lost = outcomes[Outcome.UNKNOWN] + outcomes[Outcome.FAILED]
    pairs = {
        (each.source, each.destination): message_waits(run.plan, each.source, each.destination)
        for each in run.messages
    }
    ratios = []
    for each in run.messages:
        took = known[each.key].end_to_end_ns if each.key in known else None
        if took is not None and known[each.key].outcome is Outcome.EXECUTED:
            ratios.append(round(took * 1000 / (waits_s(pairs[each.source, each.destination]) * 1e9)))
    return Messages(
        count=len(run.messages),
        outcomes=_counted(outcomes),
        end_to_end=_end_to_end(executed, lost),
        stages=_stages(Kind.MESSAGE, Stage.MESSAGE_EXECUTED, executed, hanging),
        waits=max(pairs.values(), key=waits_s),
        ratio_per_mille=quantile(sorted(ratios), HALF, lost),
    )
