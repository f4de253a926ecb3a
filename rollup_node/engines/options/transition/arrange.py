"""The order of a block: what the sequencer wrote, sorted into sections.

A rule by construction: every payload has exactly one order in which it executes, so none is "out of order", and a sequencer gains
nothing by writing another. The sort is stable; a transaction never overtakes an earlier one of its own sender, because nonces go
up by one; and from the first bundle on everything stays as it is written, because a bundle's legs are one unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.wire.errors import Malformed
from bridge.wire.frozen import quickly_made
from rollup_node.engines.options.transactions.decode import (
    Message,
    Section,
    is_guard,
    read_message,
    section_of,
)


@quickly_made
@dataclass(frozen=True, slots=True)
class Placed:
    """A transaction with its place in the block."""

    index: int
    """In the payload."""
    section: Section
    message: Message


@dataclass(frozen=True, slots=True)
class Arranged:
    """A payload in the order of execution."""

    placed: tuple[Placed, ...]
    refused: tuple[tuple[int, str], ...]
    """Index and reason of what can be no transaction here."""

    def of(self, section: Section) -> tuple[Placed, ...]:
        """The transactions of one section."""
        return tuple(one for one in self.placed if one.section is section)


def arrange(transactions: Sequence[bytes], chain_id: int) -> Arranged:
    """Sort a payload.

    Args:
        transactions: raw, as the payload says.
        chain_id: of this rollup.
    """
    placed: list[Placed] = []
    refused: list[tuple[int, str]] = []
    latest: dict[bytes, Section] = {}
    seen: set[bytes] = set()
    in_bundles = False
    for index, raw in enumerate(transactions):
        if raw in seen:
            refused.append((index, "already known: the same transaction stands earlier in the block"))
            continue
        seen.add(raw)
        try:
            message = read_message(raw)
        except Malformed as exc:
            refused.append((index, str(exc)))
            continue
        if message.chain_id not in (None, chain_id):
            refused.append((index, f"invalid chain id for signer: have {message.chain_id} want {chain_id}"))
            continue
        in_bundles = in_bundles or is_guard(message)
        section = Section.BUNDLES if in_bundles else section_of(message)
        if not message.is_deposit:
            section = latest[message.sender] = max(section, latest.get(message.sender, section))
        placed.append(Placed(index, section, message))
    placed.sort(key=lambda one: (one.section, one.index))
    return Arranged(tuple(placed), tuple(refused))
