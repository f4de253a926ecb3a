"""Messages between rollups over the real messengers and portals: one rule of the mailbox or the router at a time.

Three engines (L1, two rollups), the bridge driven by hand. Where a test needs a rollup that lies, a ``Puppet`` stands in the
place of its mailbox: whatever it makes the messenger say, the other side must bear.

Longer than usual: all rules of the three contracts' one protocol share one set of engines and one ``World``.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from eth_abi.abi import encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.contracts.addresses import (
    CROSS_ROLLUP_MAILBOX,
    L2_CROSS_DOMAIN_MESSENGER,
    L2_STANDARD_BRIDGE,
    L2_TO_L1_MESSAGE_PASSER,
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
from bridge.wire.deposits import apply_alias, decode_deposit, encode_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.testing import bridge_plan, hand_bridge

pytestmark = pytest.mark.asyncio(loop_scope="module")

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
        assert 1 == len(self.destination.deposits)
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One set of engines for all tests of this file."""
    plan = bridge_plan(("alpha", "beta", "small"), market=None)
    tiny = replace(plan.rollups[2], block_gas_limit=3_000_000)
    plan = replace(plan, rollups=(*plan.rollups[:2], tiny))
    async with hand_bridge(plan, tmp_path_factory.mktemp("messages")) as bridge:
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


@pytest_asyncio.fixture(loop_scope="module")
async def world(made: World) -> AsyncIterator[World]:
    """The engines as they were at first."""
    chains = [made.bridge.l1, *(rollup.chain for rollup in made.bridge.rollups.values())]
    snapshots = [await chain.client.call("evm_snapshot") for chain in chains]
    yield made
    for chain, snapshot in zip(chains, snapshots, strict=True):
        await chain.client.call("evm_revert", snapshot)
    for rollup in made.bridge.rollups.values():
        rollup.deposits.clear()
        rollup.withdrawals.clear()


# -- the way of a message ---------------------------------------------------------------------------------------------


async def test_a_message_arrives_with_its_value_and_says_who_sent_it(world: World) -> None:
    """Source to destination through both portals: executed once, with value, data, sender and source as they were sent."""
    message = await world.send(value=3 * ETHER)
    assert ("SENT", "NONE", "NONE") == await world.states(message)
    receipt = await world.cross()
    assert ["MessageExecuted"] == names(world.inbox.events(receipt))
    assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(message)
    assert 3 * ETHER == await world.destination.chain.balance(world.puppet.address)
    seen = [await world.puppet.read(name) for name in ("calls", "senderSeen", "chainSeen")]
    assert [1, word(USER), world.source.chain_id] == seen
    for name in ("xSender", "xChainId"):
        with pytest.raises(Failed, match="NoMessage"):
            await world.inbox.read(name)


async def test_a_name_binds_every_field(world: World) -> None:
    """The hash is keccak256 of the fields in ABI encoding, as an independent encoder gives it."""
    message = await world.send(data=b"\1\2\3", value=7)
    *head, data = message.envelope
    types = [
        "string",
        "uint8",
        "uint64",
        "uint64",
        "uint256",
        "bytes32",
        "bytes32",
        "uint256",
        "uint64",
        "uint64",
        "bytes32",
    ]
    assert message.digest == keccak256(encode(types, ["XMSG.v1", *head, keccak256(data)]))
    chains = (world.source.chain_id, world.destination.chain_id)
    assert (1, *chains) == message.envelope[:3]
    assert (word(USER), word(world.puppet.address), 7, 100_000) == message.envelope[4:8]


async def test_equal_messages_are_different_ones(world: World) -> None:
    """Nonces grow by one, so sending the same twice is two messages, and both execute (duplicate deposits, X15)."""
    first, second = await world.send(value=1), await world.send(value=1)
    assert second.envelope[3] == first.envelope[3] + 1
    await world.bridge.settle()
    assert 2 == await world.puppet.read("calls")
    assert 2 == await world.destination.chain.balance(world.puppet.address)


async def test_the_longest_message_arrives(world: World) -> None:
    """16 KiB without a zero byte, for which a rollup asks the floor price of call data, with the most gas."""
    message = await world.send(data=b"\xff" * 16_384, gas=3_000_000, value=1)
    await world.cross()
    assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(message)
    assert 3_000_000 <= await world.puppet.read("gasSeen")


