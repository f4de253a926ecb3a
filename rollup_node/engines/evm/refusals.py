"""Why a signed transaction could not enter a block; anvil leaves it out without a word."""

from bridge.wire.transaction import Transaction
from rollup_node.engines.base import Header


def why_left_out(sent: Transaction, nonce: int, balance: int, block: Header) -> str:
    """The first reason that holds, in the words that nodes use.

    Args:
        sent: the transaction.
        nonce: its sender's, after the block.
        balance: its sender's, after the block, wei.
        block: the block that it is not in.
    """
    reasons = (
        (sent.nonce < nonce, f"nonce too low: next nonce {nonce}, tx nonce {sent.nonce}"),
        (sent.gas > block.gas_limit, f"exceeds block gas limit: {sent.gas} > {block.gas_limit}"),
        (
            sent.gas < sent.intrinsic_gas,
            f"intrinsic gas too low: have {sent.gas}, want {sent.intrinsic_gas}",
        ),
        (
            sent.max_fee < block.base_fee,
            f"max fee per gas less than block base fee: {sent.max_fee} < {block.base_fee}",
        ),
        (
            balance < sent.cost,
            f"insufficient funds for gas * price + value: have {balance} want {sent.cost}",
        ),
        (
            sent.gas > block.gas_limit - block.gas_used,
            f"{sent.gas} gas is more than the {block.gas_limit - block.gas_used} that the block has left",
        ),
    )
    return next((reason for holds, reason in reasons if holds), "not executable")
