"""The work that is compared: strategies that depart at the same moments in both modes, and over the bridge plain messages beside them.

Over the bridge nobody is asked how far things are: the end of each is read in the journals of client and relayer. Whoever asked five chains
five times a second about twenty strategies would measure the asking.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.wire.keccak import to_hex
from bridge.wire.stages import Stage
from orchestrator.bridge_execution.running import open_strategy, prepare
from orchestrator.bridging.terms import deposit_limit_s, message_terms
from orchestrator.comparison import SentMessage
from orchestrator.comparison.watch import LOOK_S, Progress, Tell, Watch
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.messaging.sending import send_message
from orchestrator.messaging.terms import DEFAULT_GAS, Waiting, default_validity_s, wish
from orchestrator.strategies.model import ExecutionMode, Strategy
from orchestrator.topology.names import RELAYER, SEQUENCER
from orchestrator.tracing.tail import Tail

VALUE: Final = 10**12
"""Wei in each plain message: little, and not nothing, so that a lost message is a lost coin."""
PUBLISH_S: Final = 60.0
"""Longest wait, after the last bundle, until L1 holds all slots, seconds."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is done in each mode."""

    strategy: Strategy
    runs: int
    """How often."""
    messages: int
    """Plain messages over the bridge, from each rollup to the next."""
    seed: int
    """Of the moments in which they depart."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done."""

    strategies: tuple[str, ...]
    """Bundle hashes or ids on L1 of those that were submitted, in order of departure."""
    failures: tuple[str, ...]
    """Why others could not be submitted."""
    messages: tuple[SentMessage, ...]
    """Those that could not be sent are among them, under names that no journal knows: they count as never having arrived."""
    worked_s: float
    """From the first departure until everything had ended, seconds."""


def departures(seed: int, count: int, spacing_s: float) -> tuple[float, ...]:
    """Seconds from the start: on average so far apart, but in step with no clock of a chain. The same for the same seed."""
    luck = random.Random(f"departures/{seed}")
    moments, now = [], 0.0
    for _ in range(count):
        moments.append(now)
        now += spacing_s * luck.uniform(0.5, 1.5)
    return tuple(moments)


async def under_one_sequencer(net: Devnet, work: Work, tell: Tell) -> Done:
    """Run the strategies as bundles, and wait until the sequencer has told that L1 holds them, and what that cost."""
    progress = Progress(work.runs, "strategies", tell)
    committed: set[str] = set()

    async def one(account: int) -> str:
        result = await net.run(work.strategy, account=account, execution=ExecutionMode.BUNDLE)
        progress.count(str(result.outcome), result.reason)
        key = to_hex(result.bundle_hash)
        if result.outcome == "committed":
            committed.add(key)
        return key

    tail = Tail([net.directory.journal_of(SEQUENCER)])
    began = time.monotonic()
    keys, failures = await _depart(net, work, one)
    for why in failures:
        progress.count("failed", why)
    progress.say()
    worked_s = time.monotonic() - began
    try:
        async with asyncio.timeout(PUBLISH_S):
            while committed:
                told = await asyncio.to_thread(tail.poll)
                committed -= {str(event.bundle_id) for event in told if event.event == Stage.PUBLISHED}
                await asyncio.sleep(LOOK_S if committed else 0.0)
    except TimeoutError:
        tell(
            f"{len(committed)} bundles are not on L1 after {PUBLISH_S:.0f} s: what they cost there is not known"
        )
    return Done(keys, failures, (), worked_s)


async def over_the_bridge(net: Devnet, work: Work, tell: Tell) -> Done:
    """Open the strategies on L1, send the messages, and wait until all of them have ended."""
    refunds: list[float] = []
    sent: list[SentMessage] = []
    lost: list[SentMessage] = []

    async def one(account: int) -> str:
        bridged = await prepare(net, work.strategy, net.plan.users[account])
        await open_strategy(net, bridged, net.plan.users[account], _quiet)
        refunds.append(bridged.deadlines.refund_after - time.time())
        return to_hex(bridged.id)

    async def message(number: int) -> None:
        names = sorted(net.rollups)
        ends = names[number % len(names)], names[(number + 1) % len(names)]
        try:
            sent.append(SentMessage(await _send(net, number, *ends), *ends))
        except RollnetError as exc:
            tell(f"message not sent: {exc.message}")
            lost.append(SentMessage(f"never sent, number {number}", *ends))

    began = time.monotonic()
    watch = Watch(_tail(net), tell)
    watching = asyncio.create_task(watch.run())
    try:
        async with asyncio.TaskGroup() as tasks:
            departing = tasks.create_task(_depart(net, work, one))
            moments = departures(work.seed + 1, work.messages, net.plan.l1.block_time_s)
            tasks.create_task(_all_at(moments, message))
        keys, failures = departing.result()
        for why in failures:
            tell(f"strategy not opened: {why}")
        terms = [message_terms(net.plan, each.source, each.destination).limit_s for each in sent]
        watch.wait_for({*keys, *(each.key for each in sent)})
        try:
            async with asyncio.timeout(max([0.0, *refunds, *terms]) + deposit_limit_s(net.plan)):
                await watch.ended.wait()
        except TimeoutError:
            tell(f"{len(watch.missing)} have not ended and are not waited for any longer")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return Done(keys, failures, (*sent, *lost), time.monotonic() - began)


async def _send(net: Devnet, number: int, source: str, destination: str) -> str:
    """Send one plain message; its hash."""
    account = net.plan.users[number % len(net.plan.users)]
    validity = default_validity_s(message_terms(net.plan, source, destination))
    wished = wish(source, destination, account.address, VALUE, b"", DEFAULT_GAS, validity)
    ends = net.rollups[source], net.rollups[destination]
    followed = await send_message(net, *ends, account, wished, _quiet, waiting=Waiting.NOTHING)
    return followed.found.hash


async def _depart(
    net: Devnet, work: Work, one: Callable[[int], Awaitable[str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Run the strategy as often as wanted, each at its moment, each user one after the other; keys, and why others failed."""
    users = [asyncio.Lock() for _ in net.plan.users]
    keys: dict[int, str] = {}
    failures: list[str] = []

    async def depart(number: int) -> None:
        account = number % len(users)
        async with users[account]:
            try:
                keys[number] = await one(account)
            except RollnetError as exc:
                failures.append(exc.message)

    await _all_at(departures(work.seed, work.runs, net.plan.l1.block_time_s), depart)
    return tuple(keys[number] for number in sorted(keys)), tuple(failures)


async def _all_at(moments: Sequence[float], do: Callable[[int], Awaitable[None]]) -> None:
    """Do something at each moment, whether or not what began before has ended."""
    began = time.monotonic()

    async def at(number: int, moment: float) -> None:
        await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
        await do(number)

    async with asyncio.TaskGroup() as tasks:
        for number, moment in enumerate(moments):
            tasks.create_task(at(number, moment))


def _tail(net: Devnet) -> Tail:
    """What tells how things end: the relayer's journal, and this client's own."""
    return Tail([net.directory.journal_of(RELAYER), *net.directory.journals.glob("client-*.jsonl")])


def _quiet(line: str) -> None:
    del line
