"""Names and addresses follow from the plan alone, never collide, and survive the way to disk and to the terminal."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from eth_utils.address import is_checksum_address
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bridge.contracts.errors import ArtifactMissing
from bridge.contracts.op import PACKAGE, op_artifact, preinstalled_code
from bridge.wire.superbatch import BATCH_INBOX
from orchestrator.cli.app import app
from orchestrator.market.testing import example_account, example_plan
from orchestrator.settlement.deployments import FILE_NAME, Deployments, deployments
from orchestrator.settlement.l1 import ELASTICITY, SYSTEM_GAS, max_deposit_gas
from orchestrator.topology.plan import Plan

PLAN = example_plan(("alpha", "beta"))
USED = (
    "SystemConfig",
    "OptimismPortal",
    "L2OutputOracle",
    "L1CrossDomainMessenger",
    "L1StandardBridge",
    "L2ToL1MessagePasser",
    "L1Block",
    "Proxy",
    "ProxyAdmin",
    "ResolvedDelegateProxy",
    "OptimismMintableERC20",
)


def _with_chain_ids(ids: list[int], mode: str = "shared-sequencer") -> Plan:
    plan = example_plan([f"r{index}" for index in range(len(ids))])
    rollups = zip(plan.rollups, ids, strict=True)
    batchers = tuple(example_account(f"{rollup.name}-batcher") for rollup in plan.rollups)
    return replace(
        plan,
        rollups=tuple(replace(rollup, chain_id=chain_id) for rollup, chain_id in rollups),
        messaging=replace(plan.messaging, mode=mode),
        roles=(*plan.roles, *batchers),
    )


@given(st.lists(st.integers(1, 2**53 - 1), min_size=1, max_size=6, unique=True))
def test_no_two_contracts_share_an_address(ids: list[int]) -> None:
    """Over any chain ids all contracts on L1 are different, checksummed, and inboxes differ without a shared sequencer."""
    found = deployments(_with_chain_ids(ids, "l1-bridge"))
    on_l1 = [*found.l1.values(), *(a for rollup in found.rollups.values() for a in rollup.l1.values())]
    inboxes = [rollup.batch_inbox for rollup in found.rollups.values()]
    assert len(on_l1) + len(ids) == len({*on_l1, *inboxes})
    on_l2 = [a for rollup in found.rollups.values() for a in rollup.l2.values()]
    assert all(map(is_checksum_address, (*on_l1, *on_l2, *inboxes)))


@given(st.lists(st.integers(1, 2**53 - 1), min_size=2, max_size=6, unique=True))
def test_a_rollups_addresses_depend_on_its_chain_id_alone(ids: list[int]) -> None:
    """Other rollups, their number and their order move nothing."""
    all_of_them = deployments(_with_chain_ids(ids)).rollups
    alone = deployments(_with_chain_ids(ids[-1:])).rollups["r0"]
    assert all_of_them[f"r{len(ids) - 1}"].l1 == alone.l1


def test_the_shared_set_has_one_inbox() -> None:
    """With a shared sequencer every rollup's batches go to the set's inbox, from the role ``sequencer``."""
    found = deployments(PLAN).rollups.values()
    assert {BATCH_INBOX} == {rollup.batch_inbox.lower() for rollup in found}
    assert {PLAN.role("sequencer").address} == {rollup.batcher.lower() for rollup in found}


def test_deployments_survive_json() -> None:
    """What is read back from the file is what was written."""
    found = deployments(PLAN)
    assert found == Deployments.from_json(orjson.loads(orjson.dumps(found.to_json())))


@given(st.integers(1_000_000, 1_000_000_000))
def test_deposits_never_fill_a_block(limit: int) -> None:
    """For every block gas limit that a topology may have, SystemConfig's own rules hold."""
    rollup = replace(PLAN.rollups[0], block_gas_limit=limit)
    bought, entered = max_deposit_gas(rollup), min(limit, 200_000_000)
    assert bought > 0
    assert bought % ELASTICITY == 0
    assert bought + min(SYSTEM_GAS, entered // 2) <= entered


@pytest.mark.parametrize("name", USED)
def test_reading_the_head_of_an_artifact_is_reading_it(name: str) -> None:
    """What is read of a file without its syntax tree equals what the whole file says."""
    whole = orjson.loads((PACKAGE / "forge-artifacts" / f"{name}.sol" / f"{name}.json").read_bytes())
    found = op_artifact(name)
    assert tuple(whole["abi"]) == found.abi
    assert whole["bytecode"]["object"] == "0x" + found.creation_code.hex()
    assert whole["bytecode"]["linkReferences"] == {}


def test_a_missing_contract_is_named() -> None:
    """The error says which contract the package lacks and what to do."""
    with pytest.raises(ArtifactMissing, match=r"no Bogus.*make setup"):
        op_artifact("Bogus")


def test_preinstalled_code_is_runtime_code() -> None:
    """All of the OP Stack's preinstalls are found in its source."""
    code = preinstalled_code()
    assert {"MultiCall3", "Create2Deployer", "SafeSingletonFactory", "EntryPoint"} <= code.keys()
    assert all(len(body) > 50 for body in code.values())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with deployments."""
    (tmp_path / "journal").mkdir()
    (tmp_path / FILE_NAME).write_bytes(orjson.dumps(deployments(PLAN).to_json()))
    return tmp_path


def test_addresses_prints_every_name_with_its_address(run: Path) -> None:
    """The table has all contracts of all chains, unbroken."""
    shown = CliRunner().invoke(app, ["addresses", str(run)])
    assert shown.exit_code == 0
    lines = {tuple(line.split()) for line in shown.stdout.splitlines()}
    found = deployments(PLAN)
    wanted = [found.l1, *(chain for rollup in found.rollups.values() for chain in (rollup.l1, rollup.l2))]
    assert {item for chain in wanted for item in chain.items()} <= lines


def test_addresses_as_json_is_the_file(run: Path) -> None:
    """Programs get the same document that lies in the run directory."""
    shown = CliRunner().invoke(app, ["addresses", str(run), "--json"])
    assert orjson.loads((run / FILE_NAME).read_bytes()) == orjson.loads(shown.stdout)


@pytest.mark.parametrize("damage", [None, b"", b"[]", b'{"l1": {}}', b'{"l1": {}, "rollups": {"a": {}}}'])
def test_addresses_says_what_is_wrong_with_a_run(run: Path, damage: bytes | None) -> None:
    """A run directory without readable deployments is an error in words."""
    if damage is None:
        (run / FILE_NAME).unlink()
    else:
        (run / FILE_NAME).write_bytes(damage)
    shown = CliRunner().invoke(app, ["addresses", str(run), "--json"])
    assert shown.exit_code != 0
    assert f"no readable {FILE_NAME}" in orjson.loads(shown.stdout)["error"]["message"]
