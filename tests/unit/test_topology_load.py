"""From a file to a spec: every mistake at once, where it stands, with what to write instead."""

import itertools
import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.topology.accounts import index_of
from orchestrator.topology.durations import format_duration, parse_duration, suggest_duration
from orchestrator.topology.errors import InvalidTopology
from orchestrator.topology.load import read_topology
from orchestrator.topology.names import RESERVED_NAMES, is_name, suggest_name
from orchestrator.topology.sizes import parse_size
from orchestrator.topology.spec import TopologySpec


def said(text: str) -> list[str]:
    """The problems of a topology as printed, without the name of the file."""
    with pytest.raises(InvalidTopology) as caught:
        read_topology(text.encode(), "x.yaml")
    assert caught.value.exit_code == 2
    return [str(problem).removeprefix("x.yaml:") for problem in caught.value.problems]


def said_of(section: str) -> list[str]:
    """The problems of one line under a topology that is otherwise right."""
    return said(f"name: x\nrollups: {{alpha: {{}}}}\n{section}\n")


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    """Unreadable places, wrong fields and broken rules of one file are reported together, each at its own place."""
    text = """\
name: My Net
seed: 0123
slot: 20ms
l1: {block_time: 1, chain_id: yes}
rollups:
  alpha: {engine: emv, chain_id: 77}
  beta: {engine: options, chain_id: 77, block_gas_limt: 5}
  gamma:
  alpha: {}
  sequencer: {settlement: {kind: optimist, challenge_period: 5}}
messaging: {mode: l1_bridge, slot: 1:30, publish_every: 2}
market: {underlying: eth, spot: 2000, volatility: 60%, strikes: [1, 3, 2], price_cap: 4x}
runtime: dockr
accounts: 10.0
"""
    # fmt: off
    expected = [
        "1:7: name: 'My Net' is no name: lower-case letters, digits and dashes, a letter first, at most 32 characters (for example my-net)",
        '2:7: seed: 0123 is ambiguous: YAML 1.1 reads a leading zero as octal, YAML 1.2 as decimal (write 123 for the number or "0123" for the text)',
        "3:1: slot: unknown key here (it belongs at messaging.slot)",
        "4:18: l1.block_time: a duration needs a unit (write 1s)",
        "4:31: l1.chain_id: must be a whole number, not the text 'yes'",
        "6:19: rollups.alpha.engine: must be evm or options, not the text 'emv' (did you mean evm?)",
        "7:37: rollups.beta.chain_id: chain id 77 is already taken by alpha (choose another, or remove it)",
        "7:41: rollups.beta.block_gas_limt: unknown key (did you mean block_gas_limit?)",
        "8:9: rollups.gamma: the value is missing (write a value, {} for a map with every default, or remove the key)",
        "9:3: rollups.alpha: appears twice, first on line 6 (keep one)",
        "10:3: rollups.sequencer: the name sequencer is taken by a node that every devnet has (for example sequencer-rollup)",
        "10:34: rollups.sequencer.settlement.kind: must be optimistic, not the text 'optimist' (did you mean optimistic?)",
        "10:62: rollups.sequencer.settlement.challenge_period: a duration needs a unit (write 5s)",
        "11:19: messaging.mode: must be shared-sequencer or l1-bridge, not the text 'l1_bridge' (did you mean l1-bridge?)",
        "11:36: messaging.slot: '1:30' is no duration (write 90s)",
        "11:57: messaging.publish_every: a duration needs a unit (write 2s)",
        "12:22: market.underlying: the text 'eth' does not fit: capital letters and digits, ten at most (for example ETH)",
        "12:51: market.volatility: must be a number, not the text '60%' (write 0.6)",
        "12:65: market.strikes: strikes must rise, each greater than the one before (sort them and remove repeats)",
        "12:87: market.price_cap: must be a number, not the text '4x' (write 4)",
        "13:10: runtime: must be auto, process or docker, not the text 'dockr' (did you mean docker?)",
        "14:11: accounts: must be a whole number, not the number 10.0 (write 10)",
    ]
    # fmt: on
    assert expected == said(text)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("runtime: kubernetes", "runtime: must be auto, process or docker, not the text 'kubernetes' (write runtime: auto)"),
        ("name: [x]", "name: appears twice, first on line 1 (keep one)"),
        ("seed: -1", "seed: must be at least 0, not -1"),
        ("seed: true", "seed: must be a whole number, not true"),
        ('seed: "7"', "seed: must be a whole number, not the text '7' (write 7)"),
        ("seed: 30_000", "seed: must be a whole number, not the text '30_000' (write 30000)"),
        ("accounts: 257", "accounts: must be at most 256, not 257"),
        ("l1: []", "l1: must be a map, not a list (write l1: {block_time: …})"),
        ("l1: 1s", "l1: must be a map, not the text '1s' (write l1: {block_time: …})"),
        ("l1: {block_time: 1 sec}", "l1.block_time: '1 sec' is no duration (write 1s)"),
        ("l1: {block_time: 1week}", "l1.block_time: '1week' is no duration (write a number with a unit (ms, s, m, h, d), such as 200ms)"),
        ("l1: {block_time: {}}", "l1.block_time: this is no duration (write a number with a unit (ms, s, m, h, d), such as 200ms)"),
        ("l1: {block_time: true}", "l1.block_time: this is no duration (write a number with a unit (ms, s, m, h, d), such as 200ms)"),
        ("messaging: {slot: 200}", "messaging.slot: a duration needs a unit (write 200s)"),
        ("messaging: {slot: 4ms}", "messaging.slot: must be between 5ms and 60s, not 4ms"),
        ("messaging: {slot: 61s}", "messaging.slot: must be between 5ms and 60s, not 61s"),
        ("messaging: {sequencing_window: 60}", "messaging.sequencing_window: a duration needs a unit (write 60s)"),
        ("messaging: {sequencing_window: 6s}", "messaging.sequencing_window: 6s is too short for a batch to reach the L1 in: it needs 7 L1 blocks (7s) (at least 7s, or a shorter publish_every, or fewer l1.confirmations)"),
        ("l1: {confirmations: 65}", "l1.confirmations: must be at most 64, not 65"),
        ("l1: {confirmations: 2.5}", "l1.confirmations: must be a whole number, not the number 2.5"),
        ("messaging: {slot: 2s, publish_every: 1s}", "messaging.publish_every: 1s is shorter than messaging.slot (2s) (at least 2s, or a shorter slot)"),
        ("messaging: {mempool_limit: 0}", "messaging.mempool_limit: must be at least 1, not 0"),
        ("market: {}", "market.underlying: is required (for example underlying: ETH)"),
        ("market: {underlying: ETH, spot: 1.2345678, volatility: 1}", "market.spot: 1.2345678 has more than 6 decimals (prices count in millionths of a dollar)"),
        ("market: {underlying: ETH, spot: 2000, volatility: 1, strikes: [9000]}", "market.strikes[0]: 9000 is not below the price cap of 8000 (4 times spot) (lower the strike or raise price_cap)"),
        ("market: {underlying: ETH, spot: 2000, volatility: 1, strikes: []}", "market.strikes: needs at least 1 entry"),
        ("market: {underlying: ETH, spot: 2000, volatility: 1, strikes: 7}", "market.strikes: must be a list, not the number 7 (write [7])"),
        ("market: {underlying: ETH, spot: 2000, volatility: 1, expiries: [1d, 1]}", "market.expiries[1]: a duration needs a unit (write 1s)"),
        ("market: {underlying: ETH, spot: 2000, volatility: 1, expiries: [1d, 24h]}", "market.expiries: expiries must rise, each greater than the one before (sort them and remove repeats)"),
        ("market: {underlying: 7, spot: 2000, volatility: 1}", "market.underlying: must be text, not the number 7 (put it in quotes)"),
        ("l1: {chain_id: 0}", "l1.chain_id: must be at least 1, not 0"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_words(section: str, problem: str) -> None:
    """Message and hint name the place, the rule, what was found and what to write."""
    assert problem in [line.split(": ", 1)[1] for line in said_of(section)]


@pytest.mark.parametrize(
    ("rollup", "problem"),
    [
        ("{dev_methods: on}", "must be true or false, not the text 'on' (write true without quotes)"),
        (
            '{dev_methods: "false"}',
            "must be true or false, not the text 'false' (write false without quotes)",
        ),
        ("{dev_methods: 1}", "must be true or false, not the number 1 (write true or false without quotes)"),
        ("{chain_id: 900}", "chain id 900 is already taken by l1 (choose another, or remove it)"),
        (
            "{block_time: 100ms}",
            "100ms is shorter than messaging.slot (200ms) (at least 200ms, or a shorter slot)",
        ),
        ("{block_gas_limit: 2999999}", "must be at least 3000000, not 2999999"),
        ("{settlement: {proposal_interval: 10}}", "a duration needs a unit (write 10s)"),
        (
            "{settlement: {proposal_interval: 1s}}",
            "1s is shorter than the rollup's block_time (2s) (at least 2s, or a shorter block_time)",
        ),
        ("{settlement: {challenge_period: 999ms}}", "must be between 1s and 30d, not 999ms"),
        (
            "{settlement: optimistic}",
            "must be a map, not the text 'optimistic' (write settlement: {kind: …})",
        ),
        (
            "{data_availability: blobs}",
            "must be calldata or blob, not the text 'blobs' (did you mean blob?)",
        ),
    ],
)
def test_each_mistake_of_a_rollup_has_its_words(rollup: str, problem: str) -> None:
    """As above, inside a rollup."""
    (line,) = said(f"name: x\nrollups: {{alpha: {rollup}}}\n")
    assert problem == line.split(": ", 2)[2]


def test_a_misspelt_required_key_is_one_mistake() -> None:
    """``rolups`` is not also a missing ``rollups``."""
    assert said("name: x\nrolups: {a: {}}\n") == ["2:1: rolups: unknown key (did you mean rollups?)"]


@pytest.mark.parametrize("rollups", ["{}", "[alpha, beta]", "alpha", "3"])
def test_rollups_must_be_a_map_with_an_entry(rollups: str) -> None:
    """A list of names, a single name or nothing is one problem at ``rollups``."""
    (line,) = said(f"name: x\nrollups: {rollups}\n")
    assert line.startswith("2:10: rollups: ")


def test_lost_rollups_do_not_also_make_the_map_empty() -> None:
    """When the only rollup is spoiled, the hint is about it, not about an empty map."""
    assert len(said("name: x\nrollups:\n  alpha:\n")) == 1
    assert len(said("name: x\nrollups:\n  1: {}\n")) == 1


def test_at_most_64_rollups() -> None:
    """The 65th is one problem at the map."""
    rollups = "\n".join(f"  r{number}: {{}}" for number in range(65))
    assert said(f"name: x\nrollups:\n{rollups}\n") == ["3:3: rollups: holds 65 entries, at most 64"]


@pytest.mark.parametrize("name", RESERVED_NAMES)
def test_no_rollup_takes_the_name_of_a_node(name: str) -> None:
    """Such a rollup would share logs, journal and metrics with another node."""
    (line,) = said(f"name: x\nrollups: {{{name}: {{}}}}\n")
    assert "is taken by a node" in line


def test_a_shared_set_is_posted_in_one_way() -> None:
    """Every rollup that differs from the first is named, also when it only kept the default; by itself each may choose."""
    rollups = "rollups:\n  a: {data_availability: blob}\n  b: {}\n  c: {data_availability: calldata}\n  d: {data_availability: blob}\n"
    assert ["4:3: rollups.b.data_availability", "5:26: rollups.c.data_availability"] == [
        line.partition(": is calldata, but a says blob, ")[0] for line in said(f"name: x\n{rollups}")
    ]
    read_topology(f"name: x\nmessaging: {{mode: l1-bridge}}\n{rollups}".encode(), "x.yaml")


def test_what_does_not_fit_an_options_rollup_is_said_at_once() -> None:
    """Options of an EVM rollup, control methods, more signatures than keys, auctions that rise or last no second, too large a market."""
    text = """\
name: x
rollups:
  alpha: {options: {roots: step}}
  beta: {engine: options, dev_methods: true, options: {oracle: {signers: 2, needed: 3}}}
  gamma: {engine: options, options: {lot: 0.00001, cash: -1, amm: {skew: 0.0000001}, oracle: {signers: 0}, root: step}}
  delta: {engine: options, options: {liquidation: {start: 0.8, middle: 0.9}}}
  epsilon: {engine: options, options: {liquidation: {fast: 500ms, slow: 31d, close: 0}}}
market: {underlying: ETH, spot: 2000, volatility: 0.6, rate: -0.1, expiries: [1d, 2d, 3d, 4d]}
"""
    # fmt: off
    expected = [
        "3:11: rollups.alpha.options: the engine of alpha is evm, which has no such options (remove it, or say engine: options)",
        "4:40: rollups.beta.dev_methods: the options engine has no control methods (remove it)",
        "4:85: rollups.beta.options.oracle.needed: 3 signatures are needed, and there are 2 signers (at most 2, or more signers)",
        "5:43: rollups.gamma.options.lot: 1e-05 has more than 4 decimals (quantities count in ten-thousandths of a unit)",
        "5:58: rollups.gamma.options.cash: must be at least 0.0, not -1",
        "5:74: rollups.gamma.options.amm.skew: 1e-07 has more than 6 decimals (shares of this kind count in parts per million)",
        "5:104: rollups.gamma.options.oracle.signers: must be at least 1, not 0",
        "5:108: rollups.gamma.options.root: unknown key (did you mean roots?)",
        "6:72: rollups.delta.options.liquidation.middle: an auction that begins at 0.8 of the value can't fall to 0.9 of it (at most 0.8, or a higher start)",
        "7:60: rollups.epsilon.options.liquidation.fast: must be between 1s and 30d, not 500ms",
        "7:73: rollups.epsilon.options.liquidation.slow: must be between 1s and 30d, not 31d",
        "7:85: rollups.epsilon.options.liquidation.close: must be at least 0.01, not 0",
        "8:1: market: lists 72 series, calls and puts of each strike and expiry, and beta, an options rollup, holds 64 (name fewer strikes or expiries)",
        "8:62: market.rate: -0.1 is below zero, and beta, an options rollup, takes no discount above one (use 0 or more)",
    ]
    # fmt: on
    assert expected == said(text)


def test_an_options_rollup_needs_a_market() -> None:
    """Without one it would trade nothing; a market with a mistake in it counts as one."""
    text = "name: x\nrollups: {alpha: {engine: options}, beta: {engine: options}}\n"
    hint = "(add market: {underlying: ETH, spot: 2000, volatility: 0.6})"
    message = "2:27: rollups.alpha.engine: alpha and beta trade the topology's market, and there is none"
    assert [f"{message} {hint}"] == said(text)
    assert ["3:33: market.spot: must be at least 0.01, not 0"] == said(
        text + "market: {underlying: ETH, spot: 0, volatility: 0.5}\n"
    )


def test_no_rollup_takes_the_name_of_another_s_sequencer() -> None:
    """Only where rollups have sequencers of their own: under a shared one the name is free."""
    rollups = "name: x\nrollups:\n  a-sequencer: {}\n  a: {}\n  b-sequencer: {}\n"
    read_topology(rollups.encode(), "x.yaml")
    assert said(rollups + "messaging: {mode: l1-bridge}\n") == [
        "3:3: rollups.a-sequencer: the name a-sequencer is taken by the sequencer of a (for example a-other)"
    ]


def test_names_with_the_same_keys_are_refused() -> None:
    """Two names of one index exist (a birthday among some hundred thousand finds them), and would share batcher and proposer."""
    numbers, names_by_index = itertools.count(), dict[int, str]()
    while (index := index_of(name := f"r{next(numbers)}")) not in names_by_index:
        names_by_index[index] = name
    owner = names_by_index[index]
    (line,) = said(f"name: x\nrollups: {{{owner}: {{}}, {name}: {{}}}}\n")
    assert f"{name}: the name {name} gives the same keys as {owner}" in line


def test_a_rule_is_silent_about_what_stood_in_for_a_mistake() -> None:
    """A default in place of a wrong value must not cause reports of its own."""
    text = (
        "name: x\nl1: {chain_id: no}\nrollups: {a: {chain_id: 900, block_time: 50ms}}\nmessaging: {slot: 1}\n"
    )
    paths = [line.split(": ")[1] for line in said(text)]
    assert paths == ["l1.chain_id", "messaging.slot"]


def test_a_rule_speaks_though_another_field_is_wrong() -> None:
    """Even without a name and with a broken market, equal chain ids are found in the same run."""
    text = "rollups: {a: {chain_id: 5}, b: {chain_id: 5}}\nmarket: {spot: x}\n"
    assert any("already taken by a" in line for line in said(text))


def names() -> st.SearchStrategy[str]:
    """Valid names of rollups."""
    return st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(
        lambda n: n not in RESERVED_NAMES
    )


def durations(low: str, high: str) -> st.SearchStrategy[str]:
    """Durations between two bounds, in whole milliseconds, in their shortest writing."""
    bounds = [math.ceil(parse_duration(text) * 1000) for text in (low, high)]
    return st.integers(*bounds).map(lambda milliseconds: format_duration(milliseconds / 1000))


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A map with any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


ROLLUP = maybe(
    engine=st.just("evm"),
    block_gas_limit=st.integers(3 * 10**6, 10**9),
    block_time=durations("60s", "1m"),
    dev_methods=st.booleans(),
    settlement=maybe(
        kind=st.just("optimistic"),
        challenge_period=durations("1s", "30d"),
        proposal_interval=durations("60s", "1d"),
    ),
)
LIMITS = {
    "memory": st.integers(32, 1_048_576).map(lambda mebibytes: f"{mebibytes}MiB"),
    "cpus": st.floats(0.05, 1024),
    "pids": st.integers(32, 10**6),
}
PRICES = st.integers(10_000, 10**12).map(lambda millionths: millionths / 1e6)
MARKET = st.fixed_dictionaries(
    {"underlying": st.sampled_from(["ETH", "BTC", "X1"]), "spot": PRICES, "volatility": st.floats(0.01, 10)},
    optional={
        "rate": st.floats(-0.5, 1),
        "spread": st.floats(0, 1),
        "depth": st.integers(1, 10**6),
        "price_cap": st.floats(1.5, 100),
        "expiries": st.lists(st.integers(1, 3650), min_size=1, max_size=5, unique=True).map(
            lambda days: [f"{day}d" for day in sorted(days)]
        ),
    },
)
TOPOLOGY = st.fixed_dictionaries(
    {"name": names(), "rollups": st.dictionaries(names(), ROLLUP, min_size=1, max_size=6)},
    optional={
        "seed": st.integers(0, 2**31 - 1),
        "accounts": st.integers(1, 256),
        "runtime": st.sampled_from(["auto", "process", "docker"]),
        "l1": maybe(
            block_time=durations("100ms", "1m"),
            chain_id=st.integers(1, 9_999),
            confirmations=st.integers(0, 64),
        ),
        "messaging": maybe(
            slot=durations("5ms", "60s"),
            mempool_limit=st.integers(1, 10**6),
            publish_every=durations("60s", "10m"),
            sequencing_window=durations("2h", "7d"),
        ),
        "market": MARKET,
        "resources": maybe(
            **LIMITS,
            roles=st.dictionaries(st.sampled_from(["l1", "sequencer", "rollup", "relayer"]), maybe(**LIMITS)),
            nodes=st.dictionaries(st.just("l1"), maybe(**LIMITS)),
        ),
    },
)


def agrees(written: Any, read: Any) -> bool:
    """Whether a spec says what the file said: maps key by key, durations in seconds, the rest as it is."""
    if isinstance(written, dict):
        return all(
            agrees(value, read[key] if isinstance(read, dict) else getattr(read, key))
            for key, value in written.items()
        )
    if isinstance(written, list):
        return len(written) == len(read) and all(map(agrees, written, read))
    if isinstance(written, str) and isinstance(read, float):
        return parse_duration(written) == read
    if isinstance(written, str) and isinstance(read, int):
        return parse_size(written) == read
    return bool(written == read)


@settings(deadline=None)
@given(TOPOLOGY, st.booleans())
def test_what_is_right_is_read_as_written(content: dict[str, Any], flow: bool) -> None:
    """Every valid topology loads, in block and in flow style, and the spec says what the file said."""
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=flow)
    spec = read_topology(text.encode(), "x.yaml")
    assert agrees(content, spec)
    assert list(content["rollups"]) == list(spec.rollups)


@settings(deadline=None)
@given(TOPOLOGY)
def test_the_same_in_json(content: dict[str, Any]) -> None:
    """JSON is YAML: programs may write topologies with what they have."""
    assert isinstance(read_topology(json.dumps(content).encode(), "x.json"), TopologySpec)


@given(st.integers(0, 10**12 - 1))
def test_durations_survive_writing_and_reading(milliseconds: int) -> None:
    """``parse(format(x)) == x`` for every whole millisecond of thirty years."""
    seconds = milliseconds / 1000
    assert seconds == parse_duration(format_duration(seconds))


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none())
def test_what_is_suggested_is_right(value: object) -> None:
    """A hint for a duration or a name can be copied into the file."""
    if suggestion := suggest_duration(value):
        assert parse_duration(suggestion) >= 0
    if name := suggest_name(str(value)):
        assert is_name(name)
