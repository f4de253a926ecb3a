"""Filters and subscriptions, fed by the gate.

The engine has its own, but they would tell of staged blocks; so these are ours. Polling filters remember the last block they told of;
a WebSocket connection has one task that turns each commit into notifications and one that writes, so a slow reader delays
nobody else. A reader that falls too far behind is disconnected.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from aiohttp import WSMsgType, web

from bridge.wire.errors import (
    INVALID_PARAMS,
    LIMIT_EXCEEDED,
    RESOURCE_NOT_FOUND,
    PeerUnreachable,
    RpcError,
    WireError,
)
from bridge.wire.jsonrpc import Handler, answer
from rollup_node.chain import Chain
from rollup_node.engines.base import Header
from rollup_node.feeds import FEED_METHODS, ConnectionFeeds, FeedHub, notification
from rollup_node.gateway import block_number, log_range

FILTER_IDLE_SECONDS = 300.0
"""A filter that nobody polls for this long is forgotten (as in geth)."""
MAX_FILTERS = 1_000
OPEN_ENDS = (None, "latest", "pending")
"""Block tags of a log filter that move with the gate."""
OUTBOX = 10_000
"""Messages that may wait for a slow WebSocket reader."""

log = structlog.get_logger()

Engine = Callable[[str, list[Any]], Awaitable[Any]]


@dataclass(slots=True)
class Filter:
    """One polling filter."""

    kind: Literal["logs", "blocks", "pending"]
    criteria: dict[str, Any]
    last: int
    """Last block told of."""
    used: float
    pending: list[str] = field(default_factory=list)


class Filters:
    """``eth_newFilter`` and its relatives."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._filters: dict[str, Filter] = {}
        self._pending_listeners: list[Callable[[str], None]] = []
        chain.on_rewind.append(self._rewound)

    def listen_pending(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Be told of every transaction passed on; returns the way out."""
        self._pending_listeners.append(listener)
        return lambda: self._pending_listeners.remove(listener)

    def pending(self, digest: str) -> None:
        """A transaction was passed on to the sequencer."""
        for listener in list(self._pending_listeners):
            listener(digest)
        for entry in self._filters.values():
            if entry.kind == "pending":
                entry.pending.append(digest)

    async def new_filter(self, criteria: Any) -> str:
        """``eth_newFilter``."""
        log_range(criteria, self._chain.heads)
        return self._add("logs", criteria)

    async def new_block_filter(self) -> str:
        """``eth_newBlockFilter``."""
        return self._add("blocks", {})

    async def new_pending_filter(self, *_: Any) -> str:
        """``eth_newPendingTransactionFilter``."""
        return self._add("pending", {})

    async def changes(self, identity: Any) -> list[Any]:
        """``eth_getFilterChanges``."""
        entry = self._get(identity)
        if entry.kind == "pending":
            told, entry.pending = entry.pending, []
            return told
        first, last = entry.last + 1, self._chain.gate.number
        if first > last:
            return []
        entry.last = last
        try:
            return await self._told(entry, first, last)
        except WireError:
            entry.last = min(entry.last, first - 1)  # the next poll tells it
            raise

    async def logs(self, identity: Any) -> list[Any]:
        """``eth_getFilterLogs``."""
        entry = self._get(identity)
        if entry.kind != "logs":
            raise RpcError(INVALID_PARAMS, "this filter has no logs")
        pinned = log_range(entry.criteria, self._chain.heads)
        if pinned is None:
            return []
        found = await self._chain.read("eth_getLogs", [pinned])
        # a filter may name a block by its hash, also by that of a staged one
        return [
            found_log for found_log in found if int(found_log["blockNumber"], 16) <= self._chain.gate.number
        ]

    async def uninstall(self, identity: Any) -> bool:
        """``eth_uninstallFilter``."""
        return self._filters.pop(str(identity), None) is not None

    def _rewound(self, head: Header) -> None:
        """Blocks after this one are gone: what takes their numbers is new."""
        for entry in self._filters.values():
            entry.last = min(entry.last, head.number)

    def _add(self, kind: Literal["logs", "blocks", "pending"], criteria: dict[str, Any]) -> str:
        now = time.monotonic()
        for identity in [
            key for key, entry in self._filters.items() if now - entry.used > FILTER_IDLE_SECONDS
        ]:
            del self._filters[identity]
        if len(self._filters) >= MAX_FILTERS:
            raise RpcError(LIMIT_EXCEEDED, f"more than {MAX_FILTERS} filters; uninstall some")
        identity = hex(secrets.randbits(128))
        self._filters[identity] = Filter(kind, criteria, self._chain.gate.number, now)
        return identity

    def _get(self, identity: Any) -> Filter:
        entry = self._filters.get(str(identity))
        if entry is None:
            raise RpcError(RESOURCE_NOT_FOUND, "filter not found")
        entry.used = time.monotonic()
        return entry

    async def _told(self, entry: Filter, first: int, last: int) -> list[Any]:
        """What a filter tells of the blocks ``first`` to ``last``, all of them committed."""
        request = self._chain.read
        if entry.kind == "blocks":
            blocks = [await request("eth_getBlockByNumber", [hex(n), False]) for n in range(first, last + 1)]
            return [block["hash"] for block in blocks]
        heads = self._chain.heads
        begin, end = entry.criteria.get("fromBlock"), entry.criteria.get("toBlock")
        # an open end goes on to the gate, a fixed one stays where it is
        if begin not in OPEN_ENDS:
            first = max(first, block_number(begin, heads))
        if end not in OPEN_ENDS:
            last = min(last, block_number(end, heads))
        if first > last or entry.criteria.get("blockHash") is not None:
            return []
        return list(await request("eth_getLogs", [_window(entry.criteria, first, last)]))


class Connection:
    """One WebSocket connection: calls, batches and subscriptions; ``hub`` where the engine has feeds of its own."""

    def __init__(self, chain: Chain, filters: Filters, handler: Handler, hub: FeedHub | None = None) -> None:
        self._chain, self._filters, self._handler = chain, filters, handler
        self._heads: asyncio.Queue[Header] = asyncio.Queue()
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue(OUTBOX)
        self._subscriptions: dict[str, tuple[str, Any]] = {}
        self._feeds = None if hub is None else ConnectionFeeds(hub, self._send, self._outbox.qsize)
        self._overrun = asyncio.Event()

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Serve until the peer leaves or falls too far behind."""
        socket = web.WebSocketResponse(heartbeat=30.0)
        await socket.prepare(request)
        self._chain.on_commit.append(self._heads.put_nowait)
        forget_pending = self._filters.listen_pending(self._tell_pending)
        pumps = [
            asyncio.create_task(self._notify()),
            asyncio.create_task(self._write(socket)),
            asyncio.create_task(self._disconnect(request)),
        ]
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):  # web3.py sends its JSON as binary
                    body = message.data.encode() if message.type is WSMsgType.TEXT else message.data
                    reply = await answer(body, self._handle)
                    if reply:
                        self._send(reply)
                    if self._feeds is not None:
                        self._feeds.start()
        finally:
            if self._feeds is not None:
                self._feeds.close()
            self._chain.on_commit.remove(self._heads.put_nowait)
            forget_pending()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await socket.close()
        return socket

    async def _handle(self, method: str, params: list[Any]) -> Any:
        if method == "eth_subscribe":
            kind = params[0] if params else None
            if kind not in ("newHeads", "logs", "newPendingTransactions"):
                raise RpcError(
                    INVALID_PARAMS,
                    f"no {kind!r} subscription; there are newHeads, logs, newPendingTransactions",
                )
            criteria = params[1] if len(params) > 1 else {}
            if kind == "logs":
                log_range(criteria, self._chain.heads)
            identity = hex(secrets.randbits(128))
            self._subscriptions[identity] = (kind, criteria)
            return identity
        if method == "eth_unsubscribe":
            return self._subscriptions.pop(str(params[0]) if params else "", None) is not None
        if self._feeds is not None and method in FEED_METHODS:
            return await self._feeds.handle(method, params)
        return await self._handler(method, params)

    def _tell_pending(self, digest: str) -> None:
        for identity, (kind, _) in self._subscriptions.items():
            if kind == "newPendingTransactions":
                self._send(notification(identity, digest))

    async def _notify(self) -> None:
        while True:
            number = (await self._heads.get()).number
            for identity, (kind, criteria) in list(self._subscriptions.items()):
                try:
                    told = await self._told(kind, criteria, number)
                except RpcError as exc:  # the engine does not take this filter, and never will
                    log.warning("subscription.refused", subscription=identity, error=str(exc))
                    self._subscriptions.pop(identity, None)
                except PeerUnreachable:  # the peer has missed something: it must see that
                    self._overrun.set()
                else:
                    for result in told:
                        self._send(notification(identity, result))

    async def _told(self, kind: str, criteria: Any, number: int) -> list[Any]:
        """What a subscription tells of a committed block."""
        request = self._chain.read
        if kind == "newHeads":
            block = await request("eth_getBlockByNumber", [hex(number), False])
            if block is None:
                return []  # the chain went back meanwhile; what takes its number is told in turn
            hidden = ("transactions", "uncles", "withdrawals")
            return [{key: value for key, value in block.items() if key not in hidden}]
        if kind == "logs":
            return list(await request("eth_getLogs", [_window(criteria, number, number)]))
        return []

    async def _disconnect(self, request: web.Request) -> None:
        """A peer that reads too slowly is cut off, whether or not it ever says another word."""
        await self._overrun.wait()
        log.warning("subscriber.overrun", peer=request.remote)
        if request.transport is not None:
            request.transport.abort()

    async def _write(self, socket: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await socket.send_str((await self._outbox.get()).decode())
                if self._feeds is not None:
                    self._feeds.sent()

    def _send(self, message: bytes) -> None:
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self._overrun.set()


def _window(criteria: dict[str, Any], first: int, last: int) -> dict[str, Any]:
    named = {key: value for key, value in criteria.items() if key != "blockHash"}
    return {**named, "fromBlock": hex(first), "toBlock": hex(last)}
