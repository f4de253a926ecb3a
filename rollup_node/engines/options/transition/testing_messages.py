"""For tests: L1's end of an options rollup, as a desk sees it: deposits that its messenger makes in the names of router and registry."""

from dataclasses import replace
from typing import Any, Final

from bridge.wire.deposits import Deposit, encode_deposit
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import BY_NAME, ESCROW, EVENTS, MAILBOX, MESSENGER
from rollup_node.engines.options.transactions.receipts import Receipt
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.envelopes import Envelope, account_word
from rollup_node.engines.options.transition.messenger import alias
from rollup_node.engines.options.transition.parameters import L1Ends, Parameters
from rollup_node.engines.options.transition.testing import CHAIN_ID, PARAMETERS, Desk, call_data

ENDS: Final = L1Ends(b"\x31" * 20, b"\x32" * 20, b"\x33" * 20)
OTHER: Final = 902
"""Chain id of another rollup."""
LINKED: Final = replace(PARAMETERS, l1=ENDS)


def linked(parameters: Parameters = LINKED) -> Desk:
    """A desk whose rollup knows L1's contracts."""
    return Desk(parameters)


class Counterpart:
    """The L1CrossDomainMessenger of a desk's rollup.

    Args:
        desk: whose blocks take the deposits.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.sent = 0
        self.minted = 0
        """Wei."""

    def call(
        self, speaker: bytes, target: bytes, data: bytes, value: int = 0, nonce: int | None = None
    ) -> tuple[Any, ...]:
        """Arguments of a ``relayMessage``."""
        if nonce is None:
            nonce, self.sent = self.sent, self.sent + 1
        return 1 << 240 | nonce, speaker, target, value, 200_000, data

    def deposit(self, arguments: tuple[Any, ...], sender: bytes | None = None) -> bytes:
        """The deposit that makes a call."""
        value = arguments[3]
        self.minted += value
        data = call_data("relayMessage", *arguments)
        source = keccak256(b"relay" + data + len(self.desk.history).to_bytes(4, "big"))
        origin = alias(ENDS.messenger) if sender is None else sender
        return encode_deposit(
            Deposit(source, origin, MESSENGER, value, value, 3_000_000, is_system=False, data=data)
        )

    def deliver(self, message: Envelope, value: int | None = None) -> bytes:
        """The router passes a message on."""
        wei = message.value if value is None else value
        return self.deposit(self.call(ENDS.router, MAILBOX, call_data("deliver", tuple(message)), wei))

    def undelivered(self, name: bytes, expired_at: int, value: int) -> bytes:
        """The router gives a message back."""
        return self.deposit(
            self.call(ENDS.router, MAILBOX, call_data("onUndelivered", name, expired_at), value)
        )

    def lock(
        self, strategy: bytes, account: bytes, times: tuple[int, int], legs: tuple[tuple[Any, ...], ...]
    ) -> bytes:
        """The registry orders legs to be locked."""
        data = call_data("lockLegs", strategy, account, *times, 900_000, legs)
        return self.deposit(self.call(ENDS.registry, ESCROW, data))

    def decide(self, strategy: bytes, *, commit: bool) -> bytes:
        """The registry has decided."""
        return self.deposit(self.call(ENDS.registry, ESCROW, call_data("decideLegs", strategy, commit)))


def envelope(**changes: Any) -> Envelope:
    """A message from another rollup to the desk's."""
    known: dict[str, Any] = {
        "version": 1,
        "source": OTHER,
        "destination": CHAIN_ID,
        "nonce": 0,
        "sender": account_word(b"\x51" * 20),
        "target": account_word(b"\x52" * 20),
        "value": 0,
        "gas": 100_000,
        "valid_until": 2**40,
        "data": b"",
    }
    return Envelope(**(known | changes))


def events(receipt: Receipt) -> list[tuple[str, tuple[Any, ...]]]:
    """What a transaction has logged, decoded: names and values, indexed ones first."""
    shapes = {event.topic: (name, event) for name, event in EVENTS.items()}
    found = []
    for log in receipt.logs:
        name, shape = shapes[log.topics[0]]
        indexed = abi.decode(shape.indexed, b"".join(log.topics[1:]))
        found.append((name, (*indexed, *abi.decode(shape.plain, log.data))))
    return found


def passed(executed: Executed) -> list[tuple[bytes, int, tuple[Any, ...]]]:
    """Messages to L1 of a block: target, wei, and what the messenger is told there (``relayMessage``'s arguments)."""
    shape, call = EVENTS["MessagePassed"], BY_NAME["relayMessage"]
    found = []
    for receipt in executed.receipts:
        for log in receipt.logs:
            if log.topics[0] == shape.topic:
                value, _, data, _ = abi.decode(shape.plain, log.data)
                found.append((log.topics[3][12:], value, abi.decode(call.arguments, data[4:])))
    return found
