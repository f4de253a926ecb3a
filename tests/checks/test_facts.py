"""A run directory is read as it was written, and whatever is no run is named as such."""

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.wire.journal import Event
from orchestrator.checks import Expectations, NotARun, RunFacts, load_facts, rebuilt
from orchestrator.checks.expectations import UnreadableExpectations
from orchestrator.checks.observed import UnreadableObservation
from orchestrator.checks.testing import write_run
from orchestrator.checks.windows import fault_windows, phases
from orchestrator.load.history import Sighting, UnreadableHistory


@pytest.fixture
def stored(good: RunFacts, tmp_path: Path) -> Path:
    """A run directory."""
    write_run(good, tmp_path / "run")
    return tmp_path / "run"


def event(name: str, at: int, **attrs: object) -> Event:
    """An event of the client's journal."""
    return Event(name, None, None, None, "client", "client", "1", at, at, at, (), dict(attrs))


def test_a_stored_run_is_read_as_it_was(good: RunFacts, stored: Path) -> None:
    """Operations, sightings, journals, observation and expectations, all equal."""
    assert good == load_facts(stored)


def test_expectations_are_kept_with_the_run(good: RunFacts, tmp_path: Path) -> None:
    """A check of the stored run judges it as strictly."""
    wanted = Expectations(recovery_s=2.5, coverage={"aborted": 3}, unaffected=("alpha",))
    write_run(replace(good, expected=wanted), tmp_path / "run")
    assert wanted == load_facts(tmp_path / "run").expected


def test_a_run_without_load_and_observation_has_none(stored: Path) -> None:
    """What is missing is missing, not an error: checkers say unknown."""
    for name in ("history.jsonl", "observed.json", "expectations.json"):
        (stored / name).unlink()
    facts = load_facts(stored)
    assert ((), None, Expectations()) == (facts.operations, facts.observed, facts.expected)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("plan.json", NotARun),
        ("history.jsonl", UnreadableHistory),
        ("observed.json", UnreadableObservation),
        ("expectations.json", UnreadableExpectations),
    ],
)
def test_a_damaged_file_is_named(stored: Path, name: str, error: type[Exception]) -> None:
    """The error says which file it is, and ends the command with the status of unknown."""
    (stored / name).write_bytes(b'{"unexpected": true}\n')
    with pytest.raises(error, match=name) as caught:
        load_facts(stored)
    assert 2 == getattr(caught.value, "exit_code", None)


def test_another_directory_is_no_run(tmp_path: Path) -> None:
    """It says so."""
    with pytest.raises(NotARun, match="is not the directory of a run"):
        load_facts(tmp_path)


def test_lives_of_nodes_are_windows() -> None:
    """From kill to restart and from pause to resume; a window that nobody ended has no end."""
    events = [
        event("fault.kill", 10, node="sequencer"),
        event("fault.restart", 20, node="sequencer"),
        event("fault.pause", 30, node="alpha"),
        event("fault.resume", 40, node="alpha"),
        event("fault.kill", 50, node="beta"),
    ]
    windows = fault_windows(events)
    assert [("kill", 10, 20), ("pause", 30, 40), ("kill", 50, None)] == [
        (one.kind, one.begun_ns, one.ended_ns) for one in windows
    ]
    assert [frozenset({"sequencer"}), frozenset({"alpha"}), frozenset({"beta"})] == [
        one.nodes for one in windows
    ]


def test_a_named_fault_is_one_window_with_what_it_did() -> None:
    """Injected, shown to have bitten, healed; the operation by which it was done is no second window."""
    about = {"window": "the sequencer dies", "kind": "kill", "targets": ["sequencer"]}
    events = [
        event("fault.injected", 10, **about),
        event("fault.kill", 11, node="sequencer"),
        event("fault.bit", 12, **about),
        event("fault.restart", 19, node="sequencer"),
        event("fault.healed", 20, **about),
    ]
    (window,) = fault_windows(events)
    assert ("the sequencer dies", 10, 20, True, 12, 20) == (
        window.name,
        window.begun_ns,
        window.ended_ns,
        window.bit,
        window.struck_ns,
        window.recovers_ns,
    )


def test_a_heal_has_a_beginning_and_may_fail() -> None:
    """A recovery counts from where the heal began; where it failed there is no end, and nothing to recover from yet."""
    about = {"window": "slow", "kind": "delay", "targets": ["alpha->l1"]}
    told = [
        event("fault.injected", 10, **about),
        event("fault.bit", 18, struck_ns=12, **about),
        event("fault.healing", 20, **about),
    ]
    (healed,) = fault_windows([*told, event("fault.healed", 25, healed=True, **about)])
    assert (12, 20, 25) == (healed.struck_ns, healed.recovers_ns, healed.ended_ns)
    (failed,) = fault_windows([*told, event("fault.healed", 25, healed=False, **about)])
    assert (None, None) == (failed.recovers_ns, failed.ended_ns)


def test_a_fault_that_never_began_lasted_for_no_time() -> None:
    """Its trigger never came: there is nothing to heal."""
    (window,) = fault_windows([event("fault.missed", 10, window="late", kind="kill", targets=["alpha"])])
    assert (10, 10, False) == (window.begun_ns, window.ended_ns, window.bit)


def test_links_name_both_their_ends() -> None:
    """A fault on the way from one node to another touches both."""
    about = {"window": "slow", "kind": "delay", "targets": ["alpha->l1"]}
    (window,) = fault_windows([event("fault.injected", 10, **about)])
    assert frozenset({"alpha", "l1"}) == window.nodes


def test_phases_follow_one_another() -> None:
    """Each ends where the next begins."""
    found = phases([event("phase.begun", 5, phase="baseline"), event("phase.begun", 9, phase="recovery")])
    assert [("baseline", 5, 9), ("recovery", 9, None)] == [(p.name, p.begun_ns, p.ended_ns) for p in found]


def test_what_was_seen_after_the_observation_is_not_held_against_it(good: RunFacts) -> None:
    """An onlooker that looks on sees newer blocks than were observed."""
    assert good.observed is not None
    late = Sighting("alpha", 0, good.observed.at_ns + 1, heads={"latest": (10_000, "0x01")})
    assert good.sightings == replace(good, sightings=(*good.sightings, late)).sightings_before


async def test_rebuilding_a_run_without_an_l1_says_why(stored: Path) -> None:
    """It is no error: the checker of the replay says unknown."""
    facts = await rebuilt(load_facts(stored), stored)
    assert isinstance(facts.rebuilt, str)
