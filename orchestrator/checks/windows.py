"""When what was broken: fault windows and phases, from the client's journals. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bridge.wire.journal import Event

ENDING = frozenset({"kill", "crash_at", "stop", "restart", "out_of_memory"})
"""Kinds of faults that end a node: connections to it are refused at once, and what it had in memory alone is lost."""
_WORDS = frozenset({"injected", "bit", "missed", "healing", "healed"})
"""What is said of a named window."""
_BEGINS = {"kill": "restart", "stop": "restart", "pause": "resume"}
"""Operation on a node's life that begins a window, and the one that ends it."""


@dataclass(frozen=True, slots=True)
class Window:
    """From a fault's beginning to its healing."""

    name: str
    kind: str
    """``kill``, ``pause``, ``partition``, …"""
    targets: tuple[str, ...]
    """Nodes, or directed links as ``source->target``."""
    begun_ns: int
    ended_ns: int | None
    """None if it was never healed."""
    bit: bool | None
    """Whether it was shown to have had an effect; None if nobody looked."""
    events: tuple[str, ...] = ()
    """Journal events that tell of it, by id."""
    bit_ns: int | None = None
    """Since when it had an effect, as far as that was shown; None if it was not."""
    healing_ns: int | None = None
    """When its healing began; None if that was not noted."""

    @property
    def struck_ns(self) -> int:
        """When it took effect, as far as that is known: a crash that was ordered comes when its point is passed."""
        return self.begun_ns if self.bit_ns is None else self.bit_ns

    @property
    def recovers_ns(self) -> int | None:
        """When whatever it broke may recover: from the beginning of its healing, which takes time of its own; None if it was never healed."""
        return self.ended_ns if self.healing_ns is None or self.ended_ns is None else self.healing_ns

    def covers(self, moment_ns: int) -> bool:
        """Whether a moment lies within."""
        return self.begun_ns <= moment_ns and (self.ended_ns is None or moment_ns <= self.ended_ns)

    @property
    def nodes(self) -> frozenset[str]:
        """Nodes that it touches."""
        return frozenset(part for target in self.targets for part in target.split("->"))


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run."""

    name: str
    begun_ns: int
    ended_ns: int | None


def fault_windows(events: Iterable[Event]) -> tuple[Window, ...]:
    """Every fault window in order of time.

    Named windows come from ``fault.injected``, ``fault.bit``, ``fault.missed``, ``fault.healing`` and ``fault.healed``; one whose heal failed has no
    end. An operation on a node's life that no named window covers (``fault.kill`` … ``fault.restart``) is one of its own.
    """
    named: dict[str, Window] = {}
    lives: list[Window] = []
    for event in sorted(events, key=lambda each: each.mono_ns):
        word = event.event.removeprefix("fault.")
        if word == event.event:
            continue
        if word in _WORDS:
            _named(named, word, event)
        else:
            _life(lives, word, event)
    own = [life for life in lives if not any(_is_part_of(life, window) for window in named.values())]
    return tuple(sorted((*named.values(), *own), key=lambda window: window.begun_ns))


def phases(events: Iterable[Event]) -> tuple[Phase, ...]:
    """The phases of a run, from ``phase.begun``; each ends where the next begins."""
    begun = sorted(
        (event for event in events if event.event == "phase.begun"), key=lambda event: event.mono_ns
    )
    if not begun:
        return ()
    ends: Sequence[int | None] = [*(event.mono_ns for event in begun[1:]), None]
    return tuple(
        Phase(str(event.attrs.get("phase", "?")), event.mono_ns, end)
        for event, end in zip(begun, ends, strict=True)
    )


def _named(named: dict[str, Window], word: str, event: Event) -> None:
    name = str(event.attrs.get("window", "?"))
    known = named.get(name)
    if known is None:
        targets = event.attrs.get("targets") or ()
        targets = (targets,) if isinstance(targets, str) else tuple(map(str, targets))
        known = Window(name, str(event.attrs.get("kind", "?")), targets, event.mono_ns, None, None)
        if word == "missed":  # it never began, so it lasted for no time
            known = replace(known, ended_ns=event.mono_ns)
    known = replace(known, events=(*known.events, event.id))
    if word in ("bit", "missed"):
        since = int(event.attrs.get("struck_ns", event.mono_ns))
        known = replace(known, bit=word == "bit", bit_ns=since if word == "bit" else None)
    elif word == "healing":
        known = replace(known, healing_ns=event.mono_ns)
    elif word == "healed":
        known = replace(known, ended_ns=event.mono_ns if event.attrs.get("healed", True) else None)
    named[name] = known


def _life(lives: list[Window], word: str, event: Event) -> None:
    node = str(event.attrs.get("node", "?"))
    if word in _BEGINS:
        # the operation is noted once it is done: nothing of the node was alive any more
        lives.append(Window(f"{word} {node}", word, (node,), event.mono_ns, None, True, (event.id,)))
        return
    for index, life in enumerate(lives):
        if life.ended_ns is None and life.targets == (node,) and _BEGINS[life.kind] == word:
            lives[index] = replace(life, ended_ns=event.mono_ns, events=(*life.events, event.id))


def _is_part_of(life: Window, window: Window) -> bool:
    return bool(life.nodes & window.nodes) and (window.covers(life.begun_ns) or life.covers(window.begun_ns))
