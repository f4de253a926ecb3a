"""Strategy files: what they mean, and every problem at once with its line."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts.artifacts import FOLDER
from orchestrator.market.testing import EXAMPLE_MARKET
from orchestrator.strategies.document import load_strategy, parse_strategy
from orchestrator.strategies.errors import StrategyDocumentError
from orchestrator.strategies.model import AUTO, ExecutionMode, Kind, Leg, Side, Strategy
from orchestrator.strategies.presets import build

EXAMPLES = FOLDER.parents[2] / "topologies" / "strategies"


def _parse(text: str) -> Strategy:
    return parse_strategy(text.encode(), "s.yaml", EXAMPLE_MARKET)


def _problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(StrategyDocumentError) as refused:
        _parse(text)
    return [(problem.line, problem.path, problem.message) for problem in refused.value.problems]


def test_legs_written_out_mean_what_they_say() -> None:
    """Numbers become the market's integers, durations seconds, and what is left out has its default."""
    strategy = _parse(
        "name: mine\n"
        "summary: Two legs.\n"
        "legs:\n"
        "  - {side: buy, kind: call, strike: 2000, quantity: 1.5, rollup: alpha, expiry: 1d, limit: 25.5}\n"
        "  - {side: sell, kind: put, strike: 1800, quantity: 0.0001}\n"
    )
    assert strategy == Strategy(
        "mine",
        (
            Leg(Side.BUY, Kind.CALL, "ETH", 2_000_000_000, 15_000, 86_400.0, "alpha", 25_500_000),
            Leg(Side.SELL, Kind.PUT, "ETH", 1_800_000_000, 1, None, AUTO, None),
        ),
        "Two legs.",
    )


def test_a_preset_with_parameters_is_that_preset_under_another_name() -> None:
    """The file's name and the preset's legs."""
    strategy = _parse(
        "name: calm\npreset: iron_condor\nparameters:\n  quantity: 2\n  rollups: [beta, alpha]\n"
    )
    expected = build("iron_condor", EXAMPLE_MARKET, quantity=2, rollups=["beta", "alpha"])
    assert (strategy.name, strategy.legs, strategy.summary) == ("calm", expected.legs, expected.summary)


@pytest.mark.parametrize("mode", list(ExecutionMode))
def test_a_file_may_say_how_it_is_executed(mode: ExecutionMode) -> None:
    """Legs or preset, and auto where nothing is said."""
    for body in ("preset: vertical", "legs:\n  - {side: buy, kind: call, strike: 2000, quantity: 1}"):
        assert mode is _parse(f"name: s\nexecution: {mode}\n{body}\n").execution
        assert ExecutionMode.AUTO is _parse(f"name: s\n{body}\n").execution


