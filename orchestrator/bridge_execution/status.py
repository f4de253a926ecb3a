"""How far a strategy over the bridge is, by the word of the chains alone: for whoever wasn't there when it was opened, or went away."""

from dataclasses import dataclass
from typing import Any

from bridge.contracts.errors import ContractsError
from bridge.relayer.strategies.chains import Escrow, Happening, Registry, newest
from bridge.relayer.strategies.lifecycle import Decision, Lock, Standing, State, Vote
from bridge.relayer.strategies.reasons import lateness, refusal, verdict
from bridge.wire.errors import WireError
from orchestrator.bridge_execution.ends import SHOWS
from orchestrator.bridge_execution.following import Tell, View, Watch, look
from orchestrator.bridging.terms import deposit_limit_s
from orchestrator.chains import ChainUnreachable, translated
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.settlement.deployments import deployments
from orchestrator.strategies.result import Outcome

OUTCOMES: dict[State | None, Outcome] = {
    State.COMMITTED: "committed",
    State.ABORTED: "aborted",
    State.APART: "partial",
}
"""Of states that are ends; anything else is ``unknown`` as yet."""


class UnknownStrategy(RollnetError):  # noqa: N818 - states what is so
    """L1 knows no strategy of this id."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class RollupStatus:
    """One rollup's part."""

    rollup: str
    chain_id: int
    vote: Vote
    """That L1 has counted."""
    lock: Lock | None
    """None when the rollup doesn't answer."""
    reason: str
    """Why it refused, or doesn't answer."""
    transaction: str | None
    """Of the rollup, that brought it about."""
    block: int | None


@dataclass(frozen=True, slots=True)
class StrategyStatus:
    """What the chains say of a strategy."""

    id: str
    """0x-hex."""
    outcome: Outcome
    state: State | None
    """None while a rollup doesn't answer."""
    standing: Standing
    now: int
    """Time of L1's newest block, unix seconds."""
    reason: str
    """Why it was aborted, if it was."""
    rollups: tuple[RollupStatus, ...]

    def to_json(self) -> dict[str, Any]:
        """The machine contract of ``rollnet strategy status --json``; keys are only ever added."""
        return {
            "strategy": self.id,
            "outcome": self.outcome,
            "state": self.state,
            "decision": self.standing.decision.name.lower(),
            "reason": self.reason or None,
            "account": self.standing.account,
            "decide_by": self.standing.decide_by,
            "refund_after": self.standing.refund_after,
            "now": self.now,
            "rollups": [
                {
                    "rollup": each.rollup,
                    "chain_id": each.chain_id,
                    "vote": each.vote.name.lower(),
                    "state": None if each.lock is None else each.lock.name.lower(),
                    "reason": each.reason or None,
                    "tx_hash": each.transaction,
                    "block": each.block,
                }
                for each in self.rollups
            ],
        }


async def status(net: Devnet, digest: str, *, wait: bool, tell: Tell) -> StrategyStatus:
    """How far a strategy is.

    Args:
        net: the devnet.
        digest: the strategy's id, 0x-hex in lower case.
        wait: whether to follow it to its end first.
        tell: told of each step meanwhile.

    Raises:
        UnknownStrategy: L1 knows none of this id.
        RollnetError: L1 doesn't answer.
    """
    view = await look(net, digest, None)
    standing = _known(net, digest, view)
    if wait:
        names = {chain.chain_id: chain.name for chain in net.rollups.values()}
        watch = Watch(net, digest, {each: names[each] for each in standing.chains}, tell)
        limit_s = max(0, standing.refund_after - view.now) + deposit_limit_s(net.plan)
        view = (await watch.until_end(limit_s)).view
        standing = _known(net, digest, view)
    registry = Registry(net.l1.client, deployments(net.plan).l1["StrategyRegistry"])
    with translated(net.l1.name):
        history = await registry.history(digest)
    rollups = [await _rollup(net, digest, chain, standing, view) for chain in standing.chains]
    outcome = OUTCOMES.get(view.state, "unknown")
    return StrategyStatus(
        digest, outcome, view.state, standing, view.now, _reason(history, standing, rollups), tuple(rollups)
    )


def _known(net: Devnet, digest: str, view: View) -> Standing:
    if view.standing is not None:
        return view.standing
    if net.l1.name in view.silent:
        raise ChainUnreachable(
            f"{net.l1.name} does not answer: {view.silent[net.l1.name]}",
            f"look at `rollnet status`, or `rollnet node restart {net.l1.name}`",
        )
    raise UnknownStrategy(
        f"no strategy {digest} was opened on the L1 of {net.name}",
        f"mend the id, or ask again if it was opened just now; what became of a bundle: rollnet bundle {digest}",
    )


async def _rollup(net: Devnet, digest: str, chain_id: int, standing: Standing, view: View) -> RollupStatus:
    (rollup,) = (each for each in net.rollups.values() if each.chain_id == chain_id)
    lock, vote = view.locks[chain_id], standing.votes[chain_id]
    shown: Happening | None = None
    reason = view.silent.get(rollup.name, "")
    if lock in SHOWS:
        try:
            shown = newest(await Escrow(rollup.client).history(digest), SHOWS[lock])
        except (WireError, ContractsError) as exc:
            reason = str(exc)
    if shown is not None and shown.name == "LegRefused":
        reason = refusal(shown.arguments["reason"])
    where = (shown.transaction, shown.block) if shown else (None, None)
    return RollupStatus(rollup.name, chain_id, vote, lock, reason, *where)


def _reason(history: list[Happening], standing: Standing, rollups: list[RollupStatus]) -> str:
    """Why it was aborted."""
    found = verdict(history, standing.chains)
    if found is None or found.commit or standing.decision is not Decision.ABORT:
        return ""
    names = {each.chain_id: each.rollup for each in rollups}
    if found.refused_by is not None:
        return f"{names[found.refused_by]}: {refusal(found.reason)}"
    return lateness([names[chain_id] for chain_id in found.missing])