@pytest.mark.parametrize("gas", [0, 21_000, 1_000_000])
async def test_a_delivery_always_has_the_gas_that_was_asked_for(world: World, gas: int) -> None:
    """What the hops pay for their own work never comes out of the target's gas, whatever the length of the data."""
    for data in (b"ping", b"\xff" * 5_000):
        message = await world.send(data=data, gas=max(gas, 200_000), value=1)
        await world.cross()
        assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(message)
        assert gas <= await world.puppet.read("gasSeen")


@pytest.mark.parametrize(("data", "gas"), [(b"", 0), (b"ping", 3_000_000), (b"\xff" * 16_384, 200_000)])
async def test_the_least_gas_that_the_portal_takes_is_enough_for_every_hop(
    world: World, data: bytes, gas: int
) -> None:
    """Finalized with as little gas as the portal allows, a message is forwarded, and its word returned: first try."""
    target = FRIEND if not data else world.puppet.address
    message = await world.send(target, data, gas=gas, value=1)
    assert ["MessageRouted"] == await world.finalize_sparingly(world.source)
    world.wait(message.envelope[8] + 1)
    await world.bridge.derive(world.destination.chain_id)
    await world.hand_in(message)
    assert ["MessageReturned"] == await world.finalize_sparingly(world.destination)
    await world.bridge.derive(world.source.chain_id)
    assert "REFUNDED" == (await world.states(message))[0]


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        ("SameChain", {"to": 901}),
        ("UnsafeTarget", {"target": ZERO}),
        ("UnsafeTarget", {"target": CROSS_ROLLUP_MAILBOX}),
        ("UnsafeTarget", {"target": L2_CROSS_DOMAIN_MESSENGER}),
        ("UnsafeTarget", {"target": L2_TO_L1_MESSAGE_PASSER}),
        ("UnsafeTarget", {"target": L2_STANDARD_BRIDGE}),
        ("UnsafeTarget", {"target": "0x42000000000000000000000000000000000007ff"}),
        ("GasLimitTooHigh", {"gas": 3_000_001}),
        ("DataTooLong", {"data": bytes(16_385)}),
        ("BadValidity", {"valid_s": 0}),
        ("BadValidity", {"valid_s": 30 * 86_400 + 1}),
    ],
)
async def test_what_cannot_be_a_message_is_refused_at_once(
    world: World, error: str, changes: dict[str, Any]
) -> None:
    """Unsafe targets, sizes and times out of bounds don't even start, and the value stays with the sender."""
    before = await world.source.chain.balance(CROSS_ROLLUP_MAILBOX)
    with pytest.raises(Failed, match=error):
        await world.send(value=1, **changes)
    assert before == await world.source.chain.balance(CROSS_ROLLUP_MAILBOX)
    assert [] == world.source.withdrawals


async def test_a_target_is_an_address(world: World) -> None:
    """Anything in the upper twelve bytes is refused: it would be cut off."""
    arguments = (world.destination.chain_id, b"\1" + bytes(11) + from_hex(FRIEND), 0, world.now + 10, b"")
    with pytest.raises(Failed, match="UnsafeTarget"):
        await world.outbox.send(USER, "send", *arguments)


# -- who may speak ----------------------------------------------------------------------------------------------------


async def test_only_the_router_delivers_and_returns(world: World) -> None:
    """Neither a user, nor one with the router's own address on the rollup, nor a contract on L1 through the messenger."""
    message = await world.send(value=ETHER)
    calls = (("deliver", message.envelope), ("onUndelivered", message.digest, 0))
    for chain, mailbox in ((world.destination, world.inbox), (world.source, world.outbox)):
        for function, *arguments in calls:
            for caller in (USER, world.router.address):
                await mailbox.chain.fund(caller, ETHER)
                with pytest.raises(Failed, match="NotMessenger"):
                    await mailbox.send(caller, function, *arguments)
            l1_messenger = theirs(world.bridge.l1, "L1CrossDomainMessenger", chain.messenger)
            data = mailbox.interface.encode_call(function, *arguments)
            receipt = await l1_messenger.send(USER, "sendMessage", CROSS_ROLLUP_MAILBOX, data, 500_000)
            world.bridge.note(receipt)
            receipt = await world.bridge.derive(chain.chain_id)
            assert "NotRouter" == await inner_error(chain.chain, receipt, mailbox)
    assert ("SENT", "NONE", "NONE") == await world.states(message)


