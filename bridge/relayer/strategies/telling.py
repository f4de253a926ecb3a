"""Telling the journal of a strategy's life: each stage once, in order, with the log that shows it and what it cost on L1.

::

    bundle.admitted ─► leg.staged, each ─► (the votes' message.sent … message.finalized) ─► bundle.decided ─► leg.executed or leg.reverted, each

The ``leg`` of these events is a rollup: its place among the strategy's participants. What is between a leg and the decision is told of the withdrawals that
carry the votes (``bridge.relayer.withdrawals``), under the same name.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from bridge.relayer import lifecycle
from bridge.relayer.store import Store
from bridge.relayer.strategies.chains import Happening, batched, newest
from bridge.relayer.strategies.details import OnRollup
from bridge.relayer.strategies.facts import Facts
from bridge.relayer.strategies.lifecycle import Decision, Lock
from bridge.relayer.strategies.queue import StrategyQueue
from bridge.relayer.strategies.reasons import Verdict, lateness, refusal, verdict
from bridge.relayer.strategies.store import Kept
from bridge.wire.crash_points import crash_point
from bridge.wire.jsonrpc import Client
from bridge.wire.stages import Stage

HOLD_S = 2.0
"""How long the decision may wait until the votes that led to it are told, seconds: both are seen in the same L1 block."""
_ENDS = {
    Lock.COMMITTED: (Stage.LEG_EXECUTED, "LegCommitted"),
    Lock.RELEASED: (Stage.LEG_REVERTED, "LegReleased"),
    Lock.REFUNDED: (Stage.LEG_REVERTED, "LegRefunded"),
    Lock.REFUSED: (Stage.LEG_REVERTED, "LegRefused"),
}
PUSHED = "bundle.pushed"
"""The keeper did something for a strategy that nobody else had done."""
SET_BACK = "bundle.set_back"
"""L1 doesn't know a strategy any more."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was told."""

    kept: Kept
    complete: bool
    """Whether everything that was seen is told."""


