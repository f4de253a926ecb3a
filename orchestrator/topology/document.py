"""The document: plain values with a memory of where each stood.

The problem: a YAML loader turns text into objects and forgets the lines, runs tags, follows aliases (a kilobyte of them
can mean a gigabyte of nodes) and lets the last of two equal keys win. The choice: read PyYAML's *events*, a flat and
lazy stream, and build the values here, by the YAML 1.2 rules of ``scalars``. Rejected: a loader subclass (its
constructors recurse and its marks are lost) and a YAML 1.2 library (one more dependency, still no line for a path).

Two kinds of trouble. What makes the rest unreadable (syntax, encoding, limits, anchors, tags) raises at once and comes
alone. What spoils one place (a duplicate key, an ambiguous number, a missing value) is noted, the place is left out of
``content``, and reading goes on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from orchestrator.topology.encoding import decode
from orchestrator.topology.errors import Finding, InvalidTopology, KeyPath, Problem, render_path, shown
from orchestrator.topology.scalars import Trap, read_scalar
from orchestrator.topology.syntax import explain

MAX_NODES = 20_000
"""Events before reading stops; 64 rollups with every key written out take about 1,500."""

MAX_DEPTH = 16
"""Nested lists and maps; a topology needs four. Checked while reading: PyYAML's scanner is quadratic in it."""

_SPOILED: Any = object()
"""Stands for a value that can't be used and was reported; the map that holds it leaves its key out."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the file, both from 1; columns count characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from."""

    key: Mark
    """The key that holds the value; the value itself for list members and the top level."""
    value: Mark


@dataclass(frozen=True, slots=True)
class Document:
    """A topology file as plain values (dicts, tuples, scalars), not yet checked against the spec."""

    file: str
    content: dict[str, Any]
    origins: Mapping[KeyPath, Origin]
    """For every place in the file, spoiled ones included."""
    spoiled: frozenset[KeyPath]
    """Places that are missing from ``content`` because they could not be used."""
    incomplete: frozenset[KeyPath]
    """Maps that lost an entry, because its value is spoiled or its key is none."""
    problems: tuple[Problem, ...]
    """Why they could not."""

    def locate(self, finding: Finding) -> Problem:
        """The finding with its line; a place that is not in the file (a missing key) is marked at what should hold it."""
        known = next(
            length for length in range(len(finding.path), -1, -1) if finding.path[:length] in self.origins
        )
        origin = self.origins[finding.path[:known]]
        mark = origin.key if finding.at_key or known < len(finding.path) else origin.value
        return _problem(self.file, mark, finding.path, finding.message, finding.hint)


def parse_document(data: bytes, file: str) -> Document:
    """Read the bytes of a topology file; ``file`` is its name in problems.

    Raises:
        InvalidTopology: the bytes are no single YAML document with a map at its top, or exceed a limit.
    """
    text = decode(data, file)
    builder = _Builder(text, file)
    try:
        content = builder.read()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = _mark(mark) if mark else Mark(1, 1)
        message, hint = explain(exc)
        raise InvalidTopology([_problem(file, place, (), message, hint)]) from exc
    except (yaml.YAMLError, ValueError, OverflowError) as exc:
        # PyYAML lets chr() and int() fail on escapes and versions that are out of range.
        place = builder.last_mark
        raise InvalidTopology([_problem(file, place, (), f"is not YAML: {shown(str(exc))}")]) from exc
    return Document(
        file,
        content,
        builder.origins,
        frozenset(builder.spoiled),
        frozenset(builder.incomplete),
        tuple(builder.problems),
    )


