"""For tests of contracts by random runs: the same contracts with one rule broken each, and runs that depend on nothing but a number."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from bridge.contracts.artifacts import FOLDER

COMPILING_S = 100


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule broken: ``before`` becomes ``after`` in the source of a contract."""

    name: str
    contract: str
    before: str
    after: str


def creation_codes(folder: Path, mutants: Sequence[Mutant]) -> dict[str, bytes]:
    """Creation code of every mutant, by name; compiled in one run beside the originals, in a new folder.

    Raises:
        AssertionError: a mutant's line isn't in its contract exactly once.
        subprocess.SubprocessError: one does not compile.
    """
    if shutil.which("node") is None:
        pytest.skip("compiling needs Node")
    home = folder / "bridge" / "contracts"
    shutil.copytree(FOLDER.parent / "src", home / "src", ignore=shutil.ignore_patterns("testing"))
    (folder / "node_modules").symlink_to(FOLDER.parents[2] / "node_modules")
    shutil.copy(FOLDER.parent / "compile.mjs", home)
    for index, mutant in enumerate(mutants):
        text = (home / "src" / f"{mutant.contract}.sol").read_text()
        assert text.count(mutant.before) == 1, mutant.name
        text = text.replace(mutant.before, mutant.after)
        text = text.replace(f"\ncontract {mutant.contract} ", f"\ncontract Mutant{index} ")
        (home / "src" / f"Mutant{index}.sol").write_text(text)
    subprocess.run(["node", str(home / "compile.mjs")], check=True, timeout=COMPILING_S)
    return {
        mutant.name: bytes.fromhex(
            orjson.loads((home / "artifacts" / f"Mutant{index}.json").read_bytes())["bytecode"][2:]
        )
        for index, mutant in enumerate(mutants)
    }


def run_machine(machine: type[RuleBasedStateMachine], number: int, *, examples: int, steps: int) -> None:
    """Random runs that depend on nothing but their number (and the rules). The first is the simplest: one step again and again."""
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(seed(number)(machine), settings=chosen)
