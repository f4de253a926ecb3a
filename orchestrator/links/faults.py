"""What can be wrong with a link. Pure data.

A link is directed: from the node that calls to the endpoint that is called. Its messages are HTTP requests and their answers.
Several faults may be on a link at once. They are worked through in this order, whatever the order in which they were applied:

===========  ======================================================================================================
reset        existing and new connections of the link are torn down (RST)
blackhole    existing and new connections hang: what is sent is taken and not delivered
drop         the request is never delivered, or its answer never comes back; after ``hold_s`` the connection breaks
duplicate    the request is delivered twice, on two connections; the answer to the first is returned
reorder      a request waits until a later one of the link has been answered, at most ``hold_s``
delay        the message takes ``latency_s`` longer, give or take ``jitter_s``
throttle     all messages of the link share ``bytes_per_s`` in each direction
===========  ======================================================================================================

Connections that have become something else than HTTP (WebSocket) have no messages: reset, blackhole, delay and throttle act on
their bytes, the others leave them alone, and so does everything with a ``match``. Likewise a request that waits for ``100 Continue``
or is larger than 64 MiB: whatever else is wrong with a link, requests are read as a whole before anything happens to them.
"""

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from orchestrator.links.errors import InvalidLinkFault

LONGEST_S = 3_600.0
"""No message is kept longer, seconds."""


class LinkFaultKind(StrEnum):
    """What is wrong with a link, in the order in which it is worked through."""

    RESET = "reset"
    BLACKHOLE = "blackhole"
    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DELAY = "delay"
    THROTTLE = "throttle"


class Direction(StrEnum):
    """Which messages of a link are meant."""

    REQUEST = "request"
    """From the caller to the called."""
    RESPONSE = "response"
    """Back."""
    BOTH = "both"


ON_CONNECTIONS = frozenset({LinkFaultKind.RESET, LinkFaultKind.BLACKHOLE})
"""They act on whole connections: no method, no direction; their probability is drawn once for each connection."""
ONLY_REQUESTS = frozenset({LinkFaultKind.DUPLICATE, LinkFaultKind.REORDER})
EITHER = frozenset({LinkFaultKind.DROP})
"""Both ways make no sense: a request that is not delivered has no answer."""


@dataclass(frozen=True, slots=True)
class LinkFault:
    """One fault on all links that its source and target mean.

    Raises:
        InvalidLinkFault: naming everything that is wrong.
    """

    name: str
    """By which it is healed."""
    source: str
    """Node that calls; a pattern such as ``*`` or ``alpha*`` means several."""
    target: str
    """Node that is called; likewise."""
    kind: LinkFaultKind
    direction: Direction = Direction.REQUEST
    """For drop, delay and throttle."""
    match: str = "*"
    """JSON-RPC method, or the beginning of one with ``*`` behind it; a batch matches if one of its calls does."""
    probability: float = 1.0
    """Share of the messages (or connections) that it meets, more than 0, at most 1."""
    latency_s: float = 0.0
    """Delay: seconds, one way. Duplicate: how much later the second request is sent."""
    jitter_s: float = 0.0
    """At most this many seconds more or less than ``latency_s``, drawn evenly for each message."""
    bytes_per_s: float = 0.0
    """Throttle: of the link, in each direction that is meant."""
    hold_s: float = 0.25
    """Reorder: longest wait for a later request. Drop: time until the caller's connection breaks, seconds."""
    seed: int = 0
    """Together with the name and the link it says what is drawn."""

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise InvalidLinkFault(f"link fault {self.name!r}: {'; '.join(problems)}", "mend these fields")

    def means(self, source: str, target: str) -> bool:
        """Whether it is on the link between two nodes."""
        return fnmatchcase(source, self.source) and fnmatchcase(target, self.target)

    def matches(self, methods: tuple[str, ...]) -> bool:
        """Whether a request with these calls is meant."""
        if self.match == "*":
            return True
        if self.match.endswith("*"):
            return any(method.startswith(self.match[:-1]) for method in methods)
        return self.match in methods

    def on(self, direction: Direction) -> bool:
        """Whether messages of a direction (not ``BOTH``) are meant."""
        return self.direction in {direction, Direction.BOTH}

    def to_json(self) -> dict[str, Any]:
        """Plain data, as :func:`parse_fault` reads it."""
        return asdict(self)


