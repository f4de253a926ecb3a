"""The public JSON-RPC of a rollup, over HTTP and WebSocket: what tools expect from a node.

Reads go to the engine, pinned to the gate (``gateway``); transactions go to the sequencer; filters and subscriptions are our own,
fed by commits (``subscriptions``); signing and control methods are refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from bridge.wire import rlp
from bridge.wire.errors import (
    INVALID_PARAMS,
    LIMIT_EXCEEDED,
    RESOURCE_UNAVAILABLE,
    SERVER_ERROR,
    PeerUnreachable,
    RpcError,
)
from bridge.wire.fees import next_base_fee
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.transaction import Transaction, decode_transaction
from rollup_node.chain import Chain
from rollup_node.feeds import FeedHub
from rollup_node.gateway import Route, is_hash, log_range, log_windows, route
from rollup_node.subscriptions import Connection, Filters

CLIENT_VERSION = "rollnet/0.1.0"
SUGGESTED_TIP = 0
"""Wei per gas: order is first come first served, tips buy nothing."""
MAX_LOGS = 10_000
"""Logs in one answer."""
HEAVY_READS = 2
"""Reads of logs and traces at once: their answers can be large."""
RECENT = 4_096
"""Transactions passed on by this node that it can describe while they are pending."""


class PublicRpc:
    """Answers users.

    Args:
        chain: the rollup.
        chain_id: EIP-155 chain id.
        sequencer: takes transactions.
        dev_methods: whether control methods are allowed.
        more: further methods.
        more_reads: the engine's own reads, see :func:`rollup_node.gateway.route`.
        hub: of the engine's own feeds, if it has any.
    """

    def __init__(
        self,
        chain: Chain,
        chain_id: int,
        sequencer: Client,
        *,
        dev_methods: bool,
        more: "Mapping[str, Callable[..., Awaitable[Any]]] | None" = None,
        more_reads: Mapping[str, int] = MappingProxyType({}),
        hub: FeedHub | None = None,
    ) -> None:
        self._chain, self._chain_id, self._sequencer, self._dev_methods = (
            chain,
            chain_id,
            sequencer,
            dev_methods,
        )
        self._more_reads, self._hub = more_reads, hub
        self._recent: dict[str, Transaction] = {}
        self._filters = Filters(chain)
        self._heavy = asyncio.Semaphore(HEAVY_READS)
        self._local: dict[str, Callable[..., Awaitable[Any]]] = {
            "web3_clientVersion": self._client_version,
            "eth_chainId": self._get_chain_id,
            "eth_blockNumber": self._block_number,
            "eth_syncing": self._syncing,
            "eth_accounts": self._accounts,
            "eth_gasPrice": self._gas_price,
            "eth_maxPriorityFeePerGas": self._priority_fee,
            "eth_sendRawTransaction": self._send_raw_transaction,
            "eth_sendBundle": self._send_bundle,
            "eth_getLogs": self._get_logs,
            "eth_newFilter": self._filters.new_filter,
            "eth_newBlockFilter": self._filters.new_block_filter,
            "eth_newPendingTransactionFilter": self._filters.new_pending_filter,
            "eth_getFilterChanges": self._filters.changes,
            "eth_getFilterLogs": self._filters.logs,
            "eth_uninstallFilter": self._filters.uninstall,
            **(more or {}),
        }

    async def handle(self, method: str, params: list[Any]) -> Any:
        """Answer one call."""
        if method in self._local:
            try:
                pending = self._local[method](*params)
            except TypeError as exc:
                raise RpcError(INVALID_PARAMS, f"{method}: {exc}") from exc
            return await pending
        if method == "eth_getTransactionCount" and len(params) > 1 and params[1] == "pending":
            return await self._pending_count(params[0])
        gate = self._chain.gate
        decided = route(
            method,
            params,
            self._chain.heads,
            dev_methods=self._dev_methods,
            gas_cap=gate.gas_limit,
            more_reads=self._more_reads,
        )
        if decided.kind == "nothing":
            return None
        try:
            if decided.kind == "control":
                return await self._chain.mutate(method, decided.params)
            return await self._forward(decided, method)
        except PeerUnreachable as exc:
            raise RpcError(RESOURCE_UNAVAILABLE, "the engine does not answer; it is being restarted") from exc

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """One WebSocket connection: calls, batches and subscriptions."""
        return await Connection(self._chain, self._filters, self.handle, self._hub).run(request)

    async def _forward(self, decided: Route, method: str) -> Any:
        if decided.check in ("state", "block") and not await self._is_committed_block(decided.params):
            if decided.check == "state" or method.startswith("debug_"):
                raise RpcError(SERVER_ERROR, "header not found")
            return None
        if method.startswith("debug_trace"):
            async with self._heavy:
                result = await self._chain.read(method, decided.params)
        else:
            result = await self._chain.read(method, decided.params)
        if decided.check == "trace":
            await self._require_committed_transaction(decided.params[0])
        if method == "eth_feeHistory":
            await self._mend_next_fee(decided.params[1], result)
        return self._check(decided.check, method, decided.params, result)

    def _check(self, route_check: str, method: str, params: list[Any], result: Any) -> Any:
        """Hide what is above the gate; the gate is read after the answer, so a block staged in between is hidden too."""
        gate = self._chain.gate.number
        if route_check == "transaction":
            digest = params[0]
            if digest in self._chain.hidden or _above(result, gate) or _pending(result):
                result = None
            if result is None and method == "eth_getTransactionByHash" and digest in self._recent:
                return pending_transaction(self._recent[digest])
        return _standard(method, result)

    async def _mend_next_fee(self, newest: str, history: dict[str, Any]) -> None:
        """The last fee is that of the block after the newest; anvil takes it from its own head, which may be staged."""
        block = await self._chain.read("eth_getBlockByNumber", [newest, False])
        base_fee, used, limit = (int(block[key], 16) for key in ("baseFeePerGas", "gasUsed", "gasLimit"))
        history["baseFeePerGas"][-1] = hex(next_base_fee(base_fee, used, limit))

    async def _require_committed_transaction(self, digest: str) -> None:
        """A trace says nothing about its block (and anvil traces an unknown transaction as an empty success)."""
        receipt = await self._chain.read("eth_getTransactionReceipt", [digest])
        if receipt is None or _above(receipt, self._chain.gate.number):
            raise RpcError(SERVER_ERROR, "transaction not found")

    async def _is_committed_block(self, params: list[Any]) -> bool:
        """Whether a block that is named by its hash is one up to the gate: others can compute the hash of a staged one."""
        tag = next((value for value in reversed(params) if is_hash(value)), None)
        if tag is None:  # named by its number, which is pinned
            return True
        digest = tag["blockHash"] if isinstance(tag, dict) else tag
        block = await self._chain.read("eth_getBlockByHash", [digest, False])
        return block is not None and not _above(block, self._chain.gate.number)

    async def _send_raw_transaction(self, raw: str) -> str:
        sent = decode_transaction(from_hex(raw))
        digest = await self._ask_sequencer("rollnet_sendTransaction", self._chain_id, raw)
        self._recent[to_hex(sent.hash)] = sent
        while len(self._recent) > RECENT:
            self._recent.pop(next(iter(self._recent)))
        self._filters.pending(to_hex(sent.hash))
        return str(digest)

    async def _send_bundle(self, bundle: Mapping[str, Any]) -> Any:
        return await self._ask_sequencer("eth_sendBundle", bundle)

    async def _pending_count(self, address: Any) -> str:
        try:
            return str(await self._ask_sequencer("rollnet_pendingNonce", self._chain_id, address))
        except RpcError as exc:
            if exc.code != RESOURCE_UNAVAILABLE:
                raise
            return str(await self.handle("eth_getTransactionCount", [address, "latest"]))

    async def _ask_sequencer(self, method: str, *params: Any) -> Any:
        try:
            return await self._sequencer.call(method, *params)
        except PeerUnreachable as exc:
            raise RpcError(
                RESOURCE_UNAVAILABLE,
                "the sequencer does not answer: nothing was acknowledged; sending the same again is safe",
            ) from exc

    async def _get_logs(self, criteria: Any) -> Any:
        pinned = log_range(criteria, self._chain.heads)
        if pinned is None:
            return []
        if not await self._is_committed_block([pinned]):
            raise RpcError(SERVER_ERROR, "unknown block")
        found: list[Any] = []
        async with self._heavy:
            for window in log_windows(pinned):
                found += await self._chain.read("eth_getLogs", [window])
                if len(found) > MAX_LOGS:
                    raise RpcError(LIMIT_EXCEEDED, f"more than {MAX_LOGS} logs; ask for fewer blocks")
        return [entry for entry in found if int(entry["blockNumber"], 16) <= self._chain.gate.number]

    async def _client_version(self) -> str:
        return CLIENT_VERSION

    async def _get_chain_id(self) -> str:
        return hex(self._chain_id)

    async def _block_number(self) -> str:
        return hex(self._chain.gate.number)

    async def _syncing(self) -> bool:
        return False

    async def _accounts(self) -> list[str]:
        return []

    async def _priority_fee(self) -> str:
        return hex(SUGGESTED_TIP)

    async def _gas_price(self) -> str:
        gate = self._chain.gate
        return hex(2 * next_base_fee(gate.base_fee, gate.gas_used, gate.gas_limit) + SUGGESTED_TIP)


def pending_transaction(sent: Transaction) -> dict[str, Any]:
    """A transaction that is in no block yet, as ``eth_getTransactionByHash`` shows it."""
    typed = sent.raw[0] < 0x80
    fields = rlp.items(rlp.decode(sent.raw[1:] if typed else sent.raw))
    v, r, s = (hex(rlp.integer(item)) for item in fields[-3:])
    dynamic = {"maxFeePerGas": hex(sent.max_fee), "maxPriorityFeePerGas": hex(sent.priority_fee)}
    return {
        "hash": to_hex(sent.hash),
        "type": hex(sent.raw[0]) if typed else "0x0",
        "chainId": hex(sent.chain_id),
        "nonce": hex(sent.nonce),
        "from": to_hex(sent.sender),
        "to": None if sent.to is None else to_hex(sent.to),
        "value": hex(sent.value),
        "gas": hex(sent.gas),
        "gasPrice": hex(sent.max_fee),
        **(dynamic if typed and sent.raw[0] != 0x01 else {}),
        "input": to_hex(sent.data),
        "v": v,
        "r": r,
        "s": s,
        "blockHash": None,
        "blockNumber": None,
        "transactionIndex": None,
    }


def _above(result: Any, gate: int) -> bool:
    if isinstance(result, list):
        return any(_above(entry, gate) for entry in result)
    number = result.get("blockNumber", result.get("number")) if isinstance(result, dict) else None
    return isinstance(number, str) and int(number, 16) > gate


def _pending(result: Any) -> bool:
    """The engine's pool holds a transaction only while it is being staged: to readers it is simply not in a block yet."""
    return isinstance(result, dict) and "blockNumber" in result and result["blockNumber"] is None


def _standard(method: str, result: Any) -> Any:
    """anvil 1.7 writes deposit receipts with an upper-case type and a decimal timestamp; tools expect the standard form."""
    if method not in ("eth_getTransactionReceipt", "eth_getBlockReceipts") or result is None:
        return result
    for receipt in result if isinstance(result, list) else [result]:
        receipt["type"] = str(receipt["type"]).lower()
        if isinstance(receipt.get("blockTimestamp"), int):
            receipt["blockTimestamp"] = hex(receipt["blockTimestamp"])
    return result
