"""The seam between the nemesis and what it does: one injection for each family of faults.

::

    Injection ──┬── LifeInjection      kill stop restart pause            (lives)
                ├── CrashInjection     crash_at                           (crashes)
                ├── LinkInjection      partition delay throttle drop …    (link_injection)
                ├── MachineInjection   unplug packet_loss disk_full …     (machine)
                ├── StallInjection, ReorgInjection                        (l1_injection)
                └── ClockInjection     clock_skew                         (clocks)
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from orchestrator.errors import RollnetError
from orchestrator.runtimes.faults import Bite, Healing

HEAL_S = 60.0
"""Longest time for one part of a heal: a node that is brought back replays its past."""

Begun = Callable[[], None]
"""To be called once, right before the fault strikes: its window begins there."""


class Injection(Protocol):
    """One fault on one devnet. Errors are ``RollnetError``; the nemesis takes them for a fault that did not bite."""

    async def inject(self, begun: Begun) -> None:
        """Strike; return once it is done, or will be without us."""

    async def bite(self) -> Bite:
        """Whether it took effect, as seen so far from outside; asked once more right before the heal."""

    async def heal(self) -> Healing:
        """Undo it. Safe to call twice, and on what never began."""


def all_of(bites: list[Bite]) -> Bite:
    """A fault of several targets bit if it bit each of them."""
    return Bite(bool(bites) and all(bite.bit for bite in bites), "; ".join(bite.evidence for bite in bites))


async def tried(who: str, heal: Awaitable[Healing]) -> Healing:
    """One part of a heal. What goes wrong with it is told, not raised: the other parts are to be tried all the same.

    Args:
        who: what is healed, for people.
        heal: does it.
    """
    try:
        async with asyncio.timeout(HEAL_S):
            return await heal
    except TimeoutError:
        return Healing(False, f"{who}: not within {HEAL_S:g} s")
    except (RollnetError, OSError, ExceptionGroup) as exc:
        return Healing(False, f"{who}: {words_of(exc)}")


async def all_tried(heals: Iterable[tuple[str, Awaitable[Healing]]]) -> Healing:
    """Several parts side by side, each with the name of what it heals; healed when each is."""
    return all_healed(list(await asyncio.gather(*(tried(who, heal) for who, heal in heals))))


def words_of(exc: RollnetError | OSError | ExceptionGroup) -> str:
    """The words of one error or of several; anything that is neither ours nor the system's goes on its way."""
    if isinstance(exc, ExceptionGroup):
        ours, others = exc.split((RollnetError, OSError))
        if others is not None:
            raise others
        assert ours is not None, "a group is not empty"
        return "; ".join(words_of(each) for each in ours.exceptions)  # type: ignore[arg-type] # split says so
    return exc.message if isinstance(exc, RollnetError) else str(exc)


def all_healed(healings: list[Healing]) -> Healing:
    """A fault of several targets is healed when each is."""
    return Healing(
        all(healing.healed for healing in healings), "; ".join(healing.evidence for healing in healings)
    )
