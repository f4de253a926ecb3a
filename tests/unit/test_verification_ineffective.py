"""Superbatches without effect: which of them say that something is wrong."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.l1 import BatchTransaction
from bridge.wire.slot import Block, Origin, Payload, Slot
from bridge.wire.superbatch import encode_superbatch
from orchestrator.verification.ineffective import Inboxed, inboxed, telling
from rollup_node.derivation.verifier import Finding

ROOT = "0x" + "00" * 32
OTHER = Finding(901, 7, "block hash", "0x1", "0x2", "node alpha")


@dataclass(frozen=True)
class Sent:
    """A transaction of the batcher."""

    number: int | None
    """Of its superbatch; None for garbage."""
    fits: bool
    """Whether it has an effect if its turn has come."""


def findings_of(blocks: list[list[Sent]]) -> tuple[list[Finding], int]:
    """What is told of an inbox in which these were found, L1 block by L1 block; and how many counted."""
    told: list[Finding] = [OTHER]
    sent: dict[str, Inboxed] = {}
    counted = 0
    for height, block in enumerate(blocks):
        before, about = counted, []
        batches = []
        for place, each in enumerate(block):
            name = f"{height}/{place}"
            data = b"\x01" if each.number is None else encode_superbatch(each.number, ROOT, 1, ())
            batches.append(BatchTransaction(name, "0xba", "0x1b", data))
            if each.number == counted and each.fits:
                counted += 1
            else:
                about.append(Finding(None, None, "superbatch", "a superbatch", "why", "where", name))
        sent |= inboxed(batches, about, before, lambda _: None)
        told += about
    return telling(told, sent), counted


@given(
    st.lists(st.lists(st.builds(Sent, st.none() | st.integers(0, 4), st.booleans()), max_size=3), max_size=8)
)
def test_only_what_nothing_took_the_place_of_is_told(blocks: list[list[Sent]]) -> None:
    """At most one is told, and one is exactly if a transaction had no effect whose number no superbatch that counts has."""
    found, counted = findings_of(blocks)
    assert OTHER == found[0]
    running, open_ones = 0, []
    for each in (each for block in blocks for each in block):
        if each.number == running and each.fits:
            running += 1
        else:
            open_ones.append(running if each.number is None else each.number)
    assert running == counted
    lost = [number for number in open_ones if number >= counted]
    assert min(1, len(lost)) == len(found) - 1
    if lost:
        assert found[1].claimed.startswith(f"superbatch {counted}")


def test_an_honest_repetition_is_nothing() -> None:
    """After a reorganisation a superbatch no longer fits, and its slots are posted anew under the same number."""
    assert [OTHER] == findings_of([[Sent(0, True)], [Sent(1, False)], [Sent(1, True), Sent(2, True)]])[0]


def test_a_changed_superbatch_is_told_once() -> None:
    """Nothing after it can count: only it is named."""
    found, _ = findings_of([[Sent(0, True)], [Sent(None, True)], [Sent(2, True)], [Sent(3, True)]])
    assert ["superbatch 1"] == [finding.claimed for finding in found[1:]]


def test_a_missing_superbatch_is_told_by_the_one_after_it() -> None:
    """It is not there to be found, so the first that comes too early says so."""
    found, _ = findings_of([[Sent(0, True)], [Sent(2, True)], [Sent(3, True)]])
    assert ["superbatch 1, for superbatch 2 follows it"] == [finding.claimed for finding in found[1:]]


def test_a_superbatch_for_another_branch_says_nothing_about_this_one() -> None:
    """It stands on an L1 block that is gone, so whatever its number is, nothing of this chain is missing; on one that is here, it tells."""

    def told(origin: Origin) -> list[Finding]:
        block = Block(901, 1, ROOT, ROOT, Payload(1, (), (), origin))
        data = encode_superbatch(5, ROOT, 1, (Slot(1, 9, ROOT, 1, (block,), (), {}),))
        about = [Finding(None, None, "superbatch", "a superbatch", "why", "where", "tx")]
        batch = BatchTransaction("tx", "0xba", "0x1b", data)
        hashes = ["0x" + "aa" * 32, "0x" + "bb" * 32]
        sent = inboxed([batch], about, 0, lambda number: hashes[number] if number < 2 else None)
        return telling(about, sent)

    assert [] == told(Origin(1, "0x" + "cc" * 32))
    assert [] == told(Origin(7, "0x" + "bb" * 32))
    (found,) = told(Origin(1, "0x" + "bb" * 32))
    assert "superbatch 0, for superbatch 5 follows it" == found.claimed
