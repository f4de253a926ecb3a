"""Staging one slot: execute everywhere, judge, leave out what must go, execute again, in bounded rounds.

Each round stages only the rollups whose share changed. The first failing bundle in global order is always settled by a round (see
``bridge.wire.atomic``), so rounds make progress; what is still in doubt after the last one waits for the next slot.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.wire.atomic import Abort, LegResult, Status, judge
from bridge.wire.crash_points import crash_point
from bridge.wire.keccak import to_hex
from bridge.wire.mutants import mutant
from bridge.wire.slot import Block, BundlePart, Payload
from shared_sequencer.errors import RollupDown
from shared_sequencer.mempool import Item
from shared_sequencer.rollups import Rollup

MAX_ROUNDS = 8
"""Rounds of staging in one slot; each costs a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A slot that every participating rollup has executed behind its gate."""

    blocks: Mapping[int, Block]
    """By chain id."""
    headers: Mapping[int, Mapping[str, Any]]
    transactions: tuple[Item, ...]
    """Single transactions that are in a block."""
    bundles: tuple[Item, ...]
    """Bundles of which every leg succeeded."""
    aborted: tuple[tuple[Item, Abort], ...]
    dropped: tuple[tuple[Item, str], ...]
    """Single transactions that can never execute, with the reason."""
    events: Mapping[str, tuple[str, ...]]
    """Journal events of the legs of each item's last staging."""


@dataclass(slots=True)
class Round:
    """The work in progress of one slot."""

    term: int
    slot: int
    timestamp: int
    causes: Mapping[str, str]
    transactions: list[Item]
    bundles: list[Item]
    due: set[int]
    """Chains that get a block even without work."""
    epochs: Mapping[int, Payload]
    """What each chain's block begins with: origin and deposits."""
    shares: dict[int, Payload] = field(default_factory=dict)
    """What each rollup has staged."""
    answers: dict[int, Any] = field(default_factory=dict)
    aborted: list[tuple[Item, Abort]] = field(default_factory=list)
    dropped: list[tuple[Item, str]] = field(default_factory=list)
    events: dict[str, dict[int, list[str]]] = field(default_factory=dict)


async def stage_slot(work: Round, rollups: Mapping[int, Rollup]) -> Staged:
    """Stage until nothing is in doubt.

    Args:
        work: what the slot takes; used up.
        rollups: by chain id; those that fail to answer are left out, with everything that needs them.
    """
    everything = list(work.bundles)
    for attempt in range(MAX_ROUNDS + 1):
        changed = await _stage_round(work, rollups, attempt)
        lost = changed - set(work.shares)
        if lost:
            # aborts were judged beside bundles that leave the slot now: judge everything that stays again
            work.bundles, work.aborted = everything, []
            _leave_out(work, lost)
            everything = list(work.bundles)
            continue
        rejected = _reject_transactions(work)
        verdict = judge([bundle.id for bundle in work.bundles], _leg_results(work), rejected)
        if verdict.settled and not rejected:
            break
        crash_point("sequencer.stage.judged")
        bundles = {bundle.id: bundle for bundle in work.bundles}
        work.aborted += [(bundles[abort.bundle], abort) for abort in verdict.aborted]
        gone = {abort.bundle for abort in verdict.aborted} | set(verdict.deferred)
        work.bundles = [bundle for bundle in work.bundles if bundle.id not in gone]
        if attempt == MAX_ROUNDS - 1:
            # what is still in doubt waits for the next slot; what is certain goes on
            work.bundles = [bundle for bundle in work.bundles if bundle.id in verdict.certain]
    else:
        work.transactions, work.bundles, work.aborted, work.shares = [], [], [], {}
    return _result(work, rollups)


async def _stage_round(work: Round, rollups: Mapping[int, Rollup], attempt: int) -> set[int]:
    wanted = _payloads(work)
    for chain in set(work.shares) - set(wanted):
        # nothing left for it: its staged block is undone by the next request
        del work.shares[chain], work.answers[chain]
    changed = {chain for chain, payload in wanted.items() if work.shares.get(chain) != payload}
    async with asyncio.TaskGroup() as tasks:
        for chain in changed:
            tasks.create_task(_stage_one(work, rollups[chain], wanted[chain], attempt))
    return changed


