"""Which block does a request mean, and may its answer be seen? Pure: the rules that keep undecided state invisible.

Every read that names a block by tag, or names none, is pinned to the number of the gate; a read of a later number sees nothing; an answer
about a transaction counts only if its block is not above the gate.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from bridge.wire.errors import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    METHOD_NOT_SUPPORTED,
    SERVER_ERROR,
    Malformed,
    RpcError,
)
from bridge.wire.keccak import from_hex, to_hex

STATE_READS = {
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getStorageAt": 2,
    "eth_getTransactionCount": 1,
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_createAccessList": 1,
    "eth_getProof": 2,
    "eth_getAccount": 1,
    "eth_getAccountInfo": 1,
    "eth_simulateV1": 1,
    "eth_feeHistory": 1,
    "debug_traceCall": 1,
}
"""Reads of state: position of the block parameter, which may be missing."""

CALLS = {"eth_call", "eth_estimateGas", "eth_createAccessList", "debug_traceCall"}
"""Reads that execute something, given as their first parameter."""

LOG_WINDOW = 1_000
"""Blocks whose logs the engine is asked for at once."""

CALL_GAS = 50_000_000
"""No read executes with more gas: one call must not stop the rollup (geth caps calls in the same way)."""

BLOCK_READS = {
    "eth_getBlockByNumber": 0,
    "eth_getBlockTransactionCountByNumber": 0,
    "eth_getUncleCountByBlockNumber": 0,
    "eth_getUncleByBlockNumberAndIndex": 0,
    "eth_getTransactionByBlockNumberAndIndex": 0,
    "eth_getRawTransactionByBlockNumberAndIndex": 0,
    "eth_getBlockReceipts": 0,
    "debug_traceBlockByNumber": 0,
}
"""Reads of a block by number: a number above the gate has no block."""

NUMBER_OR_HASH = {"eth_getBlockReceipts"}
"""Reads of a block that take a hash too. To the others a string of 32 bytes is a number with leading zeros."""

HASH_READS = {
    "eth_getBlockByHash",
    "eth_getBlockTransactionCountByHash",
    "eth_getUncleCountByBlockHash",
    "eth_getUncleByBlockHashAndIndex",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getRawTransactionByBlockHashAndIndex",
    "debug_traceBlockByHash",
}
"""Reads of a block by hash; nobody knows a staged block's hash, but the answer is checked all the same."""

TRANSACTION_READS = {
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_getRawTransactionByHash",
    "debug_traceTransaction",
}
"""Reads of one transaction by hash."""

PLAIN_READS = {
    "eth_blobBaseFee",
    "net_version",
    "net_listening",
    "net_peerCount",
    "web3_sha3",
    "options_getParameters",
}
"""Reads without a block."""

SIGNING = {
    "eth_sendTransaction",
    "eth_sendUnsignedTransaction",
    "eth_sign",
    "eth_signTransaction",
    "eth_signTypedData",
    "eth_signTypedData_v3",
    "eth_signTypedData_v4",
    "personal_sign",
}
"""Methods that need a key in the node; there is none."""

CONTROL_NAMESPACES = ("anvil_", "evm_", "hardhat_", "tenderly_", "debug_set")
"""The engine's own control methods."""

BLOCK_CONTROL = (
    "mine", "automine", "intervalmining", "revert", "snapshot", "rollback", "reorg", "reset", "loadstate", "dropt",
    "dropall", "setnextblock", "settime", "increasetime", "setblock", "removeblock", "removepool", "setrpcurl",
)  # fmt: skip
"""Parts of control method names that make or undo blocks: the sequencer alone does that."""


@dataclass(frozen=True, slots=True)
class Route:
    """What to do with a request."""

    kind: Literal["forward", "nothing", "control"]
    """``forward`` to the engine, answer null (``nothing``), or run as a control method."""
    params: list[Any]
    check: Literal["", "block", "transaction", "trace", "state"] = ""
    """What still has to be looked at before an answer leaves: the block that was named by its hash (``block`` answers null
    when there is none, ``state`` an error), the answer itself (``transaction``), or the transaction's receipt (``trace``)."""


@dataclass(frozen=True, slots=True)
class Heads:
    """What block tags mean at the moment."""

    latest: int
    """The gate."""
    safe: int
    """L1 holds the chain up to here."""
    finalized: int
    """Finalized L1 does."""


def route(
    method: str,
    params: Sequence[Any],
    heads: Heads,
    *,
    dev_methods: bool,
    gas_cap: int = CALL_GAS,
    more_reads: Mapping[str, int] = MappingProxyType({}),
) -> Route:
    """Decide on a request that the node does not answer itself.

    Args:
        method: its name.
        params: by position.
        heads: what block tags mean.
        dev_methods: whether control methods are allowed.
        gas_cap: gas of a call at most.
        more_reads: the engine's own reads of state, each with the position of its block; what is left out before it is null.

    Raises:
        RpcError: refused, with a standard code.
    """
    arguments = _capped(method, params, min(gas_cap, CALL_GAS))
    place = STATE_READS.get(method, more_reads.get(method))
    if place is not None:
        if method in more_reads:
            arguments += [None] * (place - len(arguments))
        return _pin(arguments, place, heads, missing_block="refuse", hashes=True)
    if method in BLOCK_READS:
        hashes = method in NUMBER_OR_HASH
        return _pin(arguments, BLOCK_READS[method], heads, missing_block="nothing", hashes=hashes)
    if method in HASH_READS:
        return Route("forward", _hash_first(arguments), "block")
    if method in TRANSACTION_READS:
        check: Literal["transaction", "trace"] = (
            "trace" if method == "debug_traceTransaction" else "transaction"
        )
        return Route("forward", _hash_first(arguments), check)
    if method in PLAIN_READS:
        return Route("forward", arguments)
    if method in SIGNING:
        raise RpcError(
            METHOD_NOT_SUPPORTED,
            f"{method}: this node holds no keys; sign locally and use eth_sendRawTransaction",
        )
    if method.startswith(CONTROL_NAMESPACES):
        return _control(method, arguments, dev_methods=dev_methods)
    raise RpcError(METHOD_NOT_FOUND, f"the method {method} does not exist/is not available")


