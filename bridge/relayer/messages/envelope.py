"""What a message from one rollup to another is, and its one name; as ``CrossRollupMessage.sol`` has it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX
from bridge.contracts.artifacts import artifact
from bridge.contracts.errors import AbiMismatch
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, keccak256, to_hex

MAILBOX = artifact("CrossRollupMailbox").interface
SENT_TOPIC: Final = to_hex(MAILBOX.topic("MessageSent"))
"""First topic of the event that every message emits on its source."""
_TAG: Final = b"XMSG.v1"


@dataclass(frozen=True, slots=True)
class Header:
    """An envelope with the hash of the data in the place of the data: all that its name needs."""

    version: int
    source: int
    """Chain id of the rollup that it was sent on."""
    destination: int
    """Chain id of the rollup that it is for."""
    nonce: int
    """Count of messages that the source's mailbox sent before."""
    sender: str
    """32 bytes, 0x-hex: an address left-padded with zeros."""
    target: str
    """Whom to call, as the sender."""
    value: int
    """Wei that travel with it."""
    gas_limit: int
    """Gas that the call is guaranteed to have."""
    valid_until: int
    """Last second, by the destination's clock, in which it may be executed; unix seconds."""
    data_hash: str

    @property
    def hash(self) -> str:
        """The message's name: keccak256(abi.encode("XMSG.v1", header))."""
        words = (
            _word(11 * 32),  # where the text starts
            *map(_word, (self.version, self.source, self.destination, self.nonce)),
            from_hex(self.sender, 32),
            from_hex(self.target, 32),
            *map(_word, (self.value, self.gas_limit, self.valid_until)),
            from_hex(self.data_hash, 32),
            _word(len(_TAG)),
            _TAG.ljust(32, b"\0"),
        )
        return to_hex(keccak256(b"".join(words)))

    @property
    def struct(self) -> tuple[Any, ...]:
        """As the contracts' functions take it."""
        return (*_common(self), from_hex(self.data_hash, 32))


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message; fields as in :class:`Header`."""

    version: int
    source: int
    destination: int
    nonce: int
    sender: str
    target: str
    value: int
    gas_limit: int
    valid_until: int
    data: bytes
    """Call data."""

    @property
    def header(self) -> Header:
        """What its name is made of."""
        return Header(
            version=self.version,
            source=self.source,
            destination=self.destination,
            nonce=self.nonce,
            sender=self.sender,
            target=self.target,
            value=self.value,
            gas_limit=self.gas_limit,
            valid_until=self.valid_until,
            data_hash=to_hex(keccak256(self.data)),
        )

    @property
    def hash(self) -> str:
        """The message's name, on every chain."""
        return self.header.hash

    @property
    def struct(self) -> tuple[Any, ...]:
        """As the contracts' functions take it."""
        return (*_common(self), self.data)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message in a block of its source."""

    envelope: Envelope
    block: int
    block_hash: str
    transaction: str
    """Hash."""


def envelope_of(struct: tuple[Any, ...]) -> Envelope:
    """Inverse of :attr:`Envelope.struct`, for what was decoded by an ABI."""
    return Envelope(*_plain(struct), data=struct[-1])


def header_of(struct: tuple[Any, ...]) -> Header:
    """Inverse of :attr:`Header.struct`, for what was decoded by an ABI."""
    return Header(*_plain(struct), data_hash=to_hex(struct[-1]))


def account_word(address: str) -> str:
    """An address as messages spell it.

    Raises:
        Malformed: it is no address.
    """
    return to_hex(from_hex(address, 20).rjust(32, b"\0"))


def address_in(word: str) -> str | None:
    """The address, lower case, that a message's account is; None if it is none of the EVM's."""
    raw = from_hex(word, 32)
    return None if any(raw[:12]) else to_hex(raw[12:])


def sent(entry: Mapping[str, Any]) -> Sent:
    """Read a ``MessageSent`` log.

    Raises:
        Malformed: it is none, or its topics and the message contradict each other.
    """
    try:
        topics = [from_hex(topic) for topic in entry["topics"]]
        event = MAILBOX.decode_event(topics, from_hex(entry["data"]))
        address = entry["address"].lower()
        place = int(entry["blockNumber"], 16), entry["blockHash"], entry["transactionHash"]
    except (KeyError, TypeError, ValueError, AttributeError, AbiMismatch) as exc:
        raise Malformed(f"not a log of MessageSent: {exc!r}") from exc
    if event is None or event.name != "MessageSent" or address != CROSS_ROLLUP_MAILBOX:
        raise Malformed("not a log of the mailbox's MessageSent")
    told, envelope = event.arguments, envelope_of(event.arguments["message"])
    named = (to_hex(told["msgHash"]), told["dstChainId"], to_hex(told["sender"]))
    if named != (envelope.hash, envelope.destination, envelope.sender):
        raise Malformed(f"{to_hex(told['msgHash'])} is not the hash of {envelope}")
    return Sent(envelope, *place)


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _common(message: Header | Envelope) -> tuple[Any, ...]:
    return (
        message.version,
        message.source,
        message.destination,
        message.nonce,
        from_hex(message.sender, 32),
        from_hex(message.target, 32),
        message.value,
        message.gas_limit,
        message.valid_until,
    )


def _plain(struct: tuple[Any, ...]) -> tuple[int, int, int, int, str, str, int, int, int]:
    version, source, destination, nonce, sender, target, value, gas_limit, valid_until, _ = struct
    parts = (version, source, destination, nonce)
    return (*parts, to_hex(sender), to_hex(target), value, gas_limit, valid_until)
