"""The keeper of strategies on real chains driven by hand: it does what nobody else has done, once, and nothing that could take a strategy apart."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import pytest_asyncio

from bridge.contracts.testing import Chain
from bridge.l1.account import L1Account
from bridge.l1.account_store import AccountStore
from bridge.relayer.attempts import Manner
from bridge.relayer.carried import Places
from bridge.relayer.l1_clock import L1Clock
from bridge.relayer.store import Store
from bridge.relayer.strategies.arrivals import StrategyArrivals
from bridge.relayer.strategies.chains import Registry
from bridge.relayer.strategies.facts import Facts, Gatherer
from bridge.relayer.strategies.keeper import Keeper
from bridge.relayer.strategies.queue import StrategyQueue
from bridge.relayer.strategies.steps import StrategySteps
from bridge.relayer.strategies.store import Kept as Remembered
from bridge.relayer.strategies.store import StrategyStore
from bridge.relayer.strategies.telling import StrategyTeller
from bridge.wire.deposits import decode_deposit, encode_deposit
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.signing import address_of
from bridge.wire.testing import MemoryJournal
from orchestrator.settlement.testing_hand import ended, refusing, seal
from orchestrator.settlement.testing_strategies import (
    ALICE,
    ALPHA,
    BETA,
    BOB,
    UNIT,
    USD,
    Strategy,
    World,
)
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

KEY = to_hex(keccak256(b"a keeper of strategies"))
OWN = to_hex(address_of(KEY))
ETHER = 10**18
WITHIN_S = 20.0
NAMES = {ALPHA: "alpha", BETA: "beta"}


class Counting(Gatherer):
    """Counts how often the keeper looks."""

    looks = 0

    async def gather(self, strategies: Sequence[Remembered]) -> dict[str, Facts]:
        """As ever."""
        self.looks += 1
        return await super().gather(strategies)


@dataclass
class Kept:
    """Lives of a keeper on its files, on the world's chains."""

    world: World
    folder: Path
    stack: contextlib.AsyncExitStack
    relay_all: bool = True
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    @property
    def chains(self) -> list[Chain]:
        """L1 and the rollups."""
        return [self.world.bridge.l1, *(each.chain for each in self.world.bridge.rollups.values())]

    async def open(self) -> None:
        """Its accounts, which outlive its lives here."""
        l1, rollups = self.world.bridge.l1.client, self.world.bridge.rollups
        for chain in self.chains:
            await chain.fund(OWN, 1_000 * ETHER)
        self.accounts = {key: self._account(each.chain.client, key) for key, each in rollups.items()}
        self.on_l1 = self._account(l1, int(await l1.call("eth_chainId"), 16))

    def start(self) -> None:
        """A new life."""
        l1, rollups = self.world.bridge.l1.client, self.world.bridge.rollups
        registry = Registry(l1, self.world.registry.address)
        places = {
            key: Places(key, each.messenger.lower(), "0x" + "00" * 20, registry.address)
            for key, each in rollups.items()
        }
        clients = {key: each.chain.client for key, each in rollups.items()}
        self.files = (
            StrategyStore(self.folder / "strategies.sqlite"),
            Store(self.folder / "messages.sqlite"),
        )
        self.queue = StrategyQueue(self.files[0], self.journal)
        self.gatherer = Counting(registry, clients, places)
        clock = L1Clock(l1, 0.01)
        keeper = Keeper(
            queue=self.queue,
            arrivals=StrategyArrivals(registry, self.queue),
            gatherer=self.gatherer,
            steps=StrategySteps(registry, self.on_l1, clients, self.accounts, places),
            # no relayer tells of the votes here, and nobody waits for it
            teller=StrategyTeller(self.queue, self.files[1], l1, NAMES, itertools.count(step=10).__next__),
            clock=clock,
            manner=Manner(0.01, self.relay_all, luck=lambda: 0.0),
        )
        self.tasks = [asyncio.create_task(each) for each in (clock.run(), keeper.run(), self._seal())]

    async def stop(self) -> None:
        """The end of a life."""
        for task in self.tasks:
            await ended(task)
        if self.tasks:
            for file in self.files:
                file.close()
        self.tasks = []

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait until something holds; a keeper that ended is an error."""

        async def held() -> bool:
            for task in self.tasks:
                if task.done():
                    task.result()
            return await holds()

        await eventually(held, WITHIN_S, what, every_s=0.02)

    async def until_state(self, strategy: Strategy, *wanted: str) -> None:
        """Wait for decision and locks, taking along whatever L1 sends to the rollups meanwhile."""

        async def there() -> bool:
            return wanted == await self.world.state(strategy)

        await self.until(there, str(wanted))

    async def rounds(self, count: int = 5) -> None:
        """Wait until the keeper has looked so many times more: what it hasn't done by then it doesn't do."""
        enough = self.gatherer.looks + count

        async def looked() -> bool:
            return self.gatherer.looks >= enough

        await self.until(looked, f"{count} rounds")

    async def wait(self, until: int) -> None:
        """Let time pass on all chains, and show it by a block."""
        self.world.wait(until)
        for chain in self.chains:
            async with chain.mining:
                await chain.client.batch([("evm_setNextBlockTimestamp", [chain.clock.now]), ("evm_mine", [])])

    async def carry(self) -> None:
        """Take what transactions of the keeper on L1 sent to the rollups."""
        l1 = self.world.bridge.l1.client
        for number in range(int(await l1.call("eth_blockNumber"), 16) + 1):
            block = await l1.call("eth_getBlockByNumber", hex(number), True)
            for each in block["transactions"]:
                if each["from"].lower() == OWN and each["hash"] not in self._carried:
                    self._carried.add(each["hash"])
                    self.world.bridge.note(await l1.call("eth_getTransactionReceipt", each["hash"]))

    _carried: set[str] = field(default_factory=set)

    async def spent(self) -> int:
        """How many transactions it has made, on all chains."""
        counts = [await chain.client.call("eth_getTransactionCount", OWN, "latest") for chain in self.chains]
        return sum(int(count, 16) for count in counts)

    def told(self, strategy: Strategy) -> list[str]:
        """What the journal was told of a strategy."""
        return self.journal.of(to_hex(strategy.digest))

    def pushed(self, strategy: Strategy) -> list[str]:
        """What it did for a strategy, by its own word."""
        name = to_hex(strategy.digest)
        return [
            event.attrs["action"]
            for event in self.journal.events
            if event.bundle_id == name and event.event == "bundle.pushed"
        ]

    def _account(self, client: Client, chain_id: int) -> L1Account:
        store = AccountStore(self.folder / f"account-{chain_id}.sqlite", OWN, chain_id)
        self.stack.enter_context(contextlib.closing(store))
        # who nobody cares for must not be cancelled: time stands still here
        own = L1Account(client, chain_id, KEY, store, poll_s=0.01, patience_s=60)
        self.stack.push_async_callback(ended, asyncio.create_task(own.run()))
        return own

    async def _seal(self) -> None:
        while True:
            for chain in self.chains:
                await seal(chain)
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture(loop_scope="module")
async def kept(world: World, tmp_path: Path) -> AsyncIterator[Kept]:
    """A keeper that has not begun."""
    async with contextlib.AsyncExitStack() as stack:
        found = Kept(world, tmp_path, stack)
        await found.open()
        stack.push_async_callback(found.stop)
        yield found


async def test_what_goes_well_needs_no_keeper(kept: Kept, world: World) -> None:
    """It tells of a commit from the opening to the trades, each once, and sends nothing."""
    kept.start()
    strategy = await world.open()
    for chain_id in (ALPHA, BETA):
        await world.lock(chain_id)
        await world.count(chain_id)
    await world.bridge.settle()
    await kept.until(lambda: _told(kept, strategy, "leg.executed", 2), "both trades told")
    events = [event for event in kept.journal.events if event.bundle_id == to_hex(strategy.digest)]
    assert (["bundle.admitted", *["leg.staged"] * 2, "bundle.decided", *["leg.executed"] * 2]) == [
        event.event for event in events
    ]
    assert [0, 1] == sorted(
        event.leg for event in events if event.event == "leg.staged" and event.leg is not None
    )
    amounts = {
        event.attrs["rollup"]: event.attrs["amount"] for event in events if event.event == "leg.staged"
    }
    assert {"alpha": 51 * USD, "beta": 1_950 * USD} == amounts
    assert 0 == await kept.spent()


async def test_a_refusal_is_told_with_its_reason(kept: Kept, world: World) -> None:
    """Who refused and why; the rollup that had locked gives back, the one that refused has nothing to give."""
    kept.start()
    strategy = await world.open([(ALPHA, [world.buy(ALPHA)]), (BETA, [world.sell(BETA, UNIT, 51 * USD)])])
    for chain_id in (ALPHA, BETA):
        await world.lock(chain_id)
    await world.count(BETA)
    await world.bridge.settle()
    await kept.until(lambda: _told(kept, strategy, "leg.reverted", 2), "both ends told")
    decided = next(event for event in kept.journal.events if event.event == "bundle.decided")
    assert ("abort", 1, "beta", "beta: LimitExceeded(price=50000000, limit=51000000)") == tuple(
        decided.attrs[key] for key in ("decision", "failed_leg", "rollup", "reason")
    )


async def test_what_is_undecided_at_the_deadline_is_aborted_once(kept: Kept, world: World) -> None:
    """Not before; with the decisions for all rollups in the same transaction."""
    kept.start()
    strategy = await world.open()
    for chain_id in (ALPHA, BETA):
        await world.lock(chain_id)
    await kept.wait(strategy.decide_by - 20)  # an engine's own clock goes on from here
    await kept.rounds()
    assert ("NONE", 0) == (await world.decision(strategy), await kept.spent())
    await kept.wait(strategy.decide_by)
    await kept.until_state(strategy, "ABORT", "LOCKED", "LOCKED")
    await kept.carry()
    for chain_id in (ALPHA, BETA):
        await world.lock(chain_id)
    assert ("ABORT", "RELEASED", "RELEASED") == await world.state(strategy)
    await kept.until(lambda: _told(kept, strategy, "leg.reverted", 2), "both ends told")
    await kept.until(lambda: _pushed(kept, strategy, "abort"), "the abort told")
    assert (["abort"], 1) == (kept.pushed(strategy), await kept.spent())
    decided = next(event for event in kept.journal.events if event.event == "bundle.decided")
    assert "not decided in time: no vote of alpha, beta had reached L1" == decided.attrs["reason"]


async def test_whoever_is_faster_it_counts(kept: Kept, world: World) -> None:
    """Somebody aborts in the very block before the keeper's transaction: its own fails, and that is all."""
    strategy = await world.open()
    await kept.wait(strategy.decide_by)
    abort = world.registry.interface.encode_call("abort", strategy.digest)
    request = {
        "from": BOB.address,
        "to": world.registry.address,
        "data": to_hex(abort),
        "gas": hex(3_000_000),
    }
    l1 = world.bridge.l1.client
    kept.start()

    async def both_wait() -> bool:
        return int((await l1.call("txpool_status"))["pending"], 16) > 0

    sealing = kept.tasks.pop()
    await ended(sealing)
    await l1.call("eth_sendTransaction", request | {"gasPrice": hex(10**11)})
    await kept.until(both_wait, "transactions in the pool")
    await seal(world.bridge.l1)
    kept.tasks.append(asyncio.create_task(kept._seal()))
    await kept.until_state(strategy, "ABORT", "NONE", "NONE")
    await kept.rounds()
    assert "ABORT" == await world.decision(strategy)
    assert await kept.spent() <= 1


