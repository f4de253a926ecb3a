"""Messages between rollups, the pure parts: against the contracts, and against what nobody should send."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER, LEG_ESCROW
from bridge.contracts.artifacts import artifact
from bridge.contracts.op import op_artifact
from bridge.relayer.carried import Forward, Places, Return, Vote, carried
from bridge.relayer.messages.envelope import (
    MAILBOX,
    SENT_TOPIC,
    Envelope,
    account_word,
    address_in,
    envelope_of,
    header_of,
    sent,
)
from bridge.relayer.messages.lifecycle import (
    FINISHED,
    Call,
    Done,
    Export,
    Facts,
    Hop,
    Incoming,
    Outgoing,
    RedeliverOnL2,
    Replay,
    ReplayOnL1,
    Route,
    State,
    Wait,
    judge,
)
from bridge.relayer.withdrawal import Withdrawal
from bridge.wire.errors import Malformed
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.market.scratch import scratch_anvil

WORD = st.integers(0, 2**256 - 1)
UINT64 = st.integers(0, 2**64 - 1)
HASHES = st.binary(min_size=32, max_size=32).map(to_hex)
ENVELOPES = st.builds(
    Envelope,
    version=st.integers(0, 255),
    source=UINT64,
    destination=UINT64,
    nonce=WORD,
    sender=HASHES,
    target=HASHES,
    value=WORD,
    gas_limit=UINT64,
    valid_until=UINT64,
    data=st.binary(max_size=100),
)
STRUCT = "(uint8,uint64,uint64,uint256,bytes32,bytes32,uint256,uint64,uint64,bytes)"
HEADER = STRUCT.replace("bytes)", "bytes32)")
ROUTER, REGISTRY = artifact("MessageRouter").interface, artifact("StrategyRegistry").interface
MESSENGER = op_artifact("L1CrossDomainMessenger").interface
PLACES = Places(901, *("0x" + digit * 40 for digit in "abc"))
VALID_UNTIL = 1_000


# -- names


@pytest_asyncio.fixture
async def mailbox() -> AsyncIterator[Client]:
    """An engine with the mailbox's code, which computes names."""
    async with scratch_anvil() as client:
        code = to_hex(artifact("CrossRollupMailbox").runtime_code)
        await client.call("anvil_setCode", CROSS_ROLLUP_MAILBOX, code)
        yield client


async def test_a_message_has_the_name_that_the_contract_gives_it(mailbox: Client) -> None:
    """For a thousand random envelopes, all fields of all sizes, the contract computes the same hash."""
    found: list[Envelope] = []

    @given(ENVELOPES)
    @settings(max_examples=1_000, database=None)
    def collect(envelope: Envelope) -> None:
        found.append(envelope)

    collect()
    calls = [
        (
            "eth_call",
            [
                {
                    "to": CROSS_ROLLUP_MAILBOX,
                    "data": to_hex(MAILBOX.encode_call("messageHash", each.struct)),
                },
                "latest",
            ],
        )
        for each in found
    ]
    assert await mailbox.batch(calls) == [each.hash for each in found]


@given(ENVELOPES)
def test_a_name_is_of_the_header_alone(envelope: Envelope) -> None:
    """Another encoder gives the same; and structs are read as they are written."""
    assert to_hex(keccak256(encode(["string", HEADER], ["XMSG.v1", envelope.header.struct]))) == envelope.hash
    assert envelope == envelope_of(envelope.struct)
    assert envelope.header == header_of(envelope.header.struct)


@given(st.binary(min_size=20, max_size=20).map(to_hex), HASHES)
def test_addresses_are_words_with_zeros_before_them(address: str, word: str) -> None:
    """There and back; a word that has something else before it is no address."""
    assert address == address_in(account_word(address))
    assert (address_in(word) is None) == any(from_hex(word)[:12])


def log_of(envelope: Envelope) -> dict[str, Any]:
    """The event of a message, by another encoder."""
    return {
        "address": CROSS_ROLLUP_MAILBOX,
        "topics": [
            SENT_TOPIC,
            envelope.hash,
            to_hex(envelope.destination.to_bytes(32, "big")),
            envelope.sender,
        ],
        "data": to_hex(encode([STRUCT], [envelope.struct])),
        "blockNumber": "0x7",
        "blockHash": "0x" + "b7" * 32,
        "transactionHash": "0x" + "c7" * 32,
    }


