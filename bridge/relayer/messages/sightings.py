"""What the chains' logs say of messages between rollups. Pure.

::

    source: FORWARDING, EXPIRED, REFUNDED     L1: ROUTED, RETURNED     destination: EXECUTED, FAILED, LATE, EXPORTED, RETURNING

Each is true as long as its block is there. A call that a messenger passes on is kept with the log that tells of it, for the messenger
at the other end takes nothing else if it has to be made again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER
from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import Decoded, Interface
from bridge.contracts.errors import AbiMismatch
from bridge.contracts.op import op_artifact
from bridge.relayer.carried import Forward, Places, Return, carried
from bridge.relayer.messages.envelope import MAILBOX
from bridge.relayer.messages.lifecycle import Call, Hop
from bridge.relayer.withdrawal import Passed
from bridge.wire.deposits import DEPOSITED_TOPIC, decode_deposit, user_deposit
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, to_hex

ROUTER = artifact("MessageRouter").interface
MESSENGER = op_artifact("L2CrossDomainMessenger").interface
"""What both ends' messengers have in common."""


class Sign(StrEnum):
    """What was seen."""

    FORWARDING = "forwarding"
    """Source: the withdrawal that carries the message."""
    ROUTED = "routed"
    """L1: the router passed it on."""
    RETURNED = "returned"
    """L1: the router passed it, or word of it, back."""
    EXECUTED = "executed"
    """Destination: its call succeeded."""
    FAILED = "failed"
    """Destination: its call failed, and it is kept."""
    LATE = "late"
    """Destination: it came after its source was told that it expired."""
    EXPORTED = "exported"
    """Destination: it was sent back, or word of it."""
    RETURNING = "returning"
    """Destination: the withdrawal that does so."""
    EXPIRED = "expired"
    """Source: the word came."""
    REFUNDED = "refunded"
    """Source: it came back."""
    HELD = "held"
    """Anywhere: a messenger keeps a call that failed; the name is the call's, not a message's."""


_HOPS = {
    Sign.FORWARDING: Hop.FORWARD,
    Sign.ROUTED: Hop.DELIVERY,
    Sign.RETURNING: Hop.RETURN,
    Sign.RETURNED: Hop.REFUND,
}
_AT_MAILBOX = {
    "MessageExecuted": Sign.EXECUTED,
    "MessageFailed": Sign.FAILED,
    "MessageLate": Sign.LATE,
    "MessageExported": Sign.EXPORTED,
    "MessageExpired": Sign.EXPIRED,
    "MessageRefunded": Sign.REFUNDED,
}
_AT_ROUTER = {"MessageRouted": Sign.ROUTED, "MessageReturned": Sign.RETURNED}
HELD_TOPIC: Final = to_hex(MESSENGER.topic("FailedRelayedMessage"))
MAILBOX_TOPICS: Final = tuple(to_hex(MAILBOX.topic(name)) for name in _AT_MAILBOX)
ROUTER_TOPICS: Final = tuple(to_hex(ROUTER.topic(name)) for name in _AT_ROUTER)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that a log said."""

    name: str
    """Hash of the message."""
    sign: Sign
    chain_id: int
    """Where it was seen."""
    block: int
    transaction: str
    """Hash."""
    index: int
    """Of the log in its block."""
    data: bytes = b""
    """The messenger's call, where one was passed on; why it failed, where it did."""

    @property
    def call(self) -> Call | None:
        """The call that was passed on to another chain."""
        hop = _HOPS.get(self.sign)
        return Call(hop, self.data) if hop else None


def calls_of(sightings: Iterable[Sighting]) -> tuple[Call, ...]:
    """All calls that were passed on, in the order of their hops."""
    order = list(Hop)
    found = [each.call for each in sightings if each.call]
    return tuple(sorted(found, key=lambda call: order.index(call.hop)))


def rollup_reader(chain_id: int) -> Callable[[Mapping[str, Any]], Sighting | None]:
    """Reads the logs of a rollup's mailbox and messenger; None for others.

    The reader raises :class:`Malformed` when a contract's log isn't one of that contract.
    """

    def read(entry: Mapping[str, Any]) -> Sighting | None:
        match _address(entry):
            case str(address) if address == CROSS_ROLLUP_MAILBOX:
                return _of_message(entry, MAILBOX, _AT_MAILBOX, chain_id)
            case str(address) if address == L2_CROSS_DOMAIN_MESSENGER:
                return _held(entry, chain_id)
        return None

    return read