async def test_the_router_listens_only_to_mailboxes_through_their_messengers(world: World) -> None:
    """A user's own message to the router, and a direct call, are refused; no word of them is believed."""
    message = await world.send(value=ETHER)
    header = (*message.envelope[:9], keccak256(message.envelope[9]))
    world.source.withdrawals.clear()
    for function, argument in (("forward", (message.envelope,)), ("returnUndelivered", (header, 1))):
        with pytest.raises(Failed, match="NotMessenger"):
            await world.router.send(USER, function, *argument)
        data = world.router.interface.encode_call(function, *argument)
        messenger = theirs(world.destination.chain, "L2CrossDomainMessenger", L2_CROSS_DOMAIN_MESSENGER)
        receipt = await messenger.send(USER, "sendMessage", world.router.address, data, 1_000_000)
        world.bridge.note(receipt, world.destination.chain_id)
        assert "NotPeer" == await world.refusal_on_l1(world.destination)
    assert ("SENT", "NONE", "NONE") == await world.states(message)


async def test_nobody_on_l1_sends_messages_in_the_messengers_name(world: World) -> None:
    """A deposit that makes the messenger call ``send`` is refused, else anyone on L1 could be that sender."""
    data = world.outbox.interface.encode_call(
        "send", world.destination.chain_id, word(FRIEND), 0, world.now + 99, b""
    )
    l1_messenger = theirs(world.bridge.l1, "L1CrossDomainMessenger", world.source.messenger)
    receipt = await l1_messenger.send(USER, "sendMessage", CROSS_ROLLUP_MAILBOX, data, 500_000)
    world.bridge.note(receipt)
    receipt = await world.bridge.derive(world.source.chain_id)
    assert "UnsafeSender" == await inner_error(world.source.chain, receipt, world.outbox)


async def test_a_contract_on_l1_sends_under_its_alias(world: World) -> None:
    """A contract on L1 with the address of someone on a rollup isn't taken for it (X12)."""
    code = artifact("Puppet").creation_code
    impostor = ours(world.bridge.l1, "Puppet", await world.bridge.l1.create(USER, code))
    data = world.outbox.interface.encode_call(
        "send", world.destination.chain_id, word(world.puppet.address), 100_000, world.now + 99, b"ping"
    )
    portal = theirs(world.bridge.l1, "OptimismPortal", world.source.portal)
    deposit = portal.interface.encode_call(
        "depositTransaction", CROSS_ROLLUP_MAILBOX, 0, 1_000_000, False, data
    )
    world.bridge.note(await impostor.send(USER, "act", portal.address, 0, deposit))
    receipt = await world.bridge.derive(world.source.chain_id)
    alias = apply_alias(from_hex(impostor.address))
    assert alias.rjust(32, b"\0") == sent_message(world.outbox, receipt).envelope[4]
    await world.bridge.settle()
    assert alias.rjust(32, b"\0") == await world.puppet.read("senderSeen")


# -- failing and trying again -----------------------------------------------------------------------------------------


async def test_a_message_that_fails_is_kept_and_replayed_by_anyone_once(world: World) -> None:
    """The value waits in the mailbox, the reason is in the event, and success ends it."""
    await world.puppet.send(USER, "feel", REFUSE)
    message = await world.send(value=ETHER)
    receipt = await world.cross()
    (event,) = world.inbox.events(receipt)
    assert "MessageFailed" == event.name
    assert "Refused(value=1000000000000000000)" == str(
        world.puppet.interface.decode_error(event.arguments["reason"])
    )
    assert ETHER == await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX)
    with pytest.raises(Failed, match="ReplayFailed"):
        await world.inbox.send(STRANGER, "replay", message.envelope)
    await world.puppet.send(USER, "feel", ACCEPT)
    await world.inbox.send(STRANGER, "replay", message.envelope)
    assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(message)
    assert (0, ETHER) == (
        await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX),
        await world.destination.chain.balance(world.puppet.address),
    )
    with pytest.raises(Failed, match="NotReplayable"):
        await world.inbox.send(STRANGER, "replay", message.envelope)


@pytest.mark.parametrize(("field", "bit"), [(name, bit) for name in FIELDS for bit in (0, 1)])
async def test_an_altered_message_is_another_one(world: World, field: str, bit: int) -> None:
    """Whichever field is altered, nobody sent that: it can't be replayed, and an export says nothing about the true one."""
    await world.puppet.send(USER, "feel", REFUSE)
    message = await world.send(value=2, data=b"ping")
    await world.cross()
    await world.puppet.send(USER, "feel", ACCEPT)
    value = message.envelope[FIELDS.index(field)]
    if isinstance(value, int):
        forged = message.altered(**{field: value ^ 1 << bit})
    else:
        forged = message.altered(**{field: value[:-1] + bytes([value[-1] ^ 1 << bit])})
    with pytest.raises(Failed, match="NotReplayable"):
        await world.inbox.send(STRANGER, "replay", forged)
    world.wait(message.envelope[8] + 4)
    if field == "dstChainId":
        with pytest.raises(Failed, match="WrongChain"):
            await world.inbox.send(STRANGER, "exportUndelivered", forged)
    else:
        await world.hand_in(Message(b"", forged, {}))
        await world.bridge.settle()
    assert ("SENT", "FORWARDED", "FAILED") == await world.states(message)
    assert 2 == await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX)


