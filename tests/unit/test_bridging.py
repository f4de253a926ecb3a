"""What the bridge commands take for an amount, an address and a hash, and what they say beforehand: pure."""

from dataclasses import replace
from decimal import Decimal, localcontext
from string import hexdigits

import pytest
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.bridging.terms import (
    DOLLAR,
    ETHER,
    PATIENT_S,
    WEI,
    Currency,
    InvalidTransfer,
    account_of,
    booked,
    coin_between,
    coin_of,
    deposit_limit_s,
    ether,
    parse_address,
    parse_digest,
    roughly,
    withdrawal_terms,
)
from orchestrator.market.testing import example_plan
from orchestrator.topology.plan import SettlementPlan
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.spec import TopologySpec

PLAN = example_plan(("alpha", "beta"), market=None)


@given(some.integers(1, 2**256 - 1))
def test_amounts_are_exact(wei: int) -> None:
    """What is shown is what was asked for, to the wei, and what Decimal says it is."""
    shown = ether(wei)
    assert wei == ETHER.parse(shown)
    with localcontext(prec=120):
        assert Decimal(wei) / WEI == Decimal(shown)
    assert not shown.endswith(".")


@given(some.integers(1, 2**256 - 1), some.integers(0, 255))
def test_amounts_of_tokens_are_exact(units: int, decimals: int) -> None:
    """The same for every number of decimals that a token can have, as far as an amount can be written down."""
    currency = Currency("USDR", decimals)
    shown = currency.shown(units)
    with localcontext(prec=400):
        assert Decimal(units).scaleb(-decimals) == Decimal(shown)
    if len(shown) <= 100:
        assert units == currency.parse(shown)


@pytest.mark.parametrize(
    ("decimals", "text", "words"),
    [
        (6, "1.1234567", "at most 6 decimals"),
        (0, "1.5", "at most 0 decimals"),
        (0, "lots", "a whole number"),
        (255, "1000000", "give less"),
    ],
)
def test_amounts_that_a_token_does_not_have(decimals: int, text: str, words: str) -> None:
    """Finer than its units, or more than there can be."""
    with pytest.raises(InvalidTransfer, match=words):
        Currency("USDR", decimals).parse(text)


def test_options_rollups_count_in_dollars() -> None:
    """Wei for wei what L1 calls ETH, in millionths of a dollar: what they would book as dust can't be asked for, whichever way it goes."""
    content = {
        "name": "x",
        "rollups": {"alpha": {}, "gamma": {"engine": "options"}, "delta": {"engine": "options"}},
    }
    market = {"underlying": "ETH", "spot": 2000, "volatility": 0.6}
    plan = make_plan(TopologySpec.model_validate(content | {"market": market}))
    assert [ETHER, ETHER, DOLLAR] == [coin_of(plan, name) for name in ("l1", "alpha", "gamma")]
    assert 25 * WEI == DOLLAR.parse("25") == ETHER.parse("25")
    assert "25.000001" == DOLLAR.shown(DOLLAR.parse("25.000001"))
    expected = {
        ("l1", "alpha"): ("ETH", 1, ""),
        ("alpha", "gamma"): ("ETH", 10**12, "2 USD"),
        ("gamma", "alpha"): ("USD", 10**12, "2 ETH"),
        ("gamma", "delta"): ("USD", 10**12, ""),
    }
    for ends, (symbol, least, there) in expected.items():
        coin = coin_between(plan, *ends)
        assert (symbol, least, there) == (coin.symbol, coin.least, booked(plan, *ends, 2 * WEI))
    for coin in (DOLLAR, coin_between(plan, "alpha", "gamma")):
        assert 0 == coin.parse("0", zero=True)
        assert 10**12 == coin.parse("0.000001")
        with pytest.raises(InvalidTransfer, match="not a whole number of millionths of a dollar") as caught:
            coin.parse("0.0000015")
        assert "give at most 6 decimals" == caught.value.hint


def test_nothing_is_an_amount_where_it_may_be() -> None:
    """A message may carry no ETH; less than nothing it never does."""
    assert [0, 0, 1] == [ETHER.parse(text, zero=True) for text in ("0", "0.0", "1e-18")]
    with pytest.raises(InvalidTransfer, match="zero or more"):
        ETHER.parse("-1", zero=True)


