"""Whether a slot holds its bundles whole: what no sequencer can talk its way around. Pure.

A bundle's name binds who acts where, in which order, until when (``bundle``). A slot carries the rest of what the name is made of, so
everybody who reads it, builder, rollup node or verifier, can make the name again from the legs that are really there. A bundle of which a leg is
missing, doubled, changed, on another rollup, out of its order or too late is *torn*, and takes no effect on any rollup. What is torn
follows from the slot alone; that all legs of a whole bundle succeed as well is what ``atomic`` judges.
"""

from collections.abc import Mapping

from bridge.wire.bundle import decode_bundle
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.slot import BundlePart, BundleTerms, Slot

_SHOWN = 8
"""Legs that a reason names."""


def torn(slot: Slot) -> Mapping[str, str]:
    """Why each bundle that is torn is, by bundle hash; empty for an honest slot."""
    reasons: dict[str, str] = {}
    places: dict[str, int] = {}
    for place, terms in enumerate(slot.bundles):
        if terms.bundle in places:
            reasons[terms.bundle] = "it stands twice in the slot's order"
        places.setdefault(terms.bundle, place)
    parts: dict[str, list[tuple[int, BundlePart]]] = {terms.bundle: [] for terms in slot.bundles}
    for block in slot.blocks:
        last = -1
        for part in block.payload.bundles:
            place = places.get(part.bundle, -1)
            if place < 0:
                reasons[part.bundle] = "the slot's order does not have it"
            elif place <= last:
                reasons.setdefault(part.bundle, f"chain {block.chain_id} has it out of the slot's order")
            last = max(last, place)
            parts.setdefault(part.bundle, []).append((block.chain_id, part))
    for terms in slot.bundles:
        if terms.bundle not in reasons:
            try:
                _require_whole(terms, parts[terms.bundle], slot.timestamp)
            except Malformed as exc:
                reasons[terms.bundle] = str(exc)
    return reasons


def _require_whole(terms: BundleTerms, parts: list[tuple[int, BundlePart]], timestamp: int) -> None:
    """Refuse a bundle with the first thing that is wrong with it."""
    legs = _legs(parts)
    if not timestamp <= terms.max_timestamp < 1 << 256:
        raise Malformed(f"its deadline {terms.max_timestamp} is not one for a slot of time {timestamp}")
    found = decode_bundle([from_hex(raw) for _, raw in legs], terms.max_timestamp, from_hex(terms.salt, 32))
    for index, (leg, (chain_id, _)) in enumerate(zip(found.legs, legs, strict=True)):
        if leg.chain_id != chain_id:
            raise Malformed(f"leg {index} is signed for chain {leg.chain_id} and stands on chain {chain_id}")
    if to_hex(found.hash) != terms.bundle:
        raise Malformed(f"the legs that are there are those of bundle {to_hex(found.hash)}")


def _legs(parts: list[tuple[int, BundlePart]]) -> list[tuple[int, str]]:
    """Chain id and raw transaction of each leg, none missing, none twice."""
    legs: dict[int, tuple[int, str]] = {}
    for chain_id, part in parts:
        if sorted(set(part.legs)) != list(part.legs) or len(part.legs) != len(part.transactions):
            raise Malformed(f"chain {chain_id} runs its legs as {list(part.legs[:_SHOWN])}")
        for leg, raw in zip(part.legs, part.transactions, strict=True):
            if leg in legs:
                raise Malformed(f"leg {leg} stands on chains {legs[leg][0]} and {chain_id}")
            legs[leg] = (chain_id, raw)
    missing = next(leg for leg in range(len(legs) + 1) if leg not in legs)
    if missing < max(legs, default=1):
        raise Malformed(f"leg {missing} is missing")
    return [legs[leg] for leg in range(len(legs))]
