"""Link faults as data: what is refused, whom they mean, and that what they draw depends on nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.links.decisions import Decision, Working, decide, in_order, methods_of
from orchestrator.links.errors import InvalidLinkFault
from orchestrator.links.faults import ON_CONNECTIONS, Direction, LinkFault, LinkFaultKind, parse_fault

METHODS = st.sampled_from(["rollup_stage", "rollup_commit", "eth_call", "rollnet_status"])
MATCHES = st.sampled_from(["*", "rollup_*", "rollup_commit", "eth_call", "nothing"])
NEEDED: dict[LinkFaultKind, dict[str, float]] = {
    LinkFaultKind.DELAY: {"latency_s": 0.1},
    LinkFaultKind.THROTTLE: {"bytes_per_s": 100.0},
}


def fault(kind: str, name: str = "f", source: str = "*", target: str = "*", **fields: Any) -> LinkFault:
    """A valid fault of a kind."""
    which = LinkFaultKind(kind)
    return LinkFault(name, source, target, which, **{**NEEDED.get(which, {}), **fields})


MESSAGE_FAULTS = st.builds(
    fault,
    st.sampled_from([kind for kind in LinkFaultKind if kind not in ON_CONNECTIONS]),
    name=st.sampled_from("abcdef"),
    match=MATCHES,
    probability=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 3),
)


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        ({"kind": "delay"}, ["name is missing", "source is missing", "target is missing"]),
        ({"name": "x", "source": "a", "target": "b", "kind": "slow"}, ["kind is 'slow', not one of reset"]),
        (
            {"name": "x", "source": 1, "target": "b", "kind": "drop", "p": 1},
            ["source must be text", "p is no"],
        ),
        ({"name": "x", "source": "a", "target": "b", "kind": "drop", "hold_s": True}, ["hold_s must be"]),
        ({"name": "x", "source": "a", "target": "b", "kind": "drop", "seed": 0.5}, ["seed must be"]),
        ({"name": "x", "source": "a", "target": "b", "kind": "delay"}, ["a delay needs latency_s"]),
        ([], ["is an object"]),
    ],
)
def test_what_is_no_fault_is_refused_with_all_reasons(data: Any, problems: list[str]) -> None:
    """From outside: every problem is named at once."""
    with pytest.raises(InvalidLinkFault) as found:
        parse_fault(data)
    assert [] == [problem for problem in problems if problem not in found.value.message]


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        ("drop", {"probability": 0.0}, "probability"),
        ("drop", {"direction": Direction.BOTH}, "one direction"),
        ("drop", {"latency_s": 1.0}, "latency_s says nothing"),
        ("drop", {"hold_s": float("nan")}, "times are"),
        ("delay", {"jitter_s": 0.2}, "jitter_s is at most"),
        ("delay", {"match": "a*b"}, "match is a method"),
        ("delay", {"bytes_per_s": 5.0}, "bytes_per_s says nothing"),
        ("throttle", {"bytes_per_s": 0.0}, "a throttle needs"),
        ("throttle", {"bytes_per_s": float("inf")}, "a throttle needs"),
        ("blackhole", {"match": "eth_call"}, "acts on connections"),
        ("reset", {"direction": Direction.RESPONSE}, "no direction"),
        ("duplicate", {"direction": Direction.RESPONSE}, "no direction"),
    ],
)
def test_a_fault_that_contradicts_itself_is_refused(kind: str, fields: dict[str, Any], problem: str) -> None:
    """No field is silently without effect."""
    with pytest.raises(InvalidLinkFault, match=problem):
        fault(kind, **fields)


@given(MESSAGE_FAULTS)
def test_a_fault_travels_as_json(one: LinkFault) -> None:
    """What the client sends is what the proxy applies."""
    assert one == parse_fault(one.to_json())


@given(MATCHES, st.lists(METHODS, max_size=4))
def test_a_batch_matches_if_one_of_its_calls_does(match: str, calls: list[str]) -> None:
    """Exactly, or by its beginning; ``*`` also means what has no method."""
    expected = {
        "*": True,
        "rollup_*": any(call in {"rollup_stage", "rollup_commit"} for call in calls),
        "nothing": False,
    }.get(match, match in calls)
    assert expected == fault("drop", match=match).matches(tuple(calls))


def test_links_are_meant_by_patterns() -> None:
    """Source and target are names or patterns of them."""
    one = fault("drop", source="alpha*", target="*")
    assert [True, True, False] == [one.means(source, "l1") for source in ("alpha", "alpha-sequencer", "beta")]


@given(st.lists(MESSAGE_FAULTS, max_size=6), st.lists(METHODS, max_size=20), st.integers(0, 5))
def test_what_a_fault_draws_does_not_depend_on_others(
    faults: list[LinkFault], calls: list[str], which: int
) -> None:
    """Alone or among others, a fault meets the same messages; only a drop takes precedence."""
    crowd = [Working(one, "a→b:http") for one in faults]
    together = [decide(in_order(crowd), Direction.REQUEST, (call,)) for call in calls]
    for one in faults[which : which + 1]:
        mine = crowd[which]
        alone = Working(one, "a→b:http")
        for call, decision in zip(calls, together, strict=True):
            expected = _met(decide([alone], Direction.REQUEST, (call,)), alone)
            found = _met(decision, mine)
            preceded = decision.dropped not in {None, mine} or decision.reordered not in {None, mine}
            assert expected == found or (preceded and not found)


@given(st.lists(MESSAGE_FAULTS, max_size=6), st.lists(METHODS, max_size=20), st.randoms())
def test_the_order_of_applying_does_not_matter(
    faults: list[LinkFault], calls: list[str], random: Any
) -> None:
    """Equal faults and messages, equal decisions."""
    named = list({one.name: one for one in faults}.values())
    shuffled = random.sample(named, len(named))

    def all_decisions(order: list[LinkFault]) -> list[Any]:
        working = in_order(Working(one, "a→b:http") for one in order)
        return [_told(decide(working, Direction.REQUEST, (call,))) for call in calls]

    assert all_decisions(named) == all_decisions(shuffled)


@given(st.sampled_from([0.05, 0.3, 0.5, 0.8, 1.0]), st.integers(0, 99))
def test_probability_is_the_share_of_messages(probability: float, seed: int) -> None:
    """Over 4,000 messages within 6 standard deviations; jitter stays within its bounds and uses them."""
    one = Working(fault("delay", probability=probability, seed=seed, latency_s=0.1, jitter_s=0.04), "l")
    draws = [one.draw() for _ in range(4_000)]
    met = sum(meets for meets, _ in draws)
    spread = (4_000 * probability * (1 - probability)) ** 0.5
    assert abs(met - 4_000 * probability) <= 6 * spread + 1e-6
    lateness = [late for _, late in draws]
    assert 0.06 <= min(lateness) < 0.062
    assert 0.138 < max(lateness) <= 0.14


@given(st.binary(max_size=50))
def test_what_is_no_json_rpc_has_no_methods(body: bytes) -> None:
    """And nothing fails on it."""
    assert () == methods_of(b"[1, null, {}" + body)


def test_calls_are_found_in_requests_and_batches() -> None:
    """A batch has several."""
    assert ("a",) == methods_of(b'{"method": "a", "params": []}')
    assert ("a", "b") == methods_of(b'[{"method": "a"}, 7, {"method": 7}, {"method": "b"}]')


def _met(decision: Decision, working: Working) -> bool:
    return working in {
        decision.dropped,
        decision.reordered,
        *decision.throttles,
        *(one for one, _ in (*decision.copies, *decision.delays)),
    }


def _told(decision: Decision) -> Any:
    def name(one: Working | None) -> str | None:
        return None if one is None else one.fault.name

    return (
        name(decision.dropped),
        name(decision.reordered),
        sorted((name(one), late) for one, late in (*decision.copies, *decision.delays)),
        sorted(name(one) or "" for one in decision.throttles),
    )
