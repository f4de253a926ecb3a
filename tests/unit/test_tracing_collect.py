import gc
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.wire.journal import Event, Journal, read_journal
from orchestrator.tracing import (
    AmbiguousMessageError,
    Kind,
    NoJournalError,
    UnknownMessageError,
    find_trace,
    group_events,
    load_traces,
)
from orchestrator.tracing.testing import ScriptedRun, make_synthetic_run

KEYS = ["0x" + digit * 64 for digit in "abc"]


def scripted() -> ScriptedRun:
    """Three healthy bundles, a single transaction and an event of no message."""
    script = ScriptedRun()
    script.emit("node.started", node="sequencer", at_ns=1)
    for place, key in enumerate(KEYS):
        script.bundle(key, rollups=("alpha", "beta"), start_ns=1_000_000 * (place + 1))
    script.emit("bundle.submitted", node="client", at_ns=5, msg_id="0x" + "d" * 64)
    return script


def test_journals_written_by_nodes_are_read_back_whole(tmp_path: Path) -> None:
    """Every event that real journals hold comes back, grouped by message, the loose ones apart."""
    with (
        Journal(tmp_path / "journal" / "client.jsonl", "client", "client") as client,
        Journal(tmp_path / "journal" / "sequencer.jsonl", "sequencer", "sequencer") as sequencer,
    ):
        sequencer.emit("node.started", version="1")
        submitted = client.emit("bundle.submitted", bundle_id=KEYS[0], intended_ns=7)
        sequencer.emit("bundle.admitted", bundle_id=KEYS[0], cause=[submitted])
        client.emit("bundle.submitted", msg_id=KEYS[1])

    traces = load_traces(tmp_path)

    whole = [
        event
        for node in ("client", "sequencer")
        for event in read_journal(tmp_path / "journal" / f"{node}.jsonl")
    ]
    found = [*traces.node_events, *(event for trace in traces.traces.values() for event in trace.events)]
    assert sorted(whole, key=lambda event: event.id) == sorted(found, key=lambda event: event.id)
    assert [("node.started", "sequencer")] == [(event.event, event.node) for event in traces.node_events]
    assert [Kind.BUNDLE, Kind.TRANSACTION] == [traces.traces[key].kind for key in KEYS[:2]]
    assert {} == traces.torn


def test_scripted_lines_have_the_journals_format(tmp_path: Path) -> None:
    """A scripted run writes the same fields in the same order as a real journal: what tests see is what nodes write."""
    with Journal(tmp_path / "real.jsonl", "alpha", "rollup") as journal:
        journal.emit("leg.staged", bundle_id=KEYS[0], leg=0, cause=["x"], slot=1)
    scripted().write(tmp_path)

    real = orjson.loads((tmp_path / "real.jsonl").read_bytes())
    first = orjson.loads((tmp_path / "journal" / "alpha.jsonl").read_bytes().splitlines()[0])
    assert list(real) == list(first)
    assert [type(value) for value in real.values()] == [
        type(value) if name != "msg_id" else type(None) for name, value in first.items()
    ]


@given(order=st.permutations(scripted().events))
def test_merging_order_does_not_matter(order: list[Event]) -> None:
    """Events give the same traces in whatever order the files yield them."""
    assert group_events(scripted().events) == group_events(order)


@given(again=st.lists(st.sampled_from(scripted().events), max_size=10))
def test_an_event_counts_once(again: list[Event]) -> None:
    """Lines that appear twice, a journal copied beside itself, change nothing."""
    assert group_events(scripted().events) == group_events([*scripted().events, *again])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cut=st.integers(min_value=1, max_value=400))
def test_a_torn_last_line_is_counted_and_costs_nothing_else(tmp_path: Path, cut: int) -> None:
    """Wherever the last line of a killed node ends, all earlier events are read and the tear is counted."""
    scripted().write(tmp_path)
    journal = tmp_path / "journal" / "sequencer.jsonl"
    *whole, last = journal.read_bytes().splitlines(keepends=True)
    kept = last[: min(cut, len(last) - 2)]
    journal.write_bytes(b"".join(whole) + kept)

    traces = load_traces(tmp_path)

    assert {"sequencer.jsonl": 1} == traces.torn
    assert [len(whole)] == [found.events for found in traces.journals if found.node == "sequencer"]