async def _stage_one(work: Round, rollup: Rollup, payload: Payload, attempt: int) -> None:
    present = [*payload.transactions, *(raw for part in payload.bundles for raw in part.transactions)]
    request = {
        "term": work.term,
        "slot": work.slot,
        "attempt": attempt,
        "parent": rollup.hash,
        "payload": payload,
        "causes": {item.id: work.causes[item.id] for item in [*work.transactions, *work.bundles]}
        if present
        else {},
    }
    work.shares.pop(rollup.chain_id, None)
    try:
        crash_point("sequencer.stage.asking")
        answer = await rollup.call("rollup_stage", request)
        crash_point("sequencer.stage.answered")
    except RollupDown:
        return
    work.shares[rollup.chain_id], work.answers[rollup.chain_id] = payload, answer
    for item, events in answer["events"].items():
        work.events.setdefault(item, {})[rollup.chain_id] = events


def _payloads(work: Round) -> dict[int, Payload]:
    chains = work.due | {leg.chain_id for item in [*work.transactions, *work.bundles] for leg in item.legs}
    return {
        chain: replace(
            work.epochs[chain],
            transactions=tuple(
                to_hex(leg.raw) for item in work.transactions for leg in item.legs if leg.chain_id == chain
            ),
            bundles=tuple(part for bundle in work.bundles for part in _part(bundle, chain)),
        )
        for chain in chains
    }


def _part(bundle: Item, chain: int) -> Iterable[BundlePart]:
    legs = [(index, to_hex(leg.raw)) for index, leg in enumerate(bundle.legs) if leg.chain_id == chain]
    if legs:
        yield BundlePart(bundle.id, tuple(index for index, _ in legs), tuple(raw for _, raw in legs))


def _leave_out(work: Round, lost: set[int]) -> None:
    """Items that need a lost rollup wait; nothing is decided about them."""
    work.due -= lost
    work.shares = {chain: share for chain, share in work.shares.items() if chain not in lost}
    work.transactions = [item for item in work.transactions if item.legs[0].chain_id not in lost]
    work.bundles = [item for item in work.bundles if not any(leg.chain_id in lost for leg in item.legs)]


def _reject_transactions(work: Round) -> set[int]:
    """Take out single transactions that were not included; returns the rollups that must be staged again."""
    restage: set[int] = set()
    kept: list[Item] = []
    for item in work.transactions:
        result = work.answers[item.legs[0].chain_id]["results"][item.id]
        if result["status"] in ("success", "failed"):
            kept.append(item)
            continue
        restage.add(item.legs[0].chain_id)
        if result["status"] == "invalid":
            work.dropped.append((item, result["reason"]))
    work.transactions = kept
    return restage


def _leg_results(work: Round) -> dict[str, Sequence[LegResult]]:
    results: dict[str, Sequence[LegResult]] = {}
    for bundle in work.bundles:
        legs: list[LegResult] = []
        for index, leg in enumerate(bundle.legs):
            told = work.answers[leg.chain_id]["results"][to_hex(leg.hash)]
            status: Status = "success" if mutant("commit-failing-legs") else told["status"]
            legs.append(LegResult(index, leg.chain_id, status, told["reason"], told["data"]))
        results[bundle.id] = legs
    return results


def _result(work: Round, rollups: Mapping[int, Rollup]) -> Staged:
    headers = {chain: work.answers[chain]["header"] for chain in work.shares}
    blocks = {
        chain: Block(
            chain, rollups[chain].number + 1, headers[chain]["hash"], headers[chain]["state_root"], payload
        )
        for chain, payload in work.shares.items()
    }
    return Staged(
        blocks,
        headers,
        tuple(work.transactions),
        tuple(work.bundles),
        tuple(work.aborted),
        tuple(work.dropped),
        {
            item: tuple(event for events in chains.values() for event in events)
            for item, chains in work.events.items()
        },
    )
