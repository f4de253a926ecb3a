"""When faults strike and that they are healed, under virtual time: triggers count what they should, the nemesis undoes what it did."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from bridge.wire.testing import MemoryJournal, run_virtual
from orchestrator.chaos.feed import Pulse
from orchestrator.chaos.injection import Begun, Injection
from orchestrator.chaos.lookout import LOOK_S, Lookout
from orchestrator.chaos.nemesis import Nemesis, Struck
from orchestrator.chaos.plan import AtEvent, AtHeight, AtTime, PlannedFault, Trigger
from orchestrator.chaos.triggers import Countdown, Moment
from orchestrator.checks.windows import fault_windows
from orchestrator.errors import RollnetError
from orchestrator.runtimes.faults import Bite, Healing


def event(
    name: str, node: str = "sequencer", identity: str | None = None, at_ns: int = 0, **attrs: Any
) -> Event:
    """A line of a journal."""
    return Event(name, None, identity, None, node, "sequencer", "b", 0, at_ns, 0, (), attrs)


def fault(name: str, trigger: Trigger, lasts_s: float = 1.0, kind: str = "pause") -> PlannedFault:
    """A planned fault on one node."""
    return PlannedFault(name, kind, trigger, ("alpha",), (), lasts_s, {}, 1)


class Script:
    """A feed that says what a test wrote for each moment."""

    def __init__(self, events: Mapping[float, Sequence[Event]] | None = None, rate: float = 0.0) -> None:
        self._events = sorted((events or {}).items())
        self._rate = rate
        self.asked = 0

    def events(self) -> Sequence[Event]:
        """Everything whose time has come."""
        now = asyncio.get_running_loop().time()
        due: list[Event] = []
        while self._events and self._events[0][0] <= now:
            due += self._events.pop(0)[1]
        return due

    async def heights(self, chains: Sequence[str]) -> Mapping[str, int]:
        """All chains grow alike."""
        self.asked += 1
        return {chain: 100 + int(asyncio.get_running_loop().time() * self._rate) for chain in chains}


class Toy:
    """An injection that notes what is done to it."""

    def __init__(self, log: list[str], *, bites: bool = True, fails: str = "") -> None:
        self._log, self._bites, self._fails = log, bites, fails

    async def inject(self, begun: Begun) -> None:
        """Strike, or fail."""
        begun()
        self._say("inject")
        if self._fails == "inject":
            raise RollnetError("the node is not there")

    async def bite(self) -> Bite:
        """As the test wants it."""
        self._say("look")
        if self._fails == "look":
            raise RollnetError("no answer")
        return Bite(self._bites, "seen" if self._bites else "nothing was seen")

    async def heal(self) -> Healing:
        """Undo it, slowly."""
        await asyncio.sleep(0.25)
        self._say("heal")
        if self._fails == "heal":
            raise RollnetError("it does not come back")
        return Healing(True, "as before")

    def _say(self, word: str) -> None:
        self._log.append(f"{word} {asyncio.get_running_loop().time():.2f}")


def strike(
    faults: Sequence[PlannedFault],
    make: Callable[[], Injection],
    feed: Script | None = None,
    until: float = 1e6,
) -> tuple[tuple[Struck, ...], MemoryJournal]:
    """Run a schedule in virtual time; cancelled after ``until`` seconds."""
    journal = MemoryJournal("client", "client")
    net: Any = SimpleNamespace(journal=journal)
    found: list[tuple[Struck, ...]] = [()]

    async def main() -> None:
        lookout = Lookout(feed or Script())
        looking = asyncio.create_task(lookout.run())
        lookout.begin()
        try:
            async with asyncio.timeout(until):
                nemesis = Nemesis(net, lookout, lambda _line: None, lambda _net, _fault: make())
                found[0] = await nemesis.run(faults)
        except TimeoutError:
            pass
        finally:
            looking.cancel()

    run_virtual(main())
    return found[0], journal


def said(journal: MemoryJournal) -> list[str]:
    """Events with their window or phase."""
    return [f"{one.event} {one.attrs.get('window') or one.attrs.get('phase')}" for one in journal.events]


@given(st.lists(st.sampled_from(["alpha", "beta", "gamma"]), max_size=30), st.integers(1, 10))
def test_an_event_trigger_counts_its_event_on_its_nodes_alone(nodes: list[str], count: int) -> None:
    """It is due exactly from the count-th matching event on."""
    countdown = Countdown(AtEvent("leg.staged", frozenset({"alpha", "beta"}), count, 10.0))
    seen = 0
    for node in nodes:
        countdown.event(event("bundle.decided", node))
        countdown.event(event("leg.staged", node))
        seen += node != "gamma"
        assert (Moment.NOW if seen >= count else Moment.NOT_YET) is countdown.moment(1.0)
    assert (Moment.NOW if seen >= count else Moment.NEVER) is countdown.moment(10.5)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20), st.integers(1, 20)
)
def test_a_height_trigger_waits_for_every_chain_from_where_it_stood(
    looks: list[tuple[int, int]], blocks: int
) -> None:
    """Due when each chain has added its blocks since the first look at it; a chain that falls back loses nothing."""
    countdown = Countdown(AtHeight((("alpha", blocks), ("beta", blocks)), 10.0))
    for alpha, beta in looks:
        countdown.height({"alpha": 100 + alpha, "beta": 7 + beta})
    grown = [max(look[side] for look in looks) - looks[0][side] for side in (0, 1)]
    assert (Moment.NOW if min(grown) >= blocks else Moment.NOT_YET) is countdown.moment(1.0)


def test_a_chain_that_nobody_saw_has_added_nothing() -> None:
    """Silence is no block; what was missing is said in numbers."""
    countdown = Countdown(AtHeight((("alpha", 2), ("beta", 3)), 5.0))
    countdown.height({"alpha": 10})
    countdown.height({"alpha": 11})
    assert Moment.NEVER is countdown.moment(5.1)
    assert "1 of 2 blocks of alpha, 0 of 3 blocks of beta in 5 s" == countdown.said()


def test_time_counts_from_the_end_of_the_baseline() -> None:
    """A fault after two seconds strikes two seconds after ``begin``, not after the first look."""
    log: list[str] = []
    struck, _ = strike([fault("late", AtTime(2.0))], lambda: Toy(log))
    assert "inject 2.00" == log[0]
    assert struck[0].bite.bit


def test_an_event_strikes_within_milliseconds() -> None:
    """What waited for an event begins while what is waited for is still under way."""
    log: list[str] = []
    feed = Script({0.5: [event("bundle.sequenced")] * 3, 1.0: [event("bundle.sequenced")] * 7})
    strike([fault("tenth", AtEvent("bundle.sequenced", frozenset(), 10, 30.0))], lambda: Toy(log), feed)
    moment = float(log[0].split()[1])
    assert 1.0 <= moment <= 1.0 + 3 * LOOK_S + 0.01


def test_heights_are_asked_for_only_while_somebody_waits_for_one() -> None:
    """A schedule without heights asks no chain; one with heights asks until it is due."""
    quiet, asking, log = Script(), Script(rate=10.0), list[str]()
    strike([fault("timed", AtTime(1.0))], lambda: Toy(log), quiet)
    strike(
        [fault("high", AtHeight((("alpha", 10),), 30.0)), fault("timed", AtTime(5.0))],
        lambda: Toy(log),
        asking,
    )
    assert 0 == quiet.asked
    assert 10 < asking.asked < 40


def test_a_fault_that_never_begins_is_missed_and_injects_nothing() -> None:
    """It did not bite, and says what it waited for."""
    log: list[str] = []
    feed = Script({0.1: [event("bundle.sequenced")]})
    waited = AtEvent("bundle.sequenced", frozenset({"sequencer"}), 2, 3.0)
    struck, journal = strike([fault("never", waited)], lambda: Toy(log), feed)
    assert [] == log
    assert not struck[0].bite.bit
    assert "1 of 2 bundle.sequenced in the journals of sequencer in 3 s" in struck[0].bite.evidence
    assert ["fault.missed never"] == said(journal)


@pytest.mark.parametrize("kind", ["pause", "delay"])
def test_each_fault_is_injected_judged_and_healed_in_this_order(kind: str) -> None:
    """Lives are looked at when they are struck, everything else right before it is healed."""
    log: list[str] = []
    struck, journal = strike([fault("one", AtTime(1.0), lasts_s=3.0, kind=kind)], lambda: Toy(log))
    look = "look 1.00" if kind == "pause" else "look 4.00"
    assert ["inject 1.00", look, "heal 4.25"] == log
    assert [
        "fault.injected one",
        "phase.begun one",
        "fault.bit one",
        "fault.healing one",
        "fault.healed one",
        "phase.begun recovery",
    ] == said(journal)
    assert struck[0].healing.healed


@pytest.mark.parametrize("fails", ["inject", "look"])
def test_what_goes_wrong_is_a_fault_that_did_not_bite_and_is_healed(fails: str) -> None:
    """No error of an injection ends the run, and each is undone all the same."""
    log: list[str] = []
    struck, journal = strike([fault("bad", AtTime(1.0))], lambda: Toy(log, fails=fails))
    assert not struck[0].bite.bit
    assert "fault.missed bad" in said(journal)
    assert log[-1].startswith("heal")


def test_a_fault_that_cannot_be_healed_says_so() -> None:
    """The run goes on, and the finding is there."""
    struck, _ = strike([fault("stuck", AtTime(1.0))], lambda: Toy([], fails="heal"))
    assert struck[0].bite.bit
    assert not struck[0].healing.healed
    assert "it does not come back" == struck[0].healing.evidence


def test_nobody_saw_it_bite() -> None:
    """A fault without evidence is missed, not bit."""
    struck, journal = strike([fault("dull", AtTime(0.0))], lambda: Toy([], bites=False))
    assert not struck[0].bite.bit
    assert "fault.missed dull" in said(journal)
    assert "fault.bit dull" not in said(journal)


@given(st.floats(0.5, 9.0))
@settings(max_examples=25)
def test_whenever_the_run_is_interrupted_everything_that_began_is_healed(until: float) -> None:
    """Ctrl-C at any moment: as many heals as injections, each after its injection."""
    log: list[str] = []
    faults = [
        fault("a", AtTime(1.0), 2.0),
        fault("b", AtTime(2.5), 3.0, "delay"),
        fault("c", AtTime(4.0), 1.0),
    ]
    _, journal = strike(faults, lambda: Toy(log), until=until)
    words = [line.split()[0] for line in log]
    assert words.count("inject") == words.count("heal")
    assert words.count("inject") == sum(one.event == "fault.healed" for one in journal.events)


def test_faults_that_are_due_together_strike_side_by_side() -> None:
    """One does not wait for the other's end; the recovery begins when the last is healed."""
    log: list[str] = []
    _, journal = strike([fault("a", AtTime(1.0), 5.0), fault("b", AtTime(2.0), 1.0)], lambda: Toy(log))
    assert ["inject 1.00", "inject 2.00"] == [line for line in log if line.startswith("inject")]
    phases = [line for line in said(journal) if line.startswith(("phase", "fault.healed"))]
    assert ["fault.healed b", "fault.healed a", "phase.begun recovery"] == phases[-3:]


