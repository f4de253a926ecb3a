"""A relayer's eyes and hands for messages, moved by a test: real chains and real accounts, blocks sealed on request.

What goes over the bridge is moved by :class:`bridge.contracts.testing.HandBridge`; what the relayer does besides is done through here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX
from bridge.contracts.testing import Chain, HandRollup
from bridge.l1.account import L1Account
from bridge.l1.account_store import AccountStore
from bridge.relayer.arrivals import watched_on_l1, watched_on_rollup
from bridge.relayer.carried import Places
from bridge.relayer.messages.envelope import Envelope, envelope_of
from bridge.relayer.messages.facts import Asked, Chains, RollupEnds, gather
from bridge.relayer.messages.lifecycle import (
    Action,
    Facts,
    Hop,
    RedeliverOnL2,
    ReplayOnL1,
    State,
    Step,
    judge,
)
from bridge.relayer.messages.sightings import Sighting, calls_of, of_withdrawal
from bridge.relayer.messages.steps import MessageSteps
from bridge.relayer.scanner import Found, Scanner
from bridge.relayer.withdrawal import Passed
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.signing import address_of
from orchestrator.settlement.testing_messages import ETHER, Message, World, messages_world

KEY = to_hex(keccak256(b"a relayer of messages"))
OWN = to_hex(address_of(KEY))


@dataclass
class Hand:
    """The relayer's eyes and hands, moved by the test."""

    world: World
    steps: MessageSteps
    scanners: list[Scanner[Any]]
    places: Mapping[int, Places]
    sightings: list[Sighting] = field(default_factory=list)
    withdrawn: list[Passed] = field(default_factory=list)

    async def look(self) -> None:
        """Read all chains."""
        for scanner in self.scanners:
            while isinstance(found := await scanner.look(), Found):
                for thing in found.things:
                    if isinstance(thing, Sighting):
                        self.sightings.append(thing)
                        continue
                    self.withdrawn.append(thing)
                    carrying = [of_withdrawal(thing, places) for places in self.places.values()]
                    self.sightings += [each for each in carrying if each is not None]

    def seen(self, envelope: Envelope) -> list[Sighting]:
        """What was said of a message."""
        return [each for each in self.sightings if each.name == envelope.hash]

    async def judged(self, message: Message) -> tuple[State, Step, Facts]:
        """What is true of a message, and what has to be done."""
        await self.look()
        envelope = envelope_of(message.envelope)
        asked = Asked(envelope, calls_of(self.seen(envelope)))
        gathered = await gather(self.steps.chains, [asked])
        assert gathered.trouble == ()
        facts = gathered.facts[envelope.hash]
        return *judge(envelope.valid_until, facts), facts

    async def take(self, message: Message, step: Action) -> Mapping[str, Any]:
        """Do what is to be done, and seal blocks until it is; the receipt."""
        task = asyncio.create_task(self.steps.take(envelope_of(message.envelope), step))
        while not task.done():
            await self.seal()
            await asyncio.wait([task], timeout=0.01)
        return {"transactionHash": task.result().hash, "logs": list(task.result().logs)} | {
            "blockHash": task.result().block_hash
        }

    async def seal(self) -> None:
        """A block on every chain that has something for one."""
        for chain in (self.world.bridge.l1, *(each.chain for each in self.rollups)):
            await seal(chain)

    @property
    def rollups(self) -> list[HandRollup]:
        """All of them."""
        return list(self.world.bridge.rollups.values())

    async def advance(self, message: Message, wanted: type[Any]) -> Mapping[str, Any]:
        """Hold that a step of one kind is next, take it, and note what it put on its way."""
        _, step, _ = await self.judged(message)
        assert isinstance(step, wanted), step
        receipt = await self.take(message, step)
        on_l1 = isinstance(step, ReplayOnL1)
        back = isinstance(step, RedeliverOnL2) and step.call.hop is Hop.REFUND
        where = self.world.source if back else self.world.destination
        self.world.bridge.note(receipt, None if on_l1 else where.chain_id)
        return receipt


async def seal(chain: Chain) -> None:
    """A block with whatever waits."""
    async with chain.mining:
        status = await chain.client.call("txpool_status")
        if int(status["pending"], 16):
            await chain.client.batch([("evm_setNextBlockTimestamp", [chain.clock.now]), ("evm_mine", [])])


async def handed(world: World, folder: Path, stack: contextlib.AsyncExitStack) -> Hand:
    """A relayer that has seen nothing yet."""

    async def account(client: Client, chain_id: int) -> L1Account:
        store = AccountStore(folder / f"account-{chain_id}.sqlite", OWN, chain_id)
        stack.enter_context(contextlib.closing(store))
        # who nobody cares for must not be cancelled: time stands still here
        own = L1Account(client, chain_id, KEY, store, poll_s=0.01, patience_s=60)
        task = asyncio.create_task(own.run())
        stack.push_async_callback(ended, task)
        return own

    rollups = world.bridge.rollups
    router = world.router.address.lower()
    messengers = {key: each.messenger.lower() for key, each in rollups.items()}
    ends = {key: RollupEnds(each.chain.client, messengers[key]) for key, each in rollups.items()}
    l1 = world.bridge.l1.client
    l1_id = int(await l1.call("eth_chainId"), 16)
    chains = Chains(l1, router, ends)
    accounts = {key: await account(each.chain.client, key) for key, each in rollups.items()}
    steps = MessageSteps(chains, await account(l1, l1_id), accounts)
    portals = [each.portal.lower() for each in rollups.values()]
    watched = watched_on_l1(l1_id, router, portals, list(messengers.values()))
    scanners: list[Scanner[Any]] = [Scanner(l1, watched)]
    scanners += [Scanner(each.chain.client, watched_on_rollup(key)) for key, each in rollups.items()]
    places = {key: Places(key, messengers[key], router, "0x" + "00" * 20) for key in rollups}
    return Hand(world, steps, scanners, places)


async def ended(task: "asyncio.Task[None]") -> None:
    """Cancel and wait."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def refusing(chain: Chain, address: str = CROSS_ROLLUP_MAILBOX) -> AsyncIterator[None]:
    """A contract reverts whatever it is asked, so that the messenger keeps what comes."""
    code = await chain.client.call("eth_getCode", address, "latest")
    await chain.client.call("anvil_setCode", address, "0x5f5ffd")
    try:
        yield
    finally:
        await chain.client.call("anvil_setCode", address, code)


@contextlib.asynccontextmanager
async def hand_world(folder: Path) -> AsyncIterator[World]:
    """Engines on which the relayer has ether."""
    async with messages_world(folder) as world:
        for chain in (world.bridge.l1, *(each.chain for each in world.bridge.rollups.values())):
            await chain.fund(OWN, 1_000 * ETHER)
        yield world


@contextlib.asynccontextmanager
async def as_at_first(world: World) -> AsyncIterator[World]:
    """Whatever happens to the engines within is undone afterwards."""
    chains = [world.bridge.l1, *(rollup.chain for rollup in world.bridge.rollups.values())]
    snapshots = [await chain.client.call("evm_snapshot") for chain in chains]
    yield world
    for chain, snapshot in zip(chains, snapshots, strict=True):
        await chain.client.call("evm_revert", snapshot)
    for rollup in world.bridge.rollups.values():
        rollup.deposits.clear()
        rollup.withdrawals.clear()
