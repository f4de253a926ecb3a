"""For tests of messages between rollups: three engines (L1, two rollups and a small one), the bridge driven by hand.

Where a test needs a rollup that lies, a ``Puppet`` stands in the place of its mailbox.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bridge.contracts.addresses import (
    CROSS_ROLLUP_MAILBOX,
    L2_CROSS_DOMAIN_MESSENGER,
)
from bridge.contracts.artifacts import artifact
from bridge.contracts.op import op_artifact
from bridge.contracts.testing import (
    NOBODY,
    Contract,
    Failed,
    HandBridge,
    HandRollup,
    inner_error,
    names,
    ours,
    theirs,
)
from bridge.wire.keccak import from_hex
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.testing import bridge_plan, hand_bridge

ETHER = 10**18
USER = "0x" + "a1" * 20
FRIEND = "0x" + "f1" * 20
STRANGER = "0x" + "5e" * 20
ZERO = "0x" + "00" * 20
NO_SUCH_ROLLUP = 999
SMALL = 903
"""A rollup with the smallest blocks that a topology can ask for."""
OUTGOING = ("NONE", "SENT", "EXPIRED", "REFUNDED")
INCOMING = ("NONE", "FAILED", "EXECUTED", "EXPIRED", "LATE", "EXPORTED")
ROUTES = ("NONE", "FORWARDED", "RETURNED", "CANCELLED")
ACCEPT, REFUSE, BURN_ALL_GAS = range(3)
FIELDS = (
    "version",
    "srcChainId",
    "dstChainId",
    "nonce",
    "sender",
    "target",
    "value",
    "gasLimit",
    "validUntil",
    "data",
)
L2_MESSENGER = op_artifact("L2CrossDomainMessenger").interface


def word(address: str) -> bytes:
    """An address as messages spell it."""
    return from_hex(address).rjust(32, b"\0")


@dataclass(slots=True)
class Message:
    """A message that was sent."""

    digest: bytes
    envelope: tuple[Any, ...]
    receipt: Mapping[str, Any]

    def altered(self, **changes: Any) -> tuple[Any, ...]:
        """The envelope with other values."""
        return tuple(changes.get(name, value) for name, value in zip(FIELDS, self.envelope, strict=True))


@dataclass(slots=True)
class World:
    """Two rollups, L1, and what stands on them."""

    bridge: HandBridge
    router: Contract
    source: HandRollup
    destination: HandRollup
    outbox: Contract
    """The source's mailbox."""
    inbox: Contract
    """The destination's mailbox."""
    puppet: Contract
    """On the destination."""
    double: Contract
    """A puppet on the source."""

    @property
    def now(self) -> int:
        """Unix seconds."""
        return self.bridge.l1.clock.now

    def wait(self, until: int) -> None:
        """Let time pass on all chains."""
        assert until >= self.now
        self.bridge.l1.clock.now = until

    async def send(
        self,
        target: str | None = None,
        data: bytes = b"ping",
        *,
        value: int = 0,
        gas: int = 100_000,
        valid_s: int = 1_000,
        to: int | None = None,
        sender: str = USER,
    ) -> Message:
        """Send from source to destination."""
        receipt = await self.outbox.send(
            sender,
            "send",
            self.destination.chain_id if to is None else to,
            word(target or self.puppet.address),
            gas,
            self.now + valid_s,
            data,
            value=value,
        )
        self.bridge.note(receipt, self.source.chain_id)
        return sent_message(self.outbox, receipt)

    async def send_as(self, contract: Contract, value: int = 0, **options: Any) -> Message:
        """Send with a puppet on the source as the sender."""
        arguments = (
            self.destination.chain_id,
            word(self.puppet.address),
            100_000,
            self.now + options.get("valid_s", 1_000),
            b"ping",
        )
        call = self.outbox.interface.encode_call("send", *arguments)
        receipt = await contract.send(USER, "act", CROSS_ROLLUP_MAILBOX, value, call, value=value)
        self.bridge.note(receipt, self.source.chain_id)
        return sent_message(self.outbox, receipt)

    async def cross(self) -> Mapping[str, Any]:
        """Bring the one message that is on its way to its destination; the receipt of its deposit there."""
        (withdrawal,) = self.source.withdrawals
        await self.bridge.finalize(withdrawal)
        assert len(self.destination.deposits) == 1
        return await self.bridge.derive(self.destination.chain_id)

    async def hand_in(self, message: Message) -> Mapping[str, Any]:
        """Export a message at the destination."""
        receipt = await self.inbox.send(STRANGER, "exportUndelivered", message.envelope)
        self.bridge.note(receipt, self.destination.chain_id)
        return receipt

    async def states(self, message: Message) -> tuple[str, str, str]:
        """What the source, the router and the destination know of a message."""
        return (
            OUTGOING[(await self.outbox.read("outgoing", message.digest))[2]],
            ROUTES[await self.router.read("routes", message.digest)],
            INCOMING[await self.inbox.read("incoming", message.digest)],
        )

    async def lie(self, rollup: HandRollup, function: str, *arguments: Any, value: int = 0) -> Contract:
        """Put a puppet in the place of a mailbox and make it say something to the router; returns the puppet."""
        code = await rollup.chain.client.call("eth_getCode", self.puppet_on(rollup).address, "latest")
        await rollup.chain.client.call("anvil_setCode", CROSS_ROLLUP_MAILBOX, code)
        liar = ours(rollup.chain, "Puppet", CROSS_ROLLUP_MAILBOX)
        speech = self.router.interface.encode_call(function, *arguments)
        call = L2_MESSENGER.encode_call("sendMessage", self.router.address, speech, 1_000_000)
        receipt = await liar.send(USER, "act", L2_CROSS_DOMAIN_MESSENGER, value, call, value=value)
        self.bridge.note(receipt, rollup.chain_id)
        return liar

    async def finalize_sparingly(self, rollup: HandRollup) -> list[str]:
        """Finalize the rollup's one withdrawal with the least gas that the portal takes; the router's events."""
        (withdrawal,) = rollup.withdrawals
        await self.bridge.prove(withdrawal)
        portal = theirs(self.bridge.l1, "OptimismPortal", rollup.portal)
        gas = withdrawal.fields[4]
        while True:
            try:
                receipt = await portal.send(
                    NOBODY, "finalizeWithdrawalTransaction", withdrawal.fields, gas=gas
                )
            except Failed:
                gas += 5_000
                continue
            rollup.withdrawals.clear()
            self.bridge.note(receipt)
            return names(self.router.events(receipt))

    def puppet_on(self, rollup: HandRollup) -> Contract:
        """The puppet that lives on a rollup."""
        return self.double if rollup is self.source else self.puppet

    async def refusal_on_l1(self, rollup: HandRollup) -> str:
        """Finalize the rollup's one withdrawal; why the router reverted (the messenger keeps the message)."""
        (withdrawal,) = rollup.withdrawals
        receipt = await self.bridge.finalize(withdrawal)
        l1_messenger = theirs(self.bridge.l1, "L1CrossDomainMessenger", rollup.messenger)
        assert "FailedRelayedMessage" in names(l1_messenger.events(receipt))
        return await inner_error(self.bridge.l1, receipt, self.router)


