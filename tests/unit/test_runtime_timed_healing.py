"""Faults that end by themselves, whoever else is still there."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.devnet import Devnet
from orchestrator.runtimes import timed_healing
from orchestrator.runtimes.errors import BadFaultError, FaultFailedError, HostRefusedError
from orchestrator.runtimes.faults import Fault, Healing, Unplug
from orchestrator.runtimes.timed_healing import TimedHealing, require_time

FAULT = Unplug("alpha")


class Book:
    """Faults in force, of which some are hard to undo."""

    def __init__(self, failures: int = 0) -> None:
        self.in_force: list[Fault] = [FAULT]
        self.failures = failures
        self.healed = asyncio.Event()
        self.clocks = TimedHealing(self.heal, self.in_force.__contains__)

    async def heal(self, fault: Fault) -> Healing:
        """Undo it, unless it is too early."""
        if self.failures:
            self.failures -= 1
            raise FaultFailedError("its node is frozen")
        self.in_force.remove(fault)
        self.healed.set()
        return Healing(True, "")


@pytest.mark.parametrize("failures", [0, 3])
async def test_its_time_is_over(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    """It is healed then, and where that fails as soon as it can be."""
    monkeypatch.setattr(timed_healing, "_RETRY_S", 0.01)
    book = Book(failures)
    book.clocks.begin(FAULT, 0.01)
    async with asyncio.timeout(5):
        await book.healed.wait()
    assert ([], 0) == (book.in_force, book.failures)
    await book.clocks.close()


async def test_the_last_word_counts() -> None:
    """A fault that was healed by hand is not healed again, one whose time was changed has the new one, and nothing is done after the end."""
    book = Book()
    book.clocks.begin(FAULT, 0.01)
    book.clocks.forget(FAULT)
    book.clocks.begin(FAULT, 0.01)
    book.clocks.begin(FAULT, 3600.0)
    await asyncio.sleep(0.1)
    assert [FAULT] == book.in_force
    await book.clocks.close()
    await book.clocks.close()
    assert not book.healed.is_set()


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_what_is_no_time_is_refused(seconds: float) -> None:
    """Nobody is to wait for ever."""
    with pytest.raises(BadFaultError, match="can't last"):
        require_time(seconds)


async def test_a_host_that_refuses_is_one_error(tmp_path: Path, repository: Path) -> None:
    """Where this host has no room for a run directory, launching says which file, and what to do."""
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(HostRefusedError, match="can't launch solo: Not a directory") as caught:
        async with Devnet.launch(repository / "topologies" / "solo.yaml", state=tmp_path / "file" / "home"):
            raise AssertionError("it came up")
    assert "ROLLNET_HOME=" in caught.value.hint
    assert ["file"] == [path.name for path in tmp_path.iterdir()]
