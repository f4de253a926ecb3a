"""A block as the engine keeps it: its head, which is always at hand, and its receipts; and both as bytes. Pure."""

from dataclasses import dataclass, fields
from functools import cached_property

from bridge.wire import rlp
from bridge.wire.atomic import Status
from bridge.wire.errors import Malformed
from rollup_node.engines.options.transactions.receipts import Log, Receipt
from rollup_node.engines.options.transition.sealing import Sealed

WORD = 32
_BYTES = {"parent", "state_root", "transactions_root", "receipts_root", "bloom", "extra"}
"""Fields of a header that aren't numbers."""


@dataclass(frozen=True)
class Head:
    """What is remembered of every block."""

    sealed: Sealed
    transactions: tuple[bytes, ...] = ()
    """Hashes, in the order of execution."""
    messages: tuple[bytes, ...] = ()
    """Storage slots of the messages that it passed to L1."""
    size: int = 0
    """Bytes of its transactions and header."""

    @property
    def number(self) -> int:
        """Of the block."""
        return self.sealed.number

    @cached_property
    def hash(self) -> bytes:
        """The block's name."""
        return self.sealed.hash

    def encode(self) -> bytes:
        """The inverse of :meth:`decode`."""
        header = [getattr(self.sealed, one.name) for one in fields(Sealed)]
        return rlp.encode([header, b"".join(self.transactions), b"".join(self.messages), self.size])

    @classmethod
    def decode(cls, data: bytes) -> "Head":
        """What :meth:`encode` gave.

        Raises:
            Malformed: not such bytes.
        """
        header, transactions, messages, size = rlp.items(rlp.decode(data), 4)
        names = [one.name for one in fields(Sealed)]
        values = {
            name: rlp.string(item) if name in _BYTES else rlp.integer(item)
            for name, item in zip(names, rlp.items(header, len(names)), strict=True)
        }
        sealed = Sealed(**values)  # type: ignore[arg-type]
        return cls(sealed, _words(transactions), _words(messages), rlp.integer(size))


def encode_receipts(receipts: tuple[Receipt, ...]) -> bytes:
    """The inverse of :func:`decode_receipts`."""
    return rlp.encode([_written(receipt) for receipt in receipts])


def decode_receipts(data: bytes) -> tuple[Receipt, ...]:
    """What :func:`encode_receipts` gave.

    Raises:
        Malformed: not such bytes.
    """
    return tuple(map(_read, rlp.items(rlp.decode(data))))


def _written(receipt: Receipt) -> list[object]:
    nonce = receipt.deposit_nonce
    return [
        receipt.hash, receipt.raw, receipt.sender, int(receipt.status == "success"), receipt.gas_used,
        receipt.cumulative_gas, receipt.gas_price, [[log.address, list(log.topics), log.data] for log in receipt.logs],
        receipt.reason, receipt.data, [] if nonce is None else [nonce],
    ]  # fmt: skip


def _read(item: rlp.Item) -> Receipt:
    digest, raw, sender, status, used, total, price, logs, reason, data, nonce = rlp.items(item, 11)
    fared: Status = "success" if rlp.integer(status) else "failed"
    nonces = [rlp.integer(one) for one in rlp.items(nonce)]
    return Receipt(
        rlp.string(digest), rlp.string(raw), rlp.string(sender), fared, rlp.integer(used), rlp.integer(total),
        rlp.integer(price), tuple(map(_log, rlp.items(logs))), rlp.string(reason).decode(), rlp.string(data),
        nonces[0] if nonces else None,
    )  # fmt: skip


def _log(item: rlp.Item) -> Log:
    address, topics, data = rlp.items(item, 3)
    return Log(rlp.string(address), tuple(map(rlp.string, rlp.items(topics))), rlp.string(data))


def _words(item: rlp.Item) -> tuple[bytes, ...]:
    data = rlp.string(item)
    if len(data) % WORD:
        raise Malformed(f"{len(data)} bytes are no list of hashes")
    return tuple(data[at : at + WORD] for at in range(0, len(data), WORD))
