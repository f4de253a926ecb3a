"""Locked combos in bundles: no rollup is told that a leg is locked elsewhere unless the bundle locks it there. Pure.

An options rollup asks less margin for a short leg whose long counterpart is locked on another rollup (``IOptionsCombos``). It can't look
there. But a bundle takes effect on all its rollups or on none, and everybody who reads a slot sees all of the bundle's legs. So this much
is made a rule of bundles: whoever locks or unlocks a combo does so on *every* rollup that the combo names, once on each, with the same
words. A bundle without that is no bundle: it isn't admitted, and one in a slot is torn (``wholeness``). Whether a rollup really holds the
leg that is locked there is judged by executing the call there, as for any leg of a bundle.

The words are read from calldata here, not taken from a name that the caller gives: two transactions of one sender and nonce would share it.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256
from bridge.wire.transaction import Transaction

COMBOS: Final = bytes.fromhex("4200000000000000000000000000000000000c07")
"""Address of IOptionsCombos on every options rollup."""
LEG: Final = "(uint64,uint32,bytes32,uint64,uint64,bool,int64)"
"""ABI type of a leg; the first word is its chain."""
LOCK: Final = keccak256(f"lockCombo({LEG}[],uint64,bytes[])".encode())[:4]
UNLOCK: Final = keccak256(f"unlockCombo({LEG}[],uint64,bytes32)".encode())[:4]

_WORD: Final = 32
_LEG_BYTES: Final = 7 * _WORD
_HEAD: Final = 3 * _WORD
"""Both functions have three arguments; the legs come right behind their heads."""


def require_twins(legs: Sequence[Transaction]) -> None:
    """Refuse a bundle that locks or unlocks a combo on some of its rollups only.

    Raises:
        Malformed: it does, or one of these calls isn't one.
    """
    standing: dict[bytes, Counter[int]] = {}
    named: dict[bytes, set[int]] = {}
    for index, leg in enumerate(legs):
        if leg.to != COMBOS or leg.data[:4] not in (LOCK, UNLOCK):
            continue
        words, chains = _read(leg.data, index)
        standing.setdefault(words, Counter())[leg.chain_id] += 1
        named[words] = chains
    for words, chains in named.items():
        if standing[words] != Counter(chains):
            verb = "locks" if words[:4] == LOCK else "unlocks"
            raise Malformed(
                f"it {verb} a combo of rollups {sorted(chains)} on {sorted(standing[words].elements())}:"
                " every rollup that a combo names needs the same call, once"
            )


def _read(data: bytes, index: int) -> tuple[bytes, set[int]]:
    """What has to be the same everywhere (all but the trades that a lock makes first), and the chains of the legs."""
    body = data[4:]
    count = int.from_bytes(body[_HEAD : _HEAD + _WORD], "big")
    end = _HEAD + _WORD + count * _LEG_BYTES
    if int.from_bytes(body[:_WORD], "big") != _HEAD or not count or end > len(body):
        raise Malformed(f"transaction {index} of the bundle locks or unlocks a combo without legs")
    fixed = body[_WORD:_HEAD] if data[:4] == UNLOCK else body[_WORD : 2 * _WORD]
    legs = body[_HEAD:end]
    starts = range(_WORD, len(legs), _LEG_BYTES)
    chains = {int.from_bytes(legs[start : start + _WORD], "big") for start in starts}
    return data[:4] + fixed + legs, chains
