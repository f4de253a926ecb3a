"""Messages between rollups over the real messengers and portals: the way from one to the other."""

from typing import Any

import pytest
from eth_abi.abi import encode

from bridge.contracts.addresses import (
    CROSS_ROLLUP_MAILBOX,
    L2_CROSS_DOMAIN_MESSENGER,
    L2_STANDARD_BRIDGE,
    L2_TO_L1_MESSAGE_PASSER,
)
from bridge.contracts.testing import (
    Failed,
    names,
)
from bridge.wire.keccak import from_hex, keccak256
from orchestrator.settlement.testing_messages import ETHER, FRIEND, USER, ZERO, World, word

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