async def test_data_for_an_account_without_code_fails_until_there_is_code(world: World) -> None:
    """No call that does nothing counts as executed (X14); a plain transfer to an account without code does."""
    nonce = int(await world.destination.chain.client.call("eth_getTransactionCount", STRANGER, "latest"), 16)
    assert nonce == 0
    plain = await world.send(FRIEND, b"", value=5)
    await world.cross()
    assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(plain)
    assert 5 == await world.destination.chain.balance(FRIEND)
    message = await world.send(FRIEND, b"ping", value=7)
    (event,) = world.inbox.events(await world.cross())
    error = world.inbox.interface.decode_error(event.arguments["reason"])
    assert error is not None
    assert ("MessageFailed", "NoCode") == (event.name, error.name)
    await world.destination.chain.place(FRIEND, artifact("Puppet").creation_code)
    await world.inbox.send(STRANGER, "replay", message.envelope)
    assert 12 == await world.destination.chain.balance(FRIEND)


@pytest.mark.parametrize("precompile", [1, 2, 4, 9])
async def test_precompiles_have_no_code(world: World, precompile: int) -> None:
    """Data for a precompile fails: nothing there could have wanted a message."""
    message = await world.send(to_hex(precompile.to_bytes(20, "big")), b"ping", value=1)
    await world.cross()
    assert ("SENT", "FORWARDED", "FAILED") == await world.states(message)


async def test_a_target_that_burns_its_gas_leaves_enough_to_note_the_failure(world: World) -> None:
    """On delivery as on replay the message stays replayable, and the value is kept."""
    await world.puppet.send(USER, "feel", BURN_ALL_GAS)
    message = await world.send(value=ETHER)
    await world.cross()
    assert ("SENT", "FORWARDED", "FAILED") == await world.states(message)
    with pytest.raises(Failed, match="ReplayFailed"):
        await world.inbox.send(STRANGER, "replay", message.envelope, gas=1_000_000)
    assert ETHER == await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX)


