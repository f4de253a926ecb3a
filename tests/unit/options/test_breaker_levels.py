"""The rules of breakers by themselves: levels rise at once, fall by one after a cool-off, and follow from deviations."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.risk import breakers as rules
from rollup_node.engines.options.risk.breakers import Level

COOL_OFF = 100

steps_of_time = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 4)), min_size=1, max_size=40)


def _judge(history: list[tuple[int, int]], moved: Callable[..., tuple[int, int]]) -> list[int]:
    """Run a history of (seconds since the last block, demand), and hold every level against all that was asked for before."""
    level, held, now = 0, 0, 10_000
    past: list[tuple[int, int, int]] = []
    for seconds, demand in history:
        now += seconds
        before = level
        level, held = moved(level, held, demand, now, COOL_OFF)
        assert level >= demand, f"it is at {level} and {demand} is asked for"
        allowed = (demand,) if demand > before else (before, before - 1)
        assert level in allowed, f"it went from {before} to {level} at a demand of {demand}"
        if level < before:
            recent = [asked for at, asked, _ in past if now - at < COOL_OFF]
            assert not any(asked >= before for asked in recent), "it fell while it was asked for"
            since = [at for at, _, reached in past if reached != before]
            first = next((at for at, _, reached in past if not since or at > since[-1]), now)
            assert now - first >= COOL_OFF, f"it fell {now - first} s after it was reached"
        past.append((now, demand, level))
    return [reached for _, _, reached in past]


@settings(max_examples=60, deadline=None)
@given(steps_of_time)
def test_a_level_rises_at_once_and_falls_by_one_after_each_cool_off(history: list[tuple[int, int]]) -> None:
    """Never below what is asked for, never lower within a cool-off of that, and at rest in the end."""
    _judge(history, rules.moved)
    assert 0 == _judge([*history, *[(COOL_OFF, 0)] * 4], rules.moved)[-1]


@pytest.mark.parametrize(
    "mutant",
    [
        lambda level, held, demand, now, cool: rules.moved(level, held, demand, now, cool // 2),
        lambda level, held, demand, now, cool: (max(level, demand), now),
        lambda level, held, demand, now, cool: (demand, now) if demand >= level or now - held >= cool else (level, held),
        lambda level, held, demand, now, cool: rules.moved(level, held, demand if demand > level else 0, now, cool),
    ],
    ids=["too early", "never", "all the way", "by the first demand alone"],
)  # fmt: skip
def test_a_level_that_falls_otherwise_is_caught(mutant: Callable[..., tuple[int, int]]) -> None:
    """Histories drawn at random find each of these."""
    with pytest.raises(AssertionError):
        _many_histories(mutant)


def _many_histories(moved: Callable[..., tuple[int, int]]) -> None:
    rng = random.Random(5)
    for _ in range(200):
        history = [(rng.randrange(1, 60), rng.choice((0, 0, 0, 0, 1, 2, 3, 4))) for _ in range(40)]
        assert 0 == _judge([*history, *[(COOL_OFF, 0)] * 4], moved)[-1]


def test_averages_are_where_the_price_is_after_a_whole_period() -> None:
    """Half of the way after half of it, rounded towards the average; no further however long it took."""
    assert (100, 150, 200, 200) == tuple(
        rules.followed(100, 200, seconds, 60) for seconds in (0, 30, 60, 900)
    )
    assert (200, 151) == tuple(rules.followed(200, 101, seconds, 60) for seconds in (0, 30))
    levels = [rules.by_deviations(*figures, 100_000) for figures in ((110, 100, 100, 100), (111, 100, 100, 100), (111, 100, 100, 80))]  # fmt: skip
    assert [Level.NORMAL, Level.CANCEL_ONLY, Level.WITHDRAWALS_CAPPED] == levels
