"""The parts of a load that need no devnet: when what is sent, with which accounts, and what may be said of what was not acknowledged."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts.addresses import OPTIONS_MARKET
from bridge.wire.bundle import decode_bundle
from bridge.wire.errors import INTERNAL_ERROR, RESOURCE_UNAVAILABLE, SERVER_ERROR, PeerUnreachable, RpcError
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.transaction import decode_transaction
from orchestrator.load.history import Kind
from orchestrator.load.lanes import Lane, Lanes, split_users
from orchestrator.load.making import Prepared, strategy_bundle, transfer, transfer_bundle, within
from orchestrator.load.schedule import Mix, Work, arrivals
from orchestrator.load.sending import submit
from orchestrator.market.board import Board, Row
from orchestrator.market.quoting import listed_series, quote
from orchestrator.market.testing import example_plan

PLAN = example_plan(("alpha", "beta", "gamma"), users=12)
NOW = 2_000_000_000


@given(st.floats(0.5, 200), st.integers())
def test_arrivals_are_the_same_for_the_same_seed_and_as_many_as_asked_for(rate: float, seed: int) -> None:
    """An open loop: times ascend, follow from rate and seed alone, and their number is the rate's within reason."""
    moments = list(itertools.takewhile(lambda moment: moment < 400 / rate, arrivals(rate, seed)))
    assert moments == sorted(moments)
    assert moments == list(itertools.takewhile(lambda moment: moment < 400 / rate, arrivals(rate, seed)))
    assert 280 < len(moments) < 540  # 400 are expected; six standard deviations


def test_no_rate_is_no_arrival() -> None:
    """A kind of work that is not in the mix never comes."""
    assert [] == list(arrivals(0, 1))


def test_a_mix_has_no_negative_shares() -> None:
    """All wrong shares are named at once."""
    with pytest.raises(ValueError, match="local, deposit"):
        Mix(local=-1, deposit=-0.5)
    assert {0.5, 0.4, 0.02, 0.04} == {Mix().share(work) for work in Work}


@given(st.integers(3, 60))
def test_users_are_split_and_none_has_two_duties(count: int) -> None:
    """A deposit takes a nonce of its sender on the rollup, so depositors sign nothing else."""
    users = example_plan(users=count).users if count < 13 else PLAN.users
    found = split_users(users)
    assert sorted(users, key=str) == sorted((*found.bundles, *found.singles, *found.deposits), key=str)
    assert all((found.bundles, found.singles, found.deposits))


async def test_a_lane_serves_one_operation_at_a_time_in_turn() -> None:
    """Nobody else signs with an account whose next nonce depends on what is under way."""
    lanes = Lanes([Lane(user, ("alpha",)) for user in PLAN.users[:2]])
    used: list[str] = []
    held = 0

    async def work() -> None:
        nonlocal held
        async with lanes.one() as lane:
            held += 1
            assert held <= 2
            used.append(lane.account.name)
            await asyncio.sleep(0)
            held -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(work())
    assert ["user-0", "user-1"] * 3 == used


def test_nonces_are_counted_here_until_they_are_in_doubt() -> None:
    """An end that is known moves them, one that is not makes them unknown."""
    lane = Lane(PLAN.users[0], ("alpha", "beta"), {"alpha": 3, "beta": 7})
    lane.taken(["alpha", "beta", "beta"])
    assert {"alpha": 4, "beta": 9} == lane.nonces
    lane.doubt()
    assert ("alpha", "beta") == lane.unsure


@pytest.fixture(scope="module")
def boards() -> dict[str, Board]:
    """The maker's quotes on each rollup."""
    assert PLAN.market is not None
    rows = tuple(
        Row(keccak256(repr(terms).encode()), terms, quote(PLAN.market, terms, 2_000.0, NOW))
        for terms in listed_series(PLAN.market, NOW)
    )
    return {rollup.name: Board(rows) for rollup in PLAN.rollups}


@given(st.integers(), st.integers(0, 1_000))
def test_what_is_made_is_what_is_noted(boards: dict[str, Board], seed: int, nonce: int) -> None:
    """Names, hashes, senders, nonces and targets of the history are those of the signed bytes."""
    lane = Lane(PLAN.users[1], tuple(boards), dict.fromkeys(boards, nonce))
    chains = {rollup.chain_id: rollup.name for rollup in PLAN.rollups}
    made: list[Prepared] = [
        strategy_bundle(PLAN, lane, boards, random.Random(seed), NOW),
        transfer_bundle(PLAN, lane, random.Random(seed), NOW),
        transfer_bundle(within(PLAN, PLAN.rollups[:1]), lane, random.Random(seed), NOW),
        transfer(PLAN.rollups[0], lane, random.Random(seed)),
    ]
    for prepared in made:
        signed = [decode_transaction(raw) for raw in prepared.raws]
        assert [
            (
                chains[one.chain_id],
                to_hex(one.hash),
                to_hex(one.sender),
                one.nonce,
                to_hex(one.to or b""),
                one.value,
            )
            for one in signed
        ] == [(leg.chain, leg.transaction, leg.sender, leg.nonce, leg.to, leg.value) for leg in prepared.legs]
        assert all((leg.trade is None) == (leg.to != OPTIONS_MARKET) for leg in prepared.legs)
        if prepared.kind is Kind.BUNDLE:
            assert prepared.id == to_hex(decode_bundle(prepared.raws, NOW, prepared.salt).hash)
            per_chain: dict[str, list[int]] = {}
            for leg in prepared.legs:
                per_chain.setdefault(leg.chain, []).append(leg.nonce)
            assert all(list(range(nonce, nonce + len(own))) == own for own in per_chain.values())


def unreachable(*, sent: bool) -> PeerUnreachable:
    """No answer: because there was no connection, or although there was one."""
    failure = PeerUnreachable("no answer")
    key: Any = None
    failure.__cause__ = TimeoutError() if sent else aiohttp.ClientConnectorError(key, OSError("refused"))
    return failure


def answering(*answers: Any) -> Callable[[], Any]:
    """A peer that gives these answers, the last one for ever."""
    left = list(answers)

    async def call() -> Any:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


@pytest.mark.parametrize(
    ("answers", "acknowledged", "certain"),
    [
        (["0x01"], True, False),
        ([unreachable(sent=True), "0x01"], True, False),
        ([RpcError(SERVER_ERROR, "nonce too low")], False, True),
        ([unreachable(sent=True), RpcError(SERVER_ERROR, "nonce too low")], False, False),
        ([unreachable(sent=False)], False, True),
        ([unreachable(sent=False), unreachable(sent=True)], False, False),
        ([RpcError(INTERNAL_ERROR, "the log failed")], False, False),
        ([RpcError(RESOURCE_UNAVAILABLE, "alpha takes no part")], False, True),
        ([RpcError(RESOURCE_UNAVAILABLE, "alpha takes no part"), "0x01"], True, False),
    ],
)
async def test_only_what_certainly_had_no_effect_is_called_so(
    answers: list[Any], acknowledged: bool, certain: bool
) -> None:
    """Silence and internal errors leave it open, refusals and refused connections don't, and one open attempt leaves all open."""
    found = await submit(answering(*answers), until=time.monotonic() + 0.2)
    assert (acknowledged, certain) == (found.acknowledged, found.certain)