@settings(
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
@given(gas=st.one_of(st.integers(60_000, 1_500_000), st.integers(1_090_000, 1_180_000)))
async def test_a_replay_with_too_little_gas_never_reaches_the_target(world: World, gas: int) -> None:
    """However the gas is cut (X10), the target has what it was promised or isn't called, and can be tried again."""
    chain = world.destination.chain
    snapshot = await chain.client.call("evm_snapshot")
    try:
        await world.puppet.send(USER, "feel", REFUSE)
        message = await world.send(value=1, gas=1_000_000)
        await world.cross()
        await world.puppet.send(USER, "feel", ACCEPT)
        try:
            await world.inbox.send(STRANGER, "replay", message.envelope, gas=gas)
        except Failed:
            assert ("SENT", "FORWARDED", "FAILED") == await world.states(message)
            assert 0 == await world.puppet.read("calls")
            await world.inbox.send(STRANGER, "replay", message.envelope)
        assert 1_000_000 <= await world.puppet.read("gasSeen")
        assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(message)
    finally:
        await chain.client.call("evm_revert", snapshot)


async def test_a_message_cannot_run_again_inside_itself(world: World) -> None:
    """While it runs it counts as executed already (X8)."""
    await world.puppet.send(USER, "feel", REFUSE)
    message = await world.send(value=2)
    await world.cross()
    await world.puppet.send(USER, "feel", ACCEPT)
    again = world.inbox.interface.encode_call("replay", message.envelope)
    await world.puppet.send(USER, "rehearse", CROSS_ROLLUP_MAILBOX, again)
    await world.inbox.send(STRANGER, "replay", message.envelope)
    error = world.inbox.interface.decode_error(await world.puppet.read("scriptResult"))
    assert error is not None
    assert ("NotReplayable", 2) == (error.name, error.arguments["state"])
    assert (1, 2) == (
        await world.puppet.read("calls"),
        await world.destination.chain.balance(world.puppet.address),
    )


async def test_no_message_runs_inside_another(world: World) -> None:
    """A second message replayed by the first one's target is refused and stays as it was; the sender that is seen doesn't change."""
    await world.puppet.send(USER, "feel", REFUSE)
    outer, inner = await world.send(), await world.send(value=5, sender=STRANGER)
    await world.bridge.settle()
    await world.puppet.send(USER, "feel", ACCEPT)
    other = world.inbox.interface.encode_call("replay", inner.envelope)
    await world.puppet.send(USER, "rehearse", CROSS_ROLLUP_MAILBOX, other)
    await world.inbox.send(STRANGER, "replay", outer.envelope)
    error = world.inbox.interface.decode_error(await world.puppet.read("scriptResult"))
    assert error is not None
    assert "ReplayFailed" == error.name
    assert keccak256(b"Reentered()")[:4] == error.arguments["reason"]
    assert ("FAILED", "EXECUTED") == ((await world.states(inner))[2], (await world.states(outer))[2])
    assert word(USER) == await world.puppet.read("senderSeen")


async def test_a_delivery_inside_another_message_is_kept_not_run(world: World) -> None:
    """A target that makes the messenger relay another delivery finds it taken into custody as failed, and its own sender unchanged (INV-14)."""
    await world.puppet.send(USER, "feel", REFUSE)
    outer = await world.send()
    await world.cross()
    inner = await world.send(value=5, sender=STRANGER)
    (withdrawal,) = world.source.withdrawals
    await world.bridge.finalize(withdrawal)
    relay = await starve(world)
    assert "NONE" == (await world.states(inner))[2]
    await world.puppet.send(USER, "feel", ACCEPT)
    await world.puppet.send(USER, "rehearse", L2_CROSS_DOMAIN_MESSENGER, relay)
    await world.inbox.send(STRANGER, "replay", outer.envelope)
    assert True is await world.puppet.read("scriptSuccess")
    assert (1, word(USER)) == (await world.puppet.read("calls"), await world.puppet.read("senderSeen"))
    assert "FAILED" == (await world.states(inner))[2]
    assert 5 == await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX)
    await world.puppet.send(USER, "rehearse", ZERO, b"")
    await world.inbox.send(NOBODY, "replay", inner.envelope)
    assert word(STRANGER) == await world.puppet.read("senderSeen")


async def starve(world: World) -> bytes:
    """Derive the destination's next deposit with too little gas for its call; the messenger keeps it. Returns the call to repeat."""
    deposit = decode_deposit(world.destination.deposits.popleft())
    receipt = await world.destination.chain.send_raw(encode_deposit(replace(deposit, gas=300_000)))
    messenger = theirs(world.destination.chain, "L2CrossDomainMessenger", L2_CROSS_DOMAIN_MESSENGER)
    assert ["FailedRelayedMessage"] == names(messenger.events(receipt))
    return deposit.data


async def test_the_same_deposit_twice_is_one_delivery(world: World) -> None:
    """Should a rollup ever derive a deposit again, the messenger refuses it and nothing changes (X15)."""
    message = await world.send(value=1)
    (withdrawal,) = world.source.withdrawals
    await world.bridge.finalize(withdrawal)
    deposit = decode_deposit(world.destination.deposits[0])
    await world.bridge.derive(world.destination.chain_id)
    again = replace(deposit, source_hash=b"\7" * 32, mint=0, value=0)
    receipt = await world.destination.chain.send_raw(encode_deposit(again))
    assert "0x0" == receipt["status"]
    assert 1 == await world.puppet.read("calls")
    assert "EXECUTED" == (await world.states(message))[2]


async def test_a_withdrawal_is_finalized_once(world: World) -> None:
    """The portal refuses the second time, so a message is routed once."""
    await world.send(value=1)
    (withdrawal,) = world.source.withdrawals
    await world.bridge.finalize(withdrawal)
    with pytest.raises(Failed, match="already been"):
        await world.bridge.finalize(withdrawal)
    assert 1 == len(world.destination.deposits)


# -- expiry and refund ------------------------------------------------------------------------------------------------


