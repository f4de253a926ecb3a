"""pydantic's errors in our words.

pydantic says "Input should be a valid integer"; a user wants to know that ``"30_000_000"`` is text and that ``30000000``
is what to write. Each kind of error has one function here that gives a :class:`Finding`. A mistake that shows twice (a
misspelt key is unknown *and* leaves the real one missing) is said once.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from orchestrator.topology.errors import MAX_SHOWN, Finding, KeyPath, render_path, shown
from orchestrator.topology.fields import COMPLAINT
from orchestrator.topology.sections import Section
from orchestrator.topology.spec import SECTIONS

_YES = {"yes", "on", "y"}
_NO = {"no", "off", "n"}


@dataclass(frozen=True)
class Format:
    """Which maps a kind of file has, and which keys they know."""

    sections: Mapping[tuple[str, ...], type[Section]]
    """Every map by its place; ``<name>`` stands for a name that the user gives."""

    def section_at(self, path: KeyPath) -> type[Section] | None:
        """The model of the map at a place, or None where the format has no map."""
        for pattern, section in self.sections.items():
            if len(pattern) == len(path) and all(
                want in ("<name>", have) for want, have in zip(pattern, path, strict=True)
            ):
                return section
        return None


TOPOLOGY = Format(SECTIONS)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something is wrong."""

    path: KeyPath
    format: Format

    @property
    def section(self) -> type[Section] | None:
        """The map that should stand here."""
        return self.format.section_at(self.path)

    @property
    def holder(self) -> type[Section] | None:
        """The map that this is an entry of."""
        return self.format.section_at(self.path[:-1])

    @property
    def field(self) -> FieldInfo | None:
        """What the spec says about the entry."""
        return fields_of(self.holder).get(str(self.path[-1]))


def fields_of(section: type[Section] | None) -> dict[str, FieldInfo]:
    """What a map knows, by the keys that its author writes."""
    known = section.model_fields if section else {}
    return {field.alias or name: field for name, field in known.items()}


def findings_of(errors: list[ErrorDetails], of: Format = TOPOLOGY) -> list[Finding]:
    """What pydantic found, one finding per mistake."""
    findings = []
    misspelt = {_nearest_key(error, of) for error in errors if error["type"] == "extra_forbidden"}
    for error in errors:
        path, at_key = path_of(error)
        if error["type"] == "missing" and path in misspelt:
            continue
        message, hint = _word(error, _Place(path, of))
        findings.append(Finding(path, message, hint, at_key))
    return findings


def path_of(error: ErrorDetails) -> tuple[KeyPath, bool]:
    """The place of an error, and whether its key is at fault."""
    location = error["loc"]
    if location and location[-1] == "[key]":
        return location[:-1], True
    return location, error["type"] == "extra_forbidden"


def nearest(word: str, choices: list[str]) -> str:
    """The choice that a misspelt word meant, or the empty string."""
    found = difflib.get_close_matches(word[:64].lower().replace("-", "_"), choices, n=1, cutoff=0.6)
    return found[0] if found else ""


def _word(error: ErrorDetails, place: _Place) -> tuple[str, str]:
    worder = _WORDERS.get(error["type"])
    if worder is None:
        # No error of today's models gets here; a test holds that. It still must not be silent.
        return f"is not valid: {error['msg']}", ""
    return worder(place, error["input"], error.get("ctx", {}))


def _nearest_key(error: ErrorDetails, of: Format) -> KeyPath:
    *parent, key = error["loc"]
    known = list(fields_of(of.section_at(tuple(parent))))
    meant = nearest(str(key), known)
    return (*parent, meant) if meant else ()


