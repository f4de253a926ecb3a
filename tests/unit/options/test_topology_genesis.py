"""From a topology to the file that an options rollup begins with: the engine takes it, and it is what the plan says."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts.addresses import OPTIONS_SYSTEM
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import address_of
from orchestrator.market.errors import GenesisError
from orchestrator.market.options_genesis import options_genesis
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.funding import (
    MAKER_CASH,
    UNDERLYING,
    amm_owner,
    backstop_owner,
    cash_on_options,
    rollup_supply,
)
from orchestrator.topology.options_spec import LiquidationSpec
from orchestrator.topology.plan import Plan, RollupPlan
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.spec import MAX_SERIES, TopologySpec
from rollup_node.engines.options.genesis import Genesis, read_genesis
from rollup_node.engines.options.state.leaves import MOST_POSITIONS
from rollup_node.engines.options.transactions import interfaces
from rollup_node.engines.options.transition.accounts import owner_of
from rollup_node.engines.options.transition.backstop import BACKSTOP
from rollup_node.engines.options.transition.genesis import MAKER_PREFIX
from rollup_node.engines.options.transition.parameters import Parameters

MARKET: dict[str, Any] = {"underlying": "ETH", "spot": 2000, "volatility": 0.6}


def planned(options: dict[str, Any] | None = None, **fields: Any) -> tuple[Plan, RollupPlan]:
    """A plan of one EVM and one options rollup, and the latter."""
    rollups = {"alpha": {}, "gamma": {"engine": "options", "options": options or {}}}
    content = {"name": "x", "rollups": rollups, "market": MARKET, "accounts": 2}
    plan = make_plan(TopologySpec.model_validate(content | fields))
    return plan, next(rollup for rollup in plan.rollups if rollup.name == "gamma")


def genesis_of(plan: Plan, rollup: RollupPlan) -> Genesis:
    """The genesis as the engine reads it."""
    assert rollup.options is not None
    return read_genesis(orjson.dumps(options_genesis(plan, rollup, rollup.options)))


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "roots": st.sampled_from(["block", "step"]),
        "gas_free": st.booleans(),
        "tick": st.sampled_from([0.01, 0.05, 1.0]),
        "lot": st.sampled_from([0.0001, 0.01, 1.0]),
        "taker_fee": st.sampled_from([0.0, 0.000001, 1.0]),
        "cash": st.sampled_from([0.0, 0.000001, 123.45, 1e9]),
        "settlement_average": st.sampled_from(["1500ms", "1d"]),
        "oracle": st.fixed_dictionaries({"signers": st.integers(1, 16)}),
        "amm": st.fixed_dictionaries({"exposure": st.sampled_from([0.0, 0.5, 1e9]), "cash": st.just(7.5)}),
    },
)


@settings(max_examples=20)
@given(OPTIONS, st.sampled_from(["shared-sequencer", "l1-bridge"]))
def test_the_engine_takes_what_a_topology_makes(options: dict[str, Any], mode: str) -> None:
    """No field is unknown to it; all cash is what L1's portal holds, signers are the plan's, and units are the engine's."""
    plan, rollup = planned(options, messaging={"mode": mode})
    genesis, meant = genesis_of(plan, rollup), rollup.options
    assert meant is not None
    world, parameters = genesis.world(), genesis.parameters
    assert rollup_supply(plan, rollup) == world.globals.vault
    assert {from_hex(one.address.lower(), 20) for one in meant.oracle_signers} == set(genesis.signers)
    assert (rollup.chain_id, meant.step_roots, meant.gas_free) == (
        parameters.chain_id,
        parameters.step_roots,
        parameters.gas_free,
    )
    assert meant.signatures_needed == parameters.signers_needed > len(meant.oracle_signers) / 2
    (market,) = parameters.markets.values()
    assert (round(meant.tick * 10**6), round(meant.lot * 10**4)) == (market.tick, market.lot)
    maker = owner_of(world, from_hex(amm_owner(), 20))
    assert bool(meant.amm_exposure) == bool(market.amm_limit) == (maker is not None)
    user = owner_of(world, from_hex(plan.users[0].address.lower(), 20))
    held = world.accounts[user.accounts[0]].cash if user and user.accounts else 0
    assert round(meant.cash * 10**6) == held


def test_what_engine_and_topology_both_say_is_the_same() -> None:
    """Addresses stand in two layers, because nodes never import the orchestrator."""
    assert MAKER_PREFIX + bytes([UNDERLYING]) == from_hex(amm_owner(), 20)
    assert BACKSTOP == from_hex(backstop_owner(), 20)
    names = ("ACCOUNTS", "EXCHANGE", "ORACLE", "RISK", "LIQUIDATION", "COMBOS")
    places = {f"IOptions{name.capitalize()}": to_hex(getattr(interfaces, name)) for name in names}
    assert places == dict(OPTIONS_SYSTEM)
    plan, _ = planned()
    known = {to_hex(place) for place in (*interfaces.FUNCTIONS, interfaces.L1_BLOCK)}
    assert known == {place.lower() for place in deployments(plan).rollups["gamma"].l2.values()}


