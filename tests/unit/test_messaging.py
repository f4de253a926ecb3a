"""What ``rollnet message`` takes and says: bounds as the mailbox has them, words for every refusal, stages in their order. Pure."""

import contextlib
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from eth_abi import encode
from eth_utils import function_signature_to_4byte_selector, keccak, to_checksum_address
from hypothesis import given
from hypothesis import strategies as some

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, PREDEPLOYS
from bridge.relayer import lifecycle
from bridge.relayer.messages.envelope import Envelope, Sent
from bridge.relayer.messages.lifecycle import (
    Call,
    Done,
    Export,
    Hop,
    RedeliverOnL2,
    Replay,
    ReplayOnL1,
    State,
    Wait,
)
from bridge.relayer.messages.sightings import Sign
from orchestrator.bridging.terms import InvalidTransfer, message_terms
from orchestrator.market.testing import example_plan
from orchestrator.messaging.logs import Found, is_same
from orchestrator.messaging.terms import (
    DEFAULT_GAS,
    EXIT_CODES,
    MAX_DATA,
    MAX_GAS,
    MAX_VALIDITY_S,
    Outcome,
    Waiting,
    age,
    default_validity_s,
    described,
    doing,
    doubt,
    is_end,
    outcome_of,
    parse_beginning,
    parse_data,
    parse_validity,
    patience_s,
    stages,
    why_failed,
    wish,
)
from orchestrator.topology.plan import Plan, SettlementPlan

PLAN = example_plan(("alpha", "beta"), market=None)
TARGET = to_checksum_address("0x" + "d1" * 20)
ORDER = [*map(str, lifecycle.ORDER), "deposited", "failed", "returning", "executed", "refunded"]
PERIODS = some.integers(1, 40 * 86_400)
CARRIERS = some.sampled_from([*lifecycle.ORDER])
SIGNS = some.sets(some.sampled_from([*Sign]))


def settled(period_s: int, back_s: int = 1) -> Plan:
    """Alpha and beta with these challenge periods."""
    alpha, beta = PLAN.rollups
    return replace(
        PLAN,
        rollups=(
            replace(alpha, settlement=SettlementPlan(period_s, 1)),
            replace(beta, settlement=SettlementPlan(back_s, 1)),
        ),
    )


def wished(**different: object) -> object:
    """A message that is in order, but for what is said."""
    usual = {"target": TARGET, "value": 1, "data": b"", "gas": DEFAULT_GAS, "valid_s": 600}
    return wish("alpha", "beta", **{**usual, **different})  # type: ignore[arg-type]


def test_bounds_are_the_contracts(repository: Path) -> None:
    """The numbers are those in the Solidity sources."""
    source = repository / "bridge" / "contracts" / "src"
    texts = "".join(
        (source / f"{name}.sol").read_text() for name in ("CrossRollupMessage", "CrossRollupMailbox")
    )
    said = dict(re.findall(r"constant (MAX_\w+) = ([0-9_]+(?: days)?);", texts))
    assert {
        "MAX_MESSAGE_GAS": f"{MAX_GAS:_}",
        "MAX_MESSAGE_DATA": f"{MAX_DATA:_}",
        "MAX_VALIDITY": f"{MAX_VALIDITY_S // 86_400} days",
    } == said


@pytest.mark.parametrize(
    ("different", "words"),
    [
        ({"target": "0x" + "00" * 20}, "nobody"),
        ({"target": to_checksum_address(CROSS_ROLLUP_MAILBOX)}, "the mailbox itself"),
        *[({"target": to_checksum_address(each)}, "predeploys") for each in PREDEPLOYS.values()],
        ({"gas": -1}, "0 to 3,000,000 gas"),
        ({"gas": MAX_GAS + 1}, "0 to 3,000,000 gas"),
        ({"data": bytes(MAX_DATA + 1)}, "16,384 bytes"),
        ({"valid_s": 0}, "valid for 1s to 30d"),
        ({"valid_s": MAX_VALIDITY_S + 1}, "valid for 1s to 30d"),
    ],
)
def test_messages_that_are_refused(different: dict[str, object], words: str) -> None:
    """What the mailbox would refuse is refused before, in words, with something to do about it."""
    with pytest.raises(InvalidTransfer, match=re.escape(words)) as caught:
        wished(**different)
    assert (2, True) == (caught.value.exit_code, bool(caught.value.hint))


def test_messages_to_oneself() -> None:
    """The two rollups have to be two."""
    with pytest.raises(InvalidTransfer, match="both are alpha"):
        wish("alpha", "alpha", TARGET, 1, b"", 0, 600)


@given(some.integers(0, MAX_GAS), some.binary(max_size=100), some.integers(1, MAX_VALIDITY_S))
def test_messages_that_are_taken(gas: int, data: bytes, valid_s: int) -> None:
    """Everything within the bounds is taken as it is."""
    assert (TARGET, 1, data, gas, valid_s) == tuple(
        getattr(wished(gas=gas, data=data, valid_s=valid_s), field)
        for field in ("target", "value", "data", "gas_limit", "valid_for_s")
    )


