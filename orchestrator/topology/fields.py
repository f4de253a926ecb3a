"""The types of a topology's fields: each knows what it accepts, and says in our words what it does not.

pydantic checks shapes and ranges; what it can't know (a duration needs a unit, ``sequencer`` is taken) is checked by the
validators here, which raise :func:`complaint` with a message and a hint of their own.
"""

import difflib
import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from orchestrator.topology.durations import (
    DURATION_PATTERN,
    UNITS,
    format_duration,
    parse_duration,
    suggest_duration,
)
from orchestrator.topology.errors import shown
from orchestrator.topology.names import NAME_PATTERN, RESERVED_NAMES, ROLES, is_name, suggest_name
from orchestrator.topology.sizes import SIZE_PATTERN, format_size, parse_size, suggest_size

COMPLAINT = "rollnet"
"""The pydantic error type of :func:`complaint`."""


def complaint(message: str, hint: str = "") -> PydanticCustomError:
    """An error that carries our own words through pydantic."""
    return PydanticCustomError(COMPLAINT, "{message}", {"message": message, "hint": hint})


def _check_name(text: str) -> str:
    if not is_name(text):
        suggestion = suggest_name(text)
        hint = f"for example {suggestion}" if suggestion else "for example alpha-1"
        rule = "lower-case letters, digits and dashes, a letter first, at most 32 characters"
        raise complaint(f"{shown(text)} is no name: {rule}", hint)
    return text


def _check_rollup_name(text: str) -> str:
    if text in RESERVED_NAMES:
        raise complaint(
            f"the name {text} is taken by a node that every devnet has", f"for example {text}-rollup"
        )
    return _check_name(text)


Name = Annotated[
    str,
    AfterValidator(_check_name),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN}),
]
"""A lower-case DNS label."""

RollupName = Annotated[
    str,
    AfterValidator(_check_rollup_name),
    # "pattern" stands inside: at the top pydantic would make it patternProperties, and other names would pass unchecked.
    WithJsonSchema(
        {"type": "string", "allOf": [{"pattern": NAME_PATTERN}, {"not": {"enum": list(RESERVED_NAMES)}}]}
    ),
]
"""A name that no other node has."""


def _check_role(text: str) -> str:
    if text not in ROLES:
        meant = difflib.get_close_matches(text[:64].lower(), ROLES, n=1)
        hint = f"did you mean {meant[0]}?" if meant else f"one of: {', '.join(ROLES)}"
        raise complaint(f"{shown(text)} is no role", hint)
    return text


RoleName = Annotated[
    str, AfterValidator(_check_role), WithJsonSchema({"type": "string", "enum": list(ROLES)})
]
"""What a node is."""


@dataclass(frozen=True, slots=True)
class DurationBetween:
    """Marks a duration field: text with a unit in the file, seconds (float) in the spec."""

    shortest: str
    longest: str

    def read(self, value: Any) -> float:
        """Seconds of a duration within the bounds."""
        try:
            seconds = parse_duration(value)
        except (TypeError, ValueError):
            raise _no_duration(value) from None
        if not parse_duration(self.shortest) <= seconds <= parse_duration(self.longest):
            said = format_duration(seconds)
            raise complaint(f"must be between {self.shortest} and {self.longest}, not {said}")
        return seconds

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": DURATION_PATTERN,
            "x-shortest": self.shortest,
            "x-longest": self.longest,
        }


def _no_duration(value: object) -> PydanticCustomError:
    suggestion = suggest_duration(value)
    hint = (
        f"write {suggestion}"
        if suggestion
        else f"write a number with a unit ({', '.join(UNITS)}), such as 200ms"
    )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return complaint("a duration needs a unit", hint)
    said = shown(value) if isinstance(value, str) else "this"
    return complaint(f"{said} is no duration", hint)


@dataclass(frozen=True, slots=True)
class SizeBetween:
    """Marks a field for an amount of memory: text with a unit in the file, bytes (int) in the spec."""

    least: str
    most: str

    def read(self, value: Any) -> int:
        """Bytes of a size within the bounds."""
        try:
            size = parse_size(value)
        except (TypeError, ValueError):
            raise _no_size(value) from None
        if not parse_size(self.least) <= size <= parse_size(self.most):
            raise complaint(f"must be between {self.least} and {self.most}, not {format_size(size)}")
        return size

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": SIZE_PATTERN, "x-least": self.least, "x-most": self.most}


def _no_size(value: object) -> PydanticCustomError:
    suggestion = suggest_size(value)
    hint = f"write {suggestion}" if suggestion else "write a number with MiB or GiB, such as 512MiB"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return complaint("an amount of memory needs a unit", hint)
    said = shown(value) if isinstance(value, str) else "this"
    return complaint(f"{said} is no amount of memory", hint)


def _at_most_decimals(places: int, reason: str) -> AfterValidator:
    step = Decimal(1).scaleb(-places)

    def check(amount: float) -> float:
        if Decimal(repr(amount)) % step:
            raise complaint(f"{amount} has more than {places} decimals", reason)
        return amount

    return AfterValidator(check)


Price = Annotated[
    float, Field(ge=0.01, le=1e9), _at_most_decimals(6, "prices count in millionths of a dollar")
]
"""USD, in steps that the contracts can hold; the upper bound keeps a million times it exact in a float."""

Cash = Annotated[float, Field(ge=0, le=1e9), _at_most_decimals(6, "cash counts in millionths of a dollar")]
"""USD, in steps that ledgers can hold; the upper bound as for prices."""

PartsPerMillion = _at_most_decimals(6, "shares of this kind count in parts per million")
"""Refuses finer steps."""

Share = Annotated[float, Field(ge=0, le=1), PartsPerMillion]
"""Of a whole, in parts per million."""

Quantity = Annotated[float, _at_most_decimals(4, "quantities count in ten-thousandths of a unit")]
"""Units of the underlying, in steps that the contracts can hold."""


def ascending(noun: str) -> AfterValidator:
    """A list must rise and so can't repeat itself: it reads like the grid that it makes."""

    def check(values: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in itertools.pairwise(values)):
            raise complaint(
                f"{noun} must rise, each greater than the one before", "sort them and remove repeats"
            )
        return values

    return AfterValidator(check)
