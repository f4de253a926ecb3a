"""pydantic's errors in our words.

pydantic says "Input should be a valid integer"; a user wants to know that ``"30_000_000"`` is text and that ``30000000``
is what to write. Each kind of error has one function here that gives a :class:`Finding`. A mistake that shows twice (a
misspelt key is unknown *and* leaves the real one missing) is said once.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from orchestrator.topology.errors import MAX_SHOWN, Finding, KeyPath, render_path, shown
from orchestrator.topology.fields import COMPLAINT
from orchestrator.topology.spec import SECTIONS, Section

_YES = {"yes", "on", "y"}
_NO = {"no", "off", "n"}


def findings_of(errors: list[ErrorDetails]) -> list[Finding]:
    """What pydantic found, one finding per mistake."""
    findings = []
    misspelt = {_nearest_key(error) for error in errors if error["type"] == "extra_forbidden"}
    for error in errors:
        path, at_key = path_of(error)
        if error["type"] == "missing" and path in misspelt:
            continue
        message, hint = _word(error, path)
        findings.append(Finding(path, message, hint, at_key))
    return findings


def path_of(error: ErrorDetails) -> tuple[KeyPath, bool]:
    """The place of an error, and whether its key is at fault."""
    location = error["loc"]
    if location and location[-1] == "[key]":
        return location[:-1], True
    return location, error["type"] == "extra_forbidden"


def section_at(path: KeyPath) -> type[Section] | None:
    """The model of the map at a place, or None where the spec has no map."""
    for pattern, section in SECTIONS.items():
        if len(pattern) == len(path) and all(
            want in ("<name>", have) for want, have in zip(pattern, path, strict=True)
        ):
            return section
    return None


def nearest(word: str, choices: list[str]) -> str:
    """The choice that a misspelt word meant, or the empty string."""
    found = difflib.get_close_matches(word[:64].lower().replace("-", "_"), choices, n=1, cutoff=0.6)
    return found[0] if found else ""


def _word(error: ErrorDetails, path: KeyPath) -> tuple[str, str]:
    worder = _WORDERS.get(error["type"])
    if worder is None:
        # No error of today's models gets here; a test holds that. It still must not be silent.
        return f"is not valid: {error['msg']}", ""
    return worder(path, error["input"], error.get("ctx", {}))


def _nearest_key(error: ErrorDetails) -> KeyPath:
    *parent, key = error["loc"]
    section = section_at(tuple(parent))
    known = list(section.model_fields) if section else []
    meant = nearest(str(key), known)
    return (*parent, meant) if meant else ()


def _unknown_key(path: KeyPath, _value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    *parent, key = path
    section = section_at(tuple(parent))
    known = list(section.model_fields) if section else []
    if meant := nearest(str(key), known):
        return "unknown key", f"did you mean {meant}?"
    homes = [(*place, str(key)) for place, other in SECTIONS.items() if key in other.model_fields]
    if homes:
        return "unknown key here", f"it belongs at {_spell(homes[0])}"
    return "unknown key", f"known keys: {', '.join(known)}"


def _missing(path: KeyPath, _value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    section = section_at(path[:-1])
    field = section.model_fields[str(path[-1])] if section else None
    example = _example(field.examples[0]) if field and field.examples else "…"
    return "is required", f"for example {path[-1]}: {example}"


def _not_text(_path: KeyPath, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    scalar = isinstance(value, bool | int | float)
    return f"must be text, not {_describe(value)}", "put it in quotes" if scalar else ""


def _not_whole(_path: KeyPath, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    return f"must be a whole number, not {_describe(value)}", _as_number(value, whole=True)


def _not_number(_path: KeyPath, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    return f"must be a number, not {_describe(value)}", _as_number(value, whole=False)


def _not_boolean(_path: KeyPath, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    word = value.lower() if isinstance(value, str) else ""
    meant = "true" if word in _YES | {"true"} else "false" if word in _NO | {"false"} else "true or false"
    return f"must be true or false, not {_describe(value)}", f"write {meant} without quotes"


def _not_map(path: KeyPath, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    if path == ("rollups",):
        return f"must be a map of names, not {_describe(value)}", "write alpha: {engine: evm}"
    section = section_at(path)
    first = next(iter(section.model_fields)) if section else "key"
    return f"must be a map, not {_describe(value)}", f"write {path[-1]}: {{{first}: …}}"


def _not_list(_path: KeyPath, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    single = isinstance(value, int | float | str) and len(str(value)) <= MAX_SHOWN
    hint = f"write [{value}]" if single else "write its members between [ and ]"
    return f"must be a list, not {_describe(value)}", hint


def _too_small(_path: KeyPath, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"must be at least {_number(context['ge'])}, not {_number(value)}", ""


def _too_great(_path: KeyPath, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"must be at most {_number(context['le'])}, not {_number(value)}", ""


def _too_few(_path: KeyPath, _value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"needs at least {context['min_length']} entry", ""


def _too_many(_path: KeyPath, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"holds {len(value)} entries, at most {context['max_length']}", ""


def _not_a_choice(path: KeyPath, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    choices = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
    meant = (
        nearest(value, choices) or nearest(value.replace("_", "-"), choices) if isinstance(value, str) else ""
    )
    rule = f"must be {_either(choices)}, not {_describe(value)}"
    return rule, f"did you mean {meant}?" if meant else f"write {path[-1]}: {choices[0]}"


def _not_matching(path: KeyPath, value: Any, _context: Mapping[str, Any]) -> tuple[str, str]:
    section = section_at(path[:-1])
    field = section.model_fields[str(path[-1])] if section else None
    rule = (field.description or "").partition(": ")[2] if field else ""
    example = field.examples[0] if field and field.examples else ""
    return f"{_describe(value)} does not fit: {rule}".rstrip(".: "), f"for example {example}"


def _own_words(_path: KeyPath, _value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return context["message"], context["hint"]


_WORDERS: dict[str, Callable[[KeyPath, Any, Mapping[str, Any]], tuple[str, str]]] = {
    COMPLAINT: _own_words,
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "string_type": _not_text,
    "string_pattern_mismatch": _not_matching,
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