@given(some.binary(max_size=200))
def test_data_is_hexadecimal(data: bytes) -> None:
    """Any bytes in either case; half a byte, no prefix and anything else are refused."""
    assert data == parse_data(f"0x{data.hex()}") == parse_data(f"0x{data.hex().upper()}")
    for wrong in (data.hex(), f"0x{data.hex()}f", f"0x{data.hex()}g", f" 0x{data.hex()}"):
        with pytest.raises(InvalidTransfer):
            parse_data(wrong)


@given(some.integers(0, 10**6), some.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]))
def test_validity_has_a_unit(count: int, unit: tuple[str, int]) -> None:
    """A number with a unit is whole seconds; without one it is refused, and said what was probably meant."""
    name, seconds = unit
    assert count * seconds == parse_validity(f"{count}{name}")
    with pytest.raises(InvalidTransfer) as caught:
        parse_validity(str(count))
    assert f"'{count}s'" in caught.value.hint


@given(some.text(max_size=40))
def test_any_text_is_understood_or_refused(text: str) -> None:
    """Nothing else happens, whatever was typed."""
    for parse in (parse_data, parse_validity, parse_beginning):
        with contextlib.suppress(InvalidTransfer):
            parse(text)


def test_validity_is_never_shorter_than_asked() -> None:
    """Parts of a second are rounded up: the mailbox counts whole ones."""
    assert [1, 2, 1] == [parse_validity(text) for text in ("1ms", "1.5s", "1s")]


@given(some.binary(min_size=32, max_size=32), some.integers(4, 64))
def test_hashes_and_their_beginnings(raw: bytes, digits: int) -> None:
    """A hash is known by its first digits, with or without prefix, in either case, and as a table shortens it."""
    start = raw.hex()[:digits]
    texts = (start, f"0x{start}", f"0x{start.upper()}", f"0x{start}…")
    assert {f"0x{start}"} == {parse_beginning(text) for text in texts}


@pytest.mark.parametrize("text", ["", "0x", "0xabc", "0x" + "a" * 65, "0xgggg", "latest", "0x12 34"])
def test_what_is_no_beginning(text: str) -> None:
    """Too short to mean one message, too long, or no digits."""
    with pytest.raises(InvalidTransfer, match="not a message's hash"):
        parse_beginning(text)


@given(PERIODS, PERIODS)
def test_terms_are_the_sum_of_the_way(period_s: int, back_s: int) -> None:
    """There: the source's withdrawal and the delivery; waited for beyond that; and a longer challenge period only makes it longer."""
    plan = settled(period_s, back_s)
    there, back = (message_terms(plan, *ends) for ends in (("alpha", "beta"), ("beta", "alpha")))
    withdrawal = there.withdrawal
    parts = (withdrawal.publish_s, withdrawal.proposal_s, withdrawal.challenge_s, there.delivery_s)
    assert pytest.approx(sum(parts)) == there.expected_s
    assert period_s < there.expected_s < there.limit_s
    assert there.expected_s < message_terms(settled(period_s + 1), "alpha", "beta").expected_s
    assert pytest.approx(period_s - back_s) == there.expected_s - back.expected_s


@given(PERIODS)
def test_validity_that_nobody_asked_for(period_s: int) -> None:
    """It is within the mailbox's bound, and long enough unless nothing is."""
    terms = message_terms(settled(period_s), "alpha", "beta")
    chosen = default_validity_s(terms)
    wished(valid_s=chosen)
    assert (terms.expected_s <= MAX_VALIDITY_S) == (not doubt(terms, chosen))
    assert doubt(terms, int(terms.expected_s) - 1)


@given(PERIODS, PERIODS, some.floats(0, MAX_VALIDITY_S), some.sampled_from([*State]))
def test_patience(period_s: int, back_s: int, left_s: float, state: State) -> None:
    """Who waits for the end waits longest: beyond its expiry, and for the way back."""
    plan = settled(period_s, back_s)
    terms, back = message_terms(plan, "alpha", "beta"), message_terms(plan, "beta", "alpha")
    nothing, answer, end = (patience_s(each, terms, back, left_s, state) for each in Waiting)
    assert 0.0 == nothing <= answer <= end
    assert back.expected_s < end
    if state not in (State.EXPIRED, State.RETURNING):
        assert left_s + back.expected_s < end


@given(CARRIERS, some.sampled_from([*State]), SIGNS)
def test_stages_are_in_order(carrier: lifecycle.State, state: State, signs: set[Sign]) -> None:
    """Each at most once, in one order; none of the withdrawal's is left out before a later one."""
    found = stages(carrier, state, signs)
    places = [ORDER.index(each) for each in found]
    assert all(earlier < later for earlier, later in pairwise(places))
    way = [place for place in places if place < len(lifecycle.ORDER)]
    assert [*range(len(way))] == way
    if "deposited" in found:
        assert len(lifecycle.ORDER) == len(way)
    assert (state is State.EXECUTED) == ("executed" in found)
    assert (state is State.REFUNDED) == ("refunded" in found)


