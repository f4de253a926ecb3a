"""The base fee of the next block (EIP-1559 with the OP Stack's parameters).

The engine would compute the same figure, but it forgets it when a block is rolled back; so every block gets its base
fee from here, and a test holds that both agree.
"""

ELASTICITY = 6
"""Gas limit over gas target (OP Stack, Canyon)."""
DENOMINATOR = 250
"""Largest change per block is 1/250 per full target (OP Stack, Canyon)."""


def next_base_fee(base_fee: int, gas_used: int, gas_limit: int) -> int:
    """Base fee of the child block, wei per gas.

    Args:
        base_fee: the parent's, wei per gas.
        gas_used: by the parent.
        gas_limit: of the parent.
    """
    target = gas_limit // ELASTICITY
    if gas_used == target:
        return base_fee
    change = base_fee * abs(gas_used - target) // target // DENOMINATOR
    return base_fee + max(1, change) if gas_used > target else max(0, base_fee - change)
