"""The judge of crashes rejects a world that is broken in each of the ways that it is there for, and accepts one that is whole."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.crash_testing.judge import Execution, Facts, Item, Leg, broken

USER, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
BUNDLE = Item("b", (Leg("alpha", "a0", USER, 0), Leg("beta", "b0", USER, 0)), True)
DOOMED = Item("d", (Leg("alpha", "a1", USER, 1), Leg("beta", "b1", USER, 1)), True, True)
SINGLE = Item("s", (Leg("beta", "s0", OTHER, 0),), True)
UNHEARD = Item("u", (Leg("alpha", "u0", OTHER, 0),), False)
IN_ALPHA = Execution("alpha", 3, "a0", USER, 0, True)
IN_BETA = Execution("beta", 4, "b0", USER, 0, True)
ALONE = Execution("beta", 4, "s0", OTHER, 0, True)
WHOLE = Facts(
    items=(BUNDLE, DOOMED, SINGLE, UNHEARD),
    executions=(IN_ALPHA, IN_BETA, ALONE),
    nonces={
        ("alpha", USER): (0, 1),
        ("beta", USER): (0, 1),
        ("beta", OTHER): (0, 1),
        ("alpha", OTHER): (0, 0),
    },
    statuses={"b": "committed", "d": "aborted", "s": "included", "u": None},
)
NOTHING = replace(
    WHOLE,
    executions=(),
    nonces=dict.fromkeys(WHOLE.nonces, (0, 0)),
    statuses={"b": "expired", "d": "aborted", "s": "dropped", "u": None},
)


def test_a_whole_world_is_accepted() -> None:
    """With everything in blocks, with nothing, and with what was sent unheard and got through."""
    late = replace(
        WHOLE,
        executions=(*WHOLE.executions, Execution("alpha", 5, "u0", OTHER, 0, True)),
        nonces={**WHOLE.nonces, ("alpha", OTHER): (0, 1)},
        statuses={**WHOLE.statuses, "u": "included"},
    )
    for facts in (WHOLE, NOTHING, late):
        assert () == broken(facts)


MUTANTS = {
    "one leg only": (
        replace(WHOLE, executions=(IN_ALPHA, ALONE), nonces={**WHOLE.nonces, ("beta", USER): (0, 0)}),
        "partial: bundle b has legs on alpha only",
    ),
    "a leg of a bundle failed": (
        replace(WHOLE, executions=(IN_ALPHA, replace(IN_BETA, success=False), ALONE)),
        "partial: bundle b has a failed leg in a block",
    ),
    "a doomed bundle committed": (
        replace(
            WHOLE,
            executions=(
                *WHOLE.executions,
                Execution("alpha", 5, "a1", USER, 1, True),
                Execution("beta", 5, "b1", USER, 1, True),
            ),
            nonces={**WHOLE.nonces, ("alpha", USER): (0, 2), ("beta", USER): (0, 2)},
            statuses={**WHOLE.statuses, "d": "committed"},
        ),
        "partial: bundle d has a failing leg, and took effect",
    ),
    "an acknowledgement without a trace": (
        replace(NOTHING, statuses={**NOTHING.statuses, "b": None}),
        "lost: b was acknowledged, and is unknown",
    ),
    "an acknowledgement without an end": (
        replace(NOTHING, statuses={**NOTHING.statuses, "s": "pending"}),
        "lost: s was acknowledged, and is pending",
    ),
    "committed, and nowhere": (
        replace(NOTHING, statuses={**NOTHING.statuses, "b": "committed"}),
        "lost: b is committed, and no chain has it",
    ),
    "aborted, and there": (
        replace(WHOLE, statuses={**WHOLE.statuses, "b": "aborted"}),
        "lost: b took effect, and is aborted",
    ),
    "in two blocks": (
        replace(WHOLE, executions=(*WHOLE.executions, replace(ALONE, block=9))),
        "double: s0 is 2 times on beta",
    ),
    "a nonce twice": (
        replace(WHOLE, executions=(*WHOLE.executions, replace(ALONE, block=9, digest="s9"))),
        f"double: nonce 0 of {OTHER} was used 2 times on beta",
    ),
    "a nonce without a transaction": (
        replace(WHOLE, nonces={**WHOLE.nonces, ("beta", OTHER): (0, 2)}),
        f"double: {OTHER} on beta went from nonce 0 to 2 by 1 transactions",
    ),
    "nobody sent it": (
        replace(
            WHOLE,
            executions=(*WHOLE.executions, Execution("alpha", 7, "x0", OTHER, 0, True)),
            nonces={**WHOLE.nonces, ("alpha", OTHER): (0, 1)},
        ),
        "ghost: x0 in block 7 of alpha was never sent",
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_world_is_rejected(mutant: str) -> None:
    """Each way of being broken is said in its own words."""
    facts, said = MUTANTS[mutant]
    assert said in broken(facts)


@given(st.sets(st.sampled_from(WHOLE.executions), max_size=2))
def test_no_part_of_a_whole_world_is_whole(kept: set[Execution]) -> None:
    """Whatever is missing from the chains, something is said to be broken."""
    assert () != broken(replace(WHOLE, executions=tuple(kept)))
