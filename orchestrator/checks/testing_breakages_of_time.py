"""For tests of checkers: ways to break a good run in time: what does not come back, stands still, never reaches L1, or hides behind a cut.

The twins that must stay valid are in ``tests/checks``.
"""

import copy
from typing import Any

from orchestrator.checks.testing import Document
from orchestrator.checks.testing_breakages import (
    BREAKAGES,
    breaks,
    broken,
    l1_of,
    operations,
    remove,
    rollup_of,
    sequencer_of,
)

__all__ = ["BREAKAGES"]


@breaks("drained", r"it waits for a slot, long after its deadline")
def _an_operation_that_waits_for_ever(run: Document) -> None:
    sequencer_of(run)["statuses"][operations(run, outcome="expired")[0]["id"]]["status"] = "pending"
    run["observed"]["at_ns"] += 60_000_000_000


def _since(run: Document, word: str, nth: int = 0) -> int:
    """When something happened to a fault."""
    return int([event["mono_ns"] for event in run["events"] if event["event"] == word][nth])


@breaks(
    "recovery",
    r"no bundle of sequencer that was sent after the heal of kill sequencer began at .* took effect",
)
def _a_sequencer_that_never_recovers(run: Document) -> None:
    back = _since(run, "fault.restart")
    for one in run["operations"]:
        if one["ended_ns"] > back:
            one.update(result="info", outcome="", ended_ns=None)
    _undecide(run, back)


@breaks("recovery", r"no bundle of sequencer that was sent after the heal")
def _a_sequencer_that_only_ends_what_was_under_way(run: Document) -> None:
    """What had been sent before commits after the heal, and nothing else ever does."""
    back = _since(run, "fault.restart")
    for one in run["operations"]:
        if one["kind"] == "bundle" and one["invoked_ns"] > back and one["outcome"] == "committed":
            one["outcome"] = "expired"


@breaks("recovery", r"no bundle of sequencer that was sent after the heal")
def _a_sequencer_that_takes_transactions_alone(run: Document) -> None:
    """Transactions and deposits go on; no bundle ever commits again."""
    back = _since(run, "fault.restart")
    for one in run["operations"]:
        if one["kind"] == "bundle" and one["ended_ns"] > back:
            one["outcome"] = "aborted"


@breaks("recovery", r"no look at a new block of relayer that was sent after the heal of kill relayer")
def _a_relayer_that_comes_back_and_reads_nothing(run: Document) -> None:
    back = _since(run, "fault.kill", 1)
    mine = [one for one in run["sightings"] if one["node"] == "relayer"]
    stuck = next(one["read"] for one in reversed(mine) if one["read"] and one["answered_ns"] < back)
    for one in run["sightings"]:
        if one["node"] == "relayer" and one["answered_ns"] > back:
            one["read"] = {name: min(number, stuck[name]) for name, number in one["read"].items()}
    _later(run, run["sightings"][-1]["asked_ns"], 10)


@breaks("recovery", r"no look at a new block of relayer that was sent after the heal of kill relayer")
def _a_relayer_that_never_answers_again(run: Document) -> None:
    back = _since(run, "fault.kill", 1)
    for one in run["sightings"]:
        if one["node"] == "relayer" and one["answered_ns"] > back:
            one.update(read={}, error="PeerUnreachable: it is dead")
    _later(run, run["sightings"][-1]["asked_ns"], 10)


def _undecide(run: Document, since: int) -> None:
    """No journal tells of a decision after a moment."""
    run["events"] = [
        event for event in run["events"] if event["event"] != "bundle.decided" or event["mono_ns"] < since
    ]


def _later(run: Document, moment: int, seconds: int, *, silent: str = "", looks: bool = True) -> None:
    """Everything after a moment happens later; meanwhile nodes are asked twice a second and serve what they served before.

    Args:
        run: to be changed.
        moment: when time is put in.
        seconds: how much.
        silent: a node that gives no answer meanwhile.
        looks: whether anybody looks meanwhile.
    """
    by = seconds * 1_000_000_000
    for event in run["events"]:
        event["mono_ns"] += by if event["mono_ns"] > moment else 0
    for one in run["operations"]:
        for key in ("intended_ns", "invoked_ns", "acknowledged_ns", "ended_ns"):
            if one[key] is not None and one[key] > moment:
                one[key] += by
    last: dict[str, Any] = {}
    for seen in run["sightings"]:
        if seen["answered_ns"] <= moment:
            last[seen["node"]] = seen
        else:
            seen["asked_ns"] += by
            seen["answered_ns"] += by
    run["observed"]["at_ns"] += by
    for step in range(1, 2 * seconds if looks else 1):
        for seen in last.values():
            again = copy.deepcopy(seen)
            again["asked_ns"] = moment + step * 500_000_000
            again["answered_ns"] = again["asked_ns"] + 1_000_000
            if seen["node"] == silent:
                again.update(error="PeerUnreachable: no answer", heads={})
            run["sightings"].append(again)
    run["sightings"].sort(key=lambda one: one["answered_ns"])


