"""What L1 takes back excuses what stood on it, and nothing else: each broken run of the table has a twin here that is fine."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.wire.journal import Event
from orchestrator.checks import RunFacts, Verdict, check_run
from orchestrator.checks.cuts import Cuts, LogCut, Reorganisation, Rewind, lag_ns, reorganisations
from orchestrator.checks.testing import Document, altered, good_run
from orchestrator.checks.testing_recorder import name_of
from orchestrator.load.history import Sighting
from orchestrator.topology.plan import Plan

KEPT = 2
"""Slots that the cut of these runs leaves."""


def verdict_of(facts: RunFacts, name: str) -> Verdict:
    """What one checker says."""
    return next(one.verdict for one in check_run(facts) if one.name == name)


def told(facts: RunFacts, word: str, node: str, **attrs: Any) -> Event:
    """An event at the end of a run."""
    return replace(
        facts.events[-1], event=word, node=node, bundle_id=None, msg_id=None, seq=30_000, attrs=attrs
    )


def cut(facts: RunFacts, kept: int = KEPT) -> RunFacts:
    """A run in which L1 took slots back, and rollups went back with them, right before its end."""
    return replace(facts, events=(*facts.events, told(facts, "log.cut", "sequencer", slots=kept)))


def another_slot(run: Document) -> None:
    """A slot far up has another content than it was served with."""
    run["observed"]["sequencers"]["sequencer"]["slots"][5]["hash"] = "f" * 32


def another_block(run: Document) -> None:
    """A head that was served is another block now."""
    seen = [one for one in run["sightings"] if one["node"] == "alpha"][-1]
    seen["heads"]["latest"][1] = name_of("taken back")


def another_decision(run: Document) -> None:
    """What slot 5 decided comes again in another slot, and the journal tells of both."""
    first = next(
        event for event in run["events"] if event["event"] == "bundle.decided" and event["attrs"]["slot"] == 5
    )
    again = {
        **first,
        "attrs": {**first["attrs"], "slot": 6},
        "seq": 40_000,
        "mono_ns": run["events"][-1]["mono_ns"] + 1,
    }
    run["events"].append(again)


@pytest.mark.parametrize(
    ("checker", "change"),
    [("order", another_slot), ("agreement", another_block), ("order", another_decision)],
    ids=["a_slot", "a_block", "a_decision"],
)
def test_what_stood_above_the_cut_may_be_another(
    good: RunFacts, checker: str, change: Callable[[Document], None]
) -> None:
    """Without the cut it is a violation, with the cut below it none, with a cut above it one again."""
    slots = good.observed.sequencers["sequencer"].slots if good.observed else ()
    assert Verdict.INVALID == verdict_of(altered(good, change), checker)
    assert Verdict.VALID == verdict_of(altered(cut(good), change), checker)
    assert Verdict.INVALID == verdict_of(altered(cut(good, len(slots)), change), checker)


def test_a_rollup_that_rewinds_by_itself_has_no_excuse(good: RunFacts) -> None:
    """The same rewind is one where L1 changed its mind."""
    alone = replace(good, events=(*good.events, told(good, "chain.rewound", "alpha", head=0, dropped=3)))
    changed = replace(alone, events=(*alone.events, told(good, "l1.reorganised", "client", lowest=1, head=9)))
    assert Verdict.INVALID == verdict_of(altered(alone, another_block), "agreement")
    assert Verdict.VALID == verdict_of(altered(changed, another_block), "agreement")


def test_a_safe_head_goes_back_with_the_l1_blocks_that_carried_it(good: RunFacts) -> None:
    """Where everything that was published is gone from L1 it may go back to genesis."""

    def back(run: Document) -> None:
        mine = [one for one in run["sightings"] if one["node"] == "alpha"]
        mine[-1]["heads"]["safe"] = list(mine[0]["heads"]["finalized"])

    last = max(one.answered_ns for one in good.sightings)
    event = told(good, "l1.reorganised", "client", lowest=1, head=9)
    changed = replace(good, events=(*good.events, replace(event, mono_ns=last)))
    assert Verdict.INVALID == verdict_of(altered(good, back), "finality")
    assert Verdict.VALID == verdict_of(altered(changed, back), "finality")


def test_a_deposit_is_excused_by_its_own_l1_block_alone(good: RunFacts) -> None:
    """It may be gone when its block is; a block above it takes nothing with it."""
    block = good.observed.l1.deposits[0].l1_block if good.observed and good.observed.l1 else 0

    def gone(run: Document) -> None:
        digest = run["observed"]["l1"]["deposits"].pop(0)["transaction"]
        for blocks in run["observed"]["rollups"]["beta"]["blocks"]:
            blocks["transactions"] = [sent for sent in blocks["transactions"] if sent["hash"] != digest]

    for lowest, expected in ((block, Verdict.VALID), (block + 1, Verdict.INVALID)):
        event = told(good, "l1.reorganised", "client", lowest=lowest, head=99)
        facts = altered(replace(good, events=(*good.events, event)), gone)
        assert expected == verdict_of(facts, "no loss")


def test_an_onlooker_sees_which_l1_blocks_became_others(good: RunFacts) -> None:
    """A number with two hashes, and below it all that is not on the chain in the end; heights need not go down for it."""
    assert good.observed is not None
    assert good.observed.l1 is not None
    final = good.observed.l1.blocks
    looks = [
        Sighting("l1", 10 * number, 10 * number + 1, heads={"latest": (number, digest)})
        for number, digest in ((3, final[3]), (4, "0x04"), (5, "0x05"), (5, final[5]), (6, final[6]))
    ]
    assert () == reorganisations(good.sightings, good.observed)
    (change,) = reorganisations(looks, good.observed)
    assert 4 == change.lowest
    (unseen,) = reorganisations(looks[:3], good.observed)
    assert 4 == unseen.lowest


def test_an_l1_that_was_ended_may_have_lost_what_nobody_saw(good: RunFacts) -> None:
    """Blocks that came between the last look and its end; never those that somebody saw and that are there in the end."""
    looks = [one for one in good.sightings if one.node == "l1"]
    about = {"window": "L1 dies", "kind": "kill", "targets": ["l1"]}
    killed = replace(told(good, "fault.injected", "client", **about), mono_ns=looks[-1].answered_ns)
    (change,) = replace(good, events=(*good.events, killed)).cuts.l1
    assert looks[-1].heads["latest"][0] + 1 == change.lowest


def test_a_stall_takes_nothing_back(good: RunFacts) -> None:
    """A window in which L1 makes no blocks is no reorganisation."""
    about = {"window": "L1 stalls", "kind": "l1_stall", "targets": ["l1"]}
    stalled = replace(good, events=(*good.events, told(good, "fault.bit", "client", **about)))
    assert () == stalled.cuts.l1


@pytest.fixture
def plan() -> Plan:
    """Of the recorded devnet."""
    return good_run().plan


def test_the_lag_is_that_of_the_topology(plan: Plan) -> None:
    """A node finds out about a slow L1 later than about a fast one."""
    slow = replace(plan, l1=replace(plan.l1, block_time_s=12.0))
    assert (2_500_000_000, 13_500_000_000) == (lag_ns(plan), lag_ns(slow))


def test_an_excuse_has_a_time_and_a_place() -> None:
    """What was seen long after a cut, below it, or elsewhere is not excused by it."""
    cuts = Cuts(
        logs=(LogCut("sequencer", 1_000, 5),),
        rewinds=(Rewind("alpha", 1_000, 7),),
        l1=(Reorganisation(1_000, 9),),
        lag_ns=100,
        sequencer_of={"alpha": "other", "beta": "sequencer"},
        last_kept={LogCut("sequencer", 1_000, 5): {"beta": 4}},
    )
    assert (True, False, False) == (
        cuts.slot("sequencer", 5, 900),
        cuts.slot("sequencer", 4, 900),
        cuts.slot("sequencer", 5, 1_200),
    )
    assert not cuts.slot("other", 5, 900)
    assert (True, False) == (cuts.slot("sequencer", 5, 0, 2_000), cuts.slot("sequencer", 5, 0, 800))
    assert (True, False) == (cuts.block("alpha", 8, 900), cuts.block("alpha", 7, 900))
    assert (True, False) == (cuts.block("beta", 5, 900), cuts.block("beta", 4, 900))
    assert (True, False) == (cuts.l1_block(9, 900), cuts.l1_block(8, 900))