@pytest.mark.parametrize("value", ["bridged", "true", "[bundle]", "{auto: bridge}", "''", "1"])
def test_another_way_to_execute_is_refused_where_it_stands(value: str) -> None:
    """With its line, and the ways that there are."""
    ((line, path, message),) = _problems(f"name: s\nexecution: {value}\npreset: vertical\n")
    assert (2, "execution") == (line, path)
    assert "is no way to execute a strategy" in message


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_load_and_open_with_three_lines(path: Path) -> None:
    """Every shipped strategy works on the example market and says in three lines what it shows."""
    assert load_strategy(path, EXAMPLE_MARKET).name == path.stem
    lines = path.read_text().splitlines()
    assert [line.startswith("# ") for line in lines[:4]] == [True, True, True, False]


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    """Seven mistakes, seven problems, each with its own line."""
    text = (
        "name: [no]\n"
        "colour: red\n"
        "legs:\n"
        "  - side: hold\n"
        "    kind: call\n"
        "    strike: 2050\n"
        "    quantity: 0.00001\n"
        "  - {side: buy, kind: put, strike: 1800, expiry: 5}\n"
        "  - {side: buy, kind: put, strike: 1800, quantity: 1, expiry: 2d, limit: -1}\n"
    )
    found = [(line, path) for line, path, _ in _problems(text)]
    assert found == [
        (1, "name"),
        (2, "colour"),
        (4, "legs[0].side"),
        (6, "legs[0].strike"),
        (7, "legs[0].quantity"),
        (8, "legs[1].quantity"),
        (8, "legs[1].expiry"),
        (9, "legs[2].expiry"),
        (9, "legs[2].limit"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\n", (1, "", "needs either legs or a preset")),
        ("name: x\npreset: box\nlegs: []\n", (1, "", "needs either legs or a preset")),
        ("name: x\nlegs: []\n", (2, "legs", "has 0 legs")),
        ("name: x\nlegs: {}\n", (2, "legs", "must be a list")),
        ("name: x\nlegs:\n  - buy\n", (3, "legs[0]", "must be a map")),
        ("name: x\npreset: bok\n", (2, "preset", "no preset is called 'bok'")),
        ("name: x\npreset: [box]\n", (2, "preset", "no preset is called")),
        ("name: x\npreset: box\nparameters: 3\n", (3, "parameters", "must be a map")),
        ("name: x\npreset: box\nparameters:\n  width: 1\n  wing: 1\n", (5, "parameters.wing", "no parameter 'wing'")),
        ("name: x\npreset: box\nparameters: {width: 9}\n", (2, "preset", "too few strikes")),
        ("name: x\npreset: box\nparameters: {name: box}\n", (3, "parameters.name", "no parameter 'name'")),
        ("preset: box\n", (1, "name", "is missing")),
        ("name: x\nname: y\npreset: box\n", (2, "name", "appears twice")),
        ("name: x\npreset: box\nparameters: {quantity: 010}\n", (3, "parameters.quantity", "ambiguous")),
        ("name: x\nlegs: [\n", (3, "", "is not YAML")),
        ("name: x\nlegs:\n  - {side: buy, kind: call, strike: 2000, quantity: 1, underlying: BTC}\n",
         (3, "legs[0].underlying", "no such underlying")),
        ("name: x\nlegs:\n  - {side: buy, kind: call, strike: 2000, quantity: true}\n",
         (3, "legs[0].quantity", "no number")),
        ("name: x\nlegs:\n  - {side: buy, kind: call, strike: 2000, quantity: 0}\n", (3, "legs[0]", "must be positive")),
        ("- name: x\n", (1, "", "must be a map")),
    ],
)  # fmt: skip
def test_each_mistake_is_named_at_its_line(text: str, expected: tuple[int, str, str]) -> None:
    """One mistake, one problem, at the place to mend."""
    ((line, path, message),) = _problems(text)
    assert (line, path) == expected[:2]
    assert expected[2] in message


def test_a_file_that_is_not_there_is_a_problem_too(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(StrategyDocumentError, match=r"gone\.yaml.*no such file"):
        load_strategy(tmp_path / "gone.yaml", EXAMPLE_MARKET)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_arbitrary_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    """No input ends in any other error."""
    with pytest.raises(StrategyDocumentError):
        parse_strategy(data, "s.yaml", EXAMPLE_MARKET)


LOOSE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 3_000)
    | st.sampled_from(["buy", "call", "box", "1d", "~", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "preset",
                    "parameters",
                    "legs",
                    "side",
                    "kind",
                    "strike",
                    "quantity",
                    "width",
                    "market",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["name", "preset", "parameters", "legs", "summary"]), LOOSE, max_size=4)
)
def test_arbitrary_structures_load_or_are_refused(content: dict[str, object]) -> None:
    """YAML of any shape gives a strategy or problems (flow YAML is what ``repr`` nearly writes)."""
    text = repr(content).replace("None", "~").replace("True", "true").replace("False", "false")
    with contextlib.suppress(StrategyDocumentError):
        assert _parse(text).legs