async def test_the_last_valid_second_is_valid_and_the_next_is_not(world: World) -> None:
    """At ``validUntil`` a message runs and can't be exported; a second later the other way round (X13)."""
    await world.puppet.send(USER, "feel", REFUSE)
    message, other = await world.send(value=1), await world.send(value=1, valid_s=1_000)
    await world.bridge.settle()
    await world.puppet.send(USER, "feel", ACCEPT)
    world.wait(message.envelope[8])
    with pytest.raises(Failed, match="StillValid"):
        await world.hand_in(message)
    await world.inbox.send(STRANGER, "replay", message.envelope)
    world.wait(other.envelope[8] + 1)
    with pytest.raises(Failed, match="ReplayFailed") as failed:
        await world.inbox.send(STRANGER, "replay", other.envelope)
    assert failed.value.error is not None
    assert keccak256(b"Expired(uint64,uint256)")[:4] == failed.value.error.arguments["reason"][:4]
    await world.hand_in(other)
    with pytest.raises(Failed, match="NotExportable"):
        await world.hand_in(message)


async def test_an_expired_message_refunds_its_sender_once(world: World) -> None:
    """The value that failed at the destination comes back over L1 to the sender; afterwards nothing moves any more."""
    await world.puppet.send(USER, "feel", REFUSE)
    message = await world.send(value=ETHER)
    await world.cross()
    await world.puppet.send(USER, "feel", ACCEPT)
    world.wait(message.envelope[8] + 1)
    before = await world.source.chain.balance(USER)
    await world.hand_in(message)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "EXPORTED") == await world.states(message)
    assert before + ETHER == await world.source.chain.balance(USER)
    for function in ("exportUndelivered", "replay"):
        with pytest.raises(Failed, match=r"NotExportable|NotReplayable"):
            await world.inbox.send(STRANGER, function, message.envelope)
    for mailbox in (world.inbox, world.outbox):
        assert 0 == await mailbox.chain.balance(CROSS_ROLLUP_MAILBOX)


async def test_a_message_that_comes_too_late_is_kept_and_returned(world: World) -> None:
    """Delivered after ``validUntil`` it never runs, and goes back like any other that expired."""
    message = await world.send(value=ETHER, valid_s=100)
    world.wait(message.envelope[8] + 1)
    (event,) = world.inbox.events(await world.cross())
    assert "MessageFailed" == event.name
    assert 0 == await world.puppet.read("calls")
    await world.hand_in(message)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "EXPORTED") == await world.states(message)


async def test_a_word_ahead_of_its_message_stops_it_on_l1(world: World) -> None:
    """Exported before it was even finalized: the source knows at once, and when L1 meets the value, it turns round there."""
    message = await world.send(value=ETHER, valid_s=100)
    world.wait(message.envelope[8] + 1)
    await world.hand_in(message)
    (word_of_it,) = world.destination.withdrawals
    await world.bridge.finalize(word_of_it)
    await world.bridge.derive(world.source.chain_id)
    assert ("EXPIRED", "CANCELLED", "EXPIRED") == await world.states(message)
    before = await world.source.chain.balance(USER)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "EXPIRED") == await world.states(message)
    assert before + ETHER == await world.source.chain.balance(USER)
    assert 0 == await world.bridge.l1.balance(world.router.address)


@pytest.mark.parametrize("word_first", [True, False])
async def test_a_message_behind_its_word_is_refused_and_its_value_returned(
    world: World, word_first: bool
) -> None:
    """Late at the destination it is never run; its value comes back by a second export, whichever of both L1 finalizes first."""
    message = await world.send(value=ETHER, valid_s=100)
    (withdrawal,) = world.source.withdrawals
    await world.bridge.finalize(withdrawal)
    world.wait(message.envelope[8] + 1)
    await world.hand_in(message)
    with pytest.raises(Failed, match="NotExportable"):
        await world.hand_in(message)
    receipt = await world.bridge.derive(world.destination.chain_id)
    assert ["MessageLate"] == names(world.inbox.events(receipt))
    assert ("SENT", "FORWARDED", "LATE") == await world.states(message)
    with pytest.raises(Failed, match="NotReplayable"):
        await world.inbox.send(STRANGER, "replay", message.envelope)
    await world.hand_in(message)
    before = await world.source.chain.balance(USER)
    word_of_it, value_of_it = world.destination.withdrawals
    for withdrawal in (word_of_it, value_of_it) if word_first else (value_of_it, word_of_it):
        await world.bridge.finalize(withdrawal)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "EXPORTED") == await world.states(message)
    assert before + ETHER == await world.source.chain.balance(USER)
    assert 0 == await world.puppet.read("calls")


async def test_a_message_without_value_is_over_with_its_word(world: World) -> None:
    """Nothing has to come back, so the word alone refunds; the message itself, late, ends without a trace."""
    message = await world.send(valid_s=100)
    world.wait(message.envelope[8] + 1)
    await world.hand_in(message)
    (word_of_it,) = world.destination.withdrawals
    await world.bridge.finalize(word_of_it)
    await world.bridge.derive(world.source.chain_id)
    assert ("REFUNDED", "CANCELLED", "EXPIRED") == await world.states(message)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "EXPIRED") == await world.states(message)


