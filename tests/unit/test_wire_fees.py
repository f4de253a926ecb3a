"""The base fee, against the EIP's own formula and against what a real engine charges next."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.fees import DENOMINATOR, ELASTICITY, next_base_fee
from bridge.wire.keccak import to_hex
from bridge.wire.testing import signed
from orchestrator.market.scratch import scratch_anvil

GAS_LIMIT = 3_000_000


def eip_1559(base_fee: int, gas_used: int, gas_limit: int) -> int:
    """The specification's text, with its constants replaced by the OP Stack's."""
    parent_gas_target = gas_limit // ELASTICITY
    if gas_used == parent_gas_target:
        return base_fee
    if gas_used > parent_gas_target:
        gas_used_delta = gas_used - parent_gas_target
        base_fee_per_gas_delta = max(base_fee * gas_used_delta // parent_gas_target // DENOMINATOR, 1)
        return base_fee + base_fee_per_gas_delta
    gas_used_delta = parent_gas_target - gas_used
    base_fee_per_gas_delta = base_fee * gas_used_delta // parent_gas_target // DENOMINATOR
    return base_fee - base_fee_per_gas_delta


@given(
    st.integers(0, 10**12),
    st.integers(6, 10**8).flatmap(lambda limit: st.tuples(st.integers(0, limit), st.just(limit))),
)
def test_the_formula_is_that_of_the_eip(base_fee: int, gas: tuple[int, int]) -> None:
    """For any parent: the specification's result; never negative; up above the target, down below it."""
    used, limit = gas
    fee = next_base_fee(base_fee, used, limit)
    assert eip_1559(base_fee, used, limit) == fee
    assert fee >= 0
    if used > limit // ELASTICITY:
        assert fee > base_fee
    else:
        assert fee <= base_fee


async def test_a_real_engine_charges_the_same() -> None:
    """Empty, half-full and full blocks on anvil, left to itself: each next base fee is the one computed here."""
    loads = [0, 0, 20, 3, 1, 25, 0, 4]
    async with scratch_anvil(
        *("--no-mining", "--order", "fifo", "--network", "optimism", "--chain-id", "901"),
        *("--gas-limit", str(GAS_LIMIT)),
    ) as anvil:
        sender = to_hex(signed(901, 0, 0).sender)
        await anvil.call("anvil_setBalance", sender, hex(10**24))
        await anvil.call("evm_mine")  # anvil repeats the genesis fee once
        nonce, told, expected = 0, [], []
        parent = await anvil.call("eth_getBlockByNumber", "latest", False)
        for load in loads:
            for _ in range(load):
                sent = signed(901, 0, nonce, gas=100_000, max_fee=10**11, padding=2_000)
                await anvil.call("eth_sendRawTransaction", to_hex(sent.raw))
                nonce += 1
            await anvil.call("evm_mine")
            block = await anvil.call("eth_getBlockByNumber", "latest", False)
            told.append(_number(block, "baseFeePerGas"))
            expected.append(
                next_base_fee(*(_number(parent, key) for key in ("baseFeePerGas", "gasUsed", "gasLimit")))
            )
            parent = block
        assert nonce == int(await anvil.call("eth_getTransactionCount", sender, "latest"), 16)
    assert expected == told
    assert len(set(told)) > 4


def _number(block: dict[str, Any], key: str) -> int:
    return int(block[key], 16)


@pytest.mark.parametrize(
    ("used", "expected"), [(0, 996_000_000), (5_000_000, 10**9), (30_000_000, 1_020_000_000)]
)
def test_known_values(used: int, expected: int) -> None:
    """A full 30-million-gas block raises 1 gwei by 2 %, an empty one lowers it by 0.4 %, the target keeps it."""
    assert expected == next_base_fee(10**9, used, 30_000_000)
