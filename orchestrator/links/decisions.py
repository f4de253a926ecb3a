"""What happens to a message, drawn from seeds. Pure.

Every fault has a source of randomness of its own on each link, and draws from it once for every message that it means, whatever
the other faults do. So the decisions on the n-th message that a fault sees on a link are always the same.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from orchestrator.links.faults import ON_CONNECTIONS, Direction, LinkFault, LinkFaultKind

_ORDER = {kind: rank for rank, kind in enumerate(LinkFaultKind)}


class Working:
    """A fault as it works on one link.

    Args:
        fault: what is wrong.
        link: the name of the link.
    """

    __slots__ = ("_random", "fault", "free_at", "healed", "hold", "touched")

    def __init__(self, fault: LinkFault, link: str) -> None:
        self.fault = fault
        self.healed = False
        self.touched = 0
        """Messages or connections that it has met so far."""
        self.hold: Hold | None = None
        """Reorder: the last request that waited to be overtaken."""
        self.free_at = {Direction.REQUEST: 0.0, Direction.RESPONSE: 0.0}
        """Throttle: when the last byte so far has passed, on the loop's clock."""
        self._random = random.Random(f"{fault.seed}/{fault.name}/{link}")

    def draw(self) -> tuple[bool, float]:
        """Whether it meets the next message, and how late it would make it, seconds."""
        meets = self._random.random() < self.fault.probability
        late = self.fault.latency_s + self.fault.jitter_s * (2 * self._random.random() - 1)
        return meets, late


@dataclass(slots=True)
class Hold:
    """A request that waits to be overtaken."""

    until: float
    """On the loop's clock; 0 when it is over."""
    overtaken: bool = False
    """A later request was sent."""
    released: bool = False
    """A later request was answered, or never will be."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one message, in the order of its fields."""

    dropped: Working | None = None
    copies: tuple[tuple[Working, float], ...] = ()
    """Each sent so many seconds later."""
    reordered: Working | None = None
    delays: tuple[tuple[Working, float], ...] = ()
    """They add up, seconds."""
    throttles: tuple[Working, ...] = field(default=())

    @property
    def nothing(self) -> bool:
        """The message passes as if nothing was wrong."""
        return self == NOTHING


NOTHING = Decision()


def decide(
    working: Iterable[Working], direction: Direction, methods: tuple[str, ...], *, raw: bool = False
) -> Decision:
    """Draw what happens to a message.

    Args:
        working: the faults on its link.
        direction: which way it goes.
        methods: the calls of the request, also for its answer.
        raw: it is no message but some bytes of a connection that is not HTTP.
    """
    met: dict[LinkFaultKind, list[tuple[Working, float]]] = {}
    for one in working:
        fault = one.fault
        if fault.kind in ON_CONNECTIONS or not fault.on(direction) or not fault.matches(methods):
            continue
        if raw and fault.kind not in {LinkFaultKind.DELAY, LinkFaultKind.THROTTLE}:
            continue
        meets, late = one.draw()
        if meets:
            met.setdefault(fault.kind, []).append((one, late))
    if not met:
        return NOTHING
    (drop, *_), (reorder, *_) = ([*met.get(kind, []), (None, 0.0)] for kind in _AT_MOST_ONE)
    if drop[0] is not None:
        return Decision(dropped=drop[0])
    return Decision(
        copies=tuple(met.get(LinkFaultKind.DUPLICATE, ())),
        reordered=reorder[0],
        delays=tuple(met.get(LinkFaultKind.DELAY, ())),
        throttles=tuple(one for one, _ in met.get(LinkFaultKind.THROTTLE, ())),
    )


def in_order(working: Iterable[Working]) -> list[Working]:
    """In the order in which they are worked through; equal kinds by name."""
    return sorted(working, key=lambda one: (_ORDER[one.fault.kind], one.fault.name))


def met_by(working: Sequence[Working], kind: LinkFaultKind) -> tuple[Working, ...]:
    """Those faults of a kind that acts on connections which meet the next connection."""
    return tuple(one for one in working if one.fault.kind is kind and one.draw()[0])


def methods_of(body: bytes) -> tuple[str, ...]:
    """The JSON-RPC methods of a request's content; none if it is something else."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    calls = content if isinstance(content, list) else [content]
    found = (call.get("method") for call in calls if isinstance(call, dict))
    return tuple(method for method in found if isinstance(method, str))


_AT_MOST_ONE = (LinkFaultKind.DROP, LinkFaultKind.REORDER)
