"""A rollup that falls silent holds the others up once, and for less than a second; one that hangs, ever more rarely."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from bridge.wire.errors import PeerUnreachable
from bridge.wire.testing import run_virtual, signed
from shared_sequencer import rollups as module
from shared_sequencer import sequencer
from shared_sequencer.rollups import GREET_SECONDS, PING_AFTER_SECONDS, PING_SECONDS, STAGE_SECONDS, Rollup
from shared_sequencer.testing import MemoryLog, ToyNode, ToySet, bundle_item
from shared_sequencer.testing_life import Life

CHAINS = (901, 902, 903)
ONCE_S = PING_AFTER_SECONDS + PING_SECONDS
"""What a silent rollup may cost the others."""


class Slow(ToyNode):
    """A node with a client's deadlines: calls take what ``seconds`` says of their method, or never end."""

    def __init__(self, chain_id: int) -> None:
        super().__init__(chain_id)
        self.seconds: Callable[[str], float] = lambda _: 0.0

    async def call(self, method: str, *params: Any, deadline: float | None = None) -> Any:
        """As a client of a slow node sees it."""
        try:
            async with asyncio.timeout(deadline):
                await asyncio.sleep(self.seconds(method))
                for _ in range(3):  # what has come is read a few steps later
                    await asyncio.sleep(0)
                return await super().call(method, *params)
        except TimeoutError as exc:
            raise PeerUnreachable("no answer in time") from exc


def lived(main: Callable[[Life, Slow], Coroutine[Any, Any, None]]) -> None:
    """A set of which the third rollup is slow, in virtual time, kept as a sequencer keeps it."""

    async def run() -> None:
        toys, log = ToySet(CHAINS), MemoryLog()
        slow = toys.nodes[903] = Slow(903)
        life = await Life(log, toys).begin()

        async def nothing() -> None:
            """On being up."""

        keeping = [
            asyncio.ensure_future(rollup.keep(life.term, (), nothing)) for rollup in life.rollups.values()
        ]
        await asyncio.sleep(0.01)
        try:
            await main(life, slow)
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)

    clock = SimpleNamespace(time=lambda: 1_000.0 + now(), monotonic=now)
    with patch.object(sequencer, "time", clock):
        run_virtual(run())


def now() -> float:
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


async def slots(life: Life, count: int, first: int = 0) -> list[float]:
    """How long each of so many slots took, with a bundle over the two quick rollups, and one that needs the slow one."""
    took = []
    for nonce in range(first, first + count):
        await life.admit(bundle_item([signed(chain, 0, nonce) for chain in CHAINS[:2]]))
        began = now()
        await life.sequencer.slot()
        took.append(now() - began)
        assert not [item for item in life.mempool if {leg.chain_id for leg in item.legs} == set(CHAINS[:2])]
        await asyncio.sleep(0.2)
    return took


@pytest.mark.parametrize("falls", ["rollup_stage", "rollup_commit"])
def test_a_silent_rollup_costs_the_others_less_than_a_second_in_all(falls: str) -> None:
    """Paused when it is to stage or to commit: over many slots the others wait once; bundles that need it wait, and commit when it is back."""

    async def main(life: Life, slow: Slow) -> None:
        waiting = bundle_item([signed(901, 1, 0), signed(903, 1, 0)])
        await life.admit(waiting)
        paused = False

        def seconds(method: str) -> float:
            nonlocal paused
            paused = paused or method == falls
            return 10**6 if paused else 0.0

        slow.seconds = seconds
        took = await slots(life, 50)
        assert "down" == life.rollups[903].state
        assert sum(took) <= ONCE_S + 0.01 < 1.0
        slow.seconds = lambda _: 0.0
        await asyncio.sleep(2.2)
        await life.follow(903)
        await asyncio.sleep(2 * GREET_SECONDS)
        assert "up" == life.rollups[903].state
        await slots(life, 2, first=50)
        assert "commit" == life.mempool.ended[waiting.id].decision.outcome

    lived(main)


def test_a_rollup_that_takes_long_and_is_alive_is_waited_for() -> None:
    """A full block takes seconds: as long as the node answers pings, the slot has it."""

    async def main(life: Life, slow: Slow) -> None:
        slow.seconds = lambda method: STAGE_SECONDS - 0.5 if method == "rollup_stage" else 0.0
        bundle = bundle_item([signed(901, 1, 0), signed(903, 1, 0)])
        await life.admit(bundle)
        await life.sequencer.slot()
        assert "commit" == life.mempool.ended[bundle.id].decision.outcome
        assert ("up", 0) == (life.rollups[903].state, life.rollups[903].hangs)

    lived(main)


