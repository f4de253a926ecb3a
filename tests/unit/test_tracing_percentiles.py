from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.tracing.percentiles import (
    REPORTED,
    Standing,
    format_ms,
    quantile,
    samples_needed,
    summarize,
)

durations = st.lists(st.integers(min_value=0, max_value=10**12), max_size=300)
levels = st.integers(min_value=1, max_value=999)


def by_definition(samples: list[int], per_mille: int) -> int:
    """The smallest sample that at least a share q of all samples does not exceed: slow, and nobody's formula."""
    wanted = Fraction(per_mille, 1000) * len(samples)
    return min(value for value in samples if sum(other <= value for other in samples) >= wanted)


@given(
    samples=durations.filter(lambda found: len(found) >= 20),
    per_mille=st.sampled_from([100, 333, 500, 700, 900]),
)
def test_quantile_is_nearest_rank_by_definition(samples: list[int], per_mille: int) -> None:
    """A measured quantile is the sample that the definition of the nearest rank names."""
    found = quantile(sorted(samples), per_mille)

    if found.standing is Standing.MEASURED:
        assert by_definition(samples, per_mille) == found.value_ns
    else:
        assert len(samples) < samples_needed(per_mille)


@given(n=st.integers(min_value=0, max_value=12_000), per_mille=levels)
def test_sample_size_guard_is_ten_over_one_minus_q(n: int, per_mille: int) -> None:
    """A quantile is given exactly from 10/(1-q) samples on."""
    found = quantile(range(n), per_mille)

    assert (n >= Fraction(10_000, 1000 - per_mille)) == (found.standing is Standing.MEASURED)


@pytest.mark.parametrize(("per_mille", "needed"), [(500, 20), (900, 100), (990, 1_000), (999, 10_000)])
def test_guard_matches_the_convention(per_mille: int, needed: int) -> None:
    """p50 needs 20 samples, p90 100, p99 1,000, p99.9 10,000."""
    assert needed == samples_needed(per_mille)


@given(
    finished=st.integers(min_value=0, max_value=1_200), unfinished=st.integers(min_value=0, max_value=1_200)
)
def test_quantile_is_beyond_drain_when_too_many_are_unfinished(finished: int, unfinished: int) -> None:
    """With enough messages, p_q is ``> drain`` exactly if more than 1-q of them are unfinished."""
    for per_mille in REPORTED:
        found = quantile(range(finished), per_mille, unfinished)
        n = finished + unfinished
        if n < samples_needed(per_mille):
            assert found.standing is Standing.TOO_FEW
        else:
            censored = unfinished > (1 - Fraction(per_mille, 1000)) * n
            assert censored == (found.standing is Standing.BEYOND_DRAIN)


@given(samples=durations, unfinished=st.integers(min_value=0, max_value=400))
def test_unfinished_messages_never_flatter(samples: list[int], unfinished: int) -> None:
    """Adding messages without an end never lowers a percentile that both rows give."""
    for without, with_hanging in zip(
        summarize(samples).quantiles, summarize(samples, unfinished).quantiles, strict=True
    ):
        if without.value_ns is not None and with_hanging.value_ns is not None:
            assert with_hanging.value_ns >= without.value_ns


@given(samples=durations)
def test_summary_ignores_the_order_of_samples(samples: list[int]) -> None:
    """A summary depends on the samples only, not on their order."""
    assert summarize(sorted(samples)) == summarize(samples[::-1])


def test_quantile_is_exact_where_floats_are_not() -> None:
    """The rank of p7 of 100 is 7; ``ceil(0.07 * 100)`` in floats is 8."""
    assert 6 == quantile(range(100), 70).value_ns


@pytest.mark.parametrize("per_mille", [0, 1000, -5])
def test_quantile_refuses_levels_outside_the_open_interval(per_mille: int) -> None:
    """p0 and p100 are minimum and maximum, not quantiles."""
    with pytest.raises(ValueError, match="per mille"):
        quantile([1], per_mille)


def test_quantile_refuses_a_negative_count() -> None:
    """A negative number of unfinished messages is a bug of the caller."""
    with pytest.raises(ValueError, match="unfinished"):
        quantile([1], 500, -1)


def test_quantiles_print_their_standing() -> None:
    """A cell says the value, or why there is none."""
    cells = [
        str(quantile(samples, 500, hanging))
        for samples, hanging in (([5_000_000] * 20, 0), ([], 42), ([1] * 3, 2))
    ]

    assert ["5.00 ms", "> drain", "n/a (n=5)"] == cells


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ms"),
        (1_000, "0.001 ms"),
        (123_456, "0.123 ms"),
        (1_234_567, "1.23 ms"),
        (12_345_678, "12.3 ms"),
        (123_456_789, "123 ms"),
        (2_000_000_000, "2000 ms"),
        (-12_345_678, "-12.3 ms"),
    ],
)
def test_format_ms_shows_three_significant_digits(duration_ns: int, text: str) -> None:
    """Milliseconds everywhere, three significant digits above a millisecond."""
    assert text == format_ms(duration_ns)
