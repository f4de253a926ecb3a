"""Settlement: once everything is healed and drained, L1's side of the devnet has come along, too.

Sequencing can be well while nothing reaches L1 any more: a publisher that stays silent, a relayer that never comes back to work. So, in the end:

- the safe head of every rollup has passed what the rollup served when the drain began: superbatches went on to L1, and were read there;
- every rollup stands on an L1 block that is no older than it takes to follow L1;
- a deposit that L1 has had for so long is on its rollup;
- a withdrawal of the load that is old enough is proven on L1, and finalized when its challenge period is over.

How long each may take follows from the topology. What is younger than that is not judged; where nothing after the last fault is old
enough, nobody knows.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.checks.facts import RunFacts
from orchestrator.checks.observed import L1Seen, Observed, RollupSeen
from orchestrator.checks.telling import event_of, operation, short, when
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.load.history import Kind
from orchestrator.topology.plan import Plan, RollupPlan

NAME, OF_WHAT = "settlement", "blocks, deposits and withdrawals that L1 must know"
SLACK_S = 10.0
"""What a busy machine may need beyond the times of the topology, seconds."""
L1_STEPS = 4
"""L1 blocks that publishing takes at most, beside confirmations: the one that is being made, the superbatch's, one to read it in, one for the votes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what has to go to L1 and back may take, seconds."""

    safe_s: float
    """From a block to the safe head that has passed it."""
    origin_blocks: int
    """L1 blocks that a rollup may be behind L1's head."""
    proven_s: Mapping[str, float]
    """From a withdrawal's block to its proof on L1, by rollup."""
    final_s: Mapping[str, float]
    """From a withdrawal's block to its end on L1, by rollup."""


def limits_of(plan: Plan) -> Limits:
    """The limits that follow from a topology. Pure."""
    beat = plan.l1.block_time_s
    safe_s = plan.messaging.publish_every_s + (L1_STEPS + plan.l1.confirmations) * beat + SLACK_S
    proven = {one.name: safe_s + _outputs_s(plan, one) + 2 * beat + SLACK_S for one in plan.rollups}
    return Limits(
        safe_s=safe_s,
        origin_blocks=plan.l1.confirmations
        + math.ceil((SLACK_S + max(one.block_time_s for one in plan.rollups)) / beat),
        proven_s=proven,
        final_s={
            one.name: proven[one.name] + one.settlement.challenge_period_s + 2 * beat for one in plan.rollups
        },
    )


def _outputs_s(plan: Plan, rollup: RollupPlan) -> float:
    """Longest time between two outputs of a rollup without work, seconds."""
    idle_s = max(min(rollup.block_time_s, plan.l1.block_time_s), plan.messaging.slot_s)
    return rollup.settlement.proposal_interval * idle_s


def check(facts: RunFacts) -> CheckResult:
    """Judge what L1 and the rollups say of each other in the end."""
    observed = facts.observed
    if observed is None:
        return judged(NAME, 0, OF_WHAT)
    limits = limits_of(facts.plan)
    found: list[CounterExample] = []
    unknown = [f"{name} was not observed" for name in facts.unobserved]
    notes: list[str] = []
    seen = 0
    for name, rollup in observed.rollups.items():
        wrong, doubt, count = _safe(facts, observed, name, rollup, limits)
        found += wrong
        unknown += doubt
        seen += count
    if observed.l1 is None:
        unknown.append("l1 was not observed")
    else:
        for name, rollup in observed.rollups.items():
            found += _origin(facts, observed, observed.l1, name, rollup, limits)
        found += _deposits(facts, observed, observed.l1, limits)
        withdrawals = _withdrawals(facts, observed, observed.l1, limits)
        found += withdrawals.late
        seen += len(observed.l1.deposits) + withdrawals.known
        if withdrawals.all:
            notes.append(
                f"of {withdrawals.all} withdrawals of the load L1 has {withdrawals.known}; {withdrawals.due} had to be there by then"
            )
    return judged(NAME, seen, OF_WHAT, found, notes=notes, unknown=unknown)


def _safe(
    facts: RunFacts, observed: Observed, name: str, rollup: RollupSeen, limits: Limits
) -> tuple[list[CounterExample], list[str], int]:
    """What was served when the drain began, or, if nobody drained, long enough ago, is safe."""
    drained = [phase.begun_ns for phase in facts.phases if phase.name == "drain"]
    latest = drained[-1] if drained else observed.at_ns - int(limits.safe_s * 1e9)
    served = [one for one in _served(facts, name, rollup) if one[0] <= latest]
    safe = rollup.heads["safe"][0] if "safe" in rollup.heads else 0
    healed = max((window.ended_ns or 0 for window in facts.windows), default=0)
    # a safe head behind what was first served after the last fault shows as much, however young the rest is
    since = [number for at, number in _served(facts, name, rollup) if at > healed]
    if not drained and since and safe >= since[0] and (not served or safe >= served[-1][1]):
        return [], [], 1
    if not served or served[-1][0] <= healed:
        return [], [f"{name}: no block after the last fault is old enough to be safe for certain"], 0
    at_ns, number = served[-1]
    if safe >= number:
        return [], [], 1
    waited_s = (observed.at_ns - at_ns) / 1e9
    first = (
        f"{name}: block {number} was served at {when(facts, at_ns)}, and is not safe {waited_s:.1f} s later"
    )
    if waited_s <= limits.safe_s:
        return [], [f"{first}: it has {limits.safe_s:.0f} s"], 0
    told = f"its safe head is block {safe}; publishing and reading it may take {limits.safe_s:.0f} s"
    return [CounterExample((first, told))], [], 1