def _unknown_key(place: _Place, _value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    key = place.path[-1]
    known = list(fields_of(place.holder))
    if meant := nearest(str(key), known):
        return "unknown key", f"did you mean {meant}?"
    homes = [(*home, str(key)) for home, other in place.format.sections.items() if key in fields_of(other)]
    if homes:
        return "unknown key here", f"it belongs at {_spell(homes[0])}"
    return "unknown key", f"known keys: {', '.join(known)}"


def _missing(place: _Place, _value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    field = place.field
    example = _example(field.examples[0]) if field and field.examples else "…"
    return "is required", f"for example {place.path[-1]}: {example}"


def _not_text(_place: _Place, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    scalar = isinstance(value, bool | int | float)
    return f"must be text, not {_describe(value)}", "put it in quotes" if scalar else ""


def _not_whole(_place: _Place, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    return f"must be a whole number, not {_describe(value)}", _as_number(value, whole=True)


def _not_number(_place: _Place, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    return f"must be a number, not {_describe(value)}", _as_number(value, whole=False)


def _not_boolean(_place: _Place, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    word = value.lower() if isinstance(value, str) else ""
    meant = "true" if word in _YES | {"true"} else "false" if word in _NO | {"false"} else "true or false"
    return f"must be true or false, not {_describe(value)}", f"write {meant} without quotes"


def _not_map(place: _Place, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    if place.path == ("rollups",):
        return f"must be a map of names, not {_describe(value)}", "write alpha: {engine: evm}"
    first = next(iter(fields_of(place.section)), "key")
    key = "" if isinstance(place.path[-1], int) else f"{place.path[-1]}: "
    return f"must be a map, not {_describe(value)}", f"write {key}{{{first}: …}}"


def _not_list(_place: _Place, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    single = isinstance(value, int | float | str) and len(str(value)) <= MAX_SHOWN
    hint = f"write [{value}]" if single else "write its members between [ and ]"
    return f"must be a list, not {_describe(value)}", hint


def _too_small(_place: _Place, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"must be at least {_number(context['ge'])}, not {_number(value)}", ""


def _too_great(_place: _Place, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"must be at most {_number(context['le'])}, not {_number(value)}", ""


def _too_few(_place: _Place, _value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"needs at least {context['min_length']} entry", ""


def _too_many(_place: _Place, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"holds {len(value)} entries, at most {context['max_length']}", ""


def _not_a_choice(place: _Place, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    choices = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
    meant = (
        nearest(value, choices) or nearest(value.replace("_", "-"), choices) if isinstance(value, str) else ""
    )
    rule = f"must be {_either(choices)}, not {_describe(value)}"
    return rule, f"did you mean {meant}?" if meant else f"write {place.path[-1]}: {choices[0]}"


def _not_matching(place: _Place, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    field = place.field
    rule = (field.description or "").partition(": ")[2] if field else ""
    example = field.examples[0] if field and field.examples else ""
    return f"{_describe(value)} does not fit: {rule}".rstrip(".: "), f"for example {example}"


def _empty(place: _Place, _value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    return "must not be empty", _missing(place, None, {})[1]


def _too_long(_place: _Place, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"has {len(value)} characters, at most {context['max_length']}", ""


def _own_words(_place: _Place, _value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return context["message"], context["hint"]


_WORDERS: dict[str, Callable[[_Place, Any, Mapping[str, Any]], tuple[str, str]]] = {
    COMPLAINT: _own_words,
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "string_type": _not_text,
    "string_pattern_mismatch": _not_matching,
    "string_too_short": _empty,
    "string_too_long": _too_long,
    "int_type": _not_whole,
    "int_from_float": _not_whole,
    "float_type": _not_number,
    "bool_type": _not_boolean,
    "dict_type": _not_map,
    "model_type": _not_map,
    "tuple_type": _not_list,
    "greater_than_equal": _too_small,
    "less_than_equal": _too_great,
    "too_short": _too_few,
    "too_long": _too_many,
    "literal_error": _not_a_choice,
}


def _either(choices: list[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def _describe(value: Any) -> str:
    """A value as the message names it: what it is, and what it says if that is short."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value!r}"
        case str():
            return f"the text {shown(value)}"
        case dict():
            return "a map"
        case _:
            return "a list"


def _as_number(value: Any, *, whole: bool) -> str:
    """How to write what is nearly a number: without quotes, separators, or a unit that the field implies."""
    if whole and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if not isinstance(value, str):
        return ""
    plain = value.strip().replace("_", "").replace(",", "").lower().removesuffix("x").removesuffix("%")
    try:
        number = float(plain)
    except ValueError:
        return ""
    if value.strip().endswith("%"):
        return "" if whole else f"write {_number(round(number / 100, 10))}"
    return f"write {plain}" if not whole or plain.isdecimal() else ""


def _number(value: float) -> str:
    return repr(value) if abs(value) < 1 else f"{value:.15g}" if isinstance(value, float) else str(value)


def _example(value: Any) -> str:
    return str(value).replace("'", "")


def _spell(path: KeyPath) -> str:
    return render_path(path).replace("'", "")
