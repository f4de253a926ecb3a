"""Lives over the L1 bridge by script: what the client and the relayer would have written, at times of the caller's choice.

script = ScriptedRun()
tell_message(script, "0xab", rollups=("alpha", "beta"), start_ns=0)
tell_strategy(script, "0xcd", rollups=("alpha", "beta", "gamma"), start_ns=0)
"""

from collections.abc import Sequence
from typing import Any

from bridge.wire.stages import MESSAGE_STAGES, Stage
from orchestrator.tracing.testing import ScriptedRun

WITHDRAWN = MESSAGE_STAGES[1:6]
"""``message.sent`` to ``message.finalized``: the stages of every withdrawal."""
SECOND = 1_000_000_000
STEPS_NS = (SECOND // 2, SECOND, 2 * SECOND, SECOND // 2, 6 * SECOND)
"""Times from the stage before to each of :data:`WITHDRAWN`."""
ONWARD_NS = (1, 2 * SECOND)
"""From ``message.finalized`` to ``message.deposited``, and from there to the end."""


def tell_message(
    script: ScriptedRun,
    key: str,
    *,
    rollups: Sequence[str] = ("alpha", "beta"),
    start_ns: int,
    end: Stage | None = Stage.MESSAGE_EXECUTED,
    steps_ns: Sequence[int] = STEPS_NS,
    onward_ns: Sequence[int] = ONWARD_NS,
    gas: int = 100_000,
) -> list[str]:
    """A message from ``rollups[0]`` to ``rollups[1]``; returns the ids in order.

    Args:
        script: where it is told.
        key: hash of the message.
        rollups: source and destination.
        start_ns: when it is submitted.
        end: how it ends; None for a plain withdrawal, whose way ends with ``message.finalized``.
        steps_ns: times as :data:`STEPS_NS`.
        onward_ns: times as :data:`ONWARD_NS`.
        gas: of the proof and of the finalization.
    """
    ids = [script.emit(Stage.MESSAGE_SUBMITTED, node="client", at_ns=start_ns, msg_id=key)]
    carried = {} if end is None else {"withdrawal": "0x" + "ee" + key[4:]}
    now = start_ns
    for stage, step in zip(WITHDRAWN, steps_ns, strict=True):
        now += step
        cause = ids[-1:] if stage != Stage.MESSAGE_SENT else []
        attrs = {"rollup": rollups[0], **carried, **_paid(stage, key, gas)}
        ids.append(script.emit(stage, node="relayer", at_ns=now, msg_id=key, cause=cause, attrs=attrs))
    if end is not None:
        for stage, step in zip((Stage.MESSAGE_DEPOSITED, end), onward_ns, strict=True):
            now += step
            rollup = rollups[0] if stage == Stage.MESSAGE_REFUNDED else rollups[1]
            told: dict[str, Any] = {"rollup": rollup, "block": now // SECOND}
            ids.append(script.emit(stage, node="relayer", at_ns=now, msg_id=key, cause=ids[-1:], attrs=told))
    return ids


def tell_strategy(
    script: ScriptedRun,
    key: str,
    *,
    rollups: Sequence[str],
    start_ns: int,
    no: int | None = None,
    steps_ns: Sequence[int] = (SECOND, 3 * SECOND),
    vote_steps_ns: Sequence[int] = STEPS_NS,
    end_ns: int = 2 * SECOND,
    spread_ns: int = 100_000_000,
    amount: int = 5_000_000,
    gas: int = 100_000,
) -> dict[str, list[str]]:
    """A strategy over the bridge, leg i on ``rollups[i]``; returns the ids by stage.

    Args:
        script: where it is told.
        key: the strategy's id.
        rollups: one per leg.
        start_ns: when it is submitted.
        no: the leg that votes no, if it is to be aborted; its vote decides, and the others' come after.
        steps_ns: time to admitted, and to locked.
        vote_steps_ns: a vote's times as :data:`STEPS_NS`.
        end_ns: from the decision to executed or reverted.
        spread_ns: leg i is locked this much later than leg i - 1, and each of its stages so much later; a leg that votes no is early.
        amount: locked per leg, 1e-6 USD.
        gas: of the opening, of each proof and of each finalization.
    """
    ids: dict[str, list[str]] = {}

    def tell(stage: Stage, at_ns: int, **more: Any) -> str:
        identity = script.emit(stage, node=more.pop("node", "relayer"), at_ns=at_ns, bundle_id=key, **more)
        ids.setdefault(stage, []).append(identity)
        return identity

    opened = {"legs": len(rollups), "execution": "bridge", "strategy": "iron_condor"}
    tell(Stage.SUBMITTED, start_ns, node="client", attrs=opened)
    now = start_ns + steps_ns[0]
    admitted = tell(Stage.ADMITTED, now, attrs={"l1_tx": f"open {key}", "gas": gas, "wei": gas * 7})
    now += steps_ns[1]
    decided_ns, votes = 0, []
    for leg, rollup in enumerate(rollups):
        at = now if leg == no else now + (leg + 1) * spread_ns
        where: dict[str, Any] = {"rollup": rollup, "vote": "no" if leg == no else "yes"}
        locked = {"amount": 0 if leg == no else amount}
        last = tell(Stage.LEG_STAGED, at, leg=leg, cause=[admitted], attrs={**where, **locked})
        vote = f"{key[:-4]}{leg:04x}"
        for stage, step in zip(WITHDRAWN, vote_steps_ns, strict=True):
            at += step
            attrs = {**where, **_paid(stage, vote, gas)}
            last = tell(stage, at, leg=leg, msg_id=vote, cause=[last], attrs=attrs)
        if no in (None, leg):
            decided_ns = max(decided_ns, at)
            votes.append(last)
    decision: dict[str, Any] = {"decision": "commit"}
    if no is not None:
        decision = {"decision": "abort", "failed_leg": no, "rollup": rollups[no], "reason": "no quote"}
    decided = tell(Stage.DECIDED, decided_ns, cause=votes, attrs=decision)
    stage = Stage.LEG_EXECUTED if no is None else Stage.LEG_REVERTED
    for leg, rollup in enumerate(rollups):
        if leg != no:
            at = decided_ns + end_ns + leg * spread_ns
            told = {"rollup": rollup, "block": at // SECOND}
            tell(stage, at, leg=leg, cause=[decided], attrs=told)
    return ids


def _paid(stage: Stage, of: str, gas: int) -> dict[str, Any]:
    """What the relayer paid on L1 for a stage."""
    if stage not in (Stage.MESSAGE_PROVEN, Stage.MESSAGE_FINALIZED):
        return {}
    return {"by": "relayer", "l1_tx": f"{stage} {of}", "gas": gas, "wei": gas * 7}
