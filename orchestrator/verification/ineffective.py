"""Which superbatches without effect tell that something is wrong. Pure.

The verifier names every transaction of the batcher that has no effect. Most of them are honest: after a reorganisation of L1, or when a
sequencer comes back after its window, a superbatch that was signed before no longer fits, and its slots are posted anew. So
one is no finding once another superbatch of its number counts, nor if it stands on an L1 block that this L1 does not have: it was
made for a branch that is gone, and says nothing about this one. Of the rest only the first is told: all that follow it have no effect
because it has none. If even the first one's number is too high, one is missing before it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.wire.errors import Malformed
from bridge.wire.l1 import BatchTransaction
from bridge.wire.superbatch import decode_superbatch
from rollup_node.derivation.verifier import Finding

WHAT = "superbatch"
"""``Finding.what`` of those that this is about."""


@dataclass(frozen=True, slots=True)
class Inboxed:
    """A transaction of the batcher to its inbox."""

    number: int
    """Of the superbatch in it, or that it would have had to have if there is none to read."""
    counts: bool
    """Whether it has an effect."""
    elsewhere: bool = False
    """Whether it was made for another branch of L1."""


def inboxed(
    batches: Iterable[BatchTransaction],
    findings: Sequence[Finding],
    counted: int,
    hash_of: Callable[[int], str | None],
) -> dict[str, Inboxed]:
    """What the batcher sent in one L1 block, by L1 transaction.

    Args:
        batches: its transactions, in order.
        findings: the verifier's about this L1 block.
        counted: how many superbatches had counted before.
        hash_of: hash of this L1's block of a number; None beyond the present one.
    """
    ignored = {finding.l1_tx for finding in findings if finding.what == WHAT}
    sent: dict[str, Inboxed] = {}
    for batch in batches:
        counts = batch.hash not in ignored
        sent[batch.hash] = Inboxed(counted, counts) if counts else _without_effect(batch, counted, hash_of)
        counted += counts
    return sent


def telling(findings: Sequence[Finding], sent: Mapping[str, Inboxed]) -> list[Finding]:
    """The findings without superbatches that had to have no effect.

    Args:
        findings: the verifier's.
        sent: everything that the batcher sent, by L1 transaction.
    """
    counted = sum(each.counts for each in sent.values())
    kept: list[Finding] = []
    broken = False
    for finding in findings:
        if finding.what == WHAT:
            number = sent[finding.l1_tx].number
            if number < counted or broken or sent[finding.l1_tx].elsewhere:
                continue
            broken = True
            kept.append(_named(finding, number, counted))
        else:
            kept.append(finding)
    return kept


def _without_effect(batch: BatchTransaction, counted: int, hash_of: Callable[[int], str | None]) -> Inboxed:
    try:
        superbatch = decode_superbatch(batch.data)
    except Malformed:
        return Inboxed(counted, counts=False)
    origins = {block.payload.origin for slot in superbatch.slots for block in slot.blocks}
    elsewhere = any(hash_of(origin.number) != origin.hash for origin in origins)
    return Inboxed(superbatch.number, counts=False, elsewhere=elsewhere)


def _named(finding: Finding, number: int, counted: int) -> Finding:
    """The finding with the superbatch's number; the missing one's if it came too early."""
    if number == counted:
        return replace(finding, claimed=f"superbatch {number}")
    return replace(finding, claimed=f"superbatch {counted}, for superbatch {number} follows it")
