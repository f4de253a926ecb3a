"""What a scenario file may say about one fault: a closed set of kinds, each with its own keys.

Every kind has an end: ``for`` (what lasts) or ``restart_after`` (what ends a life); two are over at once (``restart``, ``l1_reorg``).
It is one long file because it is one table, and read as that.
"""

import difflib
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from bridge.wire.stages import Stage
from orchestrator.topology.errors import shown
from orchestrator.topology.fields import DurationBetween, complaint
from orchestrator.topology.sections import Section, notes

EVENTS = (*map(str, Stage), "node.started", "node.recovered", "log.cut")
"""Journal events that a fault may wait for."""


def _known_event(text: str) -> str:
    if text not in EVENTS:
        meant = difflib.get_close_matches(text[:64], EVENTS, n=1)
        raise complaint(
            f"no journal has an event {shown(text)}",
            f"did you mean {meant[0]}?" if meant else f"there are {', '.join(EVENTS)}",
        )
    return text


EventName = Annotated[
    str, AfterValidator(_known_event), WithJsonSchema({"type": "string", "enum": list(EVENTS)})
]

Duration = Annotated[float, DurationBetween("10ms", "24h")]
Probability = Annotated[float, Field(ge=0.001, le=1)]


class WhenSpec(Section):
    """When a fault begins; exactly one of `event`, `height` and `after`. Everything counts from the end of the baseline."""

    event: EventName | None = Field(
        default=None,
        description="A stage or a fact of a node's journal, counted by `count`.",
        examples=["bundle.sequenced"],
        json_schema_extra=notes(default="not by events"),
    )
    node: str | None = Field(
        default=None,
        description="Only events in the journal of this node or of this role's nodes; needs `event`.",
        examples=["sequencer"],
        json_schema_extra=notes(default="every node's events"),
    )
    count: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="The fault begins with the so-manieth event.",
        examples=[10],
    )
    height: dict[str, Annotated[int, Field(ge=1, le=10_000_000)]] | None = Field(
        default=None,
        min_length=1,
        description="Blocks that chains (rollups, `l1`) must have added since the end of the baseline; the fault begins when all have.",
        examples=["{alpha: 20}"],
        json_schema_extra=notes(default="not by heights", unit="blocks by chain"),
    )
    after: Annotated[float, DurationBetween("0ms", "24h")] | None = Field(
        default=None,
        description="Time since the end of the baseline.",
        examples=["2s"],
        json_schema_extra=notes(default="not by time"),
    )
    within: Duration = Field(
        default=30.0,
        description="Longest wait for the event or height; a fault that never began makes the verdict unknown.",
        examples=["20s"],
    )


def _named(value: Any) -> Any:
    """A name or a list of names is short for ``{names: […]}``."""
    if isinstance(value, str):
        return {"names": (value,)}
    if isinstance(value, tuple | list):
        return {"names": tuple(value)}
    return value


class TargetSpec(Section):
    """Which nodes a fault strikes; a name or a list of names is short for `{names: [...]}`."""

    names: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Nodes by name: `l1`, `sequencer`, `relayer`, `maker`, a rollup's.",
        examples=["[alpha]"],
        json_schema_extra=notes(default="by role", written="list of names"),
    )
    role: Literal["l1", "sequencer", "rollup", "relayer", "maker"] | None = Field(
        default=None,
        description="All nodes of a role, from which `pick` takes.",
        examples=["rollup"],
        json_schema_extra=notes(default="by name"),
    )
    pick: Literal["one", "minority", "majority", "all"] = Field(
        default="all",
        description="How many of them: `one`, a `minority` (less than half, at least one), a `majority` (more than half), or `all`; "
        "drawn with the scenario's seed.",
        examples=["minority"],
    )


class _ShortForms:
    """Tells the JSON Schema of the forms that :func:`_named` takes."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        forms = [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
            handler(schema),
        ]
        return {"anyOf": forms, "x-written": "name, list of names, or map"}


Target = Annotated[TargetSpec, BeforeValidator(_named), _ShortForms()]


class LinkSpec(Section):
    """Who calls whom: a node's name, a role (`rollup` is all rollups), or `all`; `from` is the caller."""

    source: str = Field(alias="from", description="The caller.", examples=["sequencer"])
    destination: str = Field(alias="to", description="The callee.", examples=["alpha"])


