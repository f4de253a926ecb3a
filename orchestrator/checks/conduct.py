"""How a run was conducted, by whoever conducted it: ``conduct.json`` of a run directory.

Whether the devnet was steady before it was struck, whether each fault bit and was healed, whether the backlog was gone in time: only the run
itself saw that. It keeps what it concluded, so that a check of the stored run comes to the verdict of the run.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from orchestrator.checks.verdict import CheckResult
from orchestrator.errors import RollnetError

FILE_NAME = "conduct.json"
"""In the run directory."""


class UnreadableConduct(RollnetError):  # noqa: N818 - states what is so
    """Not what a run wrote."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Conduct:
    """What the run concluded of itself."""

    before: tuple[CheckResult, ...] = ()
    """Reported before all checkers: was there anything to judge?"""
    after: tuple[CheckResult, ...] = ()
    """Reported behind them."""
    broken: bool = False
    """Whether the run broke down in its middle: then nothing else is judged."""

    __pydantic_config__ = ConfigDict(extra="forbid")


_ADAPTER: TypeAdapter[Conduct] = TypeAdapter(Conduct)


def write_conduct(run_dir: Path, conduct: Conduct) -> None:
    """Keep it with the run."""
    (run_dir / FILE_NAME).write_bytes(_ADAPTER.dump_json(conduct, indent=2) + b"\n")


def read_conduct(run_dir: Path) -> Conduct | None:
    """How a run was conducted; None if nobody said.

    Raises:
        UnreadableConduct: the file holds something else.
    """
    path = run_dir / FILE_NAME
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as exc:
        fault = exc.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise UnreadableConduct(
            f"{path}: {place}: {fault['msg']}", "check an undamaged run, or one that this version recorded"
        ) from exc