async def test_a_decision_that_could_not_be_sent_is_sent(kept: Kept, world: World) -> None:
    """A portal had no room for it in that block; the keeper makes the registry send it, to that rollup alone."""
    kept.start()
    sealing = kept.tasks.pop()
    await ended(sealing)  # the crowd and the vote have to meet in one block
    strategy = await world.open()
    for chain_id in (ALPHA, BETA):
        await world.lock(chain_id)
    await world.count(ALPHA)
    await world.count_in_a_crowd(BETA)
    kept.tasks.append(asyncio.create_task(kept._seal()))
    await world.bridge.settle()
    assert ("COMMIT", "COMMITTED", "LOCKED") == await world.state(strategy)
    await kept.until(lambda: _pushed(kept, strategy, "send"), "the decision sent")
    await kept.carry()
    await world.bridge.settle()
    assert ("COMMIT", "COMMITTED", "COMMITTED") == await world.state(strategy)
    await kept.rounds()
    # a keeper that looks between a block and its logs sends it once more, which changes nothing
    assert {"send"} == set(kept.pushed(strategy))
    assert 1 <= await kept.spent() <= 2


async def test_an_order_that_a_messenger_holds_is_delivered(kept: Kept, world: World) -> None:
    """It ran out of gas on its way in; the keeper repeats it with enough, and the rollup locks and votes."""
    kept.start()
    strategy = await world.open([(ALPHA, [world.buy(ALPHA)])])
    rollup = world.rollup(ALPHA)
    deposit = decode_deposit(rollup.deposits.popleft())
    await rollup.chain.send_raw(encode_deposit(replace(deposit, gas=400_000)))
    await kept.until_state(strategy, "NONE", "LOCKED", "NONE")
    await kept.until(lambda: _pushed(kept, strategy, "deliver"), "the delivery told")
    await kept.rounds()
    assert (["deliver"], 1) == (kept.pushed(strategy), await kept.spent())


