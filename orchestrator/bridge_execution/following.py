"""Following a strategy over the bridge: what L1 and every rollup say of it, look by look, until it has ended everywhere.

Nothing is believed but the chains, and no chain twice: each look reads anew how L1 decided and what each rollup locked, traded or gave up, so a
reorganisation is only another look, and it doesn't matter who brought anything about. The relayer is asked nothing but whether it is there.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.contracts.errors import ContractsError
from bridge.relayer.strategies.chains import Escrow, Registry
from bridge.relayer.strategies.lifecycle import (
    ENDS,
    GIVEN_UP,
    Decision,
    Lock,
    Standing,
    State,
    Vote,
    state_of,
)
from bridge.wire.errors import WireError
from orchestrator.bridging.terms import deposit_limit_s
from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments

Tell = Callable[[str], None]
"""Takes one line for the human who waits."""

EVERY_S = 0.2
"""Pause between two looks, seconds."""
PATIENCE_S = 30.0
"""A node that doesn't answer for so long is not waited for, seconds."""
TELL_EVERY_S = 5.0
"""Longest silence while something is waited for, seconds."""
LOST_S = 5.0
"""An opening that L1 doesn't know for so long is sent again, seconds."""
RELAYER_S = 2.0
"""Longest wait for the relayer's answer, seconds."""

_LOCKS = {
    Lock.LOCKED: "locked its legs",
    Lock.REFUSED: "refused its legs",
    Lock.COMMITTED: "traded its legs",
    Lock.RELEASED: "gave its legs back",
    Lock.REFUNDED: "gave its legs back without a decision",
}


@dataclass(frozen=True, slots=True)
class View:
    """What the chains said at one look."""

    standing: Standing | None
    """None where L1 knows no such strategy, or didn't answer."""
    now: int
    """Time of L1's newest block, unix seconds; 0 when it didn't answer."""
    locks: Mapping[int, Lock | None]
    """By chain id; None for rollups that didn't answer."""
    silent: Mapping[str, str]
    """Why nodes didn't answer, by name."""

    @property
    def state(self) -> State | None:
        """How far it is, by the word of all; None if one is missing."""
        locks = [lock for lock in self.locks.values() if lock is not None]
        if self.standing is None or len(locks) < len(self.locks):
            return None
        return state_of(self.standing.decision, locks)


@dataclass(frozen=True, slots=True)
class Seen:
    """Where following stopped."""

    view: View
    """The last look, with what nodes that fell silent said before."""
    reason: str = ""
    """Why it stopped before the end; empty at the end."""
    never_opened: bool = False
    """L1 doesn't know it, and it is too late to open it."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What to do about a strategy that L1 doesn't know (any more)."""

    decide_by: int
    """From then on L1 would not open it, unix seconds."""
    again: Callable[[], Awaitable[None]]
    """Sends it again; does nothing where it is open."""


