"""The seam between the nemesis and what it does: one injection for each family of faults.

::

    Injection ──┬── LifeInjection      kill stop restart pause            (lives)
                ├── CrashInjection     crash_at                           (crashes)
                ├── LinkInjection      partition delay throttle drop …    (link_injection)
                ├── MachineInjection   unplug packet_loss disk_full …     (machine)
                ├── StallInjection, ReorgInjection                        (l1_injection)
                └── ClockInjection     clock_skew                         (clocks)
"""

from collections.abc import Callable
from typing import Protocol

from orchestrator.runtimes.faults import Bite, Healing

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


def all_healed(healings: list[Healing]) -> Healing:
    """A fault of several targets is healed when each is."""
    return Healing(
        all(healing.healed for healing in healings), "; ".join(healing.evidence for healing in healings)
    )