def _served(facts: RunFacts, name: str, rollup: RollupSeen) -> list[tuple[int, int]]:
    """When a rollup was first seen at heights of the chain that it has in the end."""
    found: list[tuple[int, int]] = []
    for one in facts.sightings_before:
        if one.node != name or "latest" not in one.heads:
            continue
        number, digest = one.heads["latest"]
        there = number < len(rollup.blocks) and rollup.blocks[number].hash == digest
        if there and (not found or number > found[-1][1]):
            found.append((one.answered_ns, number))
    return found


def _calm(facts: RunFacts, observed: Observed, limits: Limits) -> bool:
    """Whether there was time to come after L1 again: as long as the longest fault, and what following takes."""
    if not facts.windows:
        return True
    if any(window.ended_ns is None for window in facts.windows):
        return False
    last = max(window.ended_ns or 0 for window in facts.windows)
    longest = max((window.ended_ns or 0) - window.begun_ns for window in facts.windows)
    return observed.at_ns - last > longest + limits.safe_s * 1e9


def _origin(
    facts: RunFacts, observed: Observed, l1: L1Seen, name: str, rollup: RollupSeen, limits: Limits
) -> Iterator[CounterExample]:
    origin = rollup.blocks[-1].origin or 0
    behind = l1.number - origin
    if behind > limits.origin_blocks and _calm(facts, observed, limits):
        yield CounterExample(
            (
                f"{name} stands on l1 block {origin}, {behind} blocks behind l1",
                f"l1 is at block {l1.number}; a rollup that follows it is at most {limits.origin_blocks} behind",
            )
        )


def _deposits(facts: RunFacts, observed: Observed, l1: L1Seen, limits: Limits) -> Iterator[CounterExample]:
    """A stuck rollup takes in no deposits, so its origin can't be the measure of them: L1's head is."""
    owners = {one.id: one for one in facts.operations if one.kind is Kind.DEPOSIT}
    for one in l1.deposits:
        age = l1.number - one.l1_block
        absent = one.rollup in observed.rollups and one.transaction not in facts.placed
        if absent and age > limits.origin_blocks and _calm(facts, observed, limits):
            mine = owners.get(one.l1_transaction)
            told = [operation(facts, mine)] if mine else []
            yield CounterExample(
                (
                    f"{one.rollup} has not executed a deposit that l1 has had for {age} blocks, since block {one.l1_block}",
                    *told,
                ),
                (event_of(mine),) if mine else (),
            )


@dataclass(frozen=True, slots=True)
class _Withdrawals:
    all: int
    known: int
    """Those that are proven or finalized."""
    due: int
    """Those that should be."""
    late: tuple[CounterExample, ...]


def _withdrawals(facts: RunFacts, observed: Observed, l1: L1Seen, limits: Limits) -> _Withdrawals:
    """Those of the load: somebody else's may be made to fail."""
    served = {name: _served(facts, name, rollup) for name, rollup in observed.rollups.items()}
    proven = {(one.rollup, one.withdrawal) for one in l1.proven}
    final = {(one.rollup, one.withdrawal) for one in l1.finalized}
    count = known = due = 0
    late: list[CounterExample] = []
    for one in facts.operations:
        if one.kind is not Kind.WITHDRAWAL:
            continue
        for where in (places[0] for leg in one.legs if (places := facts.placed.get(leg.transaction))):
            passed = [event for event in where.transaction.events if event.name == "MessagePassed"]
            at_ns = next((at for at, number in served[where.rollup] if number >= where.block), None)
            if not passed or at_ns is None:
                continue
            count += 1
            key = (where.rollup, str(passed[0].arguments["withdrawalHash"]))
            waited_s = (observed.at_ns - at_ns) / 1e9
            known += key in proven | final
            must_prove = waited_s > limits.proven_s[where.rollup]
            must_end = waited_s > limits.final_s[where.rollup]
            due += must_prove or must_end
            what = "finalized" if must_end and key not in final else "proven"
            if (must_end and key not in final) or (must_prove and key not in proven | final):
                first = (
                    f"withdrawal {short(key[1])} of {where.rollup} has waited for {waited_s:.0f} s, and is not "
                    f"{what} on l1"
                )
                allowed = limits.final_s if what == "finalized" else limits.proven_s
                told = f"the topology gives it {allowed[where.rollup]:.0f} s"
                late.append(CounterExample((first, told, operation(facts, one)), (event_of(one),)))
    return _Withdrawals(count, known, due, tuple(late))
