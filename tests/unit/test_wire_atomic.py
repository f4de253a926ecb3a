"""The bundle rule: optimistic rounds of staging and judging against judging one bundle after another."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire import atomic
from bridge.wire.atomic import Abort, LegResult, Verdict, judge
from bridge.wire.testing import Op, ToyState, run_bundle, signed
from bridge.wire.transaction import Transaction

CHAINS = (901, 902, 903)
Bundles = dict[str, tuple[Transaction, ...]]
Judge = Callable[[Sequence[str], Mapping[str, Sequence[LegResult]]], Verdict]


@st.composite
def bundle_sets(draw: st.DrawFn, most: int = 7) -> Bundles:
    """Bundles that step on each other: three rollups, four cells, three accounts, nonces mostly in sequence."""
    bundles: Bundles = {}
    nonces: dict[tuple[int, int], int] = {}
    for number in range(draw(st.integers(1, most))):
        legs = []
        for _ in range(draw(st.integers(1, 3))):
            chain, account = draw(st.sampled_from(CHAINS)), draw(st.integers(0, 2))
            nonce = nonces.get((chain, account), 0) + draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1]))
            nonces[chain, account] = nonce + 1
            program = tuple(
                (op, draw(st.integers(0, 3)), draw(st.integers(1, 2)))
                for op in draw(
                    st.lists(st.sampled_from([Op.ADD, Op.ADD, Op.NEED, Op.BELOW, Op.ENTER]), max_size=3)
                )
            )
            legs.append(signed(chain, account, nonce, program))
        bundles[f"bundle-{number}"] = tuple(legs)
    return bundles


def execute(order: Sequence[str], bundles: Bundles) -> dict[str, list[LegResult]]:
    """One round of optimistic staging: every rollup runs its legs of all bundles, whatever becomes of the others."""
    states = {chain: ToyState() for chain in CHAINS}
    return {
        name: [
            LegResult(i, leg.chain_id, states[leg.chain_id].run(leg)) for i, leg in enumerate(bundles[name])
        ]
        for name in order
    }


def one_by_one(bundles: Bundles) -> dict[str, tuple[str, int | None]]:
    """What the rule says, bundle after bundle."""
    states = {chain: ToyState() for chain in CHAINS}
    outcomes = {}
    for name, legs in bundles.items():
        outcome = run_bundle(states, legs)
        outcomes[name] = (outcome.outcome, outcome.failed_leg)
    return outcomes


def fixed_point(bundles: Bundles, judge_round: Judge = judge) -> dict[str, tuple[str, int | None]]:
    """Stage and judge until nothing must be removed, holding every round to its promises."""
    order = list(bundles)
    outcomes: dict[str, tuple[str, int | None]] = {}
    certain: set[str] = set()
    for _ in range(len(bundles) + 1):
        verdict = judge_round(order, execute(order, bundles))
        assert certain <= set(verdict.certain), "a certain bundle became doubtful"
        certain = set(verdict.certain)
        gone = {abort.bundle for abort in verdict.aborted} | set(verdict.deferred)
        assert not gone & certain
        if verdict.settled:
            assert set(order) == certain, "settled with a bundle in doubt"
            return outcomes | dict.fromkeys(order, ("commit", None))
        assert gone, "a round settled nothing"
        outcomes |= {abort.bundle: ("abort", abort.cause.leg) for abort in verdict.aborted}
        outcomes |= dict.fromkeys(verdict.deferred, ("defer", None))
        order = [name for name in order if name not in gone]
    raise AssertionError("more rounds than bundles")


@given(bundle_sets())
@settings(max_examples=400, deadline=None)
def test_the_fixed_point_is_judging_one_by_one(bundles: Bundles) -> None:
    """For any bundles: the same commits, aborts (with the same leg as cause) and deferrals as one-by-one execution.

    On the way every round settles a bundle, and what was certain stays certain.
    """
    assert one_by_one(bundles) == fixed_point(bundles)


@given(bundle_sets(), st.sets(st.sampled_from(CHAINS)))
@settings(max_examples=100, deadline=None)
def test_a_tainted_rollup_settles_nothing(bundles: Bundles, tainted: set[int]) -> None:
    """Results of a rollup that is staged again anyway decide nothing, whether they were good or bad."""
    verdict = judge(list(bundles), execute(list(bundles), bundles), tainted)
    settled = {*(abort.bundle for abort in verdict.aborted), *verdict.certain, *verdict.deferred}
    touching = {name for name, legs in bundles.items() if {leg.chain_id for leg in legs} & tainted}
    assert not settled & touching


def test_a_failure_after_a_doomed_bundle_is_judged_again() -> None:
    """B fails only on top of A's effect, and A is doomed by its other rollup: A aborts, B commits."""
    bundles = {
        "A": (signed(901, 0, 0, ((Op.ADD, 0, 1),)), signed(902, 0, 0, ((Op.NEED, 0, 1),))),
        "B": (signed(901, 1, 0, ((Op.BELOW, 0, 1),)),),
    }
    expected = {"A": ("abort", 1), "B": ("commit", None)}
    assert expected == fixed_point(bundles) == one_by_one(bundles)
    first = judge(["A", "B"], execute(["A", "B"], bundles))
    assert (("A",), (), ()) == (tuple(a.bundle for a in first.aborted), first.certain, first.deferred)


