"""Trying a step, and what its end means for the next try."""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from bridge.contracts.errors import ContractsError
from bridge.l1.errors import NotDone, Unaffordable
from bridge.relayer.errors import OutputWrong, RelayerError, StateGone
from bridge.relayer.retrying import MAX_FAILURES, Retry
from bridge.wire.clock import believed
from bridge.wire.errors import WireError

AGAIN_S = 30.0
"""Seconds after which everything is looked at, due or not: others may have acted."""
WAIT_S = 1.0
"""Seconds before a step that found nothing to do is tried again."""
AT_ONCE = 64
"""Steps under way at once."""
NOT_ASKED = "relay_all is off; rollnet_retry relays it"


@dataclass(frozen=True, slots=True)
class Manner:
    """How withdrawals and messages are relayed."""

    poll_s: float
    """Seconds between two looks at a chain."""
    relay_all: bool = True
    """Whether they are relayed unasked."""
    max_failures: int = MAX_FAILURES
    """Failures in a row that make a dead letter."""
    luck: Callable[[], float] = random.random
    """Numbers from 0 to 1."""

    @property
    def first(self) -> Retry:
        """The record of what is new."""
        return Retry() if self.relay_all else Retry(dead=True, reason=NOT_ASKED)


async def attempt(work: Awaitable[Any], retry: Retry, manner: Manner) -> Retry:
    """The record of failures after one more try: of what can't be done now, of what failed, or of a success."""
    try:
        await work
    except (OutputWrong, StateGone, Unaffordable, WireError, ContractsError) as exc:
        return replace(retry, not_before=believed(time.time()) + WAIT_S, reason=str(exc))
    except (NotDone, RelayerError) as exc:
        return retry.failed(str(exc), believed(time.time()), manner.luck(), manner.max_failures)
    return Retry()


async def trouble_of(work: Awaitable[None]) -> str:
    """Why something could not be done, if it couldn't."""
    try:
        await work
    except (WireError, ContractsError) as exc:
        return str(exc)
    return ""
