"""Sending one operation until somebody takes it: the same bytes again and again, and what is known if nobody does.

Sending again is safe, because everything is named by its hash. The question is what may be said when it was not acknowledged: *certain* means
that no node can have taken it, now or later. An answer "no" is certain and so is a refused connection; silence is not, and nor is an
internal error, after which a log may hold what was never promised.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

import aiohttp

from bridge.wire.errors import (
    INTERNAL_ERROR,
    LIMIT_EXCEEDED,
    RESOURCE_UNAVAILABLE,
    PeerUnreachable,
    RpcError,
)

FIRST_RETRY_S, LONGEST_RETRY_S = 0.05, 0.25
"""Between two attempts, seconds: longer each time."""
ANSWER_S = 5.0
"""Longest wait for the answer to one attempt, seconds."""
PASSING = frozenset({RESOURCE_UNAVAILABLE, LIMIT_EXCEEDED})
"""Refusals that a later attempt may not meet."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What came of sending."""

    acknowledged: bool
    certain: bool
    """Whether it is certain that it has no effect if it was not acknowledged."""
    attempts: int
    reason: str = ""
    """The last refusal, or why no answer came."""
    answer: Any = None


async def submit(
    call: Callable[[], Awaitable[Any]],
    *,
    until: float,
    over: Callable[[], bool] = lambda: False,
    uncertain: Collection[int] = (INTERNAL_ERROR,),
) -> Submission:
    """Send until it is acknowledged, refused for good, or too late.

    Args:
        call: sends once and returns the acknowledgement.
        until: ``time.monotonic()`` after which no further attempt begins.
        over: whether nobody waits any more; asked before each further attempt.
        uncertain: codes of JSON-RPC errors after which it may have been taken all the same.
    """
    attempts, certain, reason, pause = 0, True, "", FIRST_RETRY_S
    while True:
        attempts += 1
        try:
            answer = await call()
            return Submission(True, False, attempts, answer=answer)
        except PeerUnreachable as exc:
            certain, reason = certain and was_never_sent(exc), str(exc)
        except RpcError as exc:
            certain, reason = certain and exc.code not in uncertain, exc.message
            if exc.code not in PASSING and exc.code not in uncertain:
                return Submission(False, certain, attempts, reason)
        if over() or time.monotonic() + pause >= until:
            return Submission(False, certain, attempts, reason)
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, LONGEST_RETRY_S)


def was_never_sent(failure: PeerUnreachable) -> bool:
    """Whether the peer cannot have seen the request: there was no connection to send it over."""
    return isinstance(failure.__cause__, aiohttp.ClientConnectorError)