def test_an_account_has_room_for_every_series_of_the_largest_market() -> None:
    """What the genesis promises of an account, its leaf holds: a block with one more position than that would be none."""
    half = MAX_SERIES // 2
    plan, rollup = planned(
        market=MARKET | {"strikes": tuple(1_500 + 10 * one for one in range(half)), "expiries": ("7d",)}
    )
    assert MAX_SERIES <= genesis_of(plan, rollup).parameters.max_positions <= MOST_POSITIONS


def test_liquidations_are_what_the_topology_says() -> None:
    """Each of its fields reaches the engine, in the engine's units; what it leaves out is as an engine without a topology has it."""
    said = {
        "close": 0.25,
        "bound": 0.05,
        "fast": "1500ms",
        "slow": "12h",
        "insolvent": "10m",
        "start": 0.98,
        "middle": 0.8,
        "buffer": 0.01,
        "insurance": 0.5,
        "penalty": 0.02,
    }
    mended = genesis_of(*planned({"liquidation": said})).parameters
    untouched = genesis_of(*planned()).parameters
    expected = {
        "close_share_ppm": 250_000,
        "bound_ppm": 50_000,
        "auction_fast_seconds": 2,
        "auction_slow_seconds": 43_200,
        "auction_insolvent_seconds": 600,
        "auction_start_ppm": 980_000,
        "auction_middle_ppm": 800_000,
        "auction_buffer_ppm": 10_000,
        "max_insurance_loss": 500_000,
        "backstop_penalty_ppm": 20_000,
    }
    assert expected == {name: getattr(mended, name) for name in expected}
    assert set(said) == set(LiquidationSpec.model_fields)
    plain = Parameters(chain_id=0, markets={})
    assert {name: getattr(plain, name) for name in expected} == {
        name: getattr(untouched, name) for name in expected
    }


def test_keys_of_the_oracle_are_their_own() -> None:
    """Nobody else has them, every options rollup has the same, and the seed alone decides them."""
    plan, rollup = planned({"oracle": {"signers": 5}})
    other, same = planned({"oracle": {"signers": 5}}, rollups={"delta": {"engine": "options"}, **GAMMA})
    assert rollup.options is not None
    assert same.options is not None
    signers = rollup.options.oracle_signers
    assert signers == same.options.oracle_signers
    assert [to_hex(address_of(one.private_key)) for one in signers] == [
        one.address.lower() for one in signers
    ]
    assert not {one.address for one in signers} & {one.address for one in (*plan.users, *plan.roles)}
    _, seeded = planned({"oracle": {"signers": 5}}, seed=1)
    assert seeded.options is not None
    assert not {one.address for one in signers} & {one.address for one in seeded.options.oracle_signers}
    assert MAKER_CASH == cash_on_options(other, same.options)[other.role("maker").address.lower()]


GAMMA: dict[str, Any] = {"gamma": {"engine": "options", "options": {"oracle": {"signers": 5}}}}


def test_a_rollup_s_genesis_depends_on_no_evm_rollup() -> None:
    """Others may come and go; options rollups of the same sequencing set know each other's portals, and no more of each other."""
    first, beside = genesis_of(*planned()), genesis_of(*planned(rollups=_with("beta", {})))
    assert first == beside
    plan, rollup = planned(rollups=_with("delta", {"engine": "options"}))
    peers = genesis_of(plan, rollup).parameters.peers
    (delta,) = [one for one in plan.rollups if one.name == "delta"]
    assert {delta.chain_id: from_hex(deployments(plan).rollups["delta"].portal.lower(), 20)} == dict(peers)
    apart = planned(rollups=_with("delta", {"engine": "options"}), messaging={"mode": "l1-bridge"})
    assert first == genesis_of(*apart)
    assert first.digest != genesis_of(*planned({"roots": "step"})).digest


def _with(name: str, other: dict[str, Any]) -> dict[str, Any]:
    return {"alpha": {}, "gamma": {"engine": "options", "options": {}}, name: other}


def test_series_of_the_market_can_be_listed() -> None:
    """Odd strikes and far expiries are no less listed than round ones."""
    strikes = (0.5, 1.25, 2.000001)
    market = MARKET | {"spot": 1, "strikes": strikes, "expiries": ("1h", "3650d")}
    (found,) = genesis_of(*planned(market=market)).parameters.markets.values()
    assert [0] * len(strikes) == [round(strike * 10**6) % found.strike_step for strike in strikes]
    assert found.longest_life > 3650 * 86_400


def test_without_a_market_there_is_nothing_to_begin_with() -> None:
    """A plan that nobody checked is refused in words."""
    plan, rollup = planned()
    assert rollup.options is not None
    bare = Plan(**{name: getattr(plan, name) for name in Plan.__slots__} | {"market": None})
    with pytest.raises(GenesisError, match="has no market"):
        options_genesis(bare, rollup, rollup.options)
