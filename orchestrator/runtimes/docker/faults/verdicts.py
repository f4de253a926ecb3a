"""From what a side-car has seen to whether a fault bit, or is healed. Pure."""

from typing import Any

from orchestrator.runtimes.docker.faults.network import Peer
from orchestrator.runtimes.faults import Bite, Blackhole, Fault, Healing, PacketLoss, Reset, Throttle

HEARD = ("connected", "refused")
"""What becomes of a connection when the other side has answered."""
_NO_LIMIT = "noqueue"


def bite_of(fault: Fault, asked: dict[str, Any], told: dict[str, Any], peer: Peer) -> Bite:
    """Judge the look that ``order_with_proof`` asked for."""
    match fault:
        case Blackhole() | Reset():
            return _cut(fault, asked, told, peer)
        case PacketLoss(share=share):
            lost, seen = told["matched"][asked["look"]["at"]], told["after"]
            probes = f"{seen['answered']} of {seen['sent']} probes were answered"
            return Bite(lost > 0, f"{lost} packets lost on their way here, {share:.4g} asked for; {probes}")
        case Throttle(bytes_per_s=rate):
            queue, seen = told["queue"], told["after"]
            held = queue.get("overlimits", 0) + queue.get("drops", 0) + queue.get("backlog", 0)
            passed = f"{queue.get('bytes', 0)} bytes passed in {seen['seconds']:.2f} s of {seen['offered']} offered"
            return Bite(held > 0, f"{passed}, {rate} bytes/s asked for; held back {held} times")
        case _:
            raise AssertionError(f"{fault.kind} is not seen by a side-car")


def healing_of(fault: Fault, asked: dict[str, Any], told: dict[str, Any], peer: Peer | None) -> Healing:
    """Judge what stands once a fault was left out: its rule is gone, and who can be heard is."""
    wanted, found = len(asked["steps"][-1]), len(told["matched"])
    table = f"{found} rules in the table, {wanted} of them of other faults"
    if isinstance(fault, Throttle):
        kind = told["queue"].get("kind", _NO_LIMIT)
        return Healing(kind == _NO_LIMIT, f"the queue is {kind}")
    if peer is None:
        return Healing(found == wanted, f"{table}; nobody is there to be heard")
    after = told["after"]
    return Healing(found == wanted and after in HEARD, f"{table}; connection to {peer.name}: {after}")


def _cut(fault: Blackhole | Reset, asked: dict[str, Any], told: dict[str, Any], peer: Peer) -> Bite:
    wanted = "silence" if isinstance(fault, Blackhole) else "refused"
    places = asked["look"]["at"]
    met = [counts[place] for counts, place in zip(told["met"], places, strict=True)]
    evidence = (
        f"connection to {peer.name}: {told['before']} before, {told['after']} after; "
        f"rules met {', '.join(map(str, met))} packets"
    )
    # A packet of the peer that a rule has met is one that would have been heard.
    return Bite(told["after"] == wanted and all(met), evidence)