@given(ENVELOPES, st.data())
def test_a_log_is_read_as_it_was_written_and_an_altered_one_is_refused(
    envelope: Envelope, data: st.DataObject
) -> None:
    """Every field comes out again; one bit anywhere else than in padding, and it is no log of a message."""
    log = log_of(envelope)
    assert envelope == sent(log).envelope
    place = data.draw(st.sampled_from(["topics", "data", "address", "missing", "short"]))
    if place == "topics":
        which = data.draw(st.integers(0, 3))
        topic = bytearray(from_hex(log["topics"][which]))
        topic[data.draw(st.integers(0, 31))] ^= data.draw(st.integers(1, 255))
        log["topics"][which] = to_hex(bytes(topic))
    elif place == "data":
        body = bytearray(from_hex(log["data"]))
        body[data.draw(st.integers(0, 32 * 12 - 1))] ^= data.draw(st.integers(1, 255))
        log["data"] = to_hex(bytes(body))
    elif place == "address":
        log["address"] = "0x" + "11" * 20
    elif place == "missing":
        del log[data.draw(st.sampled_from(sorted(log)))]
    else:
        log["topics"] = log["topics"][: data.draw(st.integers(0, 3))]
    with pytest.raises(Malformed):
        sent(log)


# -- what withdrawals carry


def relayed(sender: str, target: str, message: bytes, value: int = 0, **changes: Any) -> Withdrawal:
    """A withdrawal of the messenger."""
    data = MESSENGER.encode_call("relayMessage", 2**240, sender, target, value, 100_000, message)
    withdrawal = Withdrawal(2**240, L2_CROSS_DOMAIN_MESSENGER, PLACES.messenger, value, 200_000, data)
    return replace(withdrawal, **changes)