def test_the_pulse_knows_what_waits_and_what_committed() -> None:
    """Acknowledged minus ended, whatever the order of the files; what is told again by a sequencer that came back counts once."""
    pulse = Pulse()
    pulse.take(
        [event(Stage.ADMITTED, identity="0xa", at_ns=5), event(Stage.ADMITTED, identity="0xb", at_ns=9)]
    )
    assert (0, 2, 1) == (pulse.committed, pulse.backlog(10), pulse.backlog(7))
    pulse.take([event(Stage.DECIDED, identity="0xa", at_ns=20, decision="commit")])
    pulse.take([event(Stage.DECIDED, identity="0xa", at_ns=30, decision="commit", recovered=True)])
    pulse.take([event(Stage.EXPIRED, identity="0xb", at_ns=31)])
    assert (1, 20, 0, 2) == (pulse.committed, pulse.last_commit_ns, pulse.backlog(99), pulse.ended)
    pulse.take(
        [event(Stage.DECIDED, identity="0xc", decision="abort"), event(Stage.ADMITTED, identity="0xc")]
    )
    assert 0 == pulse.backlog(99)


def test_what_lasts_says_since_when_it_held() -> None:
    """The verdict on a fault of links comes right before its heal, and tells when it took hold: what was in flight counts from there."""
    _, journal = strike([fault("slow", AtTime(1.0), lasts_s=3.0, kind="delay")], lambda: Toy([]))
    bit = next(one for one in journal.events if one.event == "fault.bit")
    (window,) = fault_windows(journal.events)
    assert bit.attrs["struck_ns"] == window.struck_ns


def test_a_commit_on_a_failed_leg_is_seen_in_whatever_order_journals_are_read() -> None:
    """The decision names the legs that it rests on: one that failed makes it false, before or after it is read; a success never does."""
    good, bad = (
        replace(event("leg.staged", node, "0xa", status=status), seq=number)
        for node, status, number in (("alpha", "success", 1), ("beta", "failed", 2))
    )
    commit = replace(event(Stage.DECIDED, decision="commit"), bundle_id="0xa", cause=(good.id, bad.id))
    abort = replace(commit, attrs={"decision": "abort"})
    for told, expected in (
        ([[good, bad, commit]], "0xa"),
        ([[commit, bad, good]], "0xa"),
        ([[commit], [good], [bad]], "0xa"),
        ([[good, bad], [commit]], "0xa"),
        ([[good, bad, abort]], ""),
        ([[good, replace(commit, cause=(good.id,))]], ""),
    ):
        pulse = Pulse()
        for events in told:
            pulse.take(events)
        assert expected == pulse.false_commit
