"""``eth_getLogs``: which blocks can have what is looked for say their blooms, the rest is read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.wire.errors import INVALID_PARAMS, LIMIT_EXCEEDED, SERVER_ERROR, RpcError
from rollup_node.engines.options.reads.kinds import data, quantity
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.reads.transactions import logs_json
from rollup_node.engines.options.transactions.receipts import Log, bits

MAX_LOGS = 10_000
"""In one answer."""
MAX_BLOCKS = 10_000
"""Looked at for one answer."""
MAX_CHOICES = 256
"""Addresses, or values of one topic, in one filter."""
TOPICS = 4


@dataclass(frozen=True, slots=True)
class Filter:
    """Which logs are meant; an empty choice means any."""

    addresses: frozenset[bytes]
    topics: tuple[frozenset[bytes], ...]

    def may_match(self, bloom: bytes) -> bool:
        """Whether a block with this bloom can have such a log."""
        held = int.from_bytes(bloom, "big")
        choices = (self.addresses, *self.topics)
        return all(not one or any(held & bits(item) == bits(item) for item in one) for one in choices)

    def matches(self, log: Log) -> bool:
        """Whether it is such a log."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        return all(not one or topic in one for one, topic in zip(self.topics, log.topics, strict=False))


def logs(scene: Scene, criteria: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``eth_getLogs``."""
    wanted = read_filter(criteria)
    found: list[dict[str, Any]] = []
    for at in _blocks(scene, criteria):
        head, first = at.head, 0
        if not wanted.may_match(head.sealed.bloom):
            continue
        for index, receipt in enumerate(at.receipts()):
            if any(map(wanted.matches, receipt.logs)):
                told = logs_json(head, index, receipt, first)
                found += [one for one, log in zip(told, receipt.logs, strict=True) if wanted.matches(log)]
            first += len(receipt.logs)
        if len(found) > MAX_LOGS:
            raise RpcError(LIMIT_EXCEEDED, f"more than {MAX_LOGS} logs; ask for fewer blocks")
    return found


def read_filter(criteria: Mapping[str, Any]) -> Filter:
    """Addresses and topics of a filter.

    Raises:
        RpcError: they aren't.
    """
    topics = criteria.get("topics") or []
    if not isinstance(topics, list) or len(topics) > TOPICS:
        raise RpcError(INVALID_PARAMS, f"expected at most {TOPICS} topics, got {str(topics)[:80]}")
    return Filter(_choice(criteria.get("address"), 20), tuple(_choice(topic, 32) for topic in topics))


def _choice(said: Any, size: int) -> frozenset[bytes]:
    values = [] if said is None else said if isinstance(said, list) else [said]
    if len(values) > MAX_CHOICES:
        raise RpcError(INVALID_PARAMS, f"more than {MAX_CHOICES} values in one place of a filter")
    return frozenset(data(value, size) for value in values)


def _blocks(scene: Scene, criteria: Mapping[str, Any]) -> Iterator[Scene]:
    archive, head = scene.archive, scene.number
    if criteria.get("blockHash") is not None:
        if criteria.get("fromBlock") is not None or criteria.get("toBlock") is not None:
            raise RpcError(INVALID_PARAMS, "a filter names a block by its hash, or a range, not both")
        number = archive.number_of(data(criteria["blockHash"], 32))
        if number is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        yield Scene(scene.chain, number)
        return
    first, last = (_number(criteria.get(name), head) for name in ("fromBlock", "toBlock"))
    last = min(last, head)
    if last - first >= MAX_BLOCKS:
        raise RpcError(LIMIT_EXCEEDED, f"more than {MAX_BLOCKS} blocks; ask for fewer at once")
    for number in range(first, last + 1):
        yield Scene(scene.chain, number)


def _number(tag: Any, head: int) -> int:
    if tag is None or tag in ("latest", "pending", "safe", "finalized"):
        return head
    return 0 if tag == "earliest" else quantity(tag)
