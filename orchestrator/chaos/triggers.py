"""When faults are due: pure state machines that are fed with what happened and asked whether their moment has come.

Time is seconds since the end of the baseline, events and blocks count from there too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from bridge.wire.journal import Event
from orchestrator.chaos.plan import AtEvent, AtHeight, AtTime, Trigger


class Moment(Enum):
    """What a trigger says when it is asked."""

    NOT_YET = "not yet"
    NOW = "now"
    NEVER = "never"
    """What it waited for did not come in time."""


@dataclass(slots=True, eq=False)
class Countdown:
    """One trigger with what it has seen."""

    trigger: Trigger
    base: dict[str, int] = field(default_factory=dict)
    """Height of each chain when counting began."""
    heights: dict[str, int] = field(default_factory=dict)
    seen: int = 0
    """Events that counted."""
    found: Event | None = None
    """The event that made it due."""

    def event(self, event: Event) -> None:
        """Something was journalled."""
        trigger = self.trigger
        if not isinstance(trigger, AtEvent) or event.event != trigger.event:
            return
        if trigger.nodes and event.node not in trigger.nodes:
            return
        self.seen += 1
        if self.seen == trigger.count:
            self.found = event

    def height(self, heights: Mapping[str, int]) -> None:
        """Chains stand there; the first look at each is where counting begins."""
        for chain, height in heights.items():
            self.base.setdefault(chain, height)
            self.heights[chain] = max(height, self.heights.get(chain, 0))

    def moment(self, elapsed_s: float) -> Moment:
        """Whether it is due after so many seconds."""
        match self.trigger:
            case AtTime(after_s):
                return Moment.NOW if elapsed_s >= after_s else Moment.NOT_YET
            case AtEvent(count=count, within_s=within_s):
                reached = self.seen >= count
            case AtHeight(blocks=blocks, within_s=within_s):
                reached = all(self.added(chain) >= count for chain, count in blocks)
        if reached:
            return Moment.NOW
        return Moment.NEVER if elapsed_s > within_s else Moment.NOT_YET

    def added(self, chain: str) -> int:
        """Blocks that a chain has added since counting began."""
        return self.heights.get(chain, 0) - self.base.get(chain, 0)

    def said(self) -> str:
        """What was seen, for a fault that never began."""
        match self.trigger:
            case AtTime(after_s):
                return f"{after_s:g} s had not passed"
            case AtEvent(event=event, nodes=nodes, count=count, within_s=within_s):
                whose = f" in the journals of {', '.join(sorted(nodes))}" if nodes else ""
                return f"{self.seen} of {count} {event}{whose} in {within_s:g} s"
            case AtHeight(blocks=blocks, within_s=within_s):
                each = ", ".join(
                    f"{self.added(chain)} of {count} blocks of {chain}" for chain, count in blocks
                )
                return f"{each} in {within_s:g} s"
