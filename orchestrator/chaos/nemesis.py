"""Does what the schedule says to a devnet, sees whether it bites, and undoes it, whatever happens.

::

    wait for the trigger ─► fault.injected ─► fault.bit | fault.missed ─► (its time passes) ─► fault.healed

Intent and confirmation are two lines of the journal: a fault that nobody saw biting makes the verdict unknown.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.chaos.clocks import ClockInjection
from orchestrator.chaos.crashes import CrashInjection
from orchestrator.chaos.injection import HEAL_S, Injection, words_of
from orchestrator.chaos.l1_injection import ReorgInjection, StallInjection
from orchestrator.chaos.link_injection import LinkInjection
from orchestrator.chaos.lives import LifeInjection
from orchestrator.chaos.lookout import Lookout
from orchestrator.chaos.machine import MachineInjection, machine_faults
from orchestrator.chaos.plan import PlannedFault
from orchestrator.chaos.triggers import Moment
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.runtimes.faults import Bite, Healing

AT_ONCE = frozenset({"kill", "stop", "restart", "pause", "crash_at", "out_of_memory", "l1_reorg"})
"""Kinds that have bitten when they are done, or never will; all others are looked at right before they are healed."""
LONGEST_HEAL_S = HEAL_S + 10.0
"""Longest time for a heal with all its parts, which have limits of their own, seconds."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Struck:
    """What came of one fault."""

    fault: PlannedFault
    bite: Bite
    healing: Healing
    begun_ns: int | None
    """Monotonic nanoseconds; None if it never began."""
    healed_ns: int


def injection_of(net: Devnet, fault: PlannedFault) -> Injection:
    """How a fault is done."""
    made = _MAKERS.get(fault.kind, LinkInjection)
    if fault.kind == "partition" and fault.parameters["mode"] == "unplug":
        made = _on_machine
    return made(net, fault)


def _on_life(net: Devnet, fault: PlannedFault) -> Injection:
    return LifeInjection(net, fault.kind, fault.targets)


def _on_machine(net: Devnet, fault: PlannedFault) -> Injection:
    return MachineInjection(net, machine_faults(fault))


def _at_a_point(net: Devnet, fault: PlannedFault) -> Injection:
    said = fault.parameters
    return CrashInjection(net, fault.targets, said["point"], said["count"], said["within"])


def _on_clock(net: Devnet, fault: PlannedFault) -> Injection:
    sign = -1 if fault.parameters["toward"] == "past" else 1
    return ClockInjection(net, fault.targets, sign * fault.parameters["offset"])


def _stall(net: Devnet, fault: PlannedFault) -> Injection:
    del fault
    return StallInjection(net)


def _reorg(net: Devnet, fault: PlannedFault) -> Injection:
    return ReorgInjection(net, fault.parameters["depth"])


_MAKERS: Mapping[str, Callable[[Devnet, PlannedFault], Injection]] = {
    **dict.fromkeys(("kill", "stop", "restart", "pause"), _on_life),
    **dict.fromkeys(("packet_loss", "disk_full", "out_of_memory"), _on_machine),
    "crash_at": _at_a_point,
    "clock_skew": _on_clock,
    "l1_stall": _stall,
    "l1_reorg": _reorg,
}
"""By kind; all others are faults of links."""


