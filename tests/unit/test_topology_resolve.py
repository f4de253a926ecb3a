"""From spec to plan: the same file gives the same plan, everywhere, and rollups don't disturb one another."""

import itertools
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as EthAccount
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.topology.errors import InvalidTopology, UnreadablePlan
from orchestrator.topology.load import load_topology
from orchestrator.topology.names import FIRST_CHAIN_ID, LAST_CHAIN_ID, RESERVED_NAMES, chain_id_of
from orchestrator.topology.plan import Plan
from orchestrator.topology.plan_json import plan_from_dict, plan_to_dict
from orchestrator.topology.resolve import STRIKES_EACH_SIDE, default_strikes, make_plan
from orchestrator.topology.spec import TopologySpec

ROOT = Path(__file__).parents[2]
TOPOLOGIES = sorted((ROOT / "topologies").glob("*.yaml"))


def plan_of(**fields: Any) -> Plan:
    """The plan of a spec with two accounts, so that tests stay quick."""
    return make_plan(
        TopologySpec.model_validate({"name": "x", "rollups": {"alpha": {}}, "accounts": 2} | fields)
    )


NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(
    lambda n: n not in RESERVED_NAMES
)


def test_the_defaults_are_decided() -> None:
    """What a minimal file leaves open is settled as the reference page says."""
    plan = plan_of()
    (rollup,) = plan.rollups
    assert (plan.seed, plan.runtime, plan.market) == (0, "auto", None)
    assert (plan.l1.chain_id, plan.l1.block_time_s) == (900, 1.0)
    assert (
        rollup.name,
        rollup.engine,
        rollup.block_gas_limit,
        rollup.block_time_s,
        rollup.dev_methods,
    ) == ("alpha", "evm", 30_000_000, 2.0, False)
    messaging = plan.messaging
    assert (
        messaging.mode,
        messaging.slot_s,
        messaging.mempool_limit,
        messaging.publish_every_s,
    ) == ("shared-sequencer", 0.2, 10_000, 1.0)


def test_slow_slots_slow_down_the_defaults_that_rest_on_them() -> None:
    """A file that only sets a long slot is valid: blocks and superbatches wait for the slot."""
    plan = plan_of(messaging={"slot": "30s"})
    assert (plan.messaging.publish_every_s, plan.rollups[0].block_time_s) == (30.0, 30.0)


def test_what_the_file_says_wins() -> None:
    """Every explicit value reaches the plan unchanged."""
    plan = plan_of(
        seed=3,
        runtime="process",
        l1={"chain_id": 5, "block_time": "3s"},
        rollups={"b": {"chain_id": 8, "block_gas_limit": 2_000_000, "block_time": "4s", "dev_methods": True}},
        messaging={"slot": "50ms", "mempool_limit": 9, "publish_every": "5s"},
        market={
            "underlying": "BTC",
            "spot": 60000,
            "volatility": 0.5,
            "rate": 0.01,
            "spread": 0.03,
            "depth": 2.5,
            "expiries": ("1h", "1d"),
            "strikes": (50000, 70000.5),
            "price_cap": 3,
        },
    )
    expected = {
        "name": "x",
        "seed": 3,
        "runtime": "process",
        "l1": {"chain_id": 5, "block_time_s": 3.0},
        "rollups": [
            {
                "name": "b",
                "chain_id": 8,
                "engine": "evm",
                "block_gas_limit": 2_000_000,
                "block_time_s": 4.0,
                "dev_methods": True,
            }
        ],
        "messaging": {"mode": "shared-sequencer", "slot_s": 0.05, "mempool_limit": 9, "publish_every_s": 5.0},
        "market": {
            "underlying": "BTC",
            "spot": 60000.0,
            "volatility": 0.5,
            "rate": 0.01,
            "spread": 0.03,
            "depth": 2.5,
            "expiries_s": [3600.0, 86400.0],
            "strikes": [50000.0, 70000.5],
            "price_cap": 180000.0,
        },
    }
    decided = plan_to_dict(plan)
    assert expected == {key: value for key, value in decided.items() if key not in ("users", "roles")}


@settings(deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=8, unique=True), NAMES, st.integers(0, 8))
def test_adding_a_rollup_changes_no_other(names: list[str], added: str, place: int) -> None:
    """Wherever the new line stands, ids and accounts of the rest stay, and the order is the file's."""
    before = plan_of(rollups={name: {} for name in names})
    more = [name for name in names if name != added]
    more.insert(place, added)
    after = plan_of(rollups={name: {} for name in more})
    ids = {rollup.name: rollup.chain_id for rollup in after.rollups}
    assert more == list(ids)
    assert all(rollup.chain_id == ids[rollup.name] for rollup in before.rollups)
    assert (before.users, before.roles, before.l1) == (after.users, after.roles, after.l1)


@given(NAMES)
def test_derived_chain_ids_are_in_their_range(name: str) -> None:
    """Above the ids of well-known chains and of the L1, below what 32-bit tools hold."""
    assert FIRST_CHAIN_ID <= chain_id_of(name) <= LAST_CHAIN_ID


