"""Withdrawals and what proves them on L1 (OP Stack specification, withdrawals). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.contracts.errors import AbiMismatch
from bridge.contracts.op import op_artifact
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.outputs import OutputParts

_PASSER = op_artifact("L2ToL1MessagePasser").interface
PASSED_TOPIC = to_hex(_PASSER.topic("MessagePassed"))
"""First topic of the event that every withdrawal emits."""
_SENT_MESSAGES_SLOT = bytes(32)
"""Storage slot of the message passer's mapping ``sentMessages``."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A call that a rollup asks L1 to make; fields as in ``Types.WithdrawalTransaction``."""

    nonce: int
    """Versioned: the version is in the first two of its 32 bytes."""
    sender: str
    """Who sent it on the rollup, lower-case address."""
    target: str
    """Whom to call on L1, lower-case address."""
    value: int
    """Wei."""
    gas_limit: int
    """Gas that the call gets at least."""
    data: bytes

    @property
    def hash(self) -> str:
        """Its name: keccak256(abi.encode(nonce, sender, target, value, gasLimit, data))."""
        words = (
            self.nonce.to_bytes(32, "big"),
            from_hex(self.sender, 20).rjust(32, b"\0"),
            from_hex(self.target, 20).rjust(32, b"\0"),
            self.value.to_bytes(32, "big"),
            self.gas_limit.to_bytes(32, "big"),
            (6 * 32).to_bytes(32, "big"),
            len(self.data).to_bytes(32, "big"),
            self.data + bytes(-len(self.data) % 32),
        )
        return to_hex(keccak256(b"".join(words)))

    @property
    def struct(self) -> tuple[int, str, str, int, int, bytes]:
        """As the portal's functions take it."""
        return (self.nonce, self.sender, self.target, self.value, self.gas_limit, self.data)


@dataclass(frozen=True, slots=True)
class Passed:
    """A withdrawal in a block of its rollup."""

    withdrawal: Withdrawal
    block: int
    block_hash: str
    transaction: str
    """Hash."""
    index: int
    """Of the log in its block."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Proof that a withdrawal is in the state that an output is of."""

    parts: OutputParts
    nodes: tuple[bytes, ...]
    """Of the message passer's storage trie, from the root on."""


def passed(entry: Mapping[str, Any]) -> Passed:
    """Read a ``MessagePassed`` log.

    Raises:
        Malformed: it is none, or its hash isn't that of its fields.
    """
    try:
        topics = [from_hex(topic) for topic in entry["topics"]]
        event = _PASSER.decode_event(topics, from_hex(entry["data"]))
        address = entry["address"].lower()
        place = int(entry["blockNumber"], 16), entry["blockHash"], entry["transactionHash"]
        index = int(entry["logIndex"], 16)
    except (KeyError, TypeError, ValueError, AttributeError, AbiMismatch) as exc:
        raise Malformed(f"not a log of MessagePassed: {exc!r}") from exc
    if event is None or event.name != "MessagePassed" or address != L2_TO_L1_MESSAGE_PASSER:
        raise Malformed("not a log of the message passer's MessagePassed")
    told = event.arguments
    withdrawal = Withdrawal(
        nonce=told["nonce"],
        sender=told["sender"].lower(),
        target=told["target"].lower(),
        value=told["value"],
        gas_limit=told["gasLimit"],
        data=told["data"],
    )
    if withdrawal.hash != to_hex(told["withdrawalHash"]):
        raise Malformed(f"{to_hex(told['withdrawalHash'])} is not the hash of {withdrawal}")
    return Passed(withdrawal, *place, index)


def storage_key(withdrawal_hash: str) -> str:
    """Where the message passer's storage says that it passed."""
    return to_hex(keccak256(from_hex(withdrawal_hash, 32) + _SENT_MESSAGES_SLOT))
