"""For tests of derivation: every rule that a superbatch can break, each as a change of an honest draft."""

from collections.abc import Callable
from dataclasses import replace

from bridge.wire.derivation import MAX_DRIFT_S
from bridge.wire.slot import Origin
from bridge.wire.testing_derivation import Draft

OTHER = "0x" + "77" * 32
"""A hash of nothing."""
Break = Callable[[Draft, int], None]
"""Breaks a rule in the slot of a draft."""
BOTH = [(901, True, 1, 2), (902, True, 1, 2)]
STAY = [(901, False, 1, 2), (902, False, 1, 2)]
"""Slots in which both rollups go on to the next epoch, or stay in theirs."""


def _origin(step: int, digest: str | None = None) -> Break:
    def breaks(draft: Draft, index: int) -> None:
        now = draft.slots[index].blocks[-1].payload.origin
        number = now.number + step
        known = draft.on.l1[number].info.hash if 0 <= number < len(draft.on.l1) else OTHER
        draft.change_block(index, {"origin": Origin(number, digest or known)})

    return breaks


def put_timestamp(draft: Draft, index: int, seconds: int) -> None:
    """Another time of a slot."""
    blocks = tuple(
        replace(block, payload=replace(block.payload, timestamp=seconds))
        for block in draft.slots[index].blocks
    )
    draft.change(index, timestamp=seconds, blocks=blocks)


def _late(draft: Draft, index: int, *, bundles: bool) -> None:
    """So late that only deposits may follow; every later slot holds none, so one rule alone is broken."""
    for at in range(index, len(draft.slots)):
        blocks = []
        for block in draft.slots[at].blocks:
            kept = block.payload if at == index else replace(block.payload, transactions=(), bundles=())
            kept = replace(kept, transactions=()) if bundles else replace(kept, bundles=())
            blocks.append(replace(block, payload=kept))
        draft.change(at, blocks=tuple(blocks))
        put_timestamp(draft, at, draft.on.l1[draft.on.tips[902].origin].info.timestamp + MAX_DRIFT_S + 1)


def _deposit_in_bundle(draft: Draft, index: int) -> None:
    part = draft.slots[index].blocks[-1].payload.bundles[0]
    draft.change_block(index, {"bundles": (replace(part, transactions=("0x7e00",)),)})


def _torn_part(draft: Draft, index: int) -> None:
    part = draft.slots[index].blocks[-1].payload.bundles[0]
    draft.change_block(index, {"bundles": (replace(part, legs=(0, 1)),)})


def _set(**members: object) -> Break:
    def breaks(draft: Draft, index: int) -> None:  # noqa: ARG001 - wherever it is, the draft is broken
        for name, value in members.items():
            setattr(draft, name, value)

    return breaks


def _twice(draft: Draft, index: int) -> None:
    draft.change(index, blocks=(draft.slots[index].blocks[-1],) * 2)


BREAKS: dict[str, tuple[str, Break]] = {
    "number ahead": ("does not follow", _set(number=2)),
    "number back": ("does not follow", _set(number=0)),
    "parent": ("does not follow", _set(parent=OTHER)),
    "term lower": ("term 2 is over, 3 rules", _set(term=2)),
    "slot parent": ("does not follow slot", lambda d, i: d.change(i, parent=OTHER)),
    "slot number ahead": ("does not follow slot", lambda d, i: d.change(i, number=d.slots[i].number + 1)),
    "slot number back": ("does not follow slot", lambda d, i: d.change(i, number=d.slots[i].number - 1)),
    "block number gap": (
        "does not follow block",
        lambda d, i: d.change_block(i, number=d.slots[i].blocks[-1].number + 1),
    ),
    "block number back": (
        "does not follow block",
        lambda d, i: d.change_block(i, number=d.slots[i].blocks[-1].number - 1),
    ),
    "unknown chain": ("no such rollup", lambda d, i: d.change_block(i, chain_id=999)),
    "chain order": ("order of their chain ids", lambda d, i: d.change(i, blocks=d.slots[i].blocks[::-1])),
    "one chain twice": ("order of their chain ids", _twice),
    "origin skips an epoch": ("origin 4 after", _origin(2)),
    "origin goes back": ("origin 1 after 2", _origin(-1)),
    "origin of another branch": ("not on the L1 chain", _origin(0, OTHER)),
    "origin ahead of L1": ("not on the L1 chain", _origin(50)),
    "timestamp back": ("is before its parent's", lambda d, i: put_timestamp(d, i, d.slots[i].timestamp - 60)),
    "late transactions": (f"more than {MAX_DRIFT_S} s", lambda d, i: _late(d, i, bundles=False)),
    "late bundles": (f"more than {MAX_DRIFT_S} s", lambda d, i: _late(d, i, bundles=True)),
    "a deposit": ("holds a deposit", lambda d, i: d.change_block(i, {"transactions": ("0x7e00",)})),
    "a deposit in a bundle": ("holds a deposit", _deposit_in_bundle),
    "legs without transactions": ("legs", _torn_part),
    "sender": ("is not the batcher", _set(sender="0x" + "99" * 20)),
}
"""What the reason of a refusal says, and how the rule is broken; by name."""
