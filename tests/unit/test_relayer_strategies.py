"""What is true of a strategy over the bridge and what is to be done about it, for all that the chains can say; and what is remembered of it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts.artifacts import artifact
from bridge.relayer.messages.lifecycle import Call, Hop
from bridge.relayer.store import Checkpoint
from bridge.relayer.strategies.chains import Happening
from bridge.relayer.strategies.lifecycle import (
    ENDS,
    GIVEN_UP,
    LATE_S,
    Abort,
    Action,
    Count,
    Decision,
    Deliver,
    Lock,
    Refund,
    Send,
    Side,
    Standing,
    State,
    Vote,
    judge,
    state_of,
)
from bridge.relayer.strategies.queue import StrategyQueue
from bridge.relayer.strategies.reasons import lateness, refusal, verdict
from bridge.relayer.strategies.steps import abort_gas, key_of
from bridge.relayer.strategies.store import Kept, StrategyStore
from bridge.wire.testing import MemoryJournal

DECIDE_BY, REFUND_AFTER = 1_000, 1_100
CHAINS = (7, 8, 9)

locks = st.sampled_from(Lock)
decisions = st.sampled_from(Decision)
times = st.integers(0, 3_000)
calls = st.binary(min_size=1, max_size=4).map(lambda data: Call(Hop.DELIVERY, data))


def standing(decision: Decision, votes: tuple[Vote, ...] = (Vote.NONE,) * 3) -> Standing:
    """What L1 says."""
    by_chain = dict(zip(CHAINS, votes, strict=True))
    return Standing("0x" + "aa" * 20, DECIDE_BY, REFUND_AFTER, decision, by_chain, dict.fromkeys(CHAINS, 2))


sides = st.builds(
    Side,
    lock=st.none() | locks,
    clock=times,
    held=st.lists(calls, max_size=2).map(tuple),
    held_on_l1=st.lists(calls, max_size=1).map(tuple),
    sent=st.integers(0, 6),
    sent_at=times,
    unsent=st.booleans(),
)
every_side = st.tuples(sides, sides, sides).map(lambda found: dict(zip(CHAINS, found, strict=True)))


@given(decisions, every_side, times)
def test_nothing_is_done_that_a_contract_would_refuse(
    decision: Decision, by_chain: dict[int, Side], now: int
) -> None:
    """Abort, send, refund and the messengers' calls: each only under the condition that its contract has."""
    for action in judge(standing(decision), by_chain, now):
        match action:
            case Abort():
                assert decision is Decision.NONE
                assert now >= DECIDE_BY
            case Send(chain_id, again):
                assert decision is not Decision.NONE
                assert by_chain[chain_id].lock in (Lock.NONE, Lock.LOCKED)
                assert by_chain[chain_id].sent == again
            case Refund(chain_id):
                assert by_chain[chain_id].lock is Lock.LOCKED
                assert by_chain[chain_id].clock > REFUND_AFTER
            case Deliver(chain_id, call):
                assert call in by_chain[chain_id].held
            case Count(chain_id, call):
                assert call in by_chain[chain_id].held_on_l1


@given(decisions, every_side, times)
def test_nothing_is_refunded_that_could_be_committed(
    decision: Decision, by_chain: dict[int, Side], now: int
) -> None:
    """Whatever the clocks say, legs are taken back only once L1 has said abort."""
    refunds = [each for each in judge(standing(decision), by_chain, now) if isinstance(each, Refund)]
    assert decision is Decision.ABORT or refunds == []


@given(decisions, st.tuples(locks, locks, locks), times, st.integers(0, 6))
def test_what_has_not_ended_is_pushed_sooner_or_later(
    decision: Decision, by_chain: tuple[Lock, ...], since: int, sent: int
) -> None:
    """With all rollups answering and time enough, something is due until nothing is locked any more; and then nothing."""
    found = {c: Side(lock, sent=sent, sent_at=since) for c, lock in zip(CHAINS, by_chain, strict=True)}
    later = since + DECIDE_BY + LATE_S * 2**6
    due = judge(standing(decision), found, later)
    waiting = decision is Decision.NONE or not {Lock.NONE, Lock.LOCKED}.isdisjoint(by_chain)
    assert waiting == bool(due)


