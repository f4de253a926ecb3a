"""The relayer's pipeline of messages in one process, on real chains driven by hand: back-off, dead letters, reorganisations, restarts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.testing import Chain
from bridge.relayer.arrivals import Arrivals, L1Arrivals, watched_on_l1, watched_on_rollup
from bridge.relayer.attempts import Manner
from bridge.relayer.l1_clock import L1Clock
from bridge.relayer.messages.crossings import Crossings
from bridge.relayer.messages.lifecycle import State
from bridge.relayer.messages.queue import CrossingQueue
from bridge.relayer.messages.store import CrossingStore
from bridge.relayer.messages.telling import Teller
from bridge.relayer.portal import Portal
from bridge.relayer.queue import Queue
from bridge.relayer.scanner import Scanner
from bridge.relayer.steps import Steps
from bridge.relayer.store import Store
from bridge.relayer.subjects import of_carried
from bridge.relayer.withdrawals import Withdrawals
from bridge.wire.keccak import to_hex
from bridge.wire.stages import Stage
from bridge.wire.testing import MemoryJournal
from orchestrator.settlement.testing_hand import (
    OWN,
    Hand,
    as_at_first,
    ended,
    hand_world,
    handed,
    refusing,
)
from orchestrator.settlement.testing_messages import ACCEPT, ETHER, REFUSE, USER, Message, World
from orchestrator.settlement.testing_spending import spent
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

WITHIN_S = 20.0
EPOCHS = 70
"""Blocks of two epochs, and some."""


@dataclass
class Pipeline:
    """Lives of a relayer on one file."""

    hand: Hand
    path: Path
    options: dict[str, Any]
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def start(self) -> None:
        """A new life."""
        hand, steps = self.hand, self.hand.steps
        self.store = Store(self.path)
        manner = Manner(0.02, luck=lambda: 0.0, **self.options)
        clock = L1Clock(steps.chains.l1, 0.02, self.store.l1())
        kept = CrossingStore(self.store)
        self.queue = CrossingQueue(kept, self.journal, hand.places, manner.first)
        subject = of_carried(hand.places, lambda *_: None)
        pipelines = []
        for rollup in hand.rollups:
            chain_id, client = rollup.chain_id, rollup.chain.client
            scanner = Scanner(client, watched_on_rollup(chain_id), self.store.checkpoints(chain_id))
            queue = Queue(str(chain_id), chain_id, self.store, self.journal, subject)
            arrivals = Arrivals(scanner, queue, self.queue, manner)
            portal = Portal(steps.chains.l1, rollup.portal, rollup.oracle)
            on_l1 = Steps(client, portal, steps.on_l1)
            pipelines.append(Withdrawals(queue, arrivals, on_l1, clock, manner))
        portals = [each.portal.lower() for each in hand.rollups]
        messengers = [each.messenger.lower() for each in hand.rollups]
        watched = watched_on_l1(0, steps.chains.router, portals, messengers)
        l1 = Scanner(steps.chains.l1, watched, self.store.checkpoints(0))
        self.crossings = Crossings(
            queue=self.queue,
            arrivals=L1Arrivals(l1, 0, self.store, self.queue),
            rollups={each.chain_id: each for each in pipelines},
            steps=steps,
            teller=Teller(self.queue, self.store, steps, {}),
            clock=clock,
            manner=manner,
        )
        runs = [clock.run(), self.crossings.run(), *(each.run() for each in pipelines), self._seal()]
        self.tasks = [asyncio.create_task(each) for each in runs]

    async def stop(self) -> None:
        """The end of a life."""
        for task in self.tasks:
            await ended(task)
        if self.tasks:
            self.store.close()
        self.tasks = []

    async def _seal(self) -> None:
        while True:
            await self.hand.seal()
            await asyncio.sleep(0.01)

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds; a pipeline that ended is an error."""

        async def held() -> bool:
            for task in self.tasks:
                if task.done():
                    task.result()
            return holds()

        await eventually(held, WITHIN_S, what, every_s=0.01)

    async def until_state(self, message: Message, state: State) -> None:
        """Wait for a message to be in a state."""
        await self.until(lambda: self.state(message) is state, f"{to_hex(message.digest)} {state}")

    def state(self, message: Message) -> State | None:
        """What the relayer says."""
        found = self.queue.known(to_hex(message.digest))
        return found.state if found else None

    def told(self, message: Message, *left_out: str) -> list[str]:
        """What the journal was told of a message, from L1 on."""
        before = {Stage.MESSAGE_SENT, Stage.MESSAGE_BATCHED, Stage.MESSAGE_PROPOSED, Stage.MESSAGE_PROVEN}
        events = [event for event in self.journal.events if event.msg_id == to_hex(message.digest)]
        return [event.event for event in events if event.event not in {*before, *left_out}]