class FaultSpec(Section):
    """What all kinds have in common."""

    name: str = Field(
        min_length=1,
        max_length=80,
        description="Names the fault's window in progress lines, plots and tables; unique in the file.",
        examples=["the sequencer dies"],
    )
    when: WhenSpec = Field(description="When it begins.", examples=["{event: bundle.sequenced, count: 10}"])


def _kind(kind: str) -> Any:
    return Field(description="The kind of fault.", examples=[kind])


def _target() -> Any:
    return Field(description="Which nodes it strikes.", examples=["sequencer"])


def _lasts() -> Any:
    return Field(alias="for", description="How long it lasts.", examples=["5s"])


def _restart() -> Any:
    return Field(description="When the node is brought back, counted from its end.", examples=["2s"])


class KillSpec(FaultSpec):
    """SIGKILL to everything of a node: nothing is flushed, nothing is said."""

    fault: Literal["kill"] = _kind("kill")
    target: Target = _target()
    restart_after: Duration = _restart()


class StopSpec(FaultSpec):
    """A polite end: the node may finish what it is doing."""

    fault: Literal["stop"] = _kind("stop")
    target: Target = _target()
    restart_after: Duration = _restart()


class RestartSpec(FaultSpec):
    """Stopped and started again at once."""

    fault: Literal["restart"] = _kind("restart")
    target: Target = _target()


class PauseSpec(FaultSpec):
    """Frozen: it accepts connections and answers nothing, as in a long garbage collection or a stalled virtual machine."""

    fault: Literal["pause"] = _kind("pause")
    target: Target = _target()
    lasts: Duration = _lasts()


class CrashAtSpec(FaultSpec):
    """The node ends itself on the spot at a named point of its code; `rollnet chaos points` lists them, with the nodes that pass each."""

    fault: Literal["crash_at"] = _kind("crash_at")
    target: Target = _target()
    point: str = Field(
        description="The point; a scenario whose target never passes it is not begun.",
        examples=["sequencer.wal.synced"],
    )
    count: int = Field(
        default=1, ge=1, le=1_000_000, description="It ends at the so-manieth passage.", examples=[3]
    )
    within: Duration = Field(
        default=15.0,
        description="Longest wait for the passage; a point that nobody passes makes the verdict unknown.",
        examples=["15s"],
    )
    restart_after: Duration = _restart()


class LinkFaultSpec(FaultSpec):
    """What strikes links between nodes, in the devnet's link proxy, the same on every runtime."""

    links: tuple[LinkSpec, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="The links it strikes; this or `target`.",
        examples=["[{from: sequencer, to: alpha}]"],
        json_schema_extra=notes(default="those of `target`", written="list of links"),
    )
    target: Target | None = Field(
        default=None,
        description="All links from and to these nodes; this or `links`.",
        examples=["sequencer"],
        json_schema_extra=notes(default="those in `links`"),
    )
    direction: Literal["to", "from", "both"] = Field(
        default="to",
        description="Of each link: calls of `from` to `to` (`to`), of `to` to `from` (`from`), or `both`.",
        examples=["both"],
    )
    lasts: Duration = _lasts()


class PartitionSpec(LinkFaultSpec):
    """Nodes can't reach each other; users still reach all of them. It bit if on at least one link of each direction a call met it."""

    fault: Literal["partition"] = _kind("partition")
    mode: Literal["unplug", "blackhole", "reset"] = Field(
        default="blackhole",
        description="`blackhole`: calls hang; `reset`: connections are refused; `unplug`: the node's network is taken away, "
        "which needs `target` and a runtime that can.",
        examples=["reset"],
    )


class DelaySpec(LinkFaultSpec):
    """Messages arrive later."""

    fault: Literal["delay"] = _kind("delay")
    latency: Annotated[float, DurationBetween("1ms", "1m")] = Field(
        description="Added to each message.", examples=["100ms"]
    )
    jitter: Annotated[float, DurationBetween("0ms", "1m")] = Field(
        default=0.0, description="Up to so much more or less, evenly; not above `latency`.", examples=["30ms"]
    )


class ThrottleSpec(LinkFaultSpec):
    """Links carry fewer bytes."""

    fault: Literal["throttle"] = _kind("throttle")
    rate: int = Field(
        ge=100,
        le=1_000_000_000,
        description="Bytes that a link carries in a second.",
        examples=[20000],
        json_schema_extra=notes(unit="bytes per second"),
    )


