"""Two machines' clocks: the difference is never further off than is said, and journals keep everything but their times."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtimes.docker.clocks import ClockDifference, Exchange, difference, in_our_time

NANOSECONDS = st.integers(0, 10**15)
DELAYS = st.integers(1, 10**9)


@given(NANOSECONDS, st.integers(-(10**15), 10**15), st.lists(st.tuples(DELAYS, DELAYS), min_size=1))
def test_the_truth_is_within_the_error(start: int, ahead: int, delays: list[tuple[int, int]]) -> None:
    """However long questions and answers take, the difference is no further from the truth than the error says."""
    exchanges = []
    for there, back in delays:
        exchanges.append(Exchange(start, start + there + ahead, start + there + back))
        start += there + back
    found = difference(exchanges)
    assert abs(found.ns + ahead) <= 2 * found.error_ns
    if found.ns:
        assert abs(found.ns + ahead) <= found.error_ns


@given(NANOSECONDS, st.lists(st.tuples(DELAYS, DELAYS), min_size=1))
def test_one_clock_is_taken_as_one(start: int, delays: list[tuple[int, int]]) -> None:
    """On one machine nothing is added: times in journals stay what they are."""
    exchanges = [Exchange(start, start + there, start + there + back) for there, back in delays]
    assert 0 == difference(exchanges).ns


def test_the_shortest_exchange_bounds_best() -> None:
    """Of several exchanges the one that took the least time counts."""
    slow, quick = Exchange(0, 5_000, 1_000_000), Exchange(2_000_000, 7_000_010, 2_000_020)
    assert ClockDifference(-5_000_000, 10) == difference([slow, quick])


texts = st.text() | st.sampled_from(['"mono_ns":5', '\\"mono_ns\\":5', "mono_ns"])


@given(
    st.lists(
        st.fixed_dictionaries(
            {"event": texts, "mono_ns": NANOSECONDS, "attrs": st.dictionaries(texts, texts)}
        )
    ),
    st.integers(-(10**15), 10**15),
    st.binary(max_size=5),
)
def test_only_times_change(events: list[dict[str, object]], ns: int, torn: bytes) -> None:
    """Every event has its time moved and nothing else, whatever its texts quote; a torn end stays."""
    torn = torn.replace(b"\n", b"")
    journal = b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in events) + torn
    moved = in_our_time(journal, ns).split(b"\n")
    assert torn == moved[-1]
    expected = [{**event, "mono_ns": event["mono_ns"] + ns} for event in events]  # type: ignore[operator]
    assert expected == [orjson.loads(line) for line in moved[:-1]]
