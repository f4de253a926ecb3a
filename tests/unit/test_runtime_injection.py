"""The book of faults in force: what is applied again when a node comes back, on whom, and that one failure loses nothing."""

from collections.abc import Sequence

import pytest

from orchestrator.runtimes.errors import FaultFailedError
from orchestrator.runtimes.faults import (
    Bite,
    Blackhole,
    DiskFull,
    Fault,
    Healing,
    OutOfMemory,
    PacketLoss,
    Unplug,
)
from orchestrator.runtimes.injection import InjectedFaults


class Noted:
    """Means that note what they are asked for."""

    def __init__(self) -> None:
        self.renewed: list[tuple[str, tuple[Fault, ...], bool]] = []
        self.refuses: set[str] = set()

    async def inject(self, fault: Fault, on_node: Sequence[Fault]) -> Bite:
        """It bites, unless its node refuses."""
        assert on_node[-1] == fault
        if fault.node in self.refuses:
            raise FaultFailedError(f"{fault.node} refuses")
        return Bite(True, "seen")

    async def heal(self, fault: Fault, on_node: Sequence[Fault]) -> Healing:
        """It heals, unless its node refuses."""
        assert fault not in on_node
        if fault.node in self.refuses:
            raise FaultFailedError(f"{fault.node} refuses")
        return Healing(True, "gone")

    async def renew(self, node: str, on_node: Sequence[Fault], *, reborn: bool) -> None:
        """Noted."""
        self.renewed.append((node, tuple(on_node), reborn))


async def test_any_rebirth_renews_what_anybody_has_against_anybody() -> None:
    """gamma may have been given the address that beta had: what alpha has against beta must not cut gamma off."""
    means = Noted()
    book = InjectedFaults(lambda: means)
    against, own = Blackhole("alpha", "beta"), PacketLoss("gamma", 0.5)
    await book.inject(against)
    await book.inject(own)
    await book.inject(DiskFull("delta"))
    await book.renew("gamma")
    assert [("gamma", (own,), True), ("alpha", (against,), False)] == means.renewed
    means.renewed.clear()
    await book.renew("alpha")
    assert [("alpha", (against,), True)] == means.renewed
    means.renewed.clear()
    await book.heal(against)
    await book.renew("gamma")
    assert [("gamma", (own,), True)] == means.renewed


async def test_a_node_that_is_plugged_in_again_is_renewed() -> None:
    """It may have another address."""
    means = Noted()
    book = InjectedFaults(lambda: means)
    against = Blackhole("alpha", "beta")
    for fault in (against, Unplug("beta")):
        await book.inject(fault)
    assert [] == means.renewed
    await book.heal(Unplug("beta"))
    assert [("alpha", (against,), False)] == means.renewed


async def test_what_fails_is_not_in_force_and_what_is_not_healed_stays() -> None:
    """The book says what is so: a refused fault is not in it, a refused heal leaves it there; out of memory is over at once."""
    means = Noted()
    book = InjectedFaults(lambda: means)
    means.refuses = {"alpha"}
    with pytest.raises(FaultFailedError):
        await book.inject(PacketLoss("alpha", 0.5))
    assert () == book.in_force
    means.refuses = set()
    await book.inject(OutOfMemory("beta"))
    assert () == book.in_force
    await book.inject(DiskFull("alpha"))
    means.refuses = {"alpha"}
    with pytest.raises(FaultFailedError):
        await book.heal(DiskFull("alpha"))
    assert (DiskFull("alpha"),) == book.in_force
