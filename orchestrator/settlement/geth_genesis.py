"""A genesis file as geth spells it, around accounts. Pure; equal accounts give equal bytes on every machine."""

from typing import Any

import orjson

GENESIS_TIME = 1_767_225_600
"""Timestamp of a rollup's block 0, unix seconds (2026-01-01T00:00:00Z): before any devnet's first block."""
GENESIS_BASE_FEE = 1_000_000_000
"""Wei per gas."""

Alloc = dict[str, dict[str, Any]]
"""Genesis accounts by lower-case address, as geth's genesis format spells them."""

_BLOCKS = (
    "homestead",
    "eip150",
    "eip155",
    "eip158",
    "byzantium",
    "constantinople",
    "petersburg",
    "istanbul",
    "berlin",
    "london",
)
_TIMES = ("shanghai", "cancun", "prague")


def geth_genesis(*, chain_id: int, gas_limit: int, coinbase: str, alloc: Alloc) -> dict[str, Any]:
    """A genesis with every fork up to Prague active from block 0."""
    forks = {f"{fork}Block": 0 for fork in _BLOCKS} | {f"{fork}Time": 0 for fork in _TIMES}
    return {
        "config": {"chainId": chain_id, **forks, "terminalTotalDifficulty": 0},
        "nonce": "0x0",
        "timestamp": hex(GENESIS_TIME),
        "extraData": "0x",
        "gasLimit": hex(gas_limit),
        "difficulty": "0x0",
        "mixHash": "0x" + "00" * 32,
        "coinbase": coinbase,
        "baseFeePerGas": hex(GENESIS_BASE_FEE),
        "alloc": alloc,
    }


def genesis_bytes(genesis: dict[str, Any]) -> bytes:
    """The file to hand to the engine; equal geneses give equal bytes."""
    return orjson.dumps(genesis, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
