"""``rollnet strategy show --margin``: what a strategy takes in one account, rollup by rollup, and locked; without a devnet."""

from pathlib import Path

import pytest

from orchestrator.cli.testing import within
from orchestrator.strategies.capital import own_capital
from orchestrator.strategies.catalogue import find_strategy
from orchestrator.strategies.errors import StrategyError
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan import Plan
from orchestrator.topology.resolve import make_plan

OPTIONS = "{engine: options}"


def _written(folder: Path, engines: str = OPTIONS, mode: str = "shared-sequencer", count: int = 4) -> Path:
    """The market of the research, with one volatility for all strikes."""
    rollups = "".join(f"  {name}: {engines}\n" for name in ("alpha", "beta", "delta", "gamma")[:count])
    file = folder / "topology.yaml"
    file.write_text(
        f"name: researched\nseed: 7\nl1: {{block_time: 1s}}\nrollups:\n{rollups}messaging: {{mode: {mode}}}\n"
        "market: {underlying: ETH, spot: 3000, volatility: 0.67, strikes: [2600, 2800, 3000, 3200, 3400], expiries: [30d]}\n"
    )
    return file


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Four options rollups under one sequencer."""
    return make_plan(load_topology(_written(tmp_path)))


@pytest.mark.parametrize(
    ("settings", "research"), [(("iron_condor",), 31.4), (("box", "side=sell"), 38.7)], ids=["condor", "box"]
)
def test_the_presets_cost_about_thirty_one_and_forty_times_what_one_account_does(
    settings: tuple[str, ...], research: float
) -> None:
    """On the shipped four-rollup topology, within a twentieth of the research's figures (which ``test_margin_combos`` has to the cent).

    Both are bounded by the floor of two short options in one account: half a percent of the spot each.
    """
    plan = make_plan(load_topology(Path("topologies/condor-quad.yaml")))
    assert plan.market is not None
    found = own_capital(find_strategy(settings[0], plan.market, settings[1:], []), plan, plan.market)
    assert found.ratio == pytest.approx(research, rel=0.05)
    assert 2 * 0.005 * plan.market.spot == found.netted / 1e6
    assert not found.lockable


def test_at_the_researchs_market_locking_takes_a_third(plan: Plan) -> None:
    """Spot 3000, thirty days. One volatility for all strikes makes a condor's scenarios dearer than the smile does: 34.83 for 30.00.

    Locked, each short leg's rollup holds a width less what selling the leg has brought there, and the long legs' premiums are paid.
    """
    assert plan.market is not None
    condor = own_capital(find_strategy("iron_condor", plan.market, [], []), plan, plan.market)
    box = own_capital(find_strategy("box", plan.market, ["side=sell"], []), plan, plan.market)
    assert [34.83, 30.0] == [round(one.netted / 1e6, 2) for one in (condor, box)]
    assert box.ratio == pytest.approx(38.7, rel=0.03)
    assert condor.ratio == pytest.approx(26.6, rel=0.01)
    for found, width in ((condor, 200), (box, 400)):
        assert found.lockable
        assert found.locked is not None
        assert found.netted < found.locked <= 2 * width * 1e6
        assert found.locked < 0.36 * found.separate
        assert found.locked == sum(row.locked or 0 for row in found.rollups)
        assert found.separate == sum(row.separate for row in found.rollups)


def test_legs_that_share_a_rollup_are_netted_there(tmp_path: Path) -> None:
    """On two rollups a condor's puts are on one and its calls on the other, if one says so; on one rollup nothing is separate."""
    plan = make_plan(load_topology(_written(tmp_path, count=2)))
    assert plan.market is not None
    apart = find_strategy("iron_condor", plan.market, ["rollups=alpha,alpha,beta,beta"], [])
    spread = find_strategy("iron_condor", plan.market, ["rollups=alpha,beta"], [])
    single = find_strategy("iron_condor", plan.market, ["rollups=alpha"], [])
    few, many, one = (own_capital(each, plan, plan.market) for each in (apart, spread, single))
    assert one.netted == one.separate == few.netted == many.netted
    assert one.separate < few.separate < many.separate
    assert [(0, 1), (2, 3)] == [row.legs for row in few.rollups]


def test_a_series_twice_on_one_rollup_is_refused(plan: Plan, tmp_path: Path) -> None:
    """The rollup would see one position, and the figures two."""
    assert plan.market is not None
    file = tmp_path / "twice.yaml"
    leg = "{side: buy, kind: call, strike: 3000, quantity: 1, rollup: alpha}"
    file.write_text(f"name: twice\nlegs: [{leg}, {leg}]\n")
    with pytest.raises(StrategyError, match="two legs of one series"):
        own_capital(find_strategy(str(file), plan.market, [], []), plan, plan.market)


async def test_the_command_prints_netted_separate_and_locked_side_by_side(tmp_path: Path) -> None:
    """Figures of each rollup and of all, as a table and as JSON; nothing has to run."""
    file = str(_written(tmp_path))
    show = ("strategy", "show", "iron_condor", "--margin", "--topology", file)
    said = await within(tmp_path, *show)
    assert 0 == said.code
    assert "netted 34.83  separate 924.68 (26.6 times)  locked 279.20" in said.out
    assert "can't lock it" not in said.out
    margin = (await within(tmp_path, *show, "--json")).json["margin"]
    assert {"netted", "separate", "locked", "ratio", "lockable", "rollups"} == set(margin)
    assert ["alpha", "beta", "delta", "gamma"] == [row["rollup"] for row in margin["rollups"]]
    assert [None] * 4 == [row["collateral"] for row in margin["rollups"]]
    assert "margin" not in (await within(tmp_path, *show[:3], *show[4:], "--json")).json


async def test_it_says_what_cannot_be_locked_and_why(tmp_path: Path) -> None:
    """EVM rollups, rollups without a common sequencer, strategies that can lose without end; a strategy or market that isn't there."""
    for engine, mode in (("{engine: evm}", "shared-sequencer"), (OPTIONS, "l1-bridge")):
        file = str(_written(tmp_path, engine, mode))
        said = await within(tmp_path, "strategy", "show", "iron_condor", "--margin", "--topology", file)
        assert (0, True) == (said.code, "these rollups can't lock it" in said.out)
    file = str(_written(tmp_path))
    said = await within(
        tmp_path, "strategy", "show", "straddle", "--set", "side=sell", "--margin", "--topology", file
    )
    assert (0, True) == (said.code, "never: it has no maximum loss" in said.out)
    said = await within(tmp_path, "strategy", "show", "iron_condo", "--margin", "--topology", file)
    assert (2, True) == (said.code, "did you mean iron_condor" in said.err)
    bare = tmp_path / "bare.yaml"
    bare.write_text("name: bare\nrollups:\n  alpha: {engine: evm}\n")
    said = await within(tmp_path, "strategy", "show", "box", "--margin", "--topology", str(bare))
    assert (2, True) == (said.code, "no options market" in said.err)