@pytest.mark.parametrize(
    ("to", "gas", "data"), [(NO_SUCH_ROLLUP, 0, b""), (900, 0, b""), (SMALL, 2_000_000, b"ping")]
)
async def test_what_no_rollup_takes_turns_round_on_l1(world: World, to: int, gas: int, data: bytes) -> None:
    """No such rollup, L1 itself, or more gas than a small rollup's portal ever lets through: refunded without waiting for any expiry."""
    message = await world.send(to=to, gas=gas, data=data, value=ETHER)
    before = await world.source.chain.balance(USER)
    await world.bridge.settle()
    assert ("REFUNDED", "RETURNED", "NONE") == await world.states(message)
    assert before + ETHER == await world.source.chain.balance(USER)


async def test_what_fits_a_small_rollup_arrives_there(world: World) -> None:
    """Just not too much."""
    small = world.bridge.rollups[SMALL]
    await world.send(FRIEND, b"", to=SMALL, gas=1_000_000, value=3)
    await world.bridge.settle()
    assert 3 == await small.chain.balance(FRIEND)


@pytest.mark.parametrize("mood", [REFUSE, BURN_ALL_GAS])
async def test_a_refund_that_its_sender_does_not_take_is_claimed(world: World, mood: int) -> None:
    """A sender that refuses ether, or burns all gas it gets, loses nothing: it claims to wherever it likes, once."""
    message = await world.send_as(world.double, ETHER, valid_s=100)
    await world.double.send(USER, "feel", mood)
    world.wait(message.envelope[8] + 1)
    await world.cross()
    await world.hand_in(message)
    receipts = await world.bridge.settle()
    refunds = [event for receipt in receipts for event in world.outbox.events(receipt)]
    assert ["MessageRefunded"] == names(refunds)
    assert True is refunds[0].arguments["claimable"]
    assert ETHER == await world.outbox.read("claimable", world.double.address)
    claim = world.outbox.interface.encode_call("claim", FRIEND)
    await world.double.send(USER, "act", CROSS_ROLLUP_MAILBOX, 0, claim)
    assert ETHER == await world.source.chain.balance(FRIEND)
    with pytest.raises(Failed):
        await world.double.send(USER, "act", CROSS_ROLLUP_MAILBOX, 0, claim)
    with pytest.raises(Failed, match="NothingToClaim"):
        await world.outbox.send(USER, "claim", USER)
    assert 0 == await world.source.chain.balance(CROSS_ROLLUP_MAILBOX)


# -- rollups that lie -------------------------------------------------------------------------------------------------


async def test_a_relayed_message_cannot_forge_the_word(world: World) -> None:
    """A target can make the messenger speak to the router, but only in its own name (X13, INV-08)."""
    victim = await world.send(value=ETHER, valid_s=100)
    await world.cross()
    assert "EXECUTED" == (await world.states(victim))[2]
    header = (*victim.envelope[:9], keccak256(victim.envelope[9]))
    speech = world.router.interface.encode_call("returnUndelivered", header, victim.envelope[8] + 1)
    lie = L2_MESSENGER.encode_call("sendMessage", world.router.address, speech, 1_000_000)
    await world.puppet.send(USER, "rehearse", L2_CROSS_DOMAIN_MESSENGER, lie)
    await world.send(gas=1_000_000)
    receipt = await world.cross()
    world.bridge.note(receipt, world.destination.chain_id)
    world.destination.withdrawals.pop()
    assert True is await world.puppet.read("scriptSuccess")
    assert "NotPeer" == await world.refusal_on_l1(world.destination)
    assert ("SENT", "FORWARDED", "EXECUTED") == await world.states(victim)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"target": word(L2_CROSS_DOMAIN_MESSENGER)}, "UnsafeTarget"),
        ({"target": word(CROSS_ROLLUP_MAILBOX)}, "UnsafeTarget"),
        ({"target": word(L2_TO_L1_MESSAGE_PASSER)}, "UnsafeTarget"),
        ({"target": bytes(32)}, "UnsafeTarget"),
        ({"target": b"\1" * 32}, "UnsafeTarget"),
        ({"version": 2}, "UnknownVersion"),
        ({"gasLimit": 2**32 * 63 // 64}, "NotEnoughGas"),
    ],
)
async def test_what_a_lying_source_sends_is_kept_not_run(
    world: World, changes: dict[str, Any], error: str
) -> None:
    """The destination checks again what a mailbox should have refused; even then the value is held, not lost."""
    message = await world.send(value=1)
    world.source.withdrawals.clear()
    envelope = message.altered(**changes)
    await world.lie(world.source, "forward", envelope, value=1)
    (event,) = world.inbox.events(await world.cross())
    reason = world.inbox.interface.decode_error(event.arguments["reason"])
    assert reason is not None
    assert ("MessageFailed", error) == (event.name, reason.name)
    assert 1 == await world.destination.chain.balance(CROSS_ROLLUP_MAILBOX)


