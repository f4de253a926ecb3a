"""Ordering and checking of node specs: pure functions."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtimes.base import JsonRpcRequest, NodeSpec
from orchestrator.runtimes.errors import PlanError
from orchestrator.runtimes.ordering import check, fill, start_waves


def node(name: str, *depends_on: str) -> NodeSpec:
    """A minimal spec."""
    return NodeSpec(name, "rollup", ("true",), depends_on=depends_on)


@st.composite
def acyclic(draw: st.DrawFn) -> list[NodeSpec]:
    """Specs whose dependencies point to lower numbers only, shuffled."""
    count = draw(st.integers(0, 8))
    needs = [draw(st.sets(st.integers(0, index - 1))) if index else set() for index in range(count)]
    return draw(
        st.permutations([node(f"n{index}", *(f"n{need}" for need in needs[index])) for index in range(count)])
    )


@given(acyclic())
def test_waves_respect_dependencies(specs: list[NodeSpec]) -> None:
    """Every node is in exactly one wave, as early as its dependencies allow."""
    check(specs)
    waves = start_waves(specs)
    wave_of = {name: index for index, wave in enumerate(waves) for name in wave}
    assert sorted(spec.name for spec in specs) == sorted(name for wave in waves for name in wave)
    for spec in specs:
        assert 1 + max((wave_of[name] for name in spec.depends_on), default=-1) == wave_of[spec.name]


@given(st.integers(1, 6))
def test_circles_are_shown(length: int) -> None:
    """A circle of dependencies is refused and its members are named."""
    specs = [node(f"n{index}", f"n{(index + 1) % length}") for index in range(length)]
    with pytest.raises(PlanError, match="circle") as caught:
        check(specs)
    assert [True] * length == [spec.name in caught.value.message for spec in specs]


def test_all_faults_are_told_at_once() -> None:
    """One error lists every fault of every node."""
    specs = [
        node("alpha", "nowhere"),
        node("alpha"),
        node("../escape"),
        replace(node("beta"), command=()),
        replace(node("gamma"), readiness=JsonRpcRequest("http", "eth_chainId")),
        replace(node("delta"), log_cap_bytes=0, stop_grace_s=-1.0),
        replace(
            node("epsilon"),
            command=("x", "${port:http}", "${url:alpha:ws}", "${nonsense}", "${host"),
            env={"A": "${}"},
        ),
    ]
    with pytest.raises(PlanError) as caught:
        check(specs)
    expected = [
        "two nodes are called 'alpha'",
        "'nowhere'",
        "../escape: a name is",
        "beta: has no command",
        "gamma: readiness asks for the endpoint 'http'",
        "delta: log_cap_bytes",
        "delta: ready_timeout_s",
        "'${port:http}'",
        "'${url:alpha:ws}'",
        "'${nonsense}'",
        "'${host'",
        "'${}'",
    ]
    assert [] == [fault for fault in expected if fault not in caught.value.message]


@given(st.text(), st.text())
def test_filling_replaces_placeholders_only(before: str, value: str) -> None:
    """Text without placeholders is untouched, braces included, and what is filled in is not scanned again."""
    plain = before.replace("${", "")
    if plain.endswith("$"):
        plain += " "
    assert f"{plain}{value}}}" == fill(
        f"{plain}${{a:b}}}}", lambda words: value if words == ("a", "b") else "wrong"
    )