@dataclass(slots=True)
class Watch:
    """One strategy under watch.

    Args:
        net: the devnet.
        digest: the strategy's id, 0x-hex.
        chains: its rollups' names by chain id, in the order of the strategy.
        tell: told of each step.
    """

    net: Devnet
    digest: str
    chains: Mapping[int, str]
    tell: Tell
    started: float = field(default_factory=time.monotonic)
    _told: dict[object, object] = field(default_factory=dict)
    _told_at: float = field(default_factory=time.monotonic)
    _answered: dict[str, float] = field(default_factory=dict)
    _last: View | None = None
    _unknown_since: float | None = None

    async def look(self) -> View:
        """Look once; what changed is told."""
        view = await look(self.net, self.digest, tuple(self.chains))
        now = time.monotonic()
        for name in (self.net.l1.name, *self.chains.values()):
            if name not in view.silent:
                self._answered[name] = now
            self._answered.setdefault(name, now)
        self._say(view)
        known = self._last
        if known is not None and view.silent:
            standing = known.standing if self.net.l1.name in view.silent else view.standing
            locks = {
                chain: known.locks[chain] if lock is None else lock for chain, lock in view.locks.items()
            }
            self._last = View(standing, view.now or known.now, locks, view.silent)
        else:
            self._last = view
        return view

    async def until_end(self, limit_s: float, opening: Opening | None = None) -> Seen:
        """Look until it has ended everywhere, its time is over, or a node that it takes has been silent for too long.

        Args:
            limit_s: its time, seconds.
            opening: what to do if L1 doesn't know it; without, nothing is waited for then.
        """
        before: State | None = None
        while True:
            view = await self.look()
            last = self._last or view
            # Chains that follow a reorganisation of L1 one after the other may seem apart for a moment.
            if view.state in ENDS and (view.state is not State.APART or before is State.APART):
                return Seen(view)
            before = view.state
            if view.now and view.standing is None:
                if opening is None:
                    return Seen(view, "L1 does not know it (any more)")
                if view.now >= opening.decide_by:
                    return Seen(view, "it was not opened on L1 before its deadline", never_opened=True)
                await self._open_again(opening)
            elif view.standing is not None:
                self._unknown_since = None
            waited = time.monotonic() - self.started
            stopped = self._overdue(last) or (
                f"it has not ended within {limit_s:.0f} s" if waited > limit_s else ""
            )
            if stopped:
                return Seen(last, stopped)
            await self._comfort(last, waited)
            await asyncio.sleep(EVERY_S)

    def missing(self, view: View) -> list[str]:
        """Rollups whose part isn't over."""
        over = GIVEN_UP | {Lock.COMMITTED}
        return [self.chains[chain] for chain, lock in view.locks.items() if lock not in over]

    async def _open_again(self, opening: Opening) -> None:
        """It is waiting for a block, or it was lost: in a pool that died, or in blocks that L1 took back."""
        now = time.monotonic()
        if self._unknown_since is None:
            self._unknown_since = now
        elif now > self._unknown_since + LOST_S:
            self._unknown_since = now
            self._line("L1 does not know it; it is opened again")
            await opening.again()

    def _overdue(self, view: View) -> str:
        """Why it is not waited for any longer: a silent node that it needs."""
        now = time.monotonic()
        decided = view.standing is not None and view.standing.decision is not Decision.NONE
        needed = self.missing(view) if decided else [self.net.l1.name, *self.chains.values()]
        silent = [name for name in needed if now - self._answered[name] > PATIENCE_S]
        if not silent:
            return ""
        return f"no answer of {', '.join(silent)} for {PATIENCE_S:.0f} s; nothing is lost, it goes on without you"

    def _say(self, view: View) -> None:
        if view.standing is not None:
            for chain, vote in view.standing.votes.items():
                if vote is not Vote.NONE:
                    self._once(
                        ("vote", chain), vote, f"{self.chains[chain]}'s vote is on L1: {vote.name.lower()}"
                    )
            if view.standing.decision is not Decision.NONE:
                word = view.standing.decision.name.lower()
                self._once("decision", word, f"decided on L1: {word}")
        for chain, lock in view.locks.items():
            if lock in _LOCKS:
                self._once(("lock", chain), lock, f"{self.chains[chain]} {_LOCKS[lock]}")

    def _once(self, about: object, now: object, line: str) -> None:
        if self._told.get(about) != now:
            self._told[about] = now
            self._line(line)

    def _line(self, line: str) -> None:
        self._told_at = time.monotonic()
        self.tell(f"{self._told_at - self.started:6.1f} s  {line}")

    async def _comfort(self, view: View, waited: float) -> None:
        """Something to read while nothing happens."""
        if time.monotonic() < self._told_at + TELL_EVERY_S:
            return
        waits = [f"{name} does not answer" for name in view.silent]
        if await self._relayer_is_silent():
            waits.append("the relayer does not answer; nothing is lost, it goes on from where it was")
        if view.standing is None and not view.silent:
            waits.append("L1 does not know it (any more)")
        if view.standing is not None:
            votes = [self.chains[c] for c, vote in view.standing.votes.items() if vote is Vote.NONE]
            if view.standing.decision is not Decision.NONE:
                late = ", ".join(self.missing(view))
                waits.append(
                    f"waiting for {late} to apply the decision, even without a sequencer within {self._longest_s:.0f} s"
                )
            elif votes:
                left = view.standing.decide_by - view.now
                due = f"aborted if not here in {left} s" if left > 0 else "too late, to be aborted"
                waits.append(f"waiting for the votes of {', '.join(votes)}; {due}")
        self._line("; ".join(waits) or f"waiting, {waited:.0f} s by now")

    @property
    def _longest_s(self) -> float:
        """Longest way of a deposit, seconds."""
        return deposit_limit_s(self.net.plan)

    async def _relayer_is_silent(self) -> bool:
        try:
            await self.net.relayer.client.call("rollnet_status", deadline=RELAYER_S)
        except WireError:
            return True
        return False


async def look(net: Devnet, digest: str, chains: Sequence[int] | None) -> View:
    """What the chains say of a strategy.

    Args:
        net: the devnet.
        digest: the strategy's id, 0x-hex.
        chains: its rollups; None asks those that L1 names.
    """
    silent: dict[str, str] = {}
    standing, now = None, 0

    async def ask_l1() -> None:
        nonlocal standing, now
        registry = Registry(net.l1.client, deployments(net.plan).l1["StrategyRegistry"])
        try:
            head = await net.l1.client.call("eth_getBlockByNumber", "latest", False)
            standing = (await registry.look([digest])).get(digest)
            now = int(head["timestamp"], 16)
        except (WireError, ContractsError) as exc:
            silent[net.l1.name] = str(exc)

    if chains is None:
        await ask_l1()
    asked = standing.chains if chains is None and standing else chains or ()
    rollups = {chain.chain_id: chain for chain in net.rollups.values() if chain.chain_id in asked}
    locks: dict[int, Lock | None] = dict.fromkeys(asked)

    async def ask_rollup(chain_id: int) -> None:
        rollup = rollups[chain_id]
        try:
            locks[chain_id] = (await Escrow(rollup.client).look([digest])).locks[digest]
        except (WireError, ContractsError) as exc:
            silent[rollup.name] = str(exc)

    async with asyncio.TaskGroup() as tasks:
        if chains is not None:
            tasks.create_task(ask_l1())
        for chain_id in rollups:
            tasks.create_task(ask_rollup(chain_id))
    return View(standing, now, locks, silent)