@given(CARRIERS, some.sampled_from([*State]), SIGNS, SIGNS)
def test_what_was_reached_stays_so(
    carrier: lifecycle.State, state: State, signs: set[Sign], more: set[Sign]
) -> None:
    """Another log takes no stage away."""
    assert {*stages(carrier, state, signs)} <= {*stages(carrier, state, signs | more)}


def test_exit_codes() -> None:
    """0 says executed and nothing else; what will never be executed, or wasn't so far, is 1; 2 is not known."""
    assert {
        State.SENT: 2,
        State.FORWARDED: 2,
        State.FAILED: 1,
        State.EXECUTED: 0,
        State.EXPIRED: 2,
        State.RETURNING: 2,
        State.REFUNDED: 1,
        State.DROPPED: 2,
    } == {state: EXIT_CODES[outcome_of(state)] for state in State}
    assert {*Outcome} == {*EXIT_CODES}


def test_what_ends_a_wait() -> None:
    """Executed and refunded always do; a failed call only for who wants an answer, for it is tried again."""
    ends = {(state, waiting) for state in State for waiting in Waiting if is_end(state, waiting)}
    final = {(state, waiting) for state in (State.EXECUTED, State.REFUNDED) for waiting in Waiting}
    assert final | {(State.FAILED, Waiting.ANSWER)} == ends


@given(some.binary(max_size=300))
def test_any_reason_has_words(reason: bytes) -> None:
    """Whatever a target reverted with."""
    assert why_failed(reason)


@pytest.mark.parametrize(
    ("signature", "values", "words"),
    [
        ("Error(string)", ["no cash"], "its target reverted: no cash"),
        ("Panic(uint256)", [0x11], "its target panicked with code 0x11"),
        ("Expired(uint64,uint256)", [100, 105], "it came after its last valid second, 100, at 105"),
        ("NoCode(bytes32)", [bytes(32)], "its target has no code there"),
        ("NotEnoughGas(uint64)", [200_000], "less than 200,000 gas was left for its target"),
    ],
)
def test_reasons(signature: str, values: list[object], words: str) -> None:
    """The usual ones read as sentences; the encoding is eth_abi's, not ours."""
    types = signature.partition("(")[2][:-1].split(",")
    assert words == why_failed(function_signature_to_4byte_selector(signature) + encode(types, values))


def test_reasons_of_others() -> None:
    """The mailbox's other errors are named, strangers' are shown as they are, and silence is said to be one."""
    assert "Reentered()" == why_failed(keccak(text="Reentered()")[:4])
    assert "0xdeadbeef" in why_failed(bytes.fromhex("deadbeef"))
    assert "without a reason" in why_failed(b"")


def test_every_step_has_words() -> None:
    """What is waited for is said, until nothing is."""
    call = Call(Hop.RETURN, b"")
    steps = [Wait("so and so"), ReplayOnL1(call), RedeliverOnL2(call), Replay(), Export()]
    assert all(doing(step, 5) for step in steps)
    assert "for 5 s at most" in doing(Replay(), 5)
    assert "return" in doing(ReplayOnL1(call), 5)
    assert "" == doing(Done(), 5)


@given(some.integers(0, 2**256 - 1), some.integers(0, MAX_DATA))
def test_what_it_carries(value: int, length: int) -> None:
    """Value and data are named unless they are nothing; a message without either carries 0 ETH."""
    said = described(value, length)
    assert (value > 0 or length == 0) == ("ETH" in said)
    assert (length > 0) == ("bytes" in said)


@given(some.integers(-5, 10**9))
def test_ages(seconds: int) -> None:
    """Rounded down by less than half, and never negative."""
    number, unit = age(seconds).split()
    length = {"s": 1, "min": 60, "h": 3600, "d": 86_400}[unit]
    shown = int(number) * length
    assert shown <= max(seconds, 0) < shown + length
    assert unit == "s" or int(number) >= 2


def test_names_of_moved_messages() -> None:
    """A transaction that a reorganisation moved sends the same message with another nonce: that is found again, and no other."""
    word = "0x" + "00" * 12 + "d1" * 20
    envelope = Envelope(1, 7, 8, 3, word, word, 5, 100, 1000, b"")
    found = Found(Sent(envelope, 1, "0x01", "0x02"), "alpha", "beta", 10)

    def other(**different: object) -> Found:
        return replace(found, sent=replace(found.sent, envelope=replace(envelope, **different)))

    assert is_same(other(nonce=4), found)
    changes = ({"value": 6}, {"destination": 9}, {"data": b"1"}, {"valid_until": 1001})
    assert not any(is_same(other(**each), found) for each in changes)
