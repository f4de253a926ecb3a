"""Crashes while L1 moves under the nodes: reorganisations, a passed window, a spent nonce, a base fee that jumps, an L1 that is older than it was.

The chains are judged from their genesis each time, because blocks that users saw may be replaced here.
"""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.wire.journal import Event, read_journal
from bridge.wire.stages import Stage
from orchestrator.bridging.transfers import deposit
from orchestrator.crash_testing.rows import (
    DISCARDED,
    FINAL,
    FORCED,
    REORGANISED,
    REORGANISED_TOO,
    REPRICED,
    TRAVELLED,
)
from orchestrator.crash_testing.world import CrashWorld
from orchestrator.reorganisation import reorganise
from orchestrator.runtimes.base import ALIVE
from orchestrator.settlement.deployments import batcher_of
from orchestrator.verification import live_sources, verify
from orchestrator.verification.testing_settlement import Settlement, next_nonce, send
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
]

QUICK = (
    "l1: {block_time: 250ms, confirmations: 1}\n"
    "messaging: {mode: shared-sequencer, slot: 50ms, publish_every: 200ms, sequencing_window: 6s}"
)
SETTLED = "{engine: evm, block_time: 400ms, settlement: {challenge_period: 3s, proposal_interval: 400ms}}"
DEPTH = 4
"""Blocks that L1 loses: more than are waited for before an L1 block becomes an origin."""
SINK = "0x" + "5e" * 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[CrashWorld]:
    """Two rollups on a quick L1, with a window that passes within seconds."""
    file = topology_file("crashed-l1", extra=QUICK, alpha=SETTLED, beta=SETTLED)
    async with launched(file, chaos=True) as net:
        yield CrashWorld(net)


async def l1_at(world: CrashWorld, height: int) -> None:
    """Wait for a height of L1."""

    async def there() -> bool:
        return await world.net.l1.height() >= height

    await eventually(there, 30, f"L1 block {height}")


@pytest.mark.parametrize(("of_alpha", "of_beta"), REORGANISED)
async def test_an_origin_goes_away(world: CrashWorld, of_alpha: str, of_beta: str | None) -> None:
    """The sequencer crashes when the cut is logged, rollups while they take their blocks back: all take back the same."""
    net = world.net
    await l1_at(world, await net.l1.height() + DEPTH)
    async with world.judged(whole=True):
        cut, rewound, lost = REORGANISED_TOO
        sequencer = await net.node("sequencer").crash_at(cut)
        alpha = await net.node("alpha").crash_at(of_alpha)
        beta = await net.node("beta").crash_at(of_beta) if of_beta else None
        relayer = None if of_beta else await net.node("relayer").crash_at(lost)
        await reorganise(net.l1, DEPTH, net.plan.l1.block_time_s)
        await world.crashed("sequencer", cut, sequencer.boot)
        if beta is None:
            await world.crash_while_starting("sequencer", rewound)
        await net.node("sequencer").restart()
        await world.crashed("alpha", of_alpha, alpha.boot)
        if beta is not None and of_beta is not None:
            await world.crashed("beta", of_beta, beta.boot)
            await net.node("beta").restart()
        if relayer is not None:
            await world.crashed("relayer", lost, relayer.boot)
            await net.node("relayer").restart()
        await world.revive("alpha", of_alpha)


@pytest.mark.parametrize("point", FINAL)
async def test_an_output_becomes_final(world: CrashWorld, point: str) -> None:
    """Crashed between telling which legs it settles and noting that: in the end each that took effect is told, those of then a second time."""
    net = world.net
    async with world.judged(whole=True) as load:
        await world.crash("alpha", point, within_s=30)
        await world.revive("alpha", point)
    mine = [item.id for item in load.items if any(leg.rollup == "alpha" for leg in item.legs)]
    ends = {item: await net.sequencer.bundle(item) or {} for item in mine}
    committed = {item for item, end in ends.items() if end.get("status") == "committed"}

    async def told() -> bool:
        return committed <= {each.bundle_id or each.msg_id for each in _told(world, "alpha", Stage.SETTLED)}

    await eventually(told, 30, f"{len(committed)} items to be settled on alpha")


def _told(world: CrashWorld, node: str, stage: Stage) -> list[Event]:
    """What a node's journal says of a stage."""
    return [each for each in read_journal(world.net.directory.journal_of(node)) if each.event == stage]


