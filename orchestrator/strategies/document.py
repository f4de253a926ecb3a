"""Reads a strategy from YAML: either a preset with parameters, or legs written out. All problems at once, with lines.

::

    name: calm-week                  name: skewed
    preset: iron_condor              legs:
    parameters:                        - {side: buy, kind: call, strike: 2000, quantity: 1.5, rollup: alpha}
      quantity: 2                      - {side: sell, kind: put, strike: 1800, quantity: 1.5, expiry: 7d, limit: 20.5}
      wing: 2                        execution: bridge

Lines, duplicate keys and YAML's traps are the topology loader's business; this module says what a strategy is.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.errors import RollnetError
from orchestrator.market.units import price_units, quantity_units
from orchestrator.strategies.errors import StrategyDocumentError
from orchestrator.strategies.model import AUTO, ExecutionMode, Kind, Leg, Side, Strategy
from orchestrator.strategies.parameters import read_parameters, seconds
from orchestrator.strategies.presets import PRESETS, build
from orchestrator.topology.document import Document, parse_document
from orchestrator.topology.errors import Finding, InvalidTopology
from orchestrator.topology.plan import MarketPlan
from orchestrator.topology.source import read_source

T = TypeVar("T")

_KEYS = ("name", "summary", "execution", "preset", "parameters", "legs")


def load_strategy(path: Path, market: MarketPlan) -> Strategy:
    """Read a strategy file.

    Raises:
        StrategyDocumentError: it can't be read, or something in it is wrong.
    """
    try:
        data = read_source(path)
    except InvalidTopology as exc:
        raise StrategyDocumentError(exc.problems) from exc
    return parse_strategy(data, path.name, market)


def parse_strategy(data: bytes, file: str, market: MarketPlan) -> Strategy:
    """Read a strategy from bytes; ``file`` is its name in problems.

    Raises:
        StrategyDocumentError: something in it is wrong.
    """
    try:
        document = parse_document(data, file)
    except InvalidTopology as exc:
        raise StrategyDocumentError(exc.problems) from exc
    reader = _Reader(document, market)
    strategy = reader.strategy()
    problems = [*document.problems, *(document.locate(finding) for finding in reader.findings)]
    if problems or strategy is None:
        raise StrategyDocumentError(problems)
    return strategy


class _Reader:
    """Collects what is wrong while it reads."""

    def __init__(self, document: Document, market: MarketPlan) -> None:
        self._document = document
        self._market = market
        self.findings: list[Finding] = []

    def strategy(self) -> Strategy | None:
        """The strategy, or None after findings."""
        content = self._document.content
        self._known(content, _KEYS, ())
        name = self._text(content, "name")
        execution = self._execution(content)
        written, preset = "legs" in content, "preset" in content
        if written == preset:
            if not self._document.spoiled:
                self._find((), "needs either legs or a preset", "see topologies/strategies/ for both")
            return None
        strategy = self._from_preset(content) if preset else self._from_legs(content["legs"], name)
        if strategy is None or self.findings:
            return None
        summary = str(content.get("summary", strategy.summary))
        return Strategy(name or strategy.name, strategy.legs, summary, execution)

    def _execution(self, content: Mapping[str, Any]) -> ExecutionMode:
        wanted = content.get("execution", ExecutionMode.AUTO)
        if wanted in tuple(ExecutionMode):
            return ExecutionMode(wanted)
        if ("execution",) not in self._document.spoiled:
            modes = ", ".join(ExecutionMode)
            self._find(("execution",), f"{wanted!r} is no way to execute a strategy", f"there are {modes}")
        return ExecutionMode.AUTO

    def _from_preset(self, content: Mapping[str, Any]) -> Strategy | None:
        name, parameters = content["preset"], content.get("parameters", {})
        if not isinstance(name, str) or name not in PRESETS:
            self._find(("preset",), f"no preset is called {name!r}", f"the presets are {', '.join(PRESETS)}")
            return None
        if not isinstance(parameters, dict):
            self._find(("parameters",), "must be a map", "write quantity: 2 and so on below it")
            return None
        preset = PRESETS[name]
        for key, value in parameters.items():
            one = partial(read_parameters, name, preset.parameters, preset.defaults, {key: value})
            self._try(("parameters", key), one)
        if self.findings:
            return None
        return self._try(("preset",), partial(build, name, self._market, **parameters))

    def _from_legs(self, legs: Any, name: str | None) -> Strategy | None:
        if not isinstance(legs, tuple):
            self._find(("legs",), "must be a list", "start each leg with a dash")
            return None
        read = [self._leg(leg, ("legs", index)) for index, leg in enumerate(legs)]
        whole = tuple(leg for leg in read if leg is not None)
        if len(whole) < len(read) or self.findings:
            return None
        return self._try(("legs",), partial(Strategy, name or "", whole))

    def _leg(self, leg: Any, path: tuple[str | int, ...]) -> Leg | None:
        if not isinstance(leg, dict):
            self._find(path, "must be a map", "such as {side: buy, kind: call, strike: 2000, quantity: 1}")
            return None
        self._known(leg, tuple(_LEG_FIELDS), path)
        values: dict[str, Any] = {"underlying": self._market.underlying, "rollup": AUTO}
        for key, (field, read) in _LEG_FIELDS.items():
            inner = (*path, key)
            if key in leg:
                values[field] = self._try(inner, partial(read, leg[key]))
                self._listed(key, values[field], inner)
            elif key in _REQUIRED and inner not in self._document.spoiled:
                self._find(inner, "is missing", f"a leg needs {', '.join(_REQUIRED)}")
        if any(finding.path[: len(path)] == path for finding in self.findings) or not self._usable(path):
            return None
        return self._try(path, partial(Leg, **values))

    def _listed(self, key: str, value: Any, path: tuple[str | int, ...]) -> None:
        """Report a value that the market doesn't offer; None was reported before."""
        listed: Mapping[str, tuple[Any, ...]] = {
            "strike": tuple(map(price_units, self._market.strikes)),
            "expiry": self._market.expiries_s,
            "underlying": (self._market.underlying,),
        }
        if value is None or key not in listed or value in listed[key]:
            return
        offers = {
            "strike": self._market.strikes,
            "expiry": tuple(f"{expiry:g}s" for expiry in listed["expiry"]),
        }
        shown = ", ".join(str(offer) for offer in offers.get(key, listed[key]))
        self._find(path, f"the market has no such {key}", f"it lists {shown}")

    def _usable(self, path: tuple[str | int, ...]) -> bool:
        return not any(spoiled[: len(path)] == path for spoiled in self._document.spoiled)

    def _text(self, content: Mapping[str, Any], key: str) -> str | None:
        value = content.get(key)
        if isinstance(value, str) and value:
            return value
        if (key,) not in self._document.spoiled:
            self._find((key,), "is missing" if value is None else "must be text", f"write {key}: my-{key}")
        return None

    def _known(self, content: Mapping[str, Any], known: tuple[str, ...], path: tuple[str | int, ...]) -> None:
        for key in content:
            if key not in known:
                self.findings.append(
                    Finding((*path, key), "is no known key", f"there are {', '.join(known)}", at_key=True)
                )

    def _find(self, path: tuple[str | int, ...], message: str, hint: str) -> None:
        self.findings.append(Finding(path, message, hint))

    def _try(self, path: tuple[str | int, ...], read: Callable[[], T]) -> T | None:
        """What ``read`` returns; None after a finding when it refuses."""
        try:
            return read()
        except RollnetError as exc:
            self._find(path, exc.message, exc.hint)
        except (ValueError, TypeError) as exc:
            self._find(path, str(exc), "")
        return None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value


def _choice(enumeration: type[Side] | type[Kind]) -> Callable[[object], Side | Kind]:
    def read(value: object) -> Side | Kind:
        try:
            return enumeration(str(value))
        except ValueError:
            raise ValueError(f"{value!r} is neither {' nor '.join(enumeration)}") from None

    return read


def _word(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no name")
    return value


_LEG_FIELDS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "side": ("side", _choice(Side)),
    "kind": ("kind", _choice(Kind)),
    "strike": ("strike", lambda value: price_units(_number(value))),
    "quantity": ("quantity", lambda value: quantity_units(_number(value))),
    "underlying": ("underlying", _word),
    "expiry": ("expiry_s", seconds),
    "rollup": ("rollup", _word),
    "limit": ("limit", lambda value: price_units(_number(value))),
}
"""Key in the file, field of the leg, how it is read."""
_REQUIRED = ("side", "kind", "strike", "quantity")