@pytest.mark.parametrize(
    ("changes", "value", "error"),
    [
        ({"srcChainId": 902}, 1, "WrongSource"),
        ({"srcChainId": NO_SUCH_ROLLUP}, 1, "WrongSource"),
        ({}, 0, "WrongValue"),
        ({}, 2, "WrongValue"),
    ],
)
async def test_a_source_speaks_only_for_itself(
    world: World, changes: dict[str, Any], value: int, error: str
) -> None:
    """Messages in another rollup's name, or with less value than they say, don't pass the router (wrong chain)."""
    message = await world.send(value=1)
    world.source.withdrawals.clear()
    await world.lie(world.source, "forward", message.altered(**changes), value=value)
    assert error == await world.refusal_on_l1(world.source)


async def test_a_source_sends_a_message_once(world: World) -> None:
    """The router notes what it forwarded, so not even a lying mailbox delivers twice."""
    message = await world.send(value=1)
    await world.cross()
    await world.lie(world.source, "forward", message.envelope, value=1)
    assert "AlreadyRouted" == await world.refusal_on_l1(world.source)


@pytest.mark.parametrize(
    ("changes", "value", "error"),
    [
        ({"dstChainId": 901}, 0, "WrongDestination"),
        ({"dstChainId": SMALL}, 0, "WrongDestination"),
        ({"srcChainId": NO_SUCH_ROLLUP}, 0, "UnknownRollup"),
        ({}, 2, "WrongValue"),
        ({"value": 5}, 5, "NeverRouted"),
    ],
)
async def test_only_the_destination_returns_a_message(
    world: World, changes: dict[str, Any], value: int, error: str
) -> None:
    """Word from another rollup, of another value or of a message that never passed is refused on L1."""
    message = await world.send(value=1)
    await world.cross()
    *head, data = message.altered(**changes)
    await world.lie(world.destination, "returnUndelivered", (*head, keccak256(data)), 2**40, value=value)
    assert error == await world.refusal_on_l1(world.destination)


async def test_a_lying_destination_takes_nothing_but_its_own(world: World) -> None:
    """Too early a word isn't believed; and were a destination to return what it executed, it pays that itself, once."""
    message = await world.send(value=1)
    await world.cross()
    *head, data = message.envelope
    header, expiry = (*head, keccak256(data)), message.envelope[8]
    for early in (0, expiry):
        await world.lie(world.destination, "returnUndelivered", header, early, value=1)
        assert "WordTooEarly" == await world.refusal_on_l1(world.destination)
    before = await world.bridge.l1.balance(world.destination.portal)
    for _ in range(2):
        await world.lie(world.destination, "returnUndelivered", header, expiry + 1, value=1)
    first, second = world.destination.withdrawals
    await world.bridge.finalize(first)
    receipt = await world.bridge.finalize(second)
    assert "AlreadyRouted" == await inner_error(world.bridge.l1, receipt, world.router)
    assert before - 2 == await world.bridge.l1.balance(world.destination.portal)
    await world.bridge.derive(world.source.chain_id)
    assert "REFUNDED" == OUTGOING[(await world.outbox.read("outgoing", message.digest))[2]]


@pytest.mark.parametrize(
    "rollups",
    [
        [(0, STRANGER)],
        [(5, ZERO)],
        [(5, STRANGER), (5, FRIEND)],
        [(5, STRANGER), (6, STRANGER)],
    ],
)
async def test_a_directory_of_rollups_is_unambiguous(world: World, rollups: list[tuple[int, str]]) -> None:
    """No chain id or messenger is zero or entered twice."""
    contract = artifact("MessageRouter")
    with pytest.raises(Failed) as failed:
        await world.bridge.l1.create(NOBODY, contract.deployment(rollups))
    error = contract.interface.decode_error(failed.value.data)
    assert error is not None
    assert "BadRollup" == error.name