@pytest.mark.parametrize("point", DISCARDED)
async def test_a_superbatch_loses_its_nonce(world: CrashWorld, point: str) -> None:
    """Signed and logged but never sent, it finds its nonce spent; crashed over that, its slots are published by another one, once."""
    net = world.net
    batcher = batcher_of(net.plan, net.plan.rollups[0])
    async with world.judged(whole=True):
        await world.crash("sequencer", "publisher.logged")
        nonce = await next_nonce(net.l1, batcher)
        await send(net.l1, batcher, SINK, b"", nonce=nonce)

        async def spent() -> bool:
            return await next_nonce(net.l1, batcher, "latest") > nonce

        await eventually(spent, 20, "the nonce to be spent")
        await world.crash_while_starting("sequencer", point)
        await world.revive("sequencer", point)
        before = (await net.sequencer.status())["published_slots"]

        async def goes_on() -> bool:
            return bool((await net.sequencer.status())["published_slots"] > before)

        await eventually(goes_on, 20, "slots on L1 again")


@pytest.mark.parametrize("point", REPRICED)
async def test_the_base_fee_jumps(world: CrashWorld, point: str) -> None:
    """A proposal in the pool is too cheap and signed again; crashed over that, one of the two is mined and counts."""
    net, one = world.net, Settlement(world.net, "alpha")
    ordered = await net.node("alpha").crash_at(point)

    async def crashed() -> bool:
        if await one.has_in_flight():
            await net.l1.rpc("anvil_setNextBlockBaseFeePerGas", hex(20 * 10**9))
        return (await net.node("alpha").status()).state not in ALIVE

    await eventually(crashed, 30, "a proposal that is too cheap", every_s=0.01)
    await world.crashed("alpha", point, ordered.boot)
    await net.l1.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    async with world.judged(whole=True):
        await world.revive("alpha", point)


async def test_l1_is_older_than_it_was_and_then_what_it_was(world: CrashWorld) -> None:
    """L1 comes back without its last blocks, and later with them: what was cut for the one branch is restored for the other."""
    net, (reopened, restored) = world.net, TRAVELLED
    state = net.directory.data_of("l1") / "state.json"
    old, new = state.with_name("old"), state.with_name("new")
    proposer = Settlement(net, "alpha").proposer
    async with world.judged(whole=True):
        await net.node("l1").stop()
        shutil.copy(state, old)
        await net.node("l1").restart()
        nonce = await next_nonce(net.l1, proposer, "latest")

        async def final() -> bool:
            return await next_nonce(net.l1, proposer, "finalized") > nonce

        await eventually(final, 40, "a proposal that L1 has for good, and will lose")
        await l1_at(world, await net.l1.height() + 2)
        alpha = await net.node("alpha").crash_at(reopened)
        await net.node("l1").stop()
        shutil.copy(state, new)
        shutil.copy(old, state)
        await net.node("l1").restart()
        await world.crashed("alpha", reopened, alpha.boot)
        await world.revive("alpha", reopened)
        sequencer = await net.node("sequencer").crash_at(restored)
        await net.node("l1").stop()
        shutil.copy(new, state)
        await net.node("l1").restart()
        await world.crashed("sequencer", restored, sequencer.boot)
        await world.revive("sequencer", restored)


async def test_the_sequencer_is_gone_for_good(world: CrashWorld) -> None:
    """P8: after the window each rollup gets blocks of nothing but deposits, and these execute.

    The rollup crashes over the first such block, and the sequencer, should it come back after all, over the record of it.
    """
    net, (derived, forced) = world.net, FORCED
    alpha, user = net.rollup("alpha"), net.accounts[8]
    async with world.judged(whole=True):
        pass
    ordered = await net.node("alpha").crash_at(derived)
    await net.node("sequencer").kill()
    last = await net.rollup("beta").height()
    await world.crashed("alpha", derived, ordered.boot, 40)
    await world.revive("alpha", derived)
    paid = await deposit(net, alpha, user, SINK, 77, print)
    assert "executed" == paid.outcome
    for chain in net.rollups.values():
        height = await chain.height()
        for number in range(last + 1, height + 1):
            block = await chain.rpc("eth_getBlockByNumber", hex(number), True)
            assert {"0x7e"} == {each["type"] for each in block["transactions"]}
    async with world.judged(whole=True):
        await world.crash_while_starting("sequencer", forced)
        await world.revive("sequencer", forced)


async def test_at_the_end_l1_and_the_rollups_agree(world: CrashWorld) -> None:
    """A verifier that has only L1 rebuilds what the rollups serve."""
    async with live_sources(world.net.directory.path) as sources:
        found = await verify(sources)
    assert ((), "valid") == (found.findings, found.verdict)
    assert 0 < found.forced
    world.report(60)  # they wait for L1 too, and may take several lives