class MessageFaultSpec(LinkFaultSpec):
    """What happens to single messages."""

    probability: Probability = Field(
        description="Share of messages, drawn with the seed.",
        examples=[0.2],
        json_schema_extra=notes(unit="0.2 is 20 %"),
    )
    match: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9_]+\*?$",
        description="Which messages: requests of one JSON-RPC method, or with `*` at its end of all that begin so.",
        examples=["rollup_commit"],
        json_schema_extra=notes(default="all messages"),
    )


class DropSpec(MessageFaultSpec):
    """Messages are lost, and their connections with them."""

    fault: Literal["drop"] = _kind("drop")
    lost: Literal["request", "answer"] = Field(
        default="request",
        description="Whether the `request` is lost, so that nothing happens, or the `answer`, so that nobody hears what happened.",
        examples=["answer"],
    )


class DuplicateSpec(MessageFaultSpec):
    """Messages are delivered twice."""

    fault: Literal["duplicate"] = _kind("duplicate")


class ReorderSpec(MessageFaultSpec):
    """Messages overtake one another."""

    fault: Literal["reorder"] = _kind("reorder")


class PacketLossSpec(FaultSpec):
    """IP packets are lost: TCP repairs it, at the price of time."""

    fault: Literal["packet_loss"] = _kind("packet_loss")
    target: Target = _target()
    percent: Annotated[float, Field(ge=0.1, le=100)] = Field(
        description="Packets that are lost.", examples=[30], json_schema_extra=notes(unit="per cent")
    )
    lasts: Duration = _lasts()


class DiskFullSpec(FaultSpec):
    """Nothing more can be written. Once there is room again the node is restarted, as its operator would.

    With bytes to spare it bit only if a write has failed.
    """

    fault: Literal["disk_full"] = _kind("disk_full")
    target: Target = _target()
    spare: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="Bytes that still fit.",
        examples=[4096],
        json_schema_extra=notes(unit="bytes"),
    )
    lasts: Duration = _lasts()


class OutOfMemorySpec(FaultSpec):
    """The kernel ends the node because it has no memory left."""

    fault: Literal["out_of_memory"] = _kind("out_of_memory")
    target: Target = _target()
    restart_after: Duration = _restart()


class ClockSkewSpec(FaultSpec):
    """The node's wall clock is wrong; its monotonic clock is not. Sequencers and the relayer have one that can be set."""

    fault: Literal["clock_skew"] = _kind("clock_skew")
    target: Target = _target()
    offset: Annotated[float, DurationBetween("100ms", "24h")] = Field(
        description="How wrong it is.", examples=["30s"]
    )
    toward: Literal["past", "future"] = Field(
        default="future", description="Whether it is slow or fast.", examples=["past"]
    )
    lasts: Duration = _lasts()


class L1StallSpec(FaultSpec):
    """L1 answers and makes no blocks. Needs an `l1.block_time` of whole seconds."""

    fault: Literal["l1_stall"] = _kind("l1_stall")
    lasts: Duration = _lasts()


class L1ReorgSpec(FaultSpec):
    """The last blocks of L1 are replaced by empty ones, as many; their transactions are gone."""

    fault: Literal["l1_reorg"] = _kind("l1_reorg")
    depth: int = Field(
        ge=1, le=64, description="How many.", examples=[3], json_schema_extra=notes(unit="L1 blocks")
    )


KINDS: dict[str, type[FaultSpec]] = {
    "kill": KillSpec,
    "stop": StopSpec,
    "restart": RestartSpec,
    "pause": PauseSpec,
    "crash_at": CrashAtSpec,
    "partition": PartitionSpec,
    "delay": DelaySpec,
    "throttle": ThrottleSpec,
    "drop": DropSpec,
    "duplicate": DuplicateSpec,
    "reorder": ReorderSpec,
    "packet_loss": PacketLossSpec,
    "disk_full": DiskFullSpec,
    "out_of_memory": OutOfMemorySpec,
    "clock_skew": ClockSkewSpec,
    "l1_stall": L1StallSpec,
    "l1_reorg": L1ReorgSpec,
}
"""Every kind of fault by its name in the file."""

AnyFault = (
    KillSpec
    | StopSpec
    | RestartSpec
    | PauseSpec
    | CrashAtSpec
    | PartitionSpec
    | DelaySpec
    | ThrottleSpec
    | DropSpec
    | DuplicateSpec
    | ReorderSpec
    | PacketLossSpec
    | DiskFullSpec
    | OutOfMemorySpec
    | ClockSkewSpec
    | L1StallSpec
    | L1ReorgSpec
)

Fault = Annotated[AnyFault, Field(discriminator="fault")]
