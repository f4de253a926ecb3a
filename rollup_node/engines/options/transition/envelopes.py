"""A message from one rollup to another, and its one name, as ``CrossRollupMessage.sol`` has them. Pure."""

from typing import Any, Final, NamedTuple

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import FUNCTIONS, MAILBOX, MESSENGER
from rollup_node.engines.options.transactions.refusals import Refused

VERSION: Final = 1
"""Of envelopes that are written and executed here."""
MAX_GAS: Final = 3_000_000
"""Most gas that a message asks for."""
MAX_DATA: Final = 16_384
"""Most call data, bytes."""
MAX_VALIDITY: Final = 30 * 86_400
"""Longest time that a message is valid, seconds."""

_NAME: Final = abi.parse("(bytes,uint8,uint64,uint64,uint256,bytes32,bytes32,uint256,uint64,uint64,bytes32)")
_TAG: Final = b"XMSG.v1"


class Envelope(NamedTuple):
    """A message."""

    version: int
    source: int
    """Chain id of the rollup that it was sent on."""
    destination: int
    """Chain id of the rollup that it is for."""
    nonce: int
    sender: bytes
    """32 bytes: an address left-padded with zeros; so is the target."""
    target: bytes
    value: int
    """Wei."""
    gas: int
    """That the call is guaranteed to have."""
    valid_until: int
    """Last second in which it may be executed, by the destination's clock."""
    data: bytes

    @property
    def header(self) -> tuple[Any, ...]:
        """All that its name needs: the data's hash in the place of the data."""
        return (*self[:-1], keccak256(self.data))

    @property
    def name(self) -> bytes:
        """Its hash, on every chain."""
        return keccak256(abi.encode(_NAME, (_TAG, *self.header)))


def account_word(address: bytes) -> bytes:
    """An address as messages spell it."""
    return address.rjust(abi.WORD, b"\0")


def target_of(envelope: Envelope) -> bytes:
    """The address that a message calls.

    Raises:
        Refused: messages never call it: no address, nobody, the mailbox itself, or one of the OP Stack's predeploys.
    """
    word, address = envelope.target, envelope.target[12:]
    whole = int.from_bytes(word, "big")
    if (
        not whole
        or whole >> 160
        or address == MAILBOX
        or whole >> 11 == int.from_bytes(MESSENGER, "big") >> 11
    ):
        raise Refused("UnsafeTarget", word)
    return address


def remote(chain_id: int, sender: bytes) -> bytes:
    """Address under which a message's sender acts here.

    Not their own: whoever has an address on another rollup isn't known to have it here, and what another rollup says is worth no
    more than that rollup. What this address may do, it owns, or was given a session key for.
    """
    return keccak256(b"rollnet.options.remote" + chain_id.to_bytes(32, "big") + sender)[12:]


def delivery_gas(gas: int, length: int) -> int:
    """Gas that the destination needs, as ``CrossRollupMessage.sol`` reckons."""
    return 160_000 + gas * 64 // 63 + 24 * length


def routing_gas(onward: int, length: int) -> int:
    """Gas that the router needs on L1 to send a message on, as above."""
    return 600_000 + onward + 64 * length


def is_inbox(target: bytes, selector: bytes) -> bool:
    """Whether a message may call this: what L1 can force, without the bridge's own."""
    function = FUNCTIONS.get(target, {}).get(selector)
    return function is not None and function.inbox and function.target not in (MAILBOX, MESSENGER)
