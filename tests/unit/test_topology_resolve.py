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
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.topology.accounts import MNEMONIC, ROLES, derive_roles, index_of
from orchestrator.topology.errors import InvalidTopology, UnreadablePlan
from orchestrator.topology.load import load_topology
from orchestrator.topology.names import FIRST_CHAIN_ID, LAST_CHAIN_ID, RESERVED_NAMES, chain_id_of
from orchestrator.topology.plan import Plan, SettlementPlan
from orchestrator.topology.plan_json import plan_from_dict, plan_to_dict
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.spec import TopologySpec
from orchestrator.topology.strikes import STRIKES_EACH_SIDE, default_strikes

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
    assert (plan.l1.chain_id, plan.l1.block_time_s, plan.l1.confirmations) == (900, 1.0, 2)
    assert (
        rollup.name,
        rollup.engine,
        rollup.block_gas_limit,
        rollup.block_time_s,
        rollup.dev_methods,
        rollup.data_availability,
        rollup.settlement,
    ) == ("alpha", "evm", 30_000_000, 2.0, False, "calldata", SettlementPlan(604_800, 10))
    messaging = plan.messaging
    assert (
        messaging.mode,
        messaging.slot_s,
        messaging.mempool_limit,
        messaging.publish_every_s,
        messaging.sequencing_window,
    ) == ("shared-sequencer", 0.2, 10_000, 1.0, 60)


def test_slow_slots_slow_down_the_defaults_that_rest_on_them() -> None:
    """A file that only sets a long slot is valid: blocks, superbatches, outputs and the window wait for the slot."""
    plan = plan_of(messaging={"slot": "60s"})
    (rollup,) = plan.rollups
    assert (plan.messaging.publish_every_s, rollup.block_time_s) == (60.0, 60.0)
    assert (rollup.settlement.proposal_interval, plan.messaging.sequencing_window) == (1, 66)


@given(st.integers(100, 60_000), st.integers(5, 60_000), st.integers(0, 64))
def test_the_default_window_holds_a_healthy_batch(l1_ms: int, slot_ms: int, confirmations: int) -> None:
    """However slow the L1 and the slots are, origin, wait and inclusion fit, and at least a minute passes."""
    plan = plan_of(
        l1={"block_time": f"{l1_ms}ms", "confirmations": confirmations}, messaging={"slot": f"{slot_ms}ms"}
    )
    window_s = plan.messaging.sequencing_window * plan.l1.block_time_s
    assert window_s >= 60
    assert window_s > plan.messaging.publish_every_s + (confirmations + 3) * plan.l1.block_time_s


@pytest.mark.parametrize(
    ("window", "block_time", "blocks"),
    [
        ("60s", "1s", 60),
        ("30s", "300ms", 100),
        ("60500ms", "1s", 61),
        ("90s", "12s", 8),
        ("3.3s", "300ms", 11),
    ],
)
def test_a_window_is_rounded_up_to_blocks_of_the_l1(window: str, block_time: str, blocks: int) -> None:
    """Decimals count as they are written: no block too many because of a float."""
    plan = plan_of(l1={"block_time": block_time, "confirmations": 0}, messaging={"sequencing_window": window})
    assert blocks == plan.messaging.sequencing_window


@pytest.mark.parametrize(
    ("settlement", "expected"),
    [
        ({}, SettlementPlan(604_800, 10)),
        ({"challenge_period": "1.2s"}, SettlementPlan(2, 10)),
        ({"challenge_period": "5s", "proposal_interval": "2s"}, SettlementPlan(5, 2)),
        ({"kind": "optimistic", "proposal_interval": "7s"}, SettlementPlan(604_800, 7)),
    ],
)
def test_settlement_counts_in_seconds_and_blocks(
    settlement: dict[str, Any], expected: SettlementPlan
) -> None:
    """Challenge periods in the L1's whole seconds, rounded up; proposals in blocks of two seconds here, to the nearest."""
    assert expected == plan_of(rollups={"alpha": {"settlement": settlement}}).rollups[0].settlement


