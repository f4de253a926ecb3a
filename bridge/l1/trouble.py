"""Saying what keeps a loop from going on: when it begins, changes or ends, not at each poll."""

from typing import Any

import structlog

log = structlog.get_logger()


class Trouble:
    """What one loop waits for at the moment.

    Args:
        begins: event that is logged when there is a trouble, or another one.
        ends: event that is logged when it is over.
        about: whose it is, for the log.
    """

    def __init__(self, begins: str, ends: str, **about: Any) -> None:
        self._begins, self._ends, self._about = begins, ends, about
        self.reason = ""
        """Empty while all is well."""

    def say(self, reason: str) -> None:
        """The trouble of this round; empty if there was none."""
        if reason == self.reason:
            return
        self.reason = reason
        if reason:
            log.warning(self._begins, **self._about, reason=reason)
        else:
            log.info(self._ends, **self._about)
