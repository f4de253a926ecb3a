"""Which runtime can do which fault: asked when a scenario is loaded, not when the fault is due."""

from collections.abc import Iterator, Mapping

from orchestrator.chaos.fault_spec import AnyFault, PartitionSpec
from orchestrator.runtimes.base import Capability
from orchestrator.topology.errors import Finding

NEEDS: Mapping[str, Capability] = {
    "kill": Capability.KILL,
    "stop": Capability.STOP,
    "restart": Capability.RESTART,
    "pause": Capability.PAUSE,
    "packet_loss": Capability.PACKET_LOSS,
    "disk_full": Capability.DISK_FULL,
    "out_of_memory": Capability.OUT_OF_MEMORY,
}
"""What a runtime must be able to do for a kind of fault; all others are done by nodes, links or chains, the same everywhere."""


LIVES = frozenset({Capability.KILL, Capability.STOP, Capability.PAUSE, Capability.RESTART})
BY_RUNTIME: Mapping[str, frozenset[Capability]] = {
    "process": LIVES | {Capability.DISK_FULL},
    "docker": LIVES
    | {Capability.UNPLUG, Capability.PACKET_LOSS, Capability.DISK_FULL, Capability.OUT_OF_MEMORY},
}
"""What each runtime can do of what faults need. Written down so that a file is checked without an engine; a test holds it to the runtimes."""


def needed(fault: AnyFault) -> Capability | None:
    """The capability that a fault needs, or None if every runtime can do it."""
    if isinstance(fault, PartitionSpec):
        return Capability.UNPLUG if fault.mode == "unplug" else None
    return NEEDS.get(fault.fault)


def unsupported(faults: Mapping[int, AnyFault], runtime: str) -> Iterator[Finding]:
    """The faults that a runtime can't do."""
    kind = "docker" if runtime == "docker" else "process"
    can = BY_RUNTIME[kind]
    for index, fault in faults.items():
        need = needed(fault)
        if need is not None and need not in can:
            others = [name for name, capabilities in BY_RUNTIME.items() if need in capabilities]
            hint = (
                f"the {others[0]} runtime can: rollnet chaos run --runtime {others[0]}"
                if others
                else "no runtime can"
            )
            place = ("schedule", index, "mode" if isinstance(fault, PartitionSpec) else "fault")
            yield Finding(place, f"the {kind} runtime can't do {need}", hint)