@given(decisions, st.lists(locks, min_size=1, max_size=5))
def test_a_state_is_an_end_exactly_when_nothing_can_change(decision: Decision, found: list[Lock]) -> None:
    """Nothing waits for the registry or a decision, or it has come apart already; and each end is what it is called."""
    state = state_of(decision, found)
    traded, given_up = Lock.COMMITTED in found, any(lock in GIVEN_UP for lock in found)
    waits = decision is Decision.NONE or Lock.NONE in found or Lock.LOCKED in found
    assert (state in ENDS) == (not waits or (traded and given_up))
    if state is State.COMMITTED:
        assert {Lock.COMMITTED} == set(found)
    if state is State.ABORTED:
        assert set(found) <= GIVEN_UP
    assert (state is State.APART) == (traded and given_up)


@given(st.integers(1, 8), times)
def test_a_decision_is_sent_again_ever_more_rarely(sent: int, at: int) -> None:
    """After the time that a deposit needs, then after twice as long, and so on; at once when it was not sent at all."""
    side = Side(Lock.LOCKED, sent=sent, sent_at=at)
    wait = LATE_S * 2 ** (sent - 1)

    def due(side: Side, now: int) -> bool:
        return bool(judge(standing(Decision.COMMIT), {7: side}, now))

    assert (False, True) == (due(side, at + wait - 1), due(side, at + wait))
    assert due(replace(side, unsent=True), at)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, LATE_S // 8)), min_size=1, max_size=8))
def test_a_busy_keeper_sends_a_decision_once(rounds: list[tuple[int, int]]) -> None:
    """However old the facts are that a round acts on: the same intention has the same key, which an account does once, until it is late."""
    now, done, truth = DECIDE_BY, set[str](), [Side(Lock.LOCKED, unsent=True)]
    for age, seconds in rounds:
        seen = truth[max(0, len(truth) - 1 - age)]
        for action in judge(standing(Decision.COMMIT), {7: seen}, now):
            name = key_of(action)
            if name not in done:  # what ``StrategySteps`` gives the account names as much
                done.add(name)
                truth.append(replace(truth[-1], sent=truth[-1].sent + 1, sent_at=now, unsent=False))
        now += seconds
    assert {key_of(Send(7, 0))} == done


def test_steps_have_names_of_their_own() -> None:
    """Two steps that may be under way at the same time are never taken for one."""
    first, second = Call(Hop.DELIVERY, b"\1"), Call(Hop.DELIVERY, b"\2")
    steps: list[Action] = [Abort(), Send(7, 0), Send(7, 1), Send(8, 0), Deliver(7, first), Deliver(7, second)]
    steps += [Deliver(8, first), Count(7, first), Count(8, first), Refund(7), Refund(8)]
    assert len(steps) == len({key_of(step) for step in steps})


def test_an_abort_has_gas_for_every_decision() -> None:
    """As the registry reckons it for a vote: 120,000, and for each rollup 480,000, 60,000 and 140,000 per leg."""
    assert 120_000 + 3 * (480_000 + 60_000 + 2 * 140_000) == abort_gas(standing(Decision.NONE))


# -- reasons


def happened(name: str, **arguments: object) -> Happening:
    """An event of the registry."""
    return Happening(name, arguments, 1, "0x1", "0x2", 0)