def sent_message(mailbox: Contract, receipt: Mapping[str, Any]) -> Message:
    """The message that a transaction sent."""
    (event,) = [event for event in mailbox.events(receipt) if event.name == "MessageSent"]
    return Message(event.arguments["msgHash"], event.arguments["message"], receipt)


@asynccontextmanager
async def messages_world(folder: Path) -> AsyncIterator[World]:
    """Engines and contracts, as every test finds them."""
    plan = bridge_plan(("alpha", "beta", "small"), market=None)
    tiny = replace(plan.rollups[2], block_gas_limit=3_000_000)
    plan = replace(plan, rollups=(*plan.rollups[:2], tiny))
    async with hand_bridge(plan, folder) as bridge:
        source, destination = (bridge.rollups[rollup.chain_id] for rollup in plan.rollups[:2])
        puppet, double = [
            ours(rollup.chain, "Puppet", await rollup.chain.create(NOBODY, artifact("Puppet").creation_code))
            for rollup in (destination, source)
        ]
        for chain in (bridge.l1, source.chain, destination.chain):
            for account in (USER, STRANGER):
                await chain.fund(account, 1_000 * ETHER)
        yield World(
            bridge=bridge,
            router=ours(bridge.l1, "MessageRouter", deployments(plan).l1["MessageRouter"]),
            source=source,
            destination=destination,
            outbox=ours(source.chain, "CrossRollupMailbox", CROSS_ROLLUP_MAILBOX),
            inbox=ours(destination.chain, "CrossRollupMailbox", CROSS_ROLLUP_MAILBOX),
            puppet=puppet,
            double=double,
        )