def of_withdrawal(each: Passed, places: Places) -> Sighting | None:
    """A withdrawal that carries a message or its return."""
    match carried(each.withdrawal, places):
        case Forward(envelope):
            name, sign = envelope.hash, Sign.FORWARDING
        case Return(header, _):
            name, sign = header.hash, Sign.RETURNING
        case _:
            return None
    place = (places.chain_id, each.block, each.transaction, each.index)
    return Sighting(name, sign, *place, data=each.withdrawal.data)


def l1_reader(
    router: str, chain_id: int, messengers: Iterable[str]
) -> Callable[[Sequence[Mapping[str, Any]]], list[Sighting]]:
    """Reads the logs of the router, the portals and the messengers on L1, whole blocks of them.

    The router's own log is followed by the portal's of the same transaction, which has the call; other logs are none of ours. The
    reader raises :class:`Malformed` when they are no logs.

    Args:
        router: address of the router, in lower case.
        chain_id: of L1.
        messengers: addresses of the L1CrossDomainMessengers, in lower case.
    """
    known = frozenset(messengers)

    def read(logs: Sequence[Mapping[str, Any]]) -> list[Sighting]:
        found = []
        for position, entry in enumerate(logs):
            address = _address(entry)
            if address in known:
                found += [held] if (held := _held(entry, chain_id)) else []
            elif address == router:
                following = logs[position + 1] if position + 1 < len(logs) else {}
                seen = _of_message(entry, ROUTER, _AT_ROUTER, chain_id, _deposited(entry, following))
                found += [seen] if seen else []
        return found

    return read


def _of_message(
    entry: Mapping[str, Any],
    interface: Interface,
    signs: Mapping[str, Sign],
    chain_id: int,
    data: bytes | None = None,
) -> Sighting | None:
    event = _decoded(entry, interface)
    if event is None or event.name not in signs:
        return None
    sign, name = signs[event.name], to_hex(event.arguments["msgHash"])
    why = event.arguments["reason"] if sign is Sign.FAILED else b""
    return Sighting(name, sign, *_place(entry, chain_id), data=why if data is None else data)


def _held(entry: Mapping[str, Any], chain_id: int) -> Sighting | None:
    event = _decoded(entry, MESSENGER)
    if event is None or event.name != "FailedRelayedMessage":
        return None
    return Sighting(to_hex(event.arguments["msgHash"]), Sign.HELD, *_place(entry, chain_id))


def _deposited(entry: Mapping[str, Any], following: Mapping[str, Any]) -> bytes:
    """The call in a deposit that another log of the same transaction led to."""
    try:
        if following["transactionHash"] != entry["transactionHash"] or not following["topics"]:
            raise Malformed("another transaction's")
        if following["topics"][0] != DEPOSITED_TOPIC:
            raise Malformed("another event")
        return decode_deposit(user_deposit(following, following["blockHash"])).data
    except (KeyError, TypeError, Malformed) as exc:
        raise Malformed(f"the router's log is not followed by a deposit: {exc!r}") from exc


def _decoded(entry: Mapping[str, Any], interface: Interface) -> Decoded | None:
    try:
        return interface.decode_event([from_hex(topic) for topic in entry["topics"]], from_hex(entry["data"]))
    except (KeyError, TypeError, ValueError, AbiMismatch) as exc:
        raise Malformed(f"not a log of its contract: {exc!r}") from exc


def _address(entry: Mapping[str, Any]) -> str:
    try:
        return str(entry["address"]).lower()
    except (KeyError, TypeError) as exc:
        raise Malformed(f"not a log: {str(entry)[:80]}") from exc


def _place(entry: Mapping[str, Any], chain_id: int) -> tuple[int, int, str, int]:
    try:
        return chain_id, int(entry["blockNumber"], 16), entry["transactionHash"], int(entry["logIndex"], 16)
    except (KeyError, TypeError, ValueError) as exc:
        raise Malformed(f"not a log with a place: {exc!r}") from exc