def test_the_first_line_of_the_next_life_is_saved_from_a_tear(tmp_path: Path) -> None:
    """A node that restarts appends to its torn line; the new event is read, the tear counted."""
    scripted().write(tmp_path)
    journal = tmp_path / "journal" / "sequencer.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])
    with Journal(journal, "sequencer", "sequencer") as reborn:
        saved = reborn.emit("node.recovered")
        reborn.emit("node.ready")

    traces = load_traces(tmp_path)

    assert {"sequencer.jsonl": 1} == traces.torn
    assert saved in [event.id for event in traces.node_events]
    assert [2] == [found.boots for found in traces.journals if found.node == "sequencer"]


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"{}",
        b"nonsense",
        b'{"event":1,"msg_id":null,"bundle_id":null,"leg":null,"node":"a","role":"r","boot":"1","seq":0,"mono_ns":1,"wall_ns":1,"cause":[],"attrs":{}}',
        b'{"event":"e","msg_id":null,"bundle_id":null,"leg":null,"node":"a","role":"r","boot":"1","seq":0,"mono_ns":"1","wall_ns":1,"cause":[],"attrs":{}}',
        b'{"event":"e","msg_id":null,"bundle_id":null,"leg":"0","node":"a","role":"r","boot":"1","seq":0,"mono_ns":1,"wall_ns":1,"cause":[],"attrs":{}}',
        b'{"event":"e","msg_id":null,"bundle_id":null,"leg":null,"node":"a","role":"r","boot":"1","seq":0,"mono_ns":1,"wall_ns":1,"cause":[[]],"attrs":{}}',
    ],
)
def test_a_line_that_is_no_event_is_counted_not_believed(tmp_path: Path, line: bytes) -> None:
    """A broken line in the middle neither stops the reader nor becomes an event."""
    scripted().write(tmp_path)
    journal = tmp_path / "journal" / "alpha.jsonl"
    journal.write_bytes(line + b"\n" + journal.read_bytes())

    traces = load_traces(tmp_path)

    assert {"alpha.jsonl": 1} == traces.torn
    assert group_events(scripted().events).traces == traces.traces


def test_gaps_in_the_numbers_are_lost_lines() -> None:
    """A number between others that no line bears is lost; each life counts from 0."""
    script = ScriptedRun()
    for at in range(5):
        script.emit("tick", node="alpha", at_ns=at)
    script.restart("alpha")
    script.emit("tick", node="alpha", at_ns=9)
    events = [event for event in script.events if event.seq not in {1, 3}]

    (journal,) = group_events(events).journals

    assert (2, 4, 2) == (journal.lost, journal.events, journal.boots)


def test_a_directory_without_journals_is_refused(tmp_path: Path) -> None:
    """Nothing to read is an error with a hint, not an empty report."""
    with pytest.raises(NoJournalError, match="no journal") as caught:
        load_traces(tmp_path)

    assert caught.value.hint


def test_reading_leaves_the_collector_as_it_was(tmp_path: Path) -> None:
    """Loading pauses the garbage collector for itself only, on failure too."""
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "folder.jsonl").mkdir()

    with pytest.raises(OSError, match="folder"):
        load_traces(tmp_path)

    assert gc.isenabled()


@pytest.mark.parametrize(
    "wanted", [KEYS[0], KEYS[0][:6], KEYS[0][2:6], KEYS[0].upper().replace("X", "x"), f" {KEYS[0]} "]
)
def test_a_message_is_found_by_hash_or_prefix(wanted: str) -> None:
    """The hash may be cut short, in capitals and without its 0x."""
    assert KEYS[0] == find_trace(group_events(scripted().events), wanted).key


def test_a_bundle_is_found_by_the_hash_of_a_leg() -> None:
    """A wallet shows the leg's transaction hash: it leads to the bundle."""
    script = scripted()
    script.emit(
        "leg.executed", node="alpha", at_ns=9, bundle_id=KEYS[1], leg=0, attrs={"tx": "0x77" + "e" * 62}
    )

    assert KEYS[1] == find_trace(group_events(script.events), "0x77ee").key


def test_an_ambiguous_prefix_names_its_candidates() -> None:
    """The error lists the hashes that fit."""
    script = scripted()
    script.bundle("0xaa77", rollups=("alpha",), start_ns=0)

    with pytest.raises(AmbiguousMessageError, match="0xaa77"):
        find_trace(group_events(script.events), "0xaa")


def test_an_unknown_hash_names_what_is_known() -> None:
    """The error tells a mistyped hash from an empty run."""
    with pytest.raises(UnknownMessageError) as full:
        find_trace(group_events(scripted().events), "0x99")
    with pytest.raises(UnknownMessageError) as empty:
        find_trace(group_events([]), "0x99")

    assert (True, "nothing was submitted yet") == (KEYS[2] in full.value.hint, empty.value.hint)


def test_a_synthetic_run_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """The benchmark's input depends on its arguments only."""
    for name in ("one", "two"):
        make_synthetic_run(tmp_path / name, bundles=20, seed=3)

    assert load_traces(tmp_path / "one") == load_traces(tmp_path / "two")
    assert 20 == len(load_traces(tmp_path / "one").traces)