def test_chain_ids_never_change_between_versions() -> None:
    """Wallets and recorded runs know these ids: a change of the hash would break both."""
    assert {name: chain_id_of(name) for name in ("alpha", "beta")} == {"alpha": 174703914, "beta": 3916610}


def test_a_collision_is_a_problem_not_a_surprise() -> None:
    """A derived id that somebody else holds is reported, whoever built the spec."""
    with pytest.raises(InvalidTopology) as caught:
        plan_of(rollups={"other": {"chain_id": chain_id_of("alpha")}, "alpha": {}})
    (problem,) = caught.value.problems
    assert (problem.path, problem.hint) == ("rollups.alpha", "set chain_id to choose another")


def test_seed_zero_gives_the_accounts_that_every_tool_knows() -> None:
    """Foundry's first two users."""
    assert [(user.name, user.address) for user in plan_of().users] == [
        ("user-0", "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
        ("user-1", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    ]


def test_roles_are_derived_on_their_own_branch() -> None:
    """Seed 7, branch 1: as ``anvil --derivation-path "m/44'/60'/7'/1/"`` prints them."""
    expected = [
        ("sequencer", "0x59a1b7AE12948Bcc0F48B75aD13179d756871537"),
        ("maker", "0x47Be11762ca38E75d2aC3E23b1080489CE232458"),
        ("deployer", "0x21dcd127db4893271b3435B485a53DB0B9f1E19E"),
    ]
    assert expected == [(role.name, role.address) for role in plan_of(seed=7).roles]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31 - 1))
def test_accounts_are_distinct_and_hold_their_keys(seed: int) -> None:
    """No user is a role, and each private key signs for its address."""
    plan = plan_of(seed=seed)
    accounts = plan.users + plan.roles
    assert len(accounts) == len({account.address for account in accounts})
    assert [account.address for account in accounts] == [
        EthAccount.from_key(account.private_key).address for account in accounts
    ]


@given(st.integers(10_000, 10**15).map(lambda millionths: millionths / 1e6))
def test_default_strikes_are_a_grid_around_spot(spot: float) -> None:
    """Nine rising, evenly spaced strikes that cash can hold; the middle one is nearest to spot."""
    strikes = [Decimal(repr(strike)) for strike in default_strikes(spot)]
    steps = {later - earlier for earlier, later in itertools.pairwise(strikes)}
    (step,) = steps
    exact = Decimal(repr(spot))
    assert len(strikes) == 2 * STRIKES_EACH_SIDE + 1
    assert 0 < step <= exact * Decimal("0.05")
    assert step >= exact * Decimal("0.02")
    assert abs(strikes[STRIKES_EACH_SIDE] - exact) <= step / 2
    assert strikes[0] > 0
    assert all(strike * 10**6 == int(strike * 10**6) for strike in strikes)


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_shipped_topologies_resolve(path: Path) -> None:
    """Every shipped file loads, is named as its file, and opens with three comment lines."""
    plan = make_plan(load_topology(path))
    assert path.stem == plan.name
    first = path.read_text(encoding="utf-8").splitlines()[:4]
    assert [line.startswith("# ") for line in first] == [True, True, True, False]


def test_the_plan_is_the_same_in_every_process(tmp_path: Path) -> None:
    """No hash seed, no working folder and no clock gets into a plan."""
    program = (
        "import json, pathlib, sys; from orchestrator.topology.load import load_topology;"
        "from orchestrator.topology.resolve import make_plan;"
        "from orchestrator.topology.plan_json import plan_to_dict;"
        "print(json.dumps(plan_to_dict(make_plan(load_topology(pathlib.Path(sys.argv[1]))))))"
    )
    path = ROOT / "topologies" / "condor-quad.yaml"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "TZ": zone},
            cwd=tmp_path,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(printed) == 1
    assert plan_to_dict(make_plan(load_topology(path))) == json.loads(printed.pop())


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_plans_survive_json(path: Path) -> None:
    """``from_dict(to_dict(plan)) == plan``, through real text."""
    plan = make_plan(load_topology(path))
    assert plan == plan_from_dict(json.loads(json.dumps(plan_to_dict(plan))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.pop("seed"), "seed: missing"),
        (lambda values: values.update(seed="7"), "seed: int type"),
        (lambda values: values.update(seed=True), "seed: int type"),
        (lambda values: values["rollups"][0].pop("chain_id"), r"rollups\[0\].chain_id: missing"),
        (lambda values: values["rollups"][0].update(extra=1), "keys that this version does not know"),
        (lambda values: values.update(extra=1), "keys that this version does not know"),
        (lambda values: values.update(users={}), "users: tuple type"),
        (lambda values: values.update(l1=None), "l1: dataclass type"),
        (lambda values: values.update(seed=object()), "not JSON serializable"),
    ],
)
def test_another_plan_is_refused(change: Any, words: str) -> None:
    """A missing, unknown or mistyped field is named; nothing is guessed."""
    values = plan_to_dict(plan_of())
    change(values)
    with pytest.raises(UnreadablePlan, match=words):
        plan_from_dict(values)
