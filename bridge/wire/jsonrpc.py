"""JSON-RPC 2.0 over HTTP: how nodes talk to each other and to users. The wire's one module with network I/O.

Between nodes a call either returns a result, raises :class:`RpcError` (the peer answered "no"), or raises
:class:`PeerUnreachable` (no answer: the peer may have acted, so only what is idempotent is called again).
"""

import asyncio
import os
import traceback
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
import orjson
import structlog

from bridge.wire.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Malformed,
    PeerUnreachable,
    RpcError,
)

Handler: TypeAlias = Callable[[str, list[Any]], Awaitable[Any]]
"""Answers one call: method and positional parameters to a JSON value (or ``orjson.Fragment``)."""

MAX_BATCH = 1_000
"""Calls in one batch request."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A batch's answers stop here; the calls after get an error."""
MAX_BODY_BYTES = 16 * 1024 * 1024
"""Largest request that servers read."""
MAX_DEPTH = 32
"""Parameters that are nested deeper are refused: nobody could print them in an error, or write them down for a peer."""
ENGINE_BATCH = 60
"""anvil keeps the order of a batch only up to 63 items, so ordered batches are cut here."""

log = structlog.get_logger()


class Client:
    """One peer, over kept-alive connections.

    Args:
        url: ``http://127.0.0.1:…``.
        token: bearer token of the peer's control listener, or None.
        timeout: seconds for one call unless the call says otherwise.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 10.0) -> None:
        self.url = url
        self._timeout = timeout
        self._headers = {"content-type": "application/json"} | (
            {"authorization": f"Bearer {token}"} if token else {}
        )
        self._session: aiohttp.ClientSession | None = None
        self._id = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; safe to run twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, *params: Any, deadline: float | None = None) -> Any:
        """The result of one call.

        Args:
            method: JSON-RPC method.
            params: positional parameters.
            deadline: seconds to wait, or None for the client's own.

        Raises:
            RpcError: the peer answered with an error.
            PeerUnreachable: no answer, or none that is JSON-RPC.
        """
        self._id += 1
        reply = await self._post(
            {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}, deadline
        )
        return _result(reply)

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], deadline: float | None = None
    ) -> list[Any | RpcError]:
        """Results of many calls in their order, cut so that the engine keeps that order; an error stands as a value.

        Raises:
            PeerUnreachable: no answer, or none that is JSON-RPC.
        """
        answers: list[Any | RpcError] = []
        for start in range(0, len(calls), ENGINE_BATCH):
            chunk = [
                {"jsonrpc": "2.0", "id": index, "method": method, "params": params}
                for index, (method, params) in enumerate(calls[start : start + ENGINE_BATCH])
            ]
            replies = await self._post(chunk, deadline)
            if not isinstance(replies, list) or len(replies) != len(chunk):
                raise PeerUnreachable(f"{self.url} did not answer a batch with a batch")
            try:
                replies.sort(key=lambda reply: int(reply["id"]))
            except (TypeError, KeyError, ValueError) as exc:
                raise PeerUnreachable(f"{self.url} answered a batch with something else") from exc
            for reply in replies:
                try:
                    answers.append(_result(reply))
                except RpcError as exc:
                    answers.append(exc)
        return answers

    async def forward(self, body: bytes) -> bytes:
        """Pass a request on as it is and return the answer's bytes.

        Raises:
            PeerUnreachable: no answer.
        """
        return await self._exchange(body, self._timeout)

    async def _post(self, payload: Any, deadline: float | None) -> Any:
        body = await self._exchange(orjson.dumps(payload), self._timeout if deadline is None else deadline)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise PeerUnreachable(f"{self.url} answered something that is not JSON: {body[:80]!r}") from exc

    async def _exchange(self, body: bytes, seconds: float) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                # names are looked up for each connection: a container that comes back may have the address that another one had
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60, use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        try:
            async with asyncio.timeout(seconds), self._session.post(self.url, data=body) as response:
                if response.status != 200:
                    raise PeerUnreachable(f"{self.url} answered HTTP {response.status}")
                return await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise PeerUnreachable(f"{self.url}: {_trouble(exc, seconds)}") from exc


async def answer(body: bytes, handler: Handler) -> bytes:
    """Answer one HTTP body: a request or a batch of them, whatever is wrong with it."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        return orjson.dumps(_error(None, RpcError(PARSE_ERROR, f"parse error: {exc}")))
    if not isinstance(request, list):
        return _dump(await answer_one(request, handler))
    if not request or len(request) > MAX_BATCH:
        refusal = RpcError(INVALID_REQUEST, f"a batch has 1 to {MAX_BATCH} calls, got {len(request)}")
        return orjson.dumps(_error(None, refusal))
    replies: list[bytes] = []
    room = MAX_ANSWER_BYTES
    for item in request:
        reply = await answer_one(item, handler) if room > 0 else _too_large(item)
        if reply is not None:
            replies.append(orjson.dumps(reply))
            room -= len(replies[-1])
        await asyncio.sleep(0)  # a long batch must not keep other connections waiting
    return b"[" + b",".join(replies) + b"]" if replies else b""