async def test_a_vote_that_a_messenger_holds_is_counted(kept: Kept, world: World) -> None:
    """The registry could not be called when the vote was finalized; the keeper makes the messenger call again."""
    kept.start()
    strategy = await world.open([(ALPHA, [world.buy(ALPHA)])])
    await world.lock(ALPHA)
    async with refusing(world.bridge.l1, world.registry.address):
        await world.bridge.finalize(world.rollup(ALPHA).withdrawals[0])
    await kept.until_state(strategy, "COMMIT", "LOCKED", "NONE")
    await kept.until(lambda: _pushed(kept, strategy, "count"), "the vote told")
    await kept.rounds()
    assert (["count"], 1) == (kept.pushed(strategy), await kept.spent())


async def test_legs_whose_abort_does_not_arrive_are_refunded(kept: Kept, world: World) -> None:
    """After ``refund_after`` on the rollup's clock; the decision that comes later changes nothing."""
    kept.start()
    strategy = await world.open()
    for chain_id in (ALPHA, BETA):
        await world.lock(chain_id)
    await kept.wait(strategy.decide_by)
    await kept.until_state(strategy, "ABORT", "LOCKED", "LOCKED")
    await kept.wait(strategy.refund_after + 1)
    await kept.until_state(strategy, "ABORT", "REFUNDED", "REFUNDED")
    assert (0, 0, 0) == tuple([(await world.money(chain_id, ALICE))[2] for chain_id in (ALPHA, BETA)] + [0])
    await kept.carry()
    await world.bridge.settle()
    assert ("ABORT", "REFUNDED", "REFUNDED") == await world.state(strategy)