def test_doubt_travels_over_rollups() -> None:
    """A aborts on 901; B spans 901 and 902; so C, alone on 902, cannot be certain yet, while D on 903 is."""
    results = {
        "A": [LegResult(0, 901, "failed", "no", "0x01")],
        "B": [LegResult(0, 901, "success"), LegResult(1, 902, "success")],
        "C": [LegResult(0, 902, "failed")],
        "D": [LegResult(0, 903, "success")],
    }
    assert Verdict((Abort("A", results["A"][0]),), ("D",), ()) == judge(list("ABCD"), results)


def _without_tainting_by_aborts(order: Sequence[str], results: Mapping[str, Sequence[LegResult]]) -> Verdict:
    only = {
        name: [leg for leg in results[name] if leg.status != "success"] or results[name] for name in order
    }
    return judge(order, only)


def _doubtful_successes_are_certain(
    order: Sequence[str], results: Mapping[str, Sequence[LegResult]]
) -> Verdict:
    told = judge(order, results)
    fine = [name for name in order if all(leg.status == "success" for leg in results[name])]
    return Verdict(told.aborted, tuple(fine), told.deferred)


def _every_failure_aborts(order: Sequence[str], results: Mapping[str, Sequence[LegResult]]) -> Verdict:
    failures = {n: [leg for leg in results[n] if leg.status != "success"] for n in order}
    aborted = tuple(Abort(n, found[0]) for n, found in failures.items() if found)
    return Verdict(aborted, tuple(n for n in order if not failures[n]), ())


def _in_doubt_does_not_taint(order: Sequence[str], results: Mapping[str, Sequence[LegResult]]) -> Verdict:
    told = judge(order, results)
    tainted: set[int] = set()
    certain = []
    removed = {abort.bundle for abort in told.aborted} | set(told.deferred)
    for name in order:
        chains = {leg.chain_id for leg in results[name]}
        if name in removed:
            tainted |= chains
        elif not chains & tainted and all(leg.status == "success" for leg in results[name]):
            certain.append(name)
    return Verdict(told.aborted, tuple(certain), told.deferred)


@pytest.mark.parametrize(
    "wrong",
    [
        _without_tainting_by_aborts,
        _doubtful_successes_are_certain,
        _every_failure_aborts,
        _in_doubt_does_not_taint,
    ],
)
def test_wrong_rules_are_found_out(wrong: Judge) -> None:
    """The property can fail: each of these broken rules gives a wrong result on one of a few hand-made histories."""
    histories: list[Bundles] = [
        {  # B's failure is A's fault on 901
            "A": (signed(901, 0, 0, ((Op.ADD, 0, 1),)), signed(902, 0, 0, ((Op.NEED, 0, 1),))),
            "B": (signed(901, 1, 0, ((Op.BELOW, 0, 1),)),),
        },
        {  # B succeeds on 901 only because of A
            "A": (signed(901, 0, 0, ((Op.ADD, 0, 1),)), signed(902, 0, 0, ((Op.NEED, 0, 1),))),
            "B": (signed(901, 1, 0, ((Op.NEED, 0, 1),)),),
        },
        {  # A taints 901, B carries the doubt to 903, C's success there is B's doing
            "A": (signed(901, 0, 0, ((Op.ADD, 0, 1),)), signed(902, 0, 0, ((Op.NEED, 0, 1),))),
            "B": (signed(901, 1, 0, ((Op.NEED, 0, 1),)), signed(903, 1, 0, ((Op.ADD, 0, 1),))),
            "C": (signed(903, 2, 0, ((Op.NEED, 0, 1),)),),
        },
    ]
    for bundles in histories:
        assert one_by_one(bundles) == fixed_point(bundles)
        try:
            if one_by_one(bundles) != fixed_point(bundles, wrong):
                return
        except AssertionError:
            return
    pytest.fail(f"{wrong.__name__} went unnoticed")


def test_the_first_failing_leg_is_the_cause() -> None:
    """Of several failures the lowest leg is named, in whichever order they are told; a gap anywhere defers instead."""
    legs = [LegResult(2, 901, "failed"), LegResult(1, 902, "invalid"), LegResult(0, 903, "success")]
    assert (Abort("A", legs[1]),) == judge(["A"], {"A": legs}).aborted
    waiting = judge(["A"], {"A": [*legs, LegResult(3, 901, "gap")]})
    assert ((), ("A",)) == (waiting.aborted, waiting.deferred)
    assert not waiting.settled
    assert atomic.Verdict((), ("A",), ()).settled