def parse_fault(data: Any) -> LinkFault:
    """A fault from decoded JSON.

    Raises:
        InvalidLinkFault: it is none, naming everything that is wrong.
    """
    if not isinstance(data, dict):
        raise InvalidLinkFault("a link fault is an object", "give name, source, target and kind")
    known = {field.name for field in fields(LinkFault)}
    required = ("name", "source", "target", "kind")
    problems = [f"{key} is missing" for key in required if key not in data]
    problems += [f"{key} is no field of a link fault" for key in sorted(map(str, data)) if key not in known]
    problems += [
        f"{key} must be text" for key in ("name", "source", "target", "match") if not _is(data, key, str)
    ]
    problems += [f"{key} must be a number" for key in _NUMBERS if not _is(data, key, float, int)]
    if not _is(data, "seed", int):
        problems.append("seed must be a whole number")
    kinds: tuple[tuple[str, type[StrEnum]], ...] = (("kind", LinkFaultKind), ("direction", Direction))
    converted: dict[str, Any] = {}
    for key, kind in kinds:
        if key in data:
            if data[key] in list(kind):
                converted[key] = kind(data[key])
            else:
                problems.append(f"{key} is {data[key]!r}, not one of {', '.join(kind)}")
    if problems:
        raise InvalidLinkFault(f"link fault {data.get('name')!r}: {'; '.join(problems)}", "mend these fields")
    return LinkFault(**{**data, **converted})


_NUMBERS = ("probability", "latency_s", "jitter_s", "bytes_per_s", "hold_s")
_DELAYED = frozenset({LinkFaultKind.DELAY, LinkFaultKind.DUPLICATE})


def _is(data: dict[str, Any], key: str, *types: type) -> bool:
    return key not in data or (isinstance(data[key], types) and not isinstance(data[key], bool))


def _problems(fault: LinkFault) -> list[str]:
    kind = fault.kind
    checks = [
        (bool(fault.name), "the name is empty"),
        (bool(fault.source) and bool(fault.target), "source and target name nodes, or are patterns"),
        (0 < fault.probability <= 1, "the probability is more than 0 and at most 1"),
        (
            all(0 <= seconds <= LONGEST_S for seconds in (fault.latency_s, fault.jitter_s, fault.hold_s)),
            f"times are 0 to {LONGEST_S:g} s",
        ),
        (
            fault.jitter_s <= fault.latency_s,
            "jitter_s is at most latency_s: nothing arrives before it is sent",
        ),
        ("*" not in fault.match[:-1] and bool(fault.match), "match is a method, or its beginning and *"),
        (
            kind not in ON_CONNECTIONS or fault.match == "*",
            f"{kind} acts on connections, not on methods; for methods there is drop",
        ),
        (
            kind not in ON_CONNECTIONS | ONLY_REQUESTS or fault.direction is Direction.REQUEST,
            f"{kind} has no direction",
        ),
        (
            kind not in EITHER or fault.direction is not Direction.BOTH,
            f"{kind} has one direction: a request that is not delivered has no answer",
        ),
        (kind is not LinkFaultKind.DELAY or fault.latency_s > 0, "a delay needs latency_s"),
        (kind in _DELAYED or not fault.latency_s, f"latency_s says nothing to {kind}"),
        (
            kind is not LinkFaultKind.THROTTLE or 1 <= fault.bytes_per_s < float("inf"),
            "a throttle needs bytes_per_s, 1 or more",
        ),
        (kind is LinkFaultKind.THROTTLE or not fault.bytes_per_s, f"bytes_per_s says nothing to {kind}"),
    ]
    return [problem for good, problem in checks if not good]