async def answer_one(request: Any, handler: Handler) -> dict[str, Any] | None:
    """Answer one decoded request; None for a notification."""
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return _error(None, RpcError(INVALID_REQUEST, "not a JSON-RPC request: it needs a method"))
    identity, params = request.get("id"), request.get("params") or []
    if isinstance(identity, (dict, list)):
        return _error(None, RpcError(INVALID_REQUEST, "an id is a string, a number or null"))
    try:
        if not isinstance(params, list):
            raise RpcError(INVALID_PARAMS, "parameters must be an array")
        if _nested_deeper(params, MAX_DEPTH):
            raise RpcError(INVALID_PARAMS, f"parameters are nested deeper than {MAX_DEPTH} levels")
        result = await handler(request["method"], params)
        reply = {"jsonrpc": "2.0", "id": identity, "result": result}
    except RpcError as exc:
        reply = _error(identity, exc)
    except Malformed as exc:
        reply = _error(identity, RpcError(INVALID_PARAMS, str(exc)))
    except Exception as exc:
        # as text: pretty tracebacks with everybody's locals cost seconds of the event loop, and show keys
        log.error("rpc.failed", method=request["method"], exception=traceback.format_exc())
        reply = _error(identity, RpcError(INTERNAL_ERROR, f"internal error: {type(exc).__name__}"))
    return reply if "id" in request else None


def dispatcher(methods: dict[str, Callable[..., Awaitable[Any]]]) -> Handler:
    """A handler for a fixed table of methods; wrong arity is an error of the caller."""

    async def handle(method: str, params: list[Any]) -> Any:
        if method not in methods:
            raise RpcError(METHOD_NOT_FOUND, f"the method {method} does not exist/is not available")
        try:
            pending = methods[method](*params)
        except TypeError as exc:
            raise RpcError(INVALID_PARAMS, f"{method}: {exc}") from exc
        return await pending

    return handle


def _result(reply: Any) -> Any:
    if not isinstance(reply, dict):
        raise PeerUnreachable(f"not a JSON-RPC answer: {str(reply)[:80]}")
    error = reply.get("error")
    if error is not None:
        raise RpcError(
            int(error.get("code", INTERNAL_ERROR)), str(error.get("message", "")), error.get("data")
        )
    return reply.get("result")


def _trouble(failure: Exception, seconds: float) -> str:
    """Why there was no answer, as one would say it."""
    if isinstance(failure, TimeoutError):
        return f"no answer within {seconds:g} s"
    number = failure.errno if isinstance(failure, aiohttp.ClientConnectorError) else None
    if number and number > 0:  # the library's own words speak of its own inside
        return os.strerror(number).lower()
    return f"{type(failure).__name__} {failure}".strip()


def _nested_deeper(value: list[Any], limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        members = (one.values() if isinstance(one, dict) else one for one in level)
        level = [inner for some in members for inner in some if isinstance(inner, (list, dict))]
    return bool(level)


def _error(identity: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "error": error.to_json()}


def _too_large(request: Any) -> dict[str, Any] | None:
    if not isinstance(request, dict) or "id" not in request:
        return None
    identity = request["id"] if not isinstance(request["id"], (dict, list)) else None
    return _error(identity, RpcError(LIMIT_EXCEEDED, "the answers of this batch are too large; split it"))


def _dump(reply: Any) -> bytes:
    return b"" if reply is None or reply == [] else orjson.dumps(reply)