def test_the_first_no_is_what_decided() -> None:
    """Its rollup and reason; votes after the decision change nothing."""
    history = [
        happened("Voted", chainId=8, yes=True, reason=b""),
        happened("Voted", chainId=9, yes=False, reason=b"why"),
        happened("Decided", commit=False),
        happened("Voted", chainId=7, yes=False, reason=b"late"),
    ]
    found = verdict(history, CHAINS)
    assert found is not None
    assert (False, 9, b"why", (7,)) == (found.commit, found.refused_by, found.reason, found.missing)
    assert verdict(history[:2], CHAINS) is None


def test_a_deadline_names_who_was_missing() -> None:
    """Nobody refused: what was missing are the votes of some rollups, or only time."""
    found = verdict(
        [happened("Voted", chainId=8, yes=True, reason=b""), happened("Decided", commit=False)], CHAINS
    )
    assert found is not None
    assert (None, (7, 9)) == (found.refused_by, found.missing)
    assert "no vote of alpha, gamma" in lateness(["alpha", "gamma"])
    assert "after the deadline" in lateness([])


@pytest.mark.parametrize(
    ("contract", "error", "arguments", "text"),
    [
        ("OptionsMarket", "LimitExceeded", ("uint256", "uint256"), "LimitExceeded(price=5, limit=4)"),
        ("LegEscrow", "TooLate", ("uint64", "uint256"), "TooLate(decideBy=5, time=4)"),
    ],
)
def test_refusals_are_readable(contract: str, error: str, arguments: tuple[str, ...], text: str) -> None:
    """Errors of the market and of the escrow by name; unknown ones in hexadecimal, none as such."""
    from eth_abi.abi import encode  # noqa: PLC0415 - only here

    from bridge.wire.keccak import keccak256  # noqa: PLC0415 - only here

    selector = keccak256(f"{error}({','.join(arguments)})".encode())[:4]
    assert artifact(contract).interface.decode_error(selector + encode(arguments, (5, 4))) is not None
    assert text == refusal(selector + encode(arguments, (5, 4)))
    assert "unknown error 0x01020304" == refusal(b"\1\2\3\4")
    assert "refused without a reason" == refusal(b"")


# -- memory


def test_what_is_remembered_survives_a_restart(tmp_path: Path) -> None:
    """Strategies, what was told of each, and how far L1 was read."""
    store = StrategyStore(tmp_path / "s.sqlite")
    queue = StrategyQueue(store, MemoryJournal())
    one, two = Kept("0x01", 5, (7, 8)), Kept("0x02", 6, (8,))
    queue.found([one, two], Checkpoint(6, "0xaa"))
    queue.keep([replace(one, told={"admitted": "e/1/1"}), replace(two, finished=True)])
    store.close()
    again = StrategyStore(tmp_path / "s.sqlite")
    queue = StrategyQueue(again, MemoryJournal())
    assert ([replace(one, told={"admitted": "e/1/1"})], 1) == (queue.open, queue.finished)
    assert (Checkpoint(6, "0xaa"), 1, None) == (
        queue.read,
        queue.leg_of("0x01", 8),
        queue.leg_of("0x01", 9),
    )
    assert queue.leg_of("0x03", 7) is None
    again.close()


def test_after_a_reorganisation_everything_is_open_again_and_nothing_is_told_twice(tmp_path: Path) -> None:
    """Finished strategies are looked at again, also in a next life; when one is found again, what was told of it stays told."""
    store = StrategyStore(tmp_path / "s.sqlite")
    queue = StrategyQueue(store, MemoryJournal())
    told = Kept("0x01", 5, (7,), {"admitted": "e/1/1"}, finished=True)
    queue.found([told], Checkpoint(6, "0xaa"))
    queue.keep([told])
    queue.look_again()
    queue.found((), None)
    assert [replace(told, finished=False)] == queue.open
    queue.found([Kept("0x01", 9, (7,))], Checkpoint(9, "0xbb"))
    store.close()
    again = StrategyStore(tmp_path / "s.sqlite")
    assert [Kept("0x01", 9, (7,), {"admitted": "e/1/1"})] == again.all()
    again.close()