@given(ENVELOPES, st.integers(1, 2**63), HASHES, st.booleans(), st.binary(max_size=50))
def test_what_our_contracts_send_is_recognised(
    envelope: Envelope, later: int, strategy: str, yes: bool, reason: bytes
) -> None:
    """Messages, returns with and without value, and votes come out whole; from anybody else, or to anybody else, nothing does."""
    out = replace(envelope, source=PLACES.chain_id)
    back = replace(envelope, destination=PLACES.chain_id, valid_until=envelope.valid_until // 2).header
    time = back.valid_until + later
    forward = ROUTER.encode_call("forward", out.struct)
    returning = ROUTER.encode_call("returnUndelivered", back.struct, time)
    vote = REGISTRY.encode_call("vote", from_hex(strategy), yes, reason)
    mailbox, router = CROSS_ROLLUP_MAILBOX, PLACES.router
    cases = [
        (relayed(mailbox, router, forward, out.value), Forward(out)),
        (relayed(mailbox, router, returning, 0), Return(back, time)),
        (relayed(mailbox, router, returning, back.value), Return(back, time)),
        (relayed(LEG_ESCROW, PLACES.registry, vote), Vote(strategy, yes, reason)),
    ]
    stranger = "0x" + "5e" * 20
    for withdrawal, expected in cases:
        assert expected == carried(withdrawal, PLACES)
        assert carried(replace(withdrawal, sender=stranger), PLACES) is None
        assert carried(replace(withdrawal, target=stranger), PLACES) is None
        assert carried(replace(withdrawal, value=withdrawal.value + 1), PLACES) is None
        assert carried(replace(withdrawal, data=withdrawal.data[:-1]), PLACES) is None
    lies = [
        relayed(stranger, router, forward, out.value),
        relayed(mailbox, PLACES.registry, forward, out.value),
        relayed(LEG_ESCROW, router, forward, out.value),
        relayed(mailbox, router, forward, (out.value + 1) % 2**256),
        relayed(mailbox, router, vote),
        relayed(mailbox, router, ROUTER.encode_call("returnUndelivered", back.struct, back.valid_until)),
        relayed(mailbox, router, ROUTER.encode_call("forward", replace(out, source=902).struct), out.value),
    ]
    assert {None} == {carried(withdrawal, PLACES) for withdrawal in lies}


@given(ENVELOPES, st.data())
@settings(max_examples=500)
def test_hostile_data_carries_nothing_and_raises_nothing(envelope: Envelope, data: st.DataObject) -> None:
    """Any bytes at all, and real ones with any bytes in any place, give something of ours or nothing, never an error."""
    message = ROUTER.encode_call("forward", replace(envelope, source=901).struct)
    inner = data.draw(st.binary(max_size=200) | st.just(message) | mangled(message))
    outer = relayed(CROSS_ROLLUP_MAILBOX, PLACES.router, inner, envelope.value).data
    raw = data.draw(st.binary(max_size=300) | st.just(outer) | mangled(outer))
    withdrawal = Withdrawal(0, L2_CROSS_DOMAIN_MESSENGER, PLACES.messenger, envelope.value, 0, raw)
    found = carried(withdrawal, PLACES)
    assert found is None or isinstance(found, Forward | Return | Vote)


def mangled(data: bytes) -> st.SearchStrategy[bytes]:
    """The same with some words replaced: pointers and lengths among them."""

    def alter(changes: list[tuple[int, int]]) -> bytes:
        raw = bytearray(data)
        for place, number in changes:
            start = 4 + 32 * (place % max(1, (len(raw) - 4) // 32))
            raw[start : start + 32] = (number % 2**256).to_bytes(32, "big")
        return bytes(raw)

    numbers = WORD | st.integers(0, 2_000) | st.integers(2**256 - 2_000, 2**256 - 1) | st.just(2**63)
    return st.lists(st.tuples(st.integers(0, 40), numbers), min_size=1, max_size=4).map(alter)


# -- what is to be done


def all_facts() -> list[Facts]:
    """Every reading of the chains, before and after the message's last second."""
    calls = [Call(hop, hop.encode()) for hop in Hop]
    held = [(), *itertools.combinations(calls, 1), *itertools.combinations(calls, 2)]
    parts = (Outgoing, Route, Incoming, (VALID_UNTIL - 1, VALID_UNTIL, VALID_UNTIL + 1), (False, True), held)
    return [Facts(*each) for each in itertools.product(*parts)]


def replays(facts: Facts) -> bool:
    """``replay`` and what it calls, line by line, as far as it isn't up to the target."""
    return facts.incoming is Incoming.FAILED and not facts.clock > VALID_UNTIL


def exports_value(facts: Facts) -> bool:
    """``exportUndelivered``, line by line, for a message whose value is there."""
    return facts.clock > VALID_UNTIL and facts.incoming in (Incoming.FAILED, Incoming.LATE)


def test_what_is_sent_the_contracts_take_and_what_helps_is_sent() -> None:
    """Over all facts: each step is one that is accepted; whoever waits can do nothing; and the two ends are ends."""
    seen = set()
    for facts in all_facts():
        state, step = judge(VALID_UNTIL, facts)
        seen.add((state, type(step)))
        ended = facts.outgoing is Outgoing.REFUNDED or facts.incoming is Incoming.EXECUTED
        assert ended == (state in FINISHED) == isinstance(step, Done)
        match step:
            case Replay():
                assert replays(facts)
            case Export():
                assert exports_value(facts)
            case ReplayOnL1(call):
                assert call in facts.held
                assert call.hop in (Hop.FORWARD, Hop.RETURN)
                assert not facts.paused
            case RedeliverOnL2(call):
                assert call in facts.held
                assert call.hop in (Hop.DELIVERY, Hop.REFUND)
            case Wait():
                assert facts.held or not (replays(facts) or exports_value(facts))
                assert not facts.held or facts.paused
        if not ended:
            assert (facts.incoming is Incoming.FAILED) == (state is State.FAILED) or state is State.EXPIRED
    assert set(State) == {state for state, _ in seen}
    assert {Done, Wait, Replay, Export, ReplayOnL1, RedeliverOnL2} == {step for _, step in seen}


def test_a_held_call_is_named_as_the_messengers_do() -> None:
    """Hashing.hashCrossDomainMessageV1 is the hash of the call data that the messenger is called with."""
    arguments = (2**240 + 7, "0x" + "11" * 20, "0x" + "22" * 20, 5, 100_000, b"some data")
    kinds = ["uint256", "address", "address", "uint256", "uint256", "bytes"]
    signature = b"relayMessage(uint256,address,address,uint256,uint256,bytes)"
    expected = keccak256(keccak256(signature)[:4] + encode(kinds, arguments))
    call = Call(Hop.DELIVERY, MESSENGER.encode_call("relayMessage", *arguments))
    assert to_hex(expected) == call.hash