async def test_what_may_still_be_committed_is_never_refunded(kept: Kept, world: World) -> None:
    """A commit is late beyond ``refund_after``: the keeper sends it again instead, and both legs are traded."""
    kept.start()
    strategy = await world.open()
    for chain_id in (ALPHA, BETA):
        await world.lock(chain_id)
        await world.count(chain_id)
    assert "COMMIT" == await world.decision(strategy)
    await kept.wait(strategy.refund_after + 1)
    await kept.until(lambda: _pushed(kept, strategy, "send"), "the decision sent again")
    assert ("COMMIT", "LOCKED", "LOCKED") == await world.state(strategy)
    await world.bridge.settle()
    assert ("COMMIT", "COMMITTED", "COMMITTED") == await world.state(strategy)


async def test_a_new_life_tells_nothing_again(kept: Kept, world: World) -> None:
    """Killed between any two stages, it goes on where it was; when all is safe, the strategy is put aside for good."""
    kept.start()
    strategy = await world.open()
    await kept.until(lambda: _told(kept, strategy, "bundle.admitted", 1), "the opening told")
    for chain_id in (ALPHA, BETA):
        await kept.stop()
        await world.lock(chain_id)
        kept.start()
        count = 1 + (chain_id == BETA)
        await kept.until(lambda count=count: _told(kept, strategy, "leg.staged", count), "the lock told")
    await kept.stop()
    await world.bridge.settle()
    kept.start()
    await kept.until(lambda: _told(kept, strategy, "leg.executed", 2), "both trades told")
    await kept.stop()
    kept.start()
    for rollup in world.bridge.rollups.values():  # on a bare engine a block is safe when enough are above it
        await rollup.chain.client.call("anvil_mine", hex(70))
    await kept.until(lambda: _nothing_open(kept), "the strategy put aside")
    told = kept.told(strategy)
    assert [
        "bundle.admitted",
        "leg.staged",
        "leg.staged",
        "bundle.decided",
        "leg.executed",
        "leg.executed",
    ] == told


async def test_without_leave_it_only_tells(world: World, tmp_path: Path) -> None:
    """With ``relay_all`` off nothing is sent, whatever is due."""
    async with contextlib.AsyncExitStack() as stack:
        kept = Kept(world, tmp_path, stack, relay_all=False)
        await kept.open()
        stack.push_async_callback(kept.stop)
        kept.start()
        strategy = await world.open()
        await kept.wait(strategy.decide_by)
        await kept.until(lambda: _told(kept, strategy, "bundle.admitted", 1), "the opening told")
        await kept.rounds()
        assert ("NONE", 0) == (await world.decision(strategy), await kept.spent())


async def _told(kept: Kept, strategy: Strategy, event: str, times: int) -> bool:
    return kept.told(strategy).count(event) >= times


async def _pushed(kept: Kept, strategy: Strategy, action: str) -> bool:
    return action in kept.pushed(strategy)


async def _nothing_open(kept: Kept) -> bool:
    return not kept.queue.open
