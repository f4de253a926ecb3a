"""Ready means: a full request was answered, never merely that a port is open.

A listening socket says little: the kernel accepts connections for a process that is stopped or still replaying its log.
So a node is asked what a user would ask, on a fresh connection each time. There is no event to await across a
process border, hence the polling: 10 ms at first, since anvil answers 40 ms after its start, then slower.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson

from orchestrator.runtimes.base import HttpRequest, JsonRpcRequest

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.25
_GROWTH = 1.3
_ATTEMPT_S = 2.0
_SHOWN = 200


class _NotYet(Exception):  # noqa: N818 - no error: the ordinary course of a start
    """Why an attempt does not count as ready."""


class Readiness:
    """Asks one node until it answers as it should.

    Args:
        request: what to ask.
        address: gives the URL of an endpoint, asked anew for each attempt.
        attempt_s: longest time for one attempt, seconds.
    """

    def __init__(
        self,
        request: JsonRpcRequest | HttpRequest,
        address: Callable[[str], str],
        attempt_s: float = _ATTEMPT_S,
    ) -> None:
        self._request, self._address = request, address
        self._timeout = aiohttp.ClientTimeout(total=attempt_s)
        self.last_answer = "not asked yet"
        """What the last attempt brought, for error messages."""

    async def answered(self) -> None:
        """Return once an answer is accepted; the caller limits the time."""
        pause = _FIRST_PAUSE_S
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=self._timeout) as session:
            while True:
                try:
                    await self._attempt(session)
                except _NotYet as exc:
                    self.last_answer = str(exc)
                else:
                    return
                await asyncio.sleep(pause)
                pause = min(pause * _GROWTH, _LONGEST_PAUSE_S)

    async def _attempt(self, session: aiohttp.ClientSession) -> None:
        url = self._address(self._request.endpoint)
        try:
            match self._request:
                case JsonRpcRequest(method=method, params=params, accept=accept):
                    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
                    headers = {"content-type": "application/json"}
                    async with session.post(url, data=orjson.dumps(call), headers=headers) as response:
                        _judge(accept, _result(await response.read(), response.status))
                case HttpRequest(path=path, accept=accept):
                    async with session.get(url + path) as response:
                        body = await response.read()
                        if not response.ok:
                            raise _NotYet(f"status {response.status}: {_short(body)}")
                        _judge(accept, body)
        except TimeoutError as exc:
            raise _NotYet(f"connected to {url}, but no answer within {self._timeout.total:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise _NotYet(f"{type(exc).__name__}: {exc}") from exc


def _result(body: bytes, status: int) -> object:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise _NotYet(f"status {status}, no JSON: {_short(body)}") from exc
    if not isinstance(answer, dict) or "result" not in answer:
        raise _NotYet(f"status {status}, no result: {_short(body)}")
    return answer["result"]


def _judge(accept: Callable[[Any], bool], answer: object) -> None:
    try:
        accepted = accept(answer)
    except Exception as exc:
        raise _NotYet(f"{_short(answer)} could not be judged: {type(exc).__name__}: {exc}") from exc
    if not accepted:
        raise _NotYet(f"not accepted: {_short(answer)}")


def _short(answer: object) -> str:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else repr(answer)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
