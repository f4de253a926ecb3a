"""What a withdrawal carries beyond itself: a message between rollups, its return, or a strategy's vote. Pure.

A withdrawal of the messenger is a call to its counterpart on L1, ``relayMessage(nonce, sender, target, value, minGasLimit, message)``, in which the
messenger itself wrote who the sender is. What our own contracts send that way to our own contracts on L1 is read; anything else,
and whatever can't be read, carries nothing.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER, LEG_ESCROW
from bridge.contracts.artifacts import artifact
from bridge.contracts.errors import AbiMismatch
from bridge.contracts.op import op_artifact
from bridge.relayer.messages.envelope import Envelope, Header, envelope_of, header_of
from bridge.relayer.withdrawal import Withdrawal
from bridge.wire.keccak import to_hex

_MESSENGER = op_artifact("L1CrossDomainMessenger").interface
_ROUTER = artifact("MessageRouter").interface
_REGISTRY = artifact("StrategyRegistry").interface


@dataclass(frozen=True, slots=True)
class Places:
    """Whom one rollup's withdrawals have to call on L1; addresses in lower case."""

    chain_id: int
    """Of the rollup."""
    messenger: str
    """The rollup's L1CrossDomainMessenger."""
    router: str
    """MessageRouter."""
    registry: str
    """StrategyRegistry."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A message on its way to another rollup."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Return:
    """Word that a message expired unexecuted, with its value if that was there."""

    header: Header
    time: int
    """When it was found expired, by the destination's clock, unix seconds."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A rollup's answer to whether it can do its part of a strategy."""

    strategy: str
    """Id, 0x-hex."""
    yes: bool
    reason: bytes
    """Why not: revert data."""


Carried: TypeAlias = Forward | Return | Vote


def carried(withdrawal: Withdrawal, places: Places) -> Carried | None:
    """What a withdrawal carries; None if nothing that is ours."""
    if withdrawal.sender != L2_CROSS_DOMAIN_MESSENGER or withdrawal.target != places.messenger:
        return None
    try:
        _, sender, target, value, _, message = _MESSENGER.decode_arguments("relayMessage", withdrawal.data)
        if value != withdrawal.value:
            return None
        return _read(sender.lower(), target.lower(), value, message, places)
    except AbiMismatch:
        return None


def _read(sender: str, target: str, value: int, message: bytes, places: Places) -> Carried | None:
    """Raises :class:`AbiMismatch` when it is some other call; what the contract on L1 would refuse carries nothing."""
    found: Any
    match sender, target:
        case (mailbox, router) if mailbox == CROSS_ROLLUP_MAILBOX and router == places.router:
            if message[:4] == _RETURN:
                struct, time = _ROUTER.decode_arguments("returnUndelivered", message)
                found = Return(header_of(struct), time)
                right = found.header.destination == places.chain_id and value in (0, found.header.value)
                return found if right and time > found.header.valid_until else None
            (struct,) = _ROUTER.decode_arguments("forward", message)
            found = Forward(envelope_of(struct))
            right = found.envelope.source == places.chain_id and value == found.envelope.value
            return found if right else None
        case (escrow, registry) if escrow == LEG_ESCROW and registry == places.registry:
            strategy, yes, reason = _REGISTRY.decode_arguments("vote", message)
            return Vote(to_hex(strategy), yes, reason)
    return None


_RETURN = _ROUTER.encode_call("returnUndelivered", (0, 0, 0, 0, bytes(32), bytes(32), 0, 0, 0, bytes(32)), 0)[
    :4
]
