"""What faults come to in a node's network: a filter table and a rate; and what a side-car has to look for. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.runtimes.faults import Blackhole, Fault, PacketLoss, Reset, Throttle, peer_of

Address = Callable[[str], str | None]
"""A node's address on the fabric; ``None`` while it has none."""

_PROBABILITY_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom a probe goes to."""

    name: str
    address: str
    port: int
    """On which it listens, or on which it at least says no."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the filter table."""

    fault: Fault
    text: str


def rules_of(on_node: Sequence[Fault], own: str | None, address: Address) -> tuple[Rule, ...]:
    """The filter table: what cuts a link first, what loses packets of the rest last. A peer without an address has no rules yet.

    Args:
        on_node: all faults in force on the node.
        own: its address.
        address: of its peers.
    """
    if own is None:
        return ()
    found: list[Rule] = []
    for fault in sorted(on_node, key=lambda one: isinstance(one, PacketLoss)):
        peer = peer_of(fault)
        there = address(peer) if peer is not None else None
        match fault:
            case Blackhole() if there is not None:
                found.append(Rule(fault, f"-A INPUT -s {there}/32 -j DROP"))
            case Reset() if there is not None:
                # What refuses our own connections comes in by the front door, as if from the peer: it must be let in.
                refuse = "-p tcp ! --tcp-flags RST RST -j REJECT --reject-with tcp-reset"
                found.append(Rule(fault, f"-A INPUT -s {there}/32 {refuse}"))
                found.append(Rule(fault, f"-A OUTPUT -d {there}/32 {refuse}"))
            case PacketLoss(share=share):
                chance = f"-m statistic --mode random --probability {share:.{_PROBABILITY_DIGITS}f}"
                found.append(Rule(fault, f"-A INPUT -d {own}/32 {chance if share < 1 else ''} -j DROP"))
            case _:
                pass
    # The kernel lists one chain after the other, and so do we: its counters are told by their place.
    return tuple(sorted(found, key=lambda rule: "-A OUTPUT" in rule.text))


def rate_of(on_node: Sequence[Fault]) -> int | None:
    """Bytes a second that may leave the node."""
    return next((fault.bytes_per_s for fault in on_node if isinstance(fault, Throttle)), None)


def order(
    on_node: Sequence[Fault], own: str | None, address: Address, look: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What a side-car is asked for, to bring a node to where its faults want it; see ``side_car``."""
    texts = [rule.text for rule in rules_of(on_node, own, address)]
    return {"own": own, "steps": [texts], "rate": rate_of(on_node), "look": look}


def order_with_proof(
    fault: Fault, on_node: Sequence[Fault], own: str, address: Address, peers: Sequence[Peer]
) -> dict[str, Any]:
    """The same, with a look whether one of them, which has just begun, takes effect.

    Args:
        fault: is among those on the node.
        on_node: all faults in force on the node.
        own: its address.
        address: of its peers.
        peers: whom a probe may go to, the fault's own peer first; at least one.
    """
    rules = rules_of(on_node, own, address)
    asked = order(on_node, own, address)
    mine = [index for index, rule in enumerate(rules) if rule.fault == fault]
    target = [peers[0].address, peers[0].port]
    match fault:
        case Blackhole():
            asked["look"] = {"cut": target, "at": mine}
        case Reset():
            # A refused connection never leaves the node. So first only what comes in is refused, until an answer was.
            incoming, outgoing = mine
            texts = [rule.text for rule in rules]
            asked["steps"] = [[*texts[:outgoing], *texts[outgoing + 1 :]], texts]
            asked["look"] = {"cut": target, "at": [incoming, outgoing]}
        case PacketLoss():
            asked["look"] = {"loss": [peer.address for peer in peers], "at": mine[0]}
        case Throttle():
            asked["look"] = {"rate": [peer.address for peer in peers]}
        case _:
            raise AssertionError(f"{fault.kind} is no fault of the filter table")
    return asked