class _Builder:
    """One pass over the events of a document."""

    def __init__(self, text: str, file: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._file = file
        self._nodes = 0
        self.last_mark = Mark(1, 1)
        self.origins: dict[KeyPath, Origin] = {}
        self.spoiled: set[KeyPath] = set()
        self.incomplete: set[KeyPath] = set()
        self.problems: list[Problem] = []

    def read(self) -> dict[str, Any]:
        self._next()  # the start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            self._refuse("is empty", "start with name: my-devnet")
        root = self._next()
        if isinstance(root, yaml.ScalarEvent) and not root.value:
            self._refuse("is empty", "start with name: my-devnet")
        if not isinstance(root, yaml.MappingStartEvent):
            kind = "a list" if isinstance(root, yaml.SequenceStartEvent) else "a single value"
            self._refuse(f"must be a map of keys, not {kind}", "start with name: my-devnet")
        self.origins[()] = Origin(self.last_mark, self.last_mark)
        content: dict[str, Any] = self._mapping(())
        self._next()  # the end of the document
        if not isinstance(self._next(), yaml.StreamEndEvent):
            self._refuse("holds more than one document", "remove the line with --- or split the file")
        return content

    def _next(self) -> yaml.Event:
        event = next(self._events)
        self.last_mark = _mark(event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(f"holds more than {MAX_NODES} values: too large for a topology")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse("anchors (&) and aliases (*) are not supported", "write the value out at each place")
        tag = getattr(event, "tag", None)
        if isinstance(tag, str):
            self._refuse(f"tags are not supported: {shown(tag)}", "remove the tag")
        return event

    def _node(self, event: yaml.Event, path: KeyPath) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) + 1 > MAX_DEPTH:
            self._refuse(f"is nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        seen: dict[str, Mark] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key_mark = self.last_mark
            key = self._key(event, path)
            value_event = self._next()
            if key is None or key in seen:
                if key is not None:
                    said = f"appears twice, first on line {seen[key].line}"
                    self._report(key_mark, (*path, key), said, "keep one")
                self._skip(value_event)
                self.incomplete.add(path)
                continue
            seen[key] = key_mark
            inner = (*path, key)
            self.origins[inner] = Origin(key_mark, self.last_mark)
            value = self._node(value_event, inner)
            if value is _SPOILED:
                self.spoiled.add(inner)
                self.incomplete.add(path)
            else:
                values[key] = value
        return values

    def _sequence(self, path: KeyPath) -> Any:
        values: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            inner = (*path, len(values))
            self.origins[inner] = Origin(self.last_mark, self.last_mark)
            values.append(self._node(event, inner))
        return _SPOILED if any(value is _SPOILED for value in values) else tuple(values)

    def _key(self, event: yaml.Event, path: KeyPath) -> str | None:
        """The key as text; None after a report that it can't be one."""
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(
                "a key must be a word, not a list or a map", "a value with { or [ needs quotes to be a key"
            )
        if event.style is None and event.value == "<<":
            self._report(self.last_mark, path, "merge keys (<<) are not supported", "write the keys out")
            return None
        value = self._scalar(event, path, role="key")
        if value is _SPOILED or isinstance(value, str):
            return None if value is _SPOILED else value
        hint = f'write "{event.value}" with quotes'
        self._report(
            self.last_mark, path, f"a key must be text, but YAML reads {event.value} as {_kind(value)}", hint
        )
        return None

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath, role: str = "value") -> Any:
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            self._report(
                self.last_mark, path, "half a surrogate pair is no text", "write the character itself"
            )
            return _SPOILED
        value = event.value if event.style else read_scalar(event.value)
        if isinstance(value, Trap):
            self._report(self.last_mark, path, value.message, value.hint)
            return _SPOILED
        if value is None:
            empty_value = "write a value, {} for a map with every default, or remove the key"
            hint = empty_value if role == "value" else "write a key before the colon"
            self._report(self.last_mark, path, f"the {role} is missing", hint)
            return _SPOILED
        return value

    def _skip(self, event: yaml.Event) -> None:
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                self._refuse(f"is nested more than {MAX_DEPTH} levels deep")
            if depth == 0:
                return
            event = self._next()

    def _report(self, mark: Mark, path: KeyPath, message: str, hint: str) -> None:
        self.problems.append(_problem(self._file, mark, path, message, hint))

    def _refuse(self, message: str, hint: str = "") -> NoReturn:
        raise InvalidTopology([_problem(self._file, self.last_mark, (), message, hint)])


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _kind(value: Any) -> str:
    return "true or false" if isinstance(value, bool) else "a number"


def _problem(file: str, mark: Mark, path: KeyPath, message: str, hint: str = "") -> Problem:
    return Problem(file, mark.line, mark.column, render_path(path), message, hint)