class Nemesis:
    """Strikes one devnet.

    Args:
        net: launched for chaos.
        lookout: knows when triggers are due.
        tell: takes a line of progress.
        make: how a fault is done.
    """

    def __init__(
        self,
        net: Devnet,
        lookout: Lookout,
        tell: Tell,
        make: Callable[[Devnet, PlannedFault], Injection] = injection_of,
    ) -> None:
        self._net, self._lookout, self._tell, self._make = net, lookout, tell, make
        self._active: set[str] = set()

    async def run(self, faults: Sequence[PlannedFault]) -> tuple[Struck, ...]:
        """The whole schedule; faults that are due at once strike side by side. All are healed at the end, also of a cancelled one."""
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self.strike(fault)) for fault in faults]
        return tuple(task.result() for task in running)

    async def strike(self, fault: PlannedFault) -> Struck:
        """One fault from its trigger to its heal."""
        moment, countdown = await self._lookout.wait(fault.trigger)
        if moment is Moment.NEVER:
            bite = Bite(False, f"it never began: {countdown.said()}")
            self._note("missed", fault, evidence=bite.evidence)
            self._tell(f"{fault.name}: {bite.evidence}")
            return Struck(fault, bite, Healing(True, "nothing to undo"), None, time.monotonic_ns())
        return await self._while_healed(fault, self._make(self._net, fault))

    async def _while_healed(self, fault: PlannedFault, injection: Injection) -> Struck:
        begun: list[int] = []

        def began() -> None:
            if not begun:
                begun.append(time.monotonic_ns())
                self._active.add(fault.name)
                self._note("injected", fault)
                self._net.journal.emit("phase.begun", phase=fault.name)
                self._tell(f"{fault.name}: {fault.kind} {', '.join(fault.strikes)}")

        try:
            bite = await self._bitten(fault, injection, began)
        finally:
            healing = await self._healed(fault, injection)
        return Struck(fault, bite, healing, begun[0] if begun else None, time.monotonic_ns())

    async def _healed(self, fault: PlannedFault, injection: Injection) -> Healing:
        """Undo it, also while being cancelled: the heal has a limit of its own."""
        self._note("healing", fault)
        heal = asyncio.ensure_future(self._heal(injection))
        try:
            healing = await asyncio.shield(heal)
        except asyncio.CancelledError:
            self._over(fault, await heal)
            raise
        self._over(fault, healing)
        return healing

    def _over(self, fault: PlannedFault, healing: Healing) -> None:
        self._note("healed", fault, healed=healing.healed, evidence=healing.evidence)
        self._active.discard(fault.name)
        if not self._active:
            self._net.journal.emit("phase.begun", phase="recovery")
        self._tell(f"{fault.name}: {'healed' if healing.healed else 'NOT healed'}, {healing.evidence}")

    async def _bitten(self, fault: PlannedFault, injection: Injection, began: Callable[[], None]) -> Bite:
        """From the injection to right before the heal."""
        try:
            await injection.inject(began)
        except (RollnetError, OSError, ExceptionGroup) as exc:
            return self._judged(fault, Bite(False, words_of(exc)))
        held_ns = time.monotonic_ns()
        if fault.kind in AT_ONCE:
            bite = self._judged(fault, await self._looked(injection), held_ns)
            await asyncio.sleep(fault.lasts_s)
            return bite
        await asyncio.sleep(fault.lasts_s)
        return self._judged(fault, await self._looked(injection), held_ns)

    async def _looked(self, injection: Injection) -> Bite:
        try:
            return await injection.bite()
        except (RollnetError, OSError, ExceptionGroup) as exc:
            return Bite(False, f"nobody could look: {words_of(exc)}")

    def _judged(self, fault: PlannedFault, bite: Bite, held_ns: int | None = None) -> Bite:
        """Note the verdict; one on what lasts comes right before the heal, so it says since when the fault held."""
        since = {} if held_ns is None else {"struck_ns": held_ns}
        self._note("bit" if bite.bit else "missed", fault, evidence=bite.evidence, **since)
        self._tell(f"{fault.name}: {'bit' if bite.bit else 'did NOT bite'}, {bite.evidence}")
        return bite

    async def _heal(self, injection: Injection) -> Healing:
        try:
            async with asyncio.timeout(LONGEST_HEAL_S):
                return await injection.heal()
        except TimeoutError:
            return Healing(False, f"not within {LONGEST_HEAL_S:g} s")
        except (RollnetError, OSError, ExceptionGroup) as exc:
            return Healing(False, words_of(exc))

    def _note(self, word: str, fault: PlannedFault, **more: Any) -> None:
        self._net.journal.emit(
            f"fault.{word}",
            window=fault.name,
            kind=fault.kind,
            targets=list(fault.strikes),
            node=", ".join(fault.strikes),
            **more,
        )
