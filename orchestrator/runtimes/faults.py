"""What can be done to a running node on purpose, as plain values, and what came of it.

::

    Fault ─► Runtime.inject ─► Bite     applied, and then looked at from outside: did anything really change?
      └────► Runtime.heal ───► Healing  undone, and looked at in the same way

A fault is named by its ``kind``, which is also the name of the ``Capability`` that a runtime must have for it. Faults of links speak
of packets between containers and need a network of their own for each node; what acts on messages is in ``orchestrator.links``.

====================  =====================================================================================================
``unplug``            the node is off the network of nodes; names and addresses fail at once. This host still reaches it
``blackhole``         the node hears nothing from its peer, which still hears the node; connections hang
``reset``             TCP between the two is refused at once, whoever begins, and what stands is reset
``throttle``          what the node sends to other nodes leaves at no more than this rate
``packet-loss``       of the packets that other nodes send it, this share is lost; TCP feels it as waiting, never as loss
``out-of-memory``     the kernel ends the node for want of memory; over at once, a restart brings the node back
``disk-full``         files of the node grow by so much more and then no further: writes fail
====================  =====================================================================================================
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from orchestrator.runtimes.errors import BadFaultError

_SLOWEST = 1000


@dataclass(frozen=True, slots=True)
class Bite:
    """Whether a fault took effect. One that did not stays in force all the same, and may still bite: heal it."""

    bit: bool
    evidence: str
    """What was seen, for people: by whom, and in numbers; or why nothing was."""


@dataclass(frozen=True, slots=True)
class Healing:
    """Whether a fault's end was seen."""

    healed: bool
    """``False`` where something still stands in the way. Where nobody is up to be heard, the kernel's or engine's word is enough."""
    evidence: str
    """What was seen, for people."""


@dataclass(frozen=True, slots=True)
class DevnetFaults:
    """What can be done to a devnet's nodes, and what is being done."""

    possible: tuple[str, ...]
    """Kinds that its runtime can do."""
    in_force: tuple["Fault", ...]
    """The oldest first."""


@dataclass(frozen=True, slots=True)
class Unplug:
    """Take a node off the network of nodes."""

    node: str
    kind: ClassVar[str] = "unplug"


@dataclass(frozen=True, slots=True)
class Blackhole:
    """Drop every packet that a node gets from a peer."""

    node: str
    peer: str
    kind: ClassVar[str] = "blackhole"

    def __post_init__(self) -> None:
        _two(self.kind, self.node, self.peer)


@dataclass(frozen=True, slots=True)
class Reset:
    """Refuse TCP between two nodes, both ways."""

    node: str
    peer: str
    kind: ClassVar[str] = "reset"

    def __post_init__(self) -> None:
        _two(self.kind, self.node, self.peer)


@dataclass(frozen=True, slots=True)
class Throttle:
    """Slow down what a node sends to other nodes."""

    node: str
    bytes_per_s: int
    """At least 1000: a packet has to pass within seconds."""
    kind: ClassVar[str] = "throttle"

    def __post_init__(self) -> None:
        _require(
            self.kind, self.bytes_per_s >= _SLOWEST, f"bytes_per_s is {self.bytes_per_s}", "at least 1000"
        )


@dataclass(frozen=True, slots=True)
class PacketLoss:
    """Lose some of the packets that other nodes send to a node."""

    node: str
    share: float
    """Above 0, and at most 1."""
    kind: ClassVar[str] = "packet-loss"

    def __post_init__(self) -> None:
        _require(self.kind, 0 < self.share <= 1, f"share is {self.share}", "above 0, and at most 1")


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """Have the kernel end a node as it ends the greedy."""

    node: str
    kind: ClassVar[str] = "out-of-memory"


@dataclass(frozen=True, slots=True)
class DiskFull:
    """Stop the growth of a node's files."""

    node: str
    spare_bytes: int = 0
    """How many bytes more all files that it has open may take together."""
    kind: ClassVar[str] = "disk-full"

    def __post_init__(self) -> None:
        _require(self.kind, self.spare_bytes >= 0, f"spare_bytes is {self.spare_bytes}", "not negative")


Fault: TypeAlias = Unplug | Blackhole | Reset | Throttle | PacketLoss | OutOfMemory | DiskFull

KINDS: Mapping[str, type[Fault]] = MappingProxyType(
    {kind.kind: kind for kind in (Unplug, Blackhole, Reset, Throttle, PacketLoss, OutOfMemory, DiskFull)}
)
"""Every fault by its name."""


def peer_of(fault: Fault) -> str | None:
    """The other end, for faults of a link."""
    return fault.peer if isinstance(fault, Blackhole | Reset) else None


def same_place(one: Fault, other: Fault) -> bool:
    """Whether two faults are about the same thing, such as the rate of one node, so that only one of them can be in force."""
    links = isinstance(one, Blackhole | Reset) and isinstance(other, Blackhole | Reset)
    return (links or one.kind == other.kind) and (one.node, peer_of(one)) == (other.node, peer_of(other))


def fault_to_dict(fault: Fault) -> dict[str, Any]:
    """As JSON: its ``kind`` and its fields."""
    return {"kind": fault.kind, **asdict(fault)}


def fault_from_dict(document: Any) -> Fault:
    """Read :func:`fault_to_dict` back, from wherever it came.

    Raises:
        BadFaultError: it is no fault, or its numbers make no sense; with all problems at once.
    """
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - every command would wait for it, few need it

    if not isinstance(document, Mapping) or document.get("kind") not in KINDS:
        kind = document.get("kind") if isinstance(document, Mapping) else None
        raise BadFaultError(f"{kind!r} is no kind of fault", f"one of: {', '.join(KINDS)}")
    given = {name: value for name, value in document.items() if name != "kind"}
    wanted = KINDS[document["kind"]]
    known = [field.name for field in fields(wanted)]
    unknown = sorted(given.keys() - set(known))
    problems = [f"{name}: there is no such field" for name in unknown]
    try:
        fault: Fault = TypeAdapter(wanted).validate_python(
            {name: value for name, value in given.items() if name not in unknown}
        )
    except ValidationError as exc:
        problems += [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors()]
    if problems:
        raise BadFaultError(f"{wanted.kind}: {'; '.join(problems)}", f"its fields: {', '.join(known)}")
    return fault


def described(fault: Fault) -> str:
    """In words, such as ``blackhole of alpha from beta``."""
    match fault:
        case Blackhole(node=node, peer=peer):
            return f"blackhole of {node} from {peer}"
        case Reset(node=node, peer=peer):
            return f"reset between {node} and {peer}"
        case Throttle(node=node, bytes_per_s=rate):
            return f"throttle of {node} to {rate} bytes/s"
        case PacketLoss(node=node, share=share):
            return f"packet-loss of {share:.4g} at {node}"
        case DiskFull(node=node, spare_bytes=spare):
            return f"disk-full of {node} in {spare} bytes"
        case _:
            return f"{fault.kind} of {fault.node}"


def _two(kind: str, node: str, peer: str) -> None:
    _require(kind, node != peer, f"node and peer are both {node!r}", "two different nodes")


def _require(kind: str, right: bool, found: str, wanted: str) -> None:
    if not right:
        raise BadFaultError(f"{kind}: {found}", f"wanted: {wanted}")