@breaks("blast radius", r"(alpha|beta|l1) (gave no answer|made no block) for 19\.\d s during kill sequencer")
def _a_rollup_that_falls_silent_with_its_sequencer(run: Document) -> None:
    _later(run, _since(run, "fault.kill"), 20, silent="alpha")


@breaks("blast radius", r"alpha gave no answer for \d\.\d s during kill relayer")
def _a_rollup_that_is_silent_in_a_window_shorter_than_anybodys_patience(run: Document) -> None:
    _later(run, _since(run, "fault.kill", 1), 2, silent="alpha")
    _back_after(run, 1_900_000_000)


@breaks("blast radius", r"(alpha|beta|l1) made no block for 4\.\d s during kill relayer")
def _chains_that_stand_still_while_the_relayer_is_dead(run: Document) -> None:
    """Four seconds are far below the patience of ten, and far above what it took before."""
    _later(run, _since(run, "fault.kill", 1), 4)
    _back_after(run, 3_900_000_000)


def _back_after(run: Document, nanoseconds: int) -> None:
    """The relayer comes back so long after it was killed, whatever happens then."""
    back = next(
        event
        for event in run["events"]
        if event["event"] == "fault.restart" and event["attrs"]["node"] == "relayer"
    )
    back["mono_ns"] = _since(run, "fault.kill", 1) + nanoseconds


@breaks("blast radius", r"L1 did not take a deposit for 60\.\d s during kill relayer")
def _a_deposit_that_l1_does_not_take(run: Document) -> None:
    struck = _since(run, "fault.kill", 1)
    one = operations(run, "deposit", "executed")[0]
    one.update(
        invoked_ns=struck + 1, acknowledged_ns=struck + 60_100_000_000, ended_ns=struck + 61_000_000_000
    )


@breaks("settlement", r"(alpha|beta): block \d+ was served at .*, and is not safe \d+\.\d s later")
def _a_publisher_that_stays_silent(run: Document) -> None:
    """The sequencer is back and decides, and nothing of it reaches L1."""
    back = _since(run, "fault.restart")
    for name in ("alpha", "beta"):
        mine = [one for one in run["sightings"] if one["node"] == name]
        stuck = next(one["heads"]["safe"] for one in reversed(mine) if one["answered_ns"] < back)
        for one in mine:
            if one["answered_ns"] > back:
                one["heads"]["safe"] = list(stuck)
        rollup_of(run, name)["heads"]["safe"] = list(stuck)
    run["observed"]["at_ns"] += 60_000_000_000


@breaks("settlement", r"(alpha|beta) stands on l1 block \d+, \d+ blocks behind l1")
def _rollups_that_never_come_after_l1(run: Document) -> None:
    l1_of(run)["number"] += 100
    run["observed"]["at_ns"] += 100_000_000_000


@breaks("settlement", r"beta has not executed a deposit that l1 has had for \d+ blocks, since block \d+")
def _a_deposit_that_is_old_and_not_executed(run: Document) -> None:
    remove(run, l1_of(run)["deposits"][0]["transaction"])
    run["observed"]["at_ns"] += 100_000_000_000


@breaks("settlement", r"beta (stands on|has not executed)")
def _a_deposit_before_a_rollup_that_is_stuck(run: Document) -> None:
    """The rollup never comes to the deposit's L1 block: it left nothing out, and serves nobody."""
    one = l1_of(run)["deposits"][-1]
    remove(run, one["transaction"])
    for block in rollup_of(run, "beta")["blocks"]:
        block["origin"] = block["origin"] and min(block["origin"], one["l1_block"] - 1)
    l1_of(run)["number"] += 40
    run["observed"]["at_ns"] += 100_000_000_000


@breaks("settlement", r"withdrawal 0x\w+… of alpha has waited for \d+ s, and is not finalized on l1")
def _a_withdrawal_that_nobody_finalizes(run: Document) -> None:
    gone = l1_of(run)["finalized"].pop()
    assert gone["withdrawal"] in {one["withdrawal"] for one in l1_of(run)["proven"]}
    run["observed"]["at_ns"] += 100_000_000_000