class StrategyTeller:
    """Tells the journal of strategies.

    Args:
        queue: of strategies.
        withdrawals: knows how far the withdrawals that carry votes are told.
        l1: the L1 node.
        names: of rollups, by chain id.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        queue: StrategyQueue,
        withdrawals: Store,
        l1: Client,
        names: Mapping[int, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._withdrawals, self._l1 = queue, withdrawals, l1
        self._names, self._clock = names, clock
        self._held: dict[str, float] = {}
        """Since when decisions wait for their votes to be told, monotonic seconds."""

    async def tell(self, kept: Kept, facts: Facts) -> Told:
        """Tell what was seen of a strategy and not told yet.

        Raises:
            WireError: L1 refused or did not answer.
        """
        opened = newest(facts.l1.history, "StrategyOpened")
        if opened is None:
            return Told(kept, complete=False)
        if "admitted" not in kept.told:
            kept = await self._admitted(kept, facts, opened)
        for chain_id, detail in facts.rollups.items():
            if f"staged/{chain_id}" not in kept.told:
                kept = self._staged(kept, chain_id, detail)
        found = verdict(facts.l1.history, facts.standing.chains)
        if found is None:
            return Told(kept, complete=facts.standing.decision is Decision.NONE)
        decision = f"decided/{'commit' if found.commit else 'abort'}"
        if decision not in kept.told:
            if not self._may_tell(kept, facts, found):
                return Told(kept, complete=False)
            kept = await self._decided(kept, facts, found, decision)
        complete = True
        for chain_id, side in facts.sides.items():
            if side.lock in _ENDS:
                kept, told = self._ended(kept, facts, chain_id, side.lock, found)
                complete = complete and told
        return Told(kept, complete)

    def gone(self, kept: Kept) -> Kept:
        """Tell that L1 doesn't know a strategy any more that it knew; should it be opened again, it is found again."""
        if "admitted" in kept.told and "gone" not in kept.told:
            kept = self._say(
                kept, "gone", SET_BACK, reason="L1 was reorganised and does not know it any more"
            )
        return replace(kept, finished=True)

    def pushed(self, kept: Kept, action: str, chain_id: int | None, **attributes: Any) -> None:
        """Tell that this relayer did something that nobody else had done."""
        if chain_id is not None:
            attributes["rollup"] = self._names.get(chain_id, str(chain_id))
        self._queue.emit(PUSHED, kept.id, kept.told.get("admitted", ""), action=action, **attributes)

    # -- stages

    async def _admitted(self, kept: Kept, facts: Facts, opened: Happening) -> Kept:
        (receipt,) = await batched(self._l1, [("eth_getTransactionReceipt", [opened.transaction])])
        paid = int(receipt["gasUsed"], 16) if receipt else 0
        gas = {"gas": paid, "wei": paid * int(receipt["effectiveGasPrice"], 16)} if receipt else {}
        noticed = [at for (strategy, _), at in self._queue.noticed.items() if strategy == kept.id]
        return self._say(
            kept,
            "admitted",
            Stage.ADMITTED,
            legs=len(kept.chains),
            execution="bridge",
            account=facts.standing.account,
            decide_by=facts.standing.decide_by,
            refund_after=facts.standing.refund_after,
            l1_block=opened.block,
            l1_tx=opened.transaction,
            at_ns=min(noticed, default=None),  # after a restart the votes may be seen first
            **gas,
        )

    def _staged(self, kept: Kept, chain_id: int, detail: OnRollup) -> Kept:
        answered = newest(detail.history, "LegLocked", "LegRefused")
        if answered is None:
            return kept  # the decision overtook the order
        yes = answered.name == "LegLocked"
        reason = {} if yes else {"reason": refusal(answered.arguments["reason"])}
        return self._say(
            kept,
            f"staged/{chain_id}",
            Stage.LEG_STAGED,
            kept.told.get("admitted", ""),
            chain_id=chain_id,
            vote="yes" if yes else "no",
            amount=detail.amount,
            block=answered.block,
            l2_tx=answered.transaction,
            withdrawal=detail.withdrawal,
            at_ns=self._queue.noticed.pop((kept.id, chain_id), None),
            **reason,
        )

    def _may_tell(self, kept: Kept, facts: Facts, found: Verdict) -> bool:
        """Whether the votes that led to a decision are told; or have been waited for long enough."""
        since = self._held.setdefault(kept.id, self._clock())
        told = all(self._vote_is_told(facts, chain_id) for chain_id in _deciding(kept, found))
        if not told and self._clock() < since + HOLD_S:
            return False
        self._held.pop(kept.id, None)
        return True

    def _vote_is_told(self, facts: Facts, chain_id: int) -> bool:
        detail = facts.rollups.get(chain_id)
        carrier = self._withdrawals.get(chain_id, detail.withdrawal) if detail else None
        return carrier is not None and carrier.told is lifecycle.State.FINALIZED

    async def _decided(self, kept: Kept, facts: Facts, found: Verdict, key: str) -> Kept:
        said = found.said
        causes = [self._vote_cause(kept, facts, chain_id) for chain_id in _deciding(kept, found)]
        attributes: dict[str, Any] = {"l1_block": said.block, "l1_tx": said.transaction}
        if found.refused_by is not None:
            attributes |= {
                "reason": f"{self._names.get(found.refused_by, found.refused_by)}: {refusal(found.reason)}",
                "failed_leg": kept.chains.index(found.refused_by),
                "rollup": self._names.get(found.refused_by, str(found.refused_by)),
            }
        elif not found.commit:
            late = [self._names.get(chain_id, str(chain_id)) for chain_id in found.missing]
            attributes["reason"] = lateness(late)
            causes.append(kept.told.get("admitted", ""))
        return self._say(
            kept,
            key,
            Stage.DECIDED,
            *causes,
            decision="commit" if found.commit else "abort",
            **attributes,
        )

    def _vote_cause(self, kept: Kept, facts: Facts, chain_id: int) -> str:
        """The last that was told of a rollup's vote."""
        detail = facts.rollups.get(chain_id)
        carrier = self._withdrawals.get(chain_id, detail.withdrawal) if detail else None
        if carrier is not None and carrier.told is lifecycle.State.FINALIZED:
            return carrier.cause
        return kept.told.get(f"staged/{chain_id}", "")

    def _ended(
        self, kept: Kept, facts: Facts, chain_id: int, lock: Lock, found: Verdict
    ) -> tuple[Kept, bool]:
        stage, name = _ENDS[lock]
        key = f"{stage}/{chain_id}"
        detail = facts.rollups.get(chain_id)
        shown = newest(detail.history, name) if detail else None
        if key in kept.told or shown is None:
            return kept, key in kept.told
        cause = kept.told.get(f"decided/{'commit' if found.commit else 'abort'}", "")
        missed = (
            {"reason": "the commit came too late"} if found.commit and stage is Stage.LEG_REVERTED else {}
        )
        kept = self._say(
            kept,
            key,
            stage,
            cause,
            chain_id=chain_id,
            lock=lock.name.lower(),
            block=shown.block,
            l2_tx=shown.transaction,
            **missed,
        )
        return kept, True

    def _say(
        self, kept: Kept, key: str, event: str, *causes: str, chain_id: int | None = None, **attributes: Any
    ) -> Kept:
        """Tell it, and remember that it was told."""
        leg = None
        if chain_id is not None:
            leg = kept.chains.index(chain_id)
            attributes |= {"rollup": self._names.get(chain_id, str(chain_id)), "chain_id": chain_id}
        told = self._queue.emit(event, kept.id, *causes, leg=leg, **attributes)
        crash_point("relayer.strategy.told")
        kept = replace(kept, told=MappingProxyType({**kept.told, key: told}))
        self._queue.keep([kept])
        crash_point("relayer.strategy.kept")
        return kept


def _deciding(kept: Kept, found: Verdict) -> list[int]:
    """The rollups whose votes led to a decision: all for a commit, one for a refusal, those that had come by the deadline."""
    if found.refused_by is not None:
        return [found.refused_by]
    return [chain_id for chain_id in kept.chains if chain_id not in found.missing]
