"""Where an engine's ports open: as narrow as can be, and never where this host can't reach them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtimes.docker.errors import EngineUnfitError
from orchestrator.runtimes.docker.gate import (
    FIRST_PORT,
    LAST_PORT,
    PUBLISH_VARIABLE,
    Gate,
    draw,
    gate_of,
    in_url,
    named_here,
)
from orchestrator.runtimes.errors import PlanError

ELSEWHERE = "192.0.2.7"
"""Documentation's own: no machine has it."""
RANGE = range(FIRST_PORT, LAST_PORT + 1)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("unix:///var/run/docker.sock", True),
        ("http+unix:///var/run/docker.sock", True),
        ("npipe:////./pipe/docker_engine", True),
        ("tcp://127.0.0.1:2375", True),
        ("tcp://localhost:2375", True),
        ("https://127.0.0.1:2376", True),
        (f"tcp://{ELSEWHERE}:2375", False),
        ("tcp://no-such-name.invalid:2375", False),
    ],
)
def test_names_of_this_machine(host: str, here: bool) -> None:
    """Sockets of this machine and addresses that can be bound here are its own, all others are not."""
    assert here == named_here(host)


@pytest.mark.parametrize(
    ("host", "publish", "expected"),
    [
        (f"tcp://{ELSEWHERE}:2375", "", Gate(ELSEWHERE, (ELSEWHERE,))),
        (f"tcp://{ELSEWHERE}:2375", "0.0.0.0", Gate("0.0.0.0", (ELSEWHERE,))),
        (f"tcp://{ELSEWHERE}:2375", "192.0.2.9", Gate("192.0.2.9", ("192.0.2.9", ELSEWHERE))),
        ("unix:///tmp/engine.sock", "192.0.2.9", Gate("192.0.2.9", ("192.0.2.9",))),
        ("tcp://127.0.0.1:2375", "192.0.2.9", Gate("192.0.2.9", ("192.0.2.9",))),
    ],
)
def test_ports_open_on_one_address(host: str, publish: str, expected: Gate) -> None:
    """By default on the engine's own address alone; elsewhere only where somebody says so."""
    assert expected == gate_of(host, publish)


@pytest.mark.parametrize(
    ("host", "publish", "says"),
    [
        ("unix:///tmp/engine.sock", "", "behind a tunnel"),
        ("tcp://127.0.0.1:2375", "", "behind a tunnel"),
        ("unix:///tmp/engine.sock", "0.0.0.0", "under which address"),
        ("tcp://no-such-name.invalid:2375", "", "no address"),
    ],
)
def test_nothing_opens_without_an_address(host: str, publish: str, says: str) -> None:
    """A tunnel leads to an engine and not to its ports: the error says so, and which variable names a way."""
    with pytest.raises(EngineUnfitError, match=says) as caught:
        gate_of(host, publish)
    assert says == "no address" or PUBLISH_VARIABLE in caught.value.hint


@given(st.integers(0, 50), st.sets(st.integers(FIRST_PORT - 5, LAST_PORT + 5), max_size=200), st.randoms())
def test_ports_are_drawn_from_what_is_free(count: int, taken: set[int], lot: random.Random) -> None:
    """As many different ports as asked for, all of the range, none that is taken."""
    drawn = draw(count, taken, lot)
    assert count == len(set(drawn))
    assert not set(drawn) & taken
    assert set(drawn) <= set(RANGE)


def test_a_full_machine_is_told() -> None:
    """Where fewer ports are left than are needed, none is given."""
    with pytest.raises(PlanError, match="2 ports are needed"):
        draw(2, RANGE[1:], random.Random(0))
    assert [FIRST_PORT] == draw(1, RANGE[1:], random.Random(0))


def test_addresses_in_urls() -> None:
    """IPv6 addresses stand in brackets."""
    assert ("[::1]", "192.0.2.7", "engine.example") == tuple(
        map(in_url, ("::1", ELSEWHERE, "engine.example"))
    )