Start = Callable[..., Awaitable[Pipeline]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One set of engines for all tests."""
    async with hand_world(tmp_path_factory.mktemp("pipeline")) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def started(made: World, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a relayer on chains that are as they were at first."""
    async with as_at_first(made), contextlib.AsyncExitStack() as stack:

        async def start(**options: Any) -> Pipeline:
            pipeline = Pipeline(await handed(made, tmp_path, stack), tmp_path / "messages.sqlite", options)
            stack.push_async_callback(pipeline.stop)
            pipeline.start()
            return pipeline

        yield start


async def sent(world: World, **options: Any) -> Message:
    """A message in a block that is safe: bare engines call safe what is an epoch old."""
    message = await world.send(value=ETHER, **options)
    await block(world.source.chain)
    await world.source.chain.client.call("anvil_mine", hex(EPOCHS), "0x0")
    return message


async def sent_and_failed(pipeline: Pipeline, **options: Any) -> Message:
    """A message that its target has refused."""
    world = pipeline.hand.world
    await world.puppet.send(USER, "feel", REFUSE)
    message = await sent(world, **options)
    await world.cross()
    await pipeline.until_state(message, State.FAILED)
    return message


async def test_a_dead_letter_is_quiet_until_it_is_asked_for(started: Start) -> None:
    """Given up after so many failures, over a restart too; asked for again it is executed, and nothing was paid for in vain."""
    pipeline = await started(max_failures=2)
    world = pipeline.hand.world
    message = await sent_and_failed(pipeline)
    name = to_hex(message.digest)
    await pipeline.until(lambda: pipeline.queue.open[name].retry.dead, "a dead letter")
    assert "ReplayFailed" in pipeline.queue.open[name].retry.reason
    await world.puppet.send(USER, "feel", ACCEPT)
    await pipeline.stop()
    pipeline.start()
    clocks = await world.destination.chain.client.call("eth_blockNumber")
    await pipeline.until(lambda: not pipeline.queue.due, "all to be looked at")
    assert State.FAILED is pipeline.state(message)
    assert clocks == await world.destination.chain.client.call("eth_blockNumber")
    assert pipeline.crossings.revive(name) is not None
    await pipeline.until_state(message, State.EXECUTED)
    await pipeline.until(lambda: name not in pipeline.queue.open, "the end to be told")
    assert pipeline.crossings.revive(name) is None
    told = ["message.finalized", "message.deposited", "message.failed", "message.executed"]
    assert told == pipeline.told(message, "message.retried", "message.dead")
    assert 1 == pipeline.told(message).count("message.dead")
    assert 1 == len(await spent(world.destination.chain.client, OWN))


async def test_a_dead_letter_goes_back_when_its_time_is_over(started: Start) -> None:
    """Nobody asks for it; it expires, is exported all the same, and its sender is refunded."""
    pipeline = await started(max_failures=1)
    world = pipeline.hand.world
    message = await sent_and_failed(pipeline, valid_s=200)
    name = to_hex(message.digest)
    await pipeline.until(lambda: pipeline.queue.open[name].retry.dead, "a dead letter")
    world.wait(message.envelope[8] + 1)
    before = await world.source.chain.balance(USER)
    await block(world.destination.chain)
    await pipeline.until_state(message, State.RETURNING)
    world.bridge.note(await last_receipt(world), world.destination.chain_id)
    await world.bridge.settle()
    await pipeline.until_state(message, State.REFUNDED)
    assert before + ETHER == await world.source.chain.balance(USER)
    await pipeline.until(lambda: name not in pipeline.queue.open, "the end to be told")
    told = [
        "message.finalized",
        "message.deposited",
        "message.failed",
        "message.returning",
        "message.refunded",
    ]
    assert told == pipeline.told(message, "message.dead")


async def test_only_what_is_asked_for_is_relayed(started: Start) -> None:
    """With relay_all off a failed message is left alone, beyond its expiry too, until somebody names it."""
    pipeline = await started(relay_all=False)
    world = pipeline.hand.world
    message = await sent_and_failed(pipeline, valid_s=200)
    world.wait(message.envelope[8] + 1)
    await block(world.destination.chain)
    await pipeline.until_state(message, State.EXPIRED)
    assert [] == await spent(world.destination.chain.client, OWN)
    assert pipeline.crossings.revive(to_hex(message.digest)) is not None
    await pipeline.until_state(message, State.RETURNING)
    (done,) = await spent(world.destination.chain.client, OWN)
    assert "exportUndelivered" == done.what


async def test_a_held_delivery_is_noticed_by_the_messengers_log(started: Start) -> None:
    """The rollup's messenger could not make the call: well before everything is looked at anyway, it is made again."""
    pipeline = await started()
    world = pipeline.hand.world
    message = await sent(world)
    await world.bridge.finalize(*world.source.withdrawals)
    await pipeline.until_state(message, State.FORWARDED)
    async with refusing(world.destination.chain):
        await world.bridge.derive(world.destination.chain_id)
    await pipeline.until_state(message, State.EXECUTED)
    await pipeline.until(lambda: not pipeline.queue.open, "the end to be told")
    assert ["message.finalized", "message.deposited", "message.executed"] == pipeline.told(
        message, "message.retried"
    )
    executed = next(e for e in pipeline.journal.events if e.event == Stage.MESSAGE_EXECUTED)
    assert ("relayer", True) == (executed.attrs["by"], executed.attrs["wei"] > 0)


@pytest.mark.parametrize("where", ["destination", "l1"])
async def test_what_a_reorganisation_took_is_told_and_done_again(started: Start, where: str) -> None:
    """Executed, then the destination's (or L1's and its) blocks are gone: set back, and executed in the new ones."""
    pipeline = await started()
    world = pipeline.hand.world
    destination, l1 = world.destination.chain.client, world.bridge.l1.client
    message = await sent(world)
    (withdrawal,) = world.source.withdrawals
    snapshots = [await l1.call("evm_snapshot"), await destination.call("evm_snapshot")]
    await world.bridge.finalize(withdrawal)
    deposit = world.destination.deposits[0]
    await world.bridge.derive(world.destination.chain_id)
    await pipeline.until(lambda: "message.executed" in pipeline.told(message), "execution to be told")
    await destination.call("evm_revert", snapshots[1])
    if where == "l1":
        await l1.call("evm_revert", snapshots[0])
    await pipeline.until(lambda: "message.set_back" in pipeline.told(message), "the loss to be told")
    world.wait(world.now + 7)  # other blocks than before
    if where == "l1":
        world.source.withdrawals.append(withdrawal)
        await world.cross()
    else:
        world.destination.deposits.append(deposit)
        await block(world.destination.chain)
        await world.bridge.derive(world.destination.chain_id)
    await pipeline.until(lambda: pipeline.told(message).count("message.executed") == 2, "execution again")
    await pipeline.until(lambda: not pipeline.queue.open, "the end to be told")
    assert 1 == await world.puppet.read("calls")


async def block(chain: Chain) -> None:
    """An empty block at the test's time."""
    async with chain.mining:
        await chain.client.batch([("evm_setNextBlockTimestamp", [chain.clock.now]), ("evm_mine", [])])


async def last_receipt(world: World) -> Any:
    """Of the last transaction at the destination."""
    client = world.destination.chain.client
    number = int(await client.call("eth_blockNumber"), 16)
    while True:
        receipts = await client.call("eth_getBlockReceipts", hex(number))
        if receipts:
            return receipts[-1]
        number -= 1
