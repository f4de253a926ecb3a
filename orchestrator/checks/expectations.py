"""What a run is expected to show, beside what must always hold: ``expectations.json`` of a run directory.

Written by whoever knows what the run is for (a chaos scenario), so that a check of the stored run judges it as strictly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from orchestrator.errors import RollnetError

FILE_NAME = "expectations.json"
"""In the run directory."""


class UnreadableExpectations(RollnetError):  # noqa: N818 - states what is so
    """Not what a scenario wrote."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Expectations:
    """Budgets of liveness, and what must have happened for the verdict to mean anything."""

    recovery_s: float | None = None
    """Longest time from the beginning of a fault's heal to the next bundle that was sent and committed since, seconds; None measures only."""
    stall_s: float = 10.0
    """Longest silence of a node that no fault touches, seconds."""
    coverage: Mapping[str, int] = field(default_factory=dict)
    """How often something must have happened at least: a word of :mod:`orchestrator.checks.coverage`, or the name of a journal event."""
    unaffected: tuple[str, ...] | None = None
    """Nodes that no fault may make stall; None means all that no fault touches."""
    checkers: tuple[str, ...] | None = None
    """The checkers to ask, by name; None means all. Coverage is asked in any case."""
    bystanders: bool = True
    """Whether some node is left alone by some fault; without one nobody can say how far a fault reached."""

    __pydantic_config__ = ConfigDict(extra="forbid")


_ADAPTER: TypeAdapter[Expectations] = TypeAdapter(Expectations)


def write_expectations(run_dir: Path, expectations: Expectations) -> None:
    """Keep what is expected with the run."""
    (run_dir / FILE_NAME).write_bytes(_ADAPTER.dump_json(expectations, indent=2) + b"\n")


def read_expectations(run_dir: Path) -> Expectations:
    """What is expected of a run; the defaults if nobody said.

    Raises:
        UnreadableExpectations: the file holds something else.
    """
    path = run_dir / FILE_NAME
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except FileNotFoundError:
        return Expectations()
    except ValidationError as exc:
        fault = exc.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise UnreadableExpectations(f"{path}: {place}: {fault['msg']}", "mend or remove it") from exc
