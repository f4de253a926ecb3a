"""The relayer crashes at each of its points while messages and strategies are on their way: each ends once, and nothing is paid twice.

One flow for all rows: messages leave every now and then, some to a contract that refuses for a while, and strategies over the bridge are
opened, some with a deadline that can't be met. At the end the chains say what became of them.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.artifacts import artifact
from bridge.relayer.messages.envelope import Envelope
from bridge.wire.keccak import to_hex
from orchestrator.bridge_execution.running import follow, open_strategy, prepare
from orchestrator.crash_testing.rows import RELAYER_AT_BOOT, RELAYER_UNDER_LOAD
from orchestrator.crash_testing.world import CrashWorld
from orchestrator.errors import RollnetError
from orchestrator.strategies import presets
from orchestrator.strategies.bridge_terms import BridgeStrategy
from orchestrator.topology.plan import Account
from orchestrator.verification.testing_messages import ACCEPT, REFUSE, World, balance, spending, world_of
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
]

QUICK = """\
l1: {block_time: 400ms, confirmations: 1}
messaging: {mode: shared-sequencer, slot: 100ms, publish_every: 300ms}
market: {underlying: ETH, spot: 2000, volatility: 0.6}
accounts: 12"""
SETTLED = "{engine: evm, block_time: 400ms, settlement: {challenge_period: 1s, proposal_interval: 400ms}}"
NODE, TARGET = "relayer", "0x" + "dd" * 20
ABORT = to_hex(artifact("StrategyRegistry").interface.encode_call("abort", bytes(32))[:4])
EVERY_S, STRATEGY_EVERY_S = 1.0, 5.0
"""Between two messages, and between two strategies."""
HASTY_S = 2
"""A deadline that no vote can meet."""


@dataclass(slots=True)
class Flow:
    """What is on its way."""

    crashes: CrashWorld
    world: World
    messages: list[Envelope] = field(default_factory=list)
    strategies: list[tuple[Account, BridgeStrategy]] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self) -> None:
        """Messages, one after the other, to somebody who takes them and to one who does as told."""
        for number in range(10_000):
            if self.stopped.is_set():
                return
            target, data = (TARGET, b"") if number % 4 else (self.world.puppets["beta"], b"ping")
            with contextlib.suppress(RollnetError):
                sent = await self.world.send("alpha", "beta", target, value=1 + number, data=data, account=1)
                self.messages.append(sent)
            await asyncio.sleep(EVERY_S)

    async def open(self) -> None:
        """Strategies, one in time and one that is late, again and again."""
        net = self.world.net
        assert net.plan.market is not None
        for number in range(10_000):
            account = net.accounts[6 + number % 6]
            strategy = presets.build("vertical", net.plan.market, quantity=0.1)
            with contextlib.suppress(RollnetError):
                prepared = await prepare(net, strategy, account, lifetime_s=None if number % 2 else HASTY_S)
                await open_strategy(net, prepared, account, print)
                self.strategies.append((account, prepared))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STRATEGY_EVERY_S):
                    await self.stopped.wait()
                    return


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def flow(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Flow]:
    """Two rollups with a market that settle within seconds, and much on its way."""
    file = topology_file("crashed-relayer", extra=QUICK, alpha=SETTLED, beta=SETTLED)
    async with launched(file, chaos=True) as net:
        found = Flow(CrashWorld(net), await world_of(net))
        await found.world.feel("beta", REFUSE)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(found.send())
            tasks.create_task(found.open())
            yield found
            found.stopped.set()


@pytest.mark.parametrize("point", RELAYER_UNDER_LOAD)
async def test_at_a_point_of_its_work(flow: Flow, point: str) -> None:
    """It crashes there and comes back; what it had begun is judged at the end."""
    await flow.crashes.crash(NODE, point, within_s=30)
    await flow.crashes.revive(NODE, point)


@pytest.mark.parametrize("point", RELAYER_AT_BOOT)
async def test_at_a_point_of_its_boot(flow: Flow, point: str) -> None:
    """Killed, and crashed while it comes back."""
    await flow.crashes.net.node(NODE).kill()
    await flow.crashes.crash_while_starting(NODE, point)
    await flow.crashes.revive(NODE, point)


async def test_at_the_end_everything_is_done_once(flow: Flow) -> None:
    """Every message is executed once, to the wei; every strategy has one end everywhere; no step failed or was paid twice."""
    flow.stopped.set()
    world = flow.world
    await world.feel("beta", ACCEPT)
    ask = world.net.relayer.rpc
    for each in await ask("rollnet_messages", {"kind": "message", "state": "failed", "limit": 1000}):
        await ask("rollnet_retry", each["hash"])  # on a slow machine some have failed for the last time

    async def executed() -> bool:
        counts = (await world.net.relayer.status())["rollups"]["alpha"]["messages"]
        return bool(counts["executed"] == len(flow.messages))

    await eventually(executed, 60, f"{len(flow.messages)} messages executed", every_s=0.2)
    plain = [each.value for each in flow.messages if not each.data]
    assert sum(plain) == await balance(world.net.rollup("beta"), TARGET)
    assert len(flow.messages) - len(plain) == await world.calls("beta")

    async def finished() -> bool:
        return bool((await world.net.relayer.status())["strategies"]["open"] == 0)

    await eventually(finished, 60, "every strategy finished", every_s=0.2)
    outcomes = {(await follow(world.net, each, account, print)).outcome for account, each in flow.strategies}
    assert outcomes <= {"committed", "aborted"}
    everything = [(name, each) for name, found in (await spending(world)).items() for each in found]
    # a deadline's abort may meet the last vote in one block, and then one of the two comes too late
    assert {ABORT} >= {each.what for _, each in everything if not each.success}
    steps = Counter(each for each in everything if each[1].about)
    assert [] == [each for each, count in steps.items() if count > 1]
    flow.crashes.report()
