"""Pure functions that are remembered while schedules run: half of their time went into hashing and encoding the same things again.

Nothing else changes: each is a function of its (immutable) arguments alone. They are put in place by name in the modules that use them, for a
batch of schedules at a time, and taken away again.
"""

import contextlib
import functools
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

from bridge.wire import deposits, keccak, signing, slot, superbatch, system

SIZE = 20_000
"""Results of each function that are remembered."""
_PACKAGES = ("bridge", "rollup_node", "shared_sequencer", "orchestrator")
_PURE: tuple[Callable[..., Any], ...] = (
    keccak.keccak256,
    deposits.l1_attributes,
    deposits.decode_deposit,
    superbatch.decode_superbatch,
    system.open_guard,
    system.close_guard,
    signing.address_of,
)


class _BySlot:
    """``slot_hash`` of slots that live: they hold a dictionary, so they are told apart by identity."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[slot.Slot, str]] = {}
        self._plain = slot.slot_hash

    def __call__(self, held: slot.Slot) -> str:
        found = self._known.get(id(held))
        if found is None:
            if len(self._known) > SIZE:
                self._known.clear()
            found = self._known[id(held)] = (held, self._plain(held))
        return found[1]


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """While this lasts the results of pure functions are remembered, and garbage waits."""
    changed: list[tuple[Any, str, Any]] = []
    modules = [m for name, m in sorted(sys.modules.items()) if name.partition(".")[0] in _PACKAGES]
    replaced: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
        (function, functools.lru_cache(maxsize=SIZE)(function)) for function in _PURE
    ]
    for function, kept in [*replaced, (slot.slot_hash, _BySlot())]:
        for module in modules:
            if getattr(module, function.__name__, None) is function:
                changed.append((module, function.__name__, function))
                setattr(module, function.__name__, kept)
    collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        for module, name, function in changed:
            setattr(module, name, function)
        gc.unfreeze()
        if collecting:
            gc.enable()