@given(some.integers(1, 10**9), some.integers(-18, 12))
def test_amounts_in_scientific_notation(digits: int, exponent: int) -> None:
    """An exponent moves the point and loses nothing."""
    assert digits * 10 ** (18 + exponent) == ETHER.parse(f"{digits}e{exponent}")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "lots",
            "nan",
            "inf",
            "-inf",
            "1,5",
            "1_000",
            "0x10",
            "\u0661",
            "-1",
            "0",
            "-0",
            "--1",
            "1e",
            ".",
        ),
        *("0.0000000000000000001", "1e-19", "1e60", "1e79", "1e999999999", "1e-999999999", "5.5.5"),
        *("1 ", "1\n", "9" * 101),
    ],
)
def test_what_is_no_amount(text: str) -> None:
    """Anything but a positive number of whole wei is refused in words, and quickly."""
    with pytest.raises(InvalidTransfer) as caught:
        ETHER.parse(text)
    assert (2, True) == (caught.value.exit_code, bool(caught.value.hint))


@given(some.text(alphabet="0123456789.eE+-", max_size=80))
def test_anything_is_an_amount_or_refused(text: str) -> None:
    """No text makes anything else happen."""
    try:
        assert 0 < ETHER.parse(text)
    except InvalidTransfer:
        return


@given(some.binary(min_size=20, max_size=20), some.integers(0, 39))
def test_addresses(raw: bytes, at: int) -> None:
    """Any of the three spellings gives the EIP-55 one; one letter's case changed in it is noticed."""
    right = to_checksum_address(raw)
    assert {right} == {parse_address(each) for each in (right, right.lower(), "0x" + raw.hex().upper())}
    mistyped = right[: at + 2] + right[at + 2].swapcase() + right[at + 3 :]
    if mistyped not in (right, right.lower(), "0x" + raw.hex().upper()):
        with pytest.raises(InvalidTransfer):
            parse_address(mistyped)


@given(some.text(alphabet=hexdigits + "xg\n ", max_size=70))
def test_what_is_no_address_or_hash(text: str) -> None:
    """Other lengths, other letters and no prefix are refused."""
    for parse, digits in ((parse_address, 40), (parse_digest, 64)):
        if len(text) == digits + 2 and text.startswith("0x"):
            continue
        with pytest.raises(InvalidTransfer):
            parse(text)


def test_hashes_have_one_spelling() -> None:
    """Whatever case they were given in."""
    assert "0x" + "ab" * 32 == parse_digest("0x" + "Ab" * 32)


@given(some.integers(1, 10**6), some.integers(1, 10**4))
def test_terms_of_withdrawals(period: int, interval: int) -> None:
    """Longer than the challenge period and no longer than everything that it waits for; waited for only if that is short."""
    (alpha, beta) = PLAN.rollups
    slow = replace(alpha, settlement=SettlementPlan(period, interval))
    terms = withdrawal_terms(replace(PLAN, rollups=(slow, beta)), "alpha")
    gap = max(min(alpha.block_time_s, PLAN.l1.block_time_s), PLAN.messaging.slot_s)
    least = period + interval * gap + PLAN.messaging.publish_every_s
    assert least <= terms.expected_s <= least + 4 * PLAN.l1.block_time_s + 1e-6
    assert terms.expected_s < terms.limit_s
    assert (terms.challenge_s <= PATIENT_S) == terms.waits


def test_deposits_are_waited_for_until_they_are_forced() -> None:
    """The sequencing window fits into the wait."""
    assert PLAN.messaging.sequencing_window * PLAN.l1.block_time_s < deposit_limit_s(PLAN)


def test_times_that_are_shown() -> None:
    """In the largest unit of which there are two, and never as a number that nobody can read."""
    expected = {0.04: "0.0 s", 7.44: "7.4 s", 119.9: "119.9 s", 120: "2 min", 7200: "2 h", 604_806.5: "7 d"}
    assert expected == {seconds: roughly(seconds) for seconds in expected}


def test_accounts() -> None:
    """Those that there are, and no others: not even from the end."""
    assert PLAN.users == tuple(account_of(PLAN, index) for index in range(len(PLAN.users)))
    for index in (-1, len(PLAN.users)):
        with pytest.raises(InvalidTransfer, match="accounts go from 0"):
            account_of(PLAN, index)
