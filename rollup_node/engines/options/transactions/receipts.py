"""What became of a transaction, in Ethereum's forms: logs, receipts, blooms.

Receipts of deposits carry a nonce and a version as in the OP Stack (Canyon), so that receipt tries verify with its tools.
"""

from collections.abc import Iterable
from functools import lru_cache, reduce
from operator import or_
from typing import Any, NamedTuple

from bridge.wire import rlp
from bridge.wire.atomic import Status
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import EVENTS

BLOOM_BYTES = 256
DEPOSIT_RECEIPT_VERSION = 1
"""Of the OP Stack's deposit receipts: they say the nonce."""


_new = tuple.__new__
"""Makes a NamedTuple for half of what calling it costs."""


class Log(NamedTuple):
    """One event."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


class Receipt(NamedTuple):
    """One transaction of a block."""

    hash: bytes
    raw: bytes
    sender: bytes
    status: Status
    """``success`` or ``failed``: others are in no block."""
    gas_used: int
    cumulative_gas: int
    """Of the block up to and with this one."""
    gas_price: int
    """Wei per gas that was paid; zero where gas is free."""
    logs: tuple[Log, ...] = ()
    reason: str = ""
    """For people, where it failed."""
    data: bytes = b""
    """Return data, or the error."""
    deposit_nonce: int | None = None
    """Sender's nonce before a deposit."""

    @property
    def encoded(self) -> bytes:
        """As the receipts trie holds it."""
        kind = self.raw[0] if self.raw[0] < 0x80 else 0
        fields: list[Any] = [int(self.status == "success"), self.cumulative_gas, bloom(self.logs)]
        fields.append([[log.address, list(log.topics), log.data] for log in self.logs])
        if self.deposit_nonce is not None:
            fields += [self.deposit_nonce, DEPOSIT_RECEIPT_VERSION]
        return (bytes([kind]) if kind else b"") + rlp.encode(fields)


def event(name: str, *values: Any) -> Log:
    """A log of one of the interfaces' events; indexed members first, as they stand in all of them."""
    shape = EVENTS[name]
    count = len(shape.indexed.members)
    if shape.whole.flat:
        words = abi.encode(shape.whole, values)
        data = words[count * abi.WORD :]
    else:
        words, data = abi.encode(shape.indexed, values[:count]), abi.encode(shape.plain, values[count:])
    topics = [words[place : place + abi.WORD] for place in range(0, count * abi.WORD, abi.WORD)]
    return _new(Log, (shape.source, (shape.topic, *topics), data))


def bloom(logs: Iterable[Log]) -> bytes:
    """Ethereum's bloom filter of logs (Yellow Paper, 4.3.1)."""
    held = 0
    for log in logs:
        held |= bits(log.address)
        for topic in log.topics:
            held |= bits(topic)
    return held.to_bytes(BLOOM_BYTES, "big")


@lru_cache(maxsize=65_536)
def bits(item: bytes) -> int:
    """What an address or a topic sets in a bloom; remembered, for most come again and again."""
    digest = keccak256(item)
    places = (int.from_bytes(digest[place : place + 2], "big") & 0x7FF for place in (0, 2, 4))
    return reduce(or_, (1 << place for place in places))