def test_one_that_hangs_whenever_it_works_is_taken_ever_more_rarely() -> None:
    """It is alive and greets, and no block of it is ever done: what it costs the others falls from try to try."""

    async def main(life: Life, slow: Slow) -> None:
        slow.seconds = lambda method: 10**6 if method == "rollup_stage" else 0.0
        await life.admit(bundle_item([signed(901, 1, 0), signed(903, 1, 0)]))
        took = []
        for nonce in range(80):
            (one,) = await slots(life, 1, first=nonce)
            took.append(one)
        stalls = [one for one in took if one > 0.5]
        assert all(one <= STAGE_SECONDS + 0.01 for one in stalls)
        assert 2 <= len(stalls) <= 10

    lived(main)


def test_a_link_so_slow_that_pings_wait_behind_the_block_carries_it_in_the_end() -> None:
    """Greetings are small and pass; a block takes two seconds, and so does the ping behind it: it has longer each time, and commits."""

    async def main(life: Life, slow: Slow) -> None:
        busy = 0.0

        def seconds(method: str) -> float:
            nonlocal busy
            if method in {"rollup_stage", "rollup_commit"}:
                busy = now() + 2.0
            return max(busy - now(), 0.0)

        slow.seconds = seconds
        bundle = bundle_item([signed(901, 1, 0), signed(903, 1, 0)])
        await life.admit(bundle)
        for _ in range(60):
            await life.sequencer.slot()
            await asyncio.sleep(0.2)
        assert "commit" == life.mempool.ended[bundle.id].decision.outcome

    lived(main)


def test_a_killed_rollup_is_greeted_again_without_delay() -> None:
    """No connection at all is no hanging: it comes back as soon as it is there."""

    async def main(life: Life, slow: Slow) -> None:
        async def gone(method: str, _: Sequence[Any]) -> None:
            raise PeerUnreachable(f"{method}: connection refused")

        slow.hook = gone
        await life.admit(bundle_item([signed(901, 1, 0), signed(903, 1, 0)]))
        for nonce in range(5):
            await slots(life, 1, first=nonce)
        assert ("down", 0) == (life.rollups[903].state, life.rollups[903].hangs)
        slow.hook = None
        await asyncio.sleep(2 * GREET_SECONDS)
        assert "up" == life.rollups[903].state

    lived(main)


def test_a_sequencer_that_was_stopped_itself_blames_nobody() -> None:
    """Frozen in the middle of a slot for longer than a ping may take, it asks again instead of going on without whoever it did not hear."""

    async def main(life: Life, slow: Slow) -> None:
        loop = asyncio.get_running_loop()
        plain, ahead = loop.time, 0.0
        slow.seconds = lambda method: 1.5 if method == "rollup_stage" else PING_SECONDS / 2

        def stop() -> None:
            nonlocal ahead
            ahead = 2.0

        with patch.object(loop, "time", lambda: plain() + ahead):
            loop.call_later(PING_AFTER_SECONDS + 0.01, stop)
            bundle = bundle_item([signed(901, 1, 0), signed(903, 1, 0)])
            await life.admit(bundle)
            await life.sequencer.slot()
        assert "up" == life.rollups[903].state
        assert "commit" == life.mempool.ended[bundle.id].decision.outcome

    lived(main)


@pytest.mark.parametrize("rule", ["pings", "rarely"])
def test_each_rule_is_missed_when_it_is_taken_out(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pings, and without the growing pause, the tests above fail."""
    if rule == "pings":

        async def plain(self: Rollup, method: str, params: Sequence[Any], deadline: float) -> Any:
            return await self.client.call(method, *params, deadline=deadline)

        monkeypatch.setattr(Rollup, "_call", plain)
        with pytest.raises(AssertionError):
            test_a_silent_rollup_costs_the_others_less_than_a_second_in_all("rollup_stage")
    else:
        monkeypatch.setattr(module, "LONGEST_GREET_SECONDS", GREET_SECONDS)
        with pytest.raises(AssertionError):
            test_one_that_hangs_whenever_it_works_is_taken_ever_more_rarely()