def test_what_the_file_says_wins() -> None:
    """Every explicit value reaches the plan unchanged."""
    plan = plan_of(
        seed=3,
        runtime="process",
        l1={"chain_id": 5, "block_time": "3s", "confirmations": 3},
        rollups={
            "b": {
                "chain_id": 8,
                "block_gas_limit": 3_000_000,
                "block_time": "4s",
                "dev_methods": True,
                "data_availability": "blob",
                "settlement": {"kind": "optimistic", "challenge_period": "9s", "proposal_interval": "8s"},
            }
        },
        messaging={
            "mode": "l1-bridge",
            "slot": "50ms",
            "mempool_limit": 9,
            "publish_every": "5s",
            "sequencing_window": "45s",
        },
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
        resources={"nodes": {"b": {"memory": "1GiB", "cpus": 1.5, "pids": 300}}},
    )
    expected = {
        "name": "x",
        "seed": 3,
        "runtime": "process",
        "l1": {"chain_id": 5, "block_time_s": 3.0, "confirmations": 3},
        "rollups": [
            {
                "name": "b",
                "chain_id": 8,
                "engine": "evm",
                "block_gas_limit": 3_000_000,
                "block_time_s": 4.0,
                "dev_methods": True,
                "data_availability": "blob",
                "settlement": {"challenge_period_s": 9, "proposal_interval": 3},
                "options": None,
            }
        ],
        "messaging": {
            "mode": "l1-bridge",
            "slot_s": 0.05,
            "mempool_limit": 9,
            "publish_every_s": 5.0,
            "sequencing_window": 15,
        },
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
        "limits": [{"node": "b", "memory_bytes": 2**30, "cpus": 1.5, "pids": 300}],
    }
    decided = plan_to_dict(plan)
    assert expected == {key: value for key, value in decided.items() if key not in ("users", "roles")}


@settings(deadline=None)
@given(
    st.lists(NAMES, min_size=1, max_size=8, unique=True),
    NAMES,
    st.integers(0, 8),
    st.sampled_from(["shared-sequencer", "l1-bridge"]),
)
def test_adding_a_rollup_changes_no_other(names: list[str], added: str, place: int, mode: str) -> None:
    """Wherever the new line stands, ids and accounts of the rest stay, and the order is the file's."""
    messaging = {"mode": mode}
    before = plan_of(rollups={name: {} for name in names}, messaging=messaging)
    more = [name for name in names if name != added]
    more.insert(place, added)
    after = plan_of(rollups={name: {} for name in more}, messaging=messaging)
    ids = {rollup.name: rollup.chain_id for rollup in after.rollups}
    assert more == list(ids)
    assert all(rollup.chain_id == ids[rollup.name] for rollup in before.rollups)
    assert (before.users, before.l1) == (after.users, after.l1)
    gone = {f"{added}-{role}" for role in ("batcher", "proposer", "challenger")}
    assert [role for role in before.roles if role.name not in gone] == [
        role for role in after.roles if role.name not in gone
    ]


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
    """Seed 7, branch 1: as ``anvil --derivation-path "m/44'/60'/7'/1/"`` prints them; the first three since the first version."""
    expected = [
        ("sequencer", "0x59a1b7AE12948Bcc0F48B75aD13179d756871537"),
        ("maker", "0x47Be11762ca38E75d2aC3E23b1080489CE232458"),
        ("deployer", "0x21dcd127db4893271b3435B485a53DB0B9f1E19E"),
        ("guardian", "0x03e57BB9dfb22818429352ab17265645AF7f0F8B"),
        ("relayer", "0x954117f0f6c4d2A4FA8494AF28FE3c19b8170021"),
    ]
    assert expected == [(role.name, role.address) for role in derive_roles(7)]


@pytest.mark.parametrize(
    ("mode", "own"),
    [
        ("shared-sequencer", ["b-proposer", "b-challenger", "a-proposer", "a-challenger"]),
        ("l1-bridge", ["b-batcher", "b-proposer", "b-challenger", "a-batcher", "a-proposer", "a-challenger"]),
    ],
)
def test_each_rollup_has_roles_of_its_own(mode: str, own: list[str]) -> None:
    """After those of the devnet, in the order of the file, found by name; only sets of one have batchers of their own."""
    plan = plan_of(rollups={"b": {}, "a": {}}, messaging={"mode": mode})
    assert [*ROLES, *own] == [role.name for role in plan.roles]
    assert list(plan.roles) == [plan.role(role.name) for role in plan.roles]
    with pytest.raises(KeyError):
        plan.role("c-proposer")


@pytest.mark.parametrize(("role", "branch"), [("batcher", 2), ("proposer", 3), ("challenger", 4)])
def test_a_rollup_s_keys_follow_from_its_name(role: str, branch: int) -> None:
    """Branches 2 to 4, by an index that a wallet takes: the packaged library finds the same keys."""
    plan = plan_of(seed=7, messaging={"mode": "l1-bridge"})
    key = key_from_seed(
        seed_from_mnemonic(MNEMONIC, passphrase=""), f"m/44'/60'/7'/{branch}/{index_of('alpha')}"
    )
    assert EthAccount.from_key(key).address == plan.role(f"alpha-{role}").address


def test_the_index_of_a_name_never_changes_between_versions() -> None:
    """Recorded runs and contracts know these keys' addresses."""
    assert {name: index_of(name) for name in ("alpha", "beta")} == {
        "alpha": 1_619_849_536,
        "beta": 1_192_017_715,
    }


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
