"""Which superbatches without effect tell that something is wrong. Pure.

The verifier names every transaction of the batcher that has no effect. Most of them are honest: after a reorganisation of L1, or when a
sequencer comes back after its window, a superbatch that was signed before no longer fits, and its slots are posted anew. So
one is no finding once another superbatch of its number counts. Of the rest only the first is told: all that follow it have no effect
because it has none. If even the first one's number is too high, one is missing before it.
"""

from collections.abc import Iterable, Mapping, Sequence
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


def inboxed(
    batches: Iterable[BatchTransaction], findings: Sequence[Finding], counted: int
) -> dict[str, Inboxed]:
    """What the batcher sent in one L1 block, by L1 transaction.

    Args:
        batches: its transactions, in order.
        findings: the verifier's about this L1 block.
        counted: how many superbatches had counted before.
    """
    ignored = {finding.l1_tx for finding in findings if finding.what == WHAT}
    sent: dict[str, Inboxed] = {}
    for batch in batches:
        counts = batch.hash not in ignored
        sent[batch.hash] = Inboxed(counted if counts else _number(batch.data, counted), counts)
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
            if number < counted or broken:
                continue
            broken = True
            kept.append(_named(finding, number, counted))
        else:
            kept.append(finding)
    return kept


def _number(data: bytes, otherwise: int) -> int:
    try:
        return decode_superbatch(data).number
    except Malformed:
        return otherwise


def _named(finding: Finding, number: int, counted: int) -> Finding:
    """The finding with the superbatch's number; the missing one's if it came too early."""
    if number == counted:
        return replace(finding, claimed=f"superbatch {number}")
    return replace(finding, claimed=f"superbatch {counted}, for superbatch {number} follows it")