@breaks("settlement", r"withdrawal 0x\w+… of alpha has waited for \d+ s, and is not proven on l1")
def _a_withdrawal_that_nobody_proves(run: Document) -> None:
    """Old enough for its proof, and not for its end."""
    l1_of(run)["finalized"].clear()
    l1_of(run)["proven"].clear()
    run["observed"]["at_ns"] += 42_000_000_000


@breaks("blast radius", r"beta was started 2 times, and no fault touched it")
def _a_rollup_that_dies_with_its_sequencer(run: Document) -> None:
    begun = next(event for event in run["events"] if event["node"] == "beta")
    run["events"].append({**begun, "boot": "2", "seq": 10_001})


def _cut(run: Document, kept: int) -> None:
    """L1 takes slots back, and rollups go back behind them."""
    last = run["events"][-1]
    slot = sequencer_of(run)["slots"][kept - 1]
    told = [("log.cut", "sequencer", {"slots": kept})]
    told += [
        ("chain.rewound", name, {"head": head, "dropped": 1}) for name, (head, _) in slot["blocks"].items()
    ]
    for index, (word, node, about) in enumerate(told):
        mine = {"event": word, "node": node, "attrs": about, "bundle_id": None, "msg_id": None, "leg": None}
        run["events"].append({**last, **mine, "seq": 20_000 + index})


_KEPT = 9
"""A cut that leaves so many slots: most of the run's work is below it."""


@breaks("order", r"slot 2 was served at .*, and has content")
def _a_slot_below_the_cut_with_two_contents(run: Document) -> None:
    _cut(run, _KEPT)
    broken("a slot number with two contents", run)


@breaks("order", r"was decided twice")
def _a_decision_below_the_cut_that_changes(run: Document) -> None:
    _cut(run, _KEPT)
    broken("a journal with two decisions", run)


@breaks("agreement", r"alpha has another block 1 than it served as latest")
def _a_block_below_the_rewound_head_that_changes(run: Document) -> None:
    _cut(run, _KEPT)
    broken("a block that was served and is gone", run)


@breaks("no loss", r"told that it is committed, and it is nowhere")
def _a_bundle_below_the_cut_that_is_lost(run: Document) -> None:
    _cut(run, _KEPT)
    broken("a committed bundle that is nowhere", run)


@breaks("serialisable", r"was over at .* began later, and ran before it")
def _an_order_below_the_cut_that_is_impossible(run: Document) -> None:
    _cut(run, _KEPT)
    one, other = operations(run)[0], operations(run, "transaction", "included")[0]
    one["invoked_ns"] = other["ended_ns"] + 1


@breaks("no loss", r"l1 had it, and has it no more")
def _a_deposit_below_what_l1_took_back(run: Document) -> None:
    lowest = l1_of(run)["deposits"][0]["l1_block"] + 1
    about = {
        "event": "l1.reorganised",
        "node": "client",
        "role": "client",
        "attrs": {"lowest": lowest, "head": 99},
    }
    run["events"].append({**run["events"][-1], **about, "bundle_id": None, "msg_id": None, "seq": 20_000})
    l1_of(run)["deposits"].clear()


@breaks("agreement", r"alpha has another block \d+ than it served as latest")
def _an_l1_that_stalls_and_takes_nothing_back(run: Document) -> None:
    """A stall is no excuse for a rollup that goes back by itself."""
    first = run["events"][0]
    about = {"window": "L1 stalls", "kind": "l1_stall", "targets": ["l1"]}
    for index, word in enumerate(("injected", "bit", "healed")):
        told = {"event": f"fault.{word}", "node": "client", "role": "client", "attrs": about}
        run["events"].append({**first, **told, "mono_ns": first["mono_ns"] + index, "seq": 20_000 + index})
    rewound = {"event": "chain.rewound", "node": "alpha", "attrs": {"head": 0, "dropped": 9}}
    last = max(run["events"], key=lambda event: int(event["mono_ns"]))
    run["events"].append({**last, **rewound, "bundle_id": None, "msg_id": None, "seq": 20_010})
    broken("a block that was served and is gone", run)


@breaks("finality", r"alpha: the safe head went back from \d+ to 0")
def _a_safe_head_that_goes_back_behind_what_l1_kept(run: Document) -> None:
    """L1 takes its newest block back, and a safe head goes back to genesis."""
    looks = [one for one in run["sightings"] if one["node"] == "l1"]
    about = {"event": "l1.reorganised", "node": "client", "role": "client"}
    attrs = {"lowest": looks[-1]["heads"]["latest"][0], "head": 99}
    told = {**run["events"][-1], **about, "attrs": attrs, "bundle_id": None, "msg_id": None, "seq": 20_000}
    run["events"].append({**told, "mono_ns": looks[-1]["answered_ns"]})
    broken("a safe head that goes back", run)
