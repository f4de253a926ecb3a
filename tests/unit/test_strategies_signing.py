"""Where legs go and how they are signed: no engine needed."""

from dataclasses import replace
from decimal import Decimal

import pytest
from eth_account import Account as EthAccount
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.signing import UnsignedTransaction
from orchestrator.market.errors import UnitError
from orchestrator.market.testing import example_account, example_plan
from orchestrator.market.units import price_units, quantity_units, symbol_bytes
from orchestrator.market.wallet import Wallet
from orchestrator.strategies.errors import ResolutionError
from orchestrator.strategies.model import AUTO, Kind, Leg, Side, Strategy
from orchestrator.strategies.resolve import place

LEG = Leg(Side.BUY, Kind.CALL, "ETH", 2_000_000_000, 10_000)


def test_automatic_legs_are_spread_in_the_order_of_names() -> None:
    """Auto legs go round all rollups by name, whatever their engine and the file's order; named legs don't count."""
    rollups = [
        replace(rollup, engine="options") if rollup.name == "beta" else rollup
        for rollup in example_plan(("gamma", "alpha", "beta")).rollups
    ]
    legs = tuple(replace(LEG, rollup=name) for name in (AUTO, "gamma", AUTO, AUTO, AUTO))
    assert [rollup.name for rollup in place(Strategy("s", legs), rollups)] == [
        "alpha",
        "gamma",
        "beta",
        "gamma",
        "alpha",
    ]
    with pytest.raises(
        ResolutionError, match=r"leg 0 of s is for 'omega', .*the rollups are: alpha, beta, gamma"
    ):
        place(Strategy("s", (replace(LEG, rollup="omega"),)), rollups)


@given(
    call=st.builds(
        UnsignedTransaction,
        chain_id=st.integers(1, 2**53),
        nonce=st.integers(0, 2**64 - 2),
        to=st.just(b"\x42" * 20),
        data=st.binary(max_size=80),
        gas=st.integers(21_000, 2**40),
        max_fee=st.integers(2**64, 2**65),
        priority_fee=st.integers(0, 2**64),
        value=st.integers(0, 2**96),
    ),
    name=st.text(max_size=8),
)
def test_our_signatures_are_those_of_eth_account(call: UnsignedTransaction, name: str) -> None:
    """The light signer and the field's library produce the same bytes for the same transaction."""
    account = example_account(name)
    signed = EthAccount.sign_transaction(
        {
            "type": 2,
            "chainId": call.chain_id,
            "nonce": call.nonce,
            "to": call.to,
            "data": call.data,
            "gas": call.gas,
            "maxFeePerGas": call.max_fee,
            "maxPriorityFeePerGas": call.priority_fee,
            "value": call.value,
        },
        account.private_key,
    )
    assert bytes(signed.raw_transaction) == Wallet(account.private_key).sign(call)
    assert EthAccount.from_key(account.private_key).address.lower() == account.address


@given(st.decimals(0, 10**9, places=6), st.decimals(0, 10**9, places=4))
def test_units_are_exact(price: Decimal, quantity: Decimal) -> None:
    """Every representable price and quantity converts without loss, from decimals and from their shortest floats."""
    assert (price_units(price), quantity_units(quantity)) == (int(price * 10**6), int(quantity * 10**4))
    assert quantity_units(0.1) == 1_000


@given(st.text(max_size=40))
def test_symbols_fit_or_are_refused(symbol: str) -> None:
    """ASCII up to 32 characters is carried as it is, anything else is refused."""
    if symbol and symbol.isascii() and len(symbol) <= 32:
        assert symbol_bytes(symbol).rstrip(b"\0") == symbol.encode().rstrip(b"\0")
    else:
        with pytest.raises(UnitError):
            symbol_bytes(symbol)