def log_range(criteria: Any, heads: Heads) -> dict[str, Any] | None:
    """The filter of ``eth_getLogs`` with its range pinned; None if it can match nothing yet.

    Raises:
        RpcError: the filter is malformed.
    """
    if not isinstance(criteria, dict):
        raise RpcError(INVALID_PARAMS, "expected a filter object")
    if criteria.get("blockHash") is not None:
        return dict(criteria)
    first = block_number(criteria.get("fromBlock"), heads)
    last = min(block_number(criteria.get("toBlock"), heads), heads.latest)
    if first > last:
        return None
    return {**criteria, "fromBlock": hex(first), "toBlock": hex(last)}


def log_windows(pinned: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A pinned filter cut into ranges of :data:`LOG_WINDOW` blocks, in order."""
    if "blockHash" in pinned:
        yield pinned
        return
    first, last = int(pinned["fromBlock"], 16), int(pinned["toBlock"], 16)
    for start in range(first, last + 1, LOG_WINDOW):
        yield {**pinned, "fromBlock": hex(start), "toBlock": hex(min(start + LOG_WINDOW - 1, last))}


def block_number(tag: Any, heads: Heads) -> int:
    """The number that a block parameter means.

    Raises:
        RpcError: no block parameter.
    """
    if tag is None or tag in ("latest", "pending"):
        return heads.latest
    if tag == "earliest":
        return 0
    if tag in ("safe", "finalized"):
        return heads.safe if tag == "safe" else heads.finalized
    if isinstance(tag, dict) and "blockNumber" in tag:
        tag = tag["blockNumber"]
    try:
        if isinstance(tag, bool | float):
            raise TypeError("not an integer")
        number = int(tag, 16) if isinstance(tag, str) and tag.startswith("0x") else int(tag)
    except (TypeError, ValueError) as exc:
        raise RpcError(INVALID_PARAMS, f"not a block number or tag: {str(tag)[:80]}") from exc
    if number < 0:
        raise RpcError(INVALID_PARAMS, f"negative block number {number}")
    return number


def is_hash(tag: Any) -> bool:
    """Whether a block parameter names a block by hash (EIP-1898 or a 32-byte string)."""
    return (isinstance(tag, dict) and "blockHash" in tag) or (isinstance(tag, str) and len(tag) == 66)


def _capped(method: str, params: Sequence[Any], cap: int) -> list[Any]:
    arguments = list(params)
    if method in CALLS and arguments and isinstance(arguments[0], dict):
        arguments[0] = _capped_call(arguments[0], cap)
    if method == "eth_simulateV1" and arguments and isinstance(arguments[0], dict):
        blocks = arguments[0].get("blockStateCalls")
        if isinstance(blocks, list):
            capped = [
                {**block, "calls": [_capped_call(call, cap) for call in block["calls"]]}
                if isinstance(block, dict) and isinstance(block.get("calls"), list)
                else block
                for block in blocks
            ]
            arguments[0] = {**arguments[0], "blockStateCalls": capped}
    return arguments


def _capped_call(call: Any, cap: int) -> Any:
    if not isinstance(call, dict) or call.get("gas") is None:
        return call
    gas = call["gas"]
    try:
        wanted = int(gas, 16) if isinstance(gas, str) else int(gas)
    except (TypeError, ValueError) as exc:
        raise RpcError(INVALID_PARAMS, f"gas is not a number: {str(gas)[:40]}") from exc
    return {**call, "gas": hex(min(wanted, cap))}


def _pin(
    arguments: list[Any],
    position: int,
    heads: Heads,
    *,
    missing_block: Literal["refuse", "nothing"],
    hashes: bool,
) -> Route:
    if len(arguments) < position:
        raise RpcError(INVALID_PARAMS, f"missing value for required argument {len(arguments)}")
    tag = arguments[position] if len(arguments) > position else None
    if hashes and is_hash(tag):
        if isinstance(tag, dict) and "blockNumber" in tag:
            raise RpcError(INVALID_PARAMS, "a block is named by its hash or by its number, not by both")
        return Route("forward", arguments, "block" if missing_block == "nothing" else "state")
    number = block_number(tag, heads)
    if number > heads.latest:
        if missing_block == "nothing":
            return Route("nothing", arguments)
        raise RpcError(SERVER_ERROR, "header not found")
    return Route("forward", [*arguments[:position], hex(number), *arguments[position + 1 :]])


def _hash_first(arguments: list[Any]) -> list[Any]:
    """The arguments, the first in the one spelling that staged transactions are known by (the engine takes several)."""
    try:
        return [to_hex(from_hex(arguments[0] if arguments else None, 32)), *arguments[1:]]
    except Malformed as exc:
        raise RpcError(INVALID_PARAMS, f"invalid argument 0: {exc}") from exc


def _control(method: str, arguments: list[Any], *, dev_methods: bool) -> Route:
    if not dev_methods:
        raise RpcError(
            METHOD_NOT_SUPPORTED,
            f"{method} controls the engine behind the sequencer's back; set 'dev_methods: true' on this rollup to allow it",
        )
    if any(part in method.lower() for part in BLOCK_CONTROL):
        raise RpcError(METHOD_NOT_SUPPORTED, f"{method}: the sequencer alone makes and orders blocks here")
    return Route("control", arguments)
