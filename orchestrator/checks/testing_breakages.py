"""For tests of checkers: ways to break a good run, each with the checker that must see it and the words by which it must say so.

Longer than other files because it is a table: read its names. What concerns liveness and L1's excuses stands in
:mod:`orchestrator.checks.testing_breakages_of_time` and enters the same table; both are imported from there.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.checks.testing import Document
from orchestrator.checks.testing_recorder import CALL, name_of

Break = Callable[[Document], object]


@dataclass(frozen=True)
class Breakage:
    """One way."""

    name: str
    checker: str
    says: str
    """A regular expression that the first line of the counter-example must match."""
    apply: Break


BREAKAGES: list[Breakage] = []


def breaks(checker: str, says: str) -> Callable[[Break], Break]:
    """Enter a way of breaking a run into the table."""

    def enter(apply: Break) -> Break:
        BREAKAGES.append(Breakage(apply.__name__.strip("_").replace("_", " "), checker, says, apply))
        return apply

    return enter


def broken(name: str, run: Document) -> None:
    """Break a run in a way of the table as well."""
    next(one for one in BREAKAGES if one.name == name).apply(run)


def rollup_of(run: Document, name: str = "alpha") -> Any:
    """What was observed of a rollup."""
    return run["observed"]["rollups"][name]


def sequencer_of(run: Document) -> Any:
    """What was observed of the sequencer."""
    return run["observed"]["sequencers"]["sequencer"]


def l1_of(run: Document) -> Any:
    """What was observed of L1."""
    return run["observed"]["l1"]


def operations(run: Document, kind: str = "bundle", outcome: str = "committed") -> list[Any]:
    """Operations of a kind that ended so, in order."""
    return [one for one in run["operations"] if (one["kind"], one["outcome"]) == (kind, outcome)]


def _first_trade(run: Document) -> Any:
    """The first operation that traded."""
    return next(one for one in operations(run) if one["legs"][0]["trade"])


def _blocks_with(run: Document, digest: str) -> Iterator[tuple[Any, int]]:
    """Blocks and places where a transaction is."""
    for seen in run["observed"]["rollups"].values():
        for block in seen["blocks"]:
            for index, sent in enumerate(block["transactions"]):
                if sent["hash"] == digest:
                    yield block, index


def _transaction(run: Document, digest: str) -> Any:
    block, index = next(_blocks_with(run, digest))
    return block["transactions"][index]


def remove(run: Document, digest: str) -> None:
    """Take a transaction off its chains."""
    for block, index in list(_blocks_with(run, digest)):
        del block["transactions"][index]


def _shift(amounts: Any, by: int) -> None:
    amounts["after"] += by


@breaks("conservation", r"alpha: 1 wei were made")
def _a_wei_from_nowhere(run: Document) -> None:
    _shift(rollup_of(run)["ether"][min(rollup_of(run)["ether"])], 1)


@breaks("conservation", r"beta: 7 wei were lost")
def _wei_that_vanish(run: Document) -> None:
    _shift(rollup_of(run, "beta")["ether"][min(rollup_of(run, "beta")["ether"])], -7)


@breaks("conservation", r"transactions leave it")
def _ether_that_changes_hands_without_a_transaction(run: Document) -> None:
    one, other = (leg["sender"] for leg in (operations(run)[0]["legs"][0], operations(run)[1]["legs"][0]))
    _shift(rollup_of(run)["ether"][one], 5)
    _shift(rollup_of(run)["ether"][other], -5)


@breaks("conservation", r"beta: 5000 wei were lost")
def _a_deposit_that_mints_nothing(run: Document) -> None:
    digest = l1_of(run)["deposits"][0]["transaction"]
    recipient = _transaction(run, digest)["to"]
    _shift(rollup_of(run, "beta")["ether"][recipient], -5_000)


@breaks("conservation", r"its portal on l1 holds")
def _a_portal_that_paid_too_much(run: Document) -> None:
    _shift(l1_of(run)["portals"]["alpha"], -1)


@breaks("conservation", r"its books say")
def _cash_in_the_books_alone(run: Document) -> None:
    _shift(next(iter(rollup_of(run)["market"]["holders"].values()))["free"], 1)


@breaks("conservation", r"cash token")
def _cash_that_is_printed(run: Document) -> None:
    _shift(rollup_of(run)["market"]["supply"], 1_000)


@breaks("conservation", r"net to 1, not to zero")
def _an_option_that_nobody_wrote(run: Document) -> None:
    held = rollup_of(run)["market"]["positions"][CALL]
    held[min(held)] += 1


@breaks("no ghosts", r"certainly nobody took it")
def _a_refused_bundle_that_runs(run: Document) -> None:
    operations(run)[0].update(result="fail", outcome="", acknowledged_ns=None)


@breaks("no ghosts", r"nobody sent it")
def _a_transaction_that_nobody_sent(run: Document) -> None:
    block = rollup_of(run)["blocks"][1]
    ghost = copy.deepcopy(block["transactions"][0])
    ghost.update(hash=name_of("ghost"), nonce=99, bundle=None, value=0, fee=0, events=[])
    block["transactions"].append(ghost)


@breaks("no ghosts", r"nobody sent it")
def _a_strangers_transaction_that_no_journal_knows(run: Document) -> None:
    block = rollup_of(run)["blocks"][1]
    ghost = copy.deepcopy(block["transactions"][0])
    ghost.update(hash=name_of("ghost"), sender="0x" + "99" * 20, bundle=None, value=0, fee=0, events=[])
    block["transactions"].append(ghost)


@breaks("no ghosts", r"a deposit that L1 does not have")
def _a_deposit_out_of_thin_air(run: Document) -> None:
    l1_of(run)["deposits"].clear()


@breaks("no ghosts", r"finalized withdrawal")
def _a_withdrawal_that_was_never_sent(run: Document) -> None:
    l1_of(run)["finalized"][0]["withdrawal"] = name_of("forged")


@breaks("at most once", r"is there 2 times")
def _a_transaction_that_runs_twice(run: Document) -> None:
    blocks = rollup_of(run)["blocks"]
    blocks[-1]["transactions"].append(copy.deepcopy(blocks[1]["transactions"][0]))


@breaks("at most once", r"nonce 0 of 0x\w+ on alpha was used 2 times")
def _a_nonce_that_is_used_twice(run: Document) -> None:
    blocks = rollup_of(run)["blocks"]
    again = copy.deepcopy(blocks[1]["transactions"][0])
    again.update(hash=name_of("again"), bundle=None)
    blocks[-1]["transactions"].append(again)


@breaks("at most once", r"bundle 0x\w+… ran in 2 blocks of alpha")
def _a_bundle_that_runs_in_two_blocks(run: Document) -> None:
    blocks = rollup_of(run)["blocks"]
    again = copy.deepcopy(blocks[1]["transactions"][0])
    again.update(hash=name_of("again"), nonce=77)
    blocks[-1]["transactions"].append(again)


@breaks("at most once", r"l1 finalized withdrawal 0x\w+… of alpha 2 times")
def _a_withdrawal_that_is_paid_twice(run: Document) -> None:
    l1_of(run)["finalized"].append({**l1_of(run)["finalized"][0], "l1_block": 99})


@breaks("no loss", r"told that it is committed, and it is nowhere")
def _a_committed_bundle_that_is_nowhere(run: Document) -> None:
    for leg in operations(run)[0]["legs"]:
        remove(run, leg["transaction"])


@breaks("no loss", r"its sequencer does not know it any more")
def _an_acknowledged_bundle_that_is_forgotten(run: Document) -> None:
    one = operations(run)[-1]
    one.update(result="info", outcome="", ended_ns=None)
    for leg in one["legs"]:
        remove(run, leg["transaction"])
    sequencer_of(run)["statuses"][one["id"]] = None


@breaks("no loss", r"told that it is aborted, and it was executed")
def _an_aborted_bundle_that_was_executed(run: Document) -> None:
    operations(run)[0]["outcome"] = "aborted"


@breaks("no loss", r"left out this deposit")
def _a_deposit_that_is_held_back(run: Document) -> None:
    remove(run, l1_of(run)["deposits"][0]["transaction"])


@breaks("no loss", r"l1 had it, and has it no more")
def _a_deposit_that_l1_forgets(run: Document) -> None:
    l1_of(run)["deposits"].clear()


@breaks("atomicity", r"1 of 2 legs took effect")
def _a_leg_that_is_missing(run: Document) -> None:
    remove(run, operations(run)[0]["legs"][1]["transaction"])


@breaks("atomicity", r"1 of 2 legs took effect")
def _a_leg_that_reverted_alone(run: Document) -> None:
    _transaction(run, operations(run)[0]["legs"][0]["transaction"])["ok"] = False


@breaks("atomicity", r"a leg ran outside of it")
def _an_orphaned_leg(run: Document) -> None:
    _transaction(run, operations(run)[0]["legs"][0]["transaction"])["bundle"] = None


@breaks("atomicity", r"its legs ran in different slots")
def _a_leg_in_a_later_slot(run: Document) -> None:
    digest = operations(run)[0]["legs"][0]["transaction"]
    moved = _transaction(run, digest)
    remove(run, digest)
    rollup_of(run)["blocks"][-1]["transactions"].append(moved)


@breaks("atomicity", r"its sequencer says aborted, and 2 of its legs are on chain")
def _a_sequencer_that_says_otherwise(run: Document) -> None:
    sequencer_of(run)["statuses"][operations(run)[0]["id"]]["status"] = "aborted"


@breaks("atomicity", r"its sequencer says committed, and 0 of its legs are on chain")
def _a_commit_without_any_leg(run: Document) -> None:
    sequencer_of(run)["statuses"][operations(run, outcome="aborted")[0]["id"]]["status"] = "committed"


@breaks("order", r"slot 3 stands where slot 2 should")
def _a_gap_in_the_log(run: Document) -> None:
    del sequencer_of(run)["slots"][2]


@breaks("order", r"slot 2 was served at .*, and has content")
def _a_slot_number_with_two_contents(run: Document) -> None:
    sequencer_of(run)["slots"][2]["hash"] = "f" * 32


@breaks("order", r"slot \d+ was served at .*, and is not there any more")
def _a_served_slot_that_is_lost(run: Document) -> None:
    sequencer_of(run)["slots"].pop()


@breaks("order", r"slot 3 follows")
def _a_log_that_forks(run: Document) -> None:
    sequencer_of(run)["slots"][3]["parent"] = name_of("fork")


@breaks("order", r"was decided 2 times")
def _an_item_that_is_decided_twice(run: Document) -> None:
    slots = sequencer_of(run)["slots"]
    slots[-1]["decisions"].append({**slots[0]["decisions"][0]})


@breaks("order", r"slot \d+ goes back behind slot \d+")
def _a_deposed_term_that_decides(run: Document) -> None:
    sequencer_of(run)["slots"][-1]["term"] = 0


@breaks("order", r"alpha has another block 1 than slot 0")
def _a_rollup_that_executed_something_else(run: Document) -> None:
    sequencer_of(run)["slots"][0]["blocks"]["alpha"][1] = name_of("another")


@breaks("order", r"was decided twice")
def _a_journal_with_two_decisions(run: Document) -> None:
    decided = next(event for event in run["events"] if event["event"] == "bundle.decided")
    other = copy.deepcopy(decided)
    other["attrs"]["slot"], other["seq"] = 5, 10_000
    run["events"].append(other)


@breaks("agreement", r"block 3 does not follow block 2")
def _a_parent_that_is_another(run: Document) -> None:
    rollup_of(run)["blocks"][3]["parent"] = name_of("uncle")


@breaks("agreement", r"block 3 goes back in time")
def _a_block_before_its_parent(run: Document) -> None:
    rollup_of(run)["blocks"][3]["timestamp"] -= 10


@breaks("agreement", r"alpha has another block \d+ than it served as latest")
def _a_block_that_was_served_and_is_gone(run: Document) -> None:
    seen = next(one for one in run["sightings"] if one["node"] == "alpha")
    seen["heads"]["latest"][1] = name_of("reorganised")


@breaks("finality", r"alpha: the safe head went back from \d+ to 0")
def _a_safe_head_that_goes_back(run: Document) -> None:
    seen = [one for one in run["sightings"] if one["node"] == "alpha"]
    seen[-1]["heads"]["safe"] = list(seen[0]["heads"]["finalized"])


@breaks("finality", r"block \d+ was finalized at .*, and is another now")
def _a_finalized_block_that_changed(run: Document) -> None:
    seen = [one for one in run["sightings"] if one["node"] == "beta"]
    seen[-1]["heads"]["finalized"][1] = name_of("another")


@breaks("strategy", r"a leg traded 6 of .* instead of 5")
def _a_leg_that_traded_more(run: Document) -> None:
    sent = _transaction(run, _first_trade(run)["legs"][0]["transaction"])
    about = sent["events"][0]["arguments"]
    about.update(quantity=6, premium=about["premium"] * 6 // 5)


@breaks("strategy", r"a premium of \d+ for 5 at \d+, which is")
def _a_premium_that_is_too_high(run: Document) -> None:
    sent = _transaction(run, _first_trade(run)["legs"][0]["transaction"])
    sent["events"][0]["arguments"]["premium"] += 1


@breaks("strategy", r"a leg traded at \d+, its limit is")
def _a_limit_that_is_not_kept(run: Document) -> None:
    sent = _transaction(run, _first_trade(run)["legs"][0]["transaction"])
    about = sent["events"][0]["arguments"]
    about.update(price=2 * about["price"], premium=2 * about["premium"])


@breaks("strategy", r"a leg traded for bundle")
def _a_leg_that_traded_for_another_bundle(run: Document) -> None:
    sent = _transaction(run, _first_trade(run)["legs"][0]["transaction"])
    sent["events"][0]["arguments"]["bundle"] = name_of("another bundle")


@breaks("strategy", r"is short without cover: 1 of collateral")
def _a_naked_short(run: Document) -> None:
    holders = rollup_of(run)["market"]["holders"].values()
    holder = next(one for one in holders if one["locked"]["after"])
    _shift(holder["locked"], -1)
    _shift(holder["free"], 1)


@breaks("strategy", r"holds \d+ of series .*, and traded")
def _positions_that_no_trade_made(run: Document) -> None:
    held = rollup_of(run)["market"]["positions"][CALL]
    held[min(held)] += 1
    held[max(held)] -= 1


@breaks("strategy", r"the books of 0x\w+ are not those of its trades")
def _cash_that_moves_without_a_trade(run: Document) -> None:
    one, other, *_ = rollup_of(run)["market"]["holders"].values()
    _shift(one["free"], 3)
    _shift(other["free"], -3)


@breaks("serialisable", r"2 units of work each came before the other")
def _two_rollups_that_ran_bundles_in_opposite_orders(run: Document) -> None:
    one, other = operations(run)[0], operations(run)[-1]
    places = [next(_blocks_with(run, each["legs"][1]["transaction"])) for each in (one, other)]
    (block, index), (later, later_index) = places
    swapped = block["transactions"][index], later["transactions"][later_index]
    later["transactions"][later_index], block["transactions"][index] = swapped


@breaks("serialisable", r"was over at .* began later, and ran before it")
def _an_operation_that_ran_before_it_began(run: Document) -> None:
    one, other = operations(run)[0], operations(run)[-1]
    one["invoked_ns"] = other["ended_ns"] + 1
