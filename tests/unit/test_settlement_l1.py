"""The L1 of a devnet starts with the OP Stack's contracts, wired, initialised for good, and where the plan says."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.contracts.testing import Chain, Clock, ours
from orchestrator.market.errors import GenesisError
from orchestrator.market.genesis import build_geneses
from orchestrator.market.testing import example_account, example_plan
from orchestrator.settlement import recipes
from orchestrator.settlement.deployments import IMPLEMENTATIONS, OURS, deployments
from orchestrator.settlement.geth_genesis import GENESIS_TIME, genesis_bytes
from orchestrator.settlement.l1 import build_l1_genesis
from orchestrator.settlement.messages import refund_margin_s
from orchestrator.settlement.testing_chains import OpChain, Refused, events, l1_chain
from orchestrator.topology.plan import Plan

PLAN = example_plan(("alpha", "beta"))
WHERE = deployments(PLAN)
ALPHA = WHERE.rollups["alpha"]
USER, STRANGER = PLAN.users[0], PLAN.users[1]
ETHER = 10**18


@pytest.fixture
async def l1(tmp_path: Path) -> AsyncIterator[OpChain]:
    """The real L1 node of a plan with two rollups, before its first block."""
    async with l1_chain(PLAN, tmp_path) as chain:
        yield chain


async def _built(plan: Plan, cache: Path) -> bytes:
    return genesis_bytes(await build_l1_genesis(plan, cache))


async def test_every_address_that_was_told_beforehand_has_code(l1: OpChain) -> None:
    """What ``deployments`` says without running anything is where the contracts are, and all are different."""
    addresses = [
        *WHERE.l1.values(),
        *(address for rollup in WHERE.rollups.values() for address in rollup.l1.values()),
    ]
    assert dict.fromkeys(addresses, True) == await l1.codes(addresses)
    assert len(addresses) == len(set(addresses))


async def test_every_proxy_leads_to_its_implementation_and_belongs_to_the_deployer(l1: OpChain) -> None:
    """ProxyAdmin, asked by the OP Stack's own functions, knows each proxy's code and owns it, whatever the proxy's type."""
    deployer = PLAN.role("deployer").address.lower()
    for rollup in WHERE.rollups.values():
        admin = rollup.l1["ProxyAdmin"]
        assert (deployer,) == await l1.read("ProxyAdmin", admin, "owner")
        for name in IMPLEMENTATIONS:
            proxy = rollup.l1[f"{name}Proxy"]
            code = await l1.read("ProxyAdmin", admin, "getProxyImplementation", proxy)
            owner = await l1.read("ProxyAdmin", admin, "getProxyAdmin", proxy)
            assert (WHERE.l1[name].lower(), admin.lower()) == (*code, *owner)
            assert await l1.read(name, proxy, "version") == await l1.read(name, WHERE.l1[name], "version")


async def test_contracts_are_wired_to_those_of_the_same_rollup(l1: OpChain) -> None:
    """Every reference between contracts, read from the chain, stays within the rollup's own set."""
    for own_name, rollup in WHERE.rollups.items():
        at = {name: address.lower() for name, address in rollup.l1.items()}
        superchain = WHERE.l1["SuperchainConfigProxy"].lower()
        portal, messenger = at["OptimismPortalProxy"], at["L1CrossDomainMessengerProxy"]
        bridge, system = at["L1StandardBridgeProxy"], at["SystemConfigProxy"]
        wiring = [
            ("OptimismPortal", portal, "l2Oracle", at["L2OutputOracleProxy"]),
            ("OptimismPortal", portal, "systemConfig", system),
            ("OptimismPortal", portal, "superchainConfig", superchain),
            ("OptimismPortal", portal, "guardian", PLAN.role("guardian").address.lower()),
            ("L1CrossDomainMessenger", messenger, "portal", portal),
            ("L1CrossDomainMessenger", messenger, "systemConfig", system),
            ("L1CrossDomainMessenger", messenger, "otherMessenger", "0x" + "42".ljust(38, "0") + "07"),
            ("L1StandardBridge", bridge, "messenger", messenger),
            ("L1StandardBridge", bridge, "otherBridge", "0x" + "42".ljust(38, "0") + "10"),
            ("L1ERC721Bridge", at["L1ERC721BridgeProxy"], "messenger", messenger),
            (
                "OptimismMintableERC20Factory",
                at["OptimismMintableERC20FactoryProxy"],
                "bridge",
                bridge,
            ),
            ("SystemConfig", system, "optimismPortal", portal),
            ("SystemConfig", system, "l1CrossDomainMessenger", messenger),
            ("SystemConfig", system, "l1StandardBridge", bridge),
            ("SystemConfig", system, "batchInbox", rollup.batch_inbox.lower()),
            ("SystemConfig", system, "unsafeBlockSigner", rollup.batcher.lower()),
            ("SystemConfig", system, "owner", PLAN.role("deployer").address.lower()),
            ("L2OutputOracle", at["L2OutputOracleProxy"], "proposer", rollup.proposer.lower()),
            (
                "L2OutputOracle",
                at["L2OutputOracleProxy"],
                "challenger",
                PLAN.role(f"{own_name}-challenger").address.lower(),
            ),
        ]
        for contract, address, function, expected in wiring:
            assert (expected,) == await l1.read(contract, address, function), (contract, function)


async def test_configuration_is_that_of_the_topology(l1: OpChain) -> None:
    """Intervals, periods, limits and the batcher reach the contracts as the plan has them; L1 data is free of charge."""
    oracle, system = ALPHA.output_oracle, ALPHA.system_config
    settlement = PLAN.rollups[0].settlement
    numbers = [
        (await l1.read("L2OutputOracle", oracle, function))[0]
        for function in (
            "submissionInterval",
            "finalizationPeriodSeconds",
            "startingTimestamp",
            "nextBlockNumber",
        )
    ]
    interval = settlement.proposal_interval
    assert [interval, settlement.challenge_period_s, GENESIS_TIME, interval] == numbers
    batcher = bytes(12) + bytes.fromhex(PLAN.role("sequencer").address[2:])
    assert (batcher,) == await l1.read("SystemConfig", system, "batcherHash")
    assert (30_000_000,) == await l1.read("SystemConfig", system, "gasLimit")
    scalars = [
        (await l1.read("SystemConfig", system, name))[0] for name in ("basefeeScalar", "blobbasefeeScalar")
    ]
    assert [0, 0] == scalars
    resources = await l1.read("SystemConfig", system, "resourceConfig")
    assert ((20_000_000, 10, 8, 10**9, 1_000_000, 2**128 - 1),) == resources


async def test_the_first_block_already_takes_deposits(l1: OpChain) -> None:
    """Through portal, messenger and bridge, from block 1 on: resource metering starts no later than that."""
    data = b"\x12\x34"
    receipt = await l1.send(
        USER,
        "OptimismPortal",
        ALPHA.portal,
        "depositTransaction",
        STRANGER.address,
        3,
        200_000,
        False,
        data,
        value=7,
    )
    (deposited,) = events(receipt, "OptimismPortal", ALPHA.portal)
    opaque = (7).to_bytes(32, "big") + (3).to_bytes(32, "big") + (200_000).to_bytes(8, "big") + b"\0" + data
    assert ("TransactionDeposited", USER.address.lower(), STRANGER.address.lower(), opaque) == (
        deposited.name,
        deposited.arguments["from"],
        deposited.arguments["to"],
        deposited.arguments["opaqueData"],
    )
    sent = await l1.send(
        USER, "L1CrossDomainMessenger", ALPHA.messenger, "sendMessage", STRANGER.address, b"", 50_000
    )
    bridged = await l1.send(
        USER, "L1StandardBridge", ALPHA.standard_bridge, "depositETH", 50_000, b"", value=ETHER
    )
    blocks = [int(found["blockNumber"], 16) for found in (receipt, sent, bridged)]
    assert [1, 2, 3] == blocks
    aliased = {
        events(found, "OptimismPortal", ALPHA.portal)[0].arguments["from"] for found in (sent, bridged)
    }
    alias = (int(ALPHA.messenger, 16) + 0x1111000000000000000000000000000000001111) % 2**160
    assert {f"0x{alias:040x}"} == aliased


async def test_the_gas_limit_of_deposits_holds(l1: OpChain) -> None:
    """One deposit may buy all that a block of L1 may, and not one unit of gas more."""
    target = ("OptimismPortal", ALPHA.portal, "depositTransaction", STRANGER.address, 0)
    await l1.simulate(*target, 20_000_000, False, b"")
    with pytest.raises(Refused, match="OutOfGas"):
        await l1.simulate(*target, 20_000_001, False, b"")


async def test_nothing_can_be_initialised_twice(l1: OpChain) -> None:
    """Attack X7: neither a stranger nor the owner initialises a proxy again, or an implementation at all."""
    zero = "0x" + "00" * 20
    arguments: dict[str, tuple[Any, ...]] = {
        "SystemConfig": (
            zero,
            0,
            0,
            bytes(32),
            21_000_000,
            zero,
            (10, 10, 8, 1, 1, 1),
            zero,
            (zero,) * 7,
        ),
        "L2OutputOracle": (1, 1, 0, 0, USER.address, USER.address, 0),
        "OptimismPortal": (zero,) * 3,
        "L1CrossDomainMessenger": (zero,) * 3,
        "L1StandardBridge": (zero,) * 3,
        "L1ERC721Bridge": (zero,) * 2,
        "OptimismMintableERC20Factory": (zero,),
    }
    targets = [
        ("SuperchainConfig", WHERE.l1[name], (zero, False))
        for name in ("SuperchainConfig", "SuperchainConfigProxy")
    ]
    for name in IMPLEMENTATIONS:
        proxies = [rollup.l1[f"{name}Proxy"] for rollup in WHERE.rollups.values()]
        targets += [(name, address, arguments[name]) for address in (WHERE.l1[name], *proxies)]
    for who in (STRANGER.address, PLAN.role("deployer").address, ALPHA.proposer):
        for name, address, values in targets:
            with pytest.raises(Refused, match="already initialized"):
                await l1.simulate(name, address, "initialize", *values, sender=who)


async def test_strangers_own_nothing(l1: OpChain) -> None:
    """Upgrades, names and configuration are refused to everybody but the owner."""
    admin = ("ProxyAdmin", ALPHA.l1["ProxyAdmin"], "upgrade", ALPHA.portal, WHERE.l1["SystemConfig"])
    await l1.simulate(*admin, sender=PLAN.role("deployer").address)
    names = ("AddressManager", ALPHA.l1["AddressManager"], "setAddress", "OVM_L1CrossDomainMessenger")
    attempts = [
        admin,
        (*names, STRANGER.address),
        ("SystemConfig", ALPHA.system_config, "setBatcherHash", bytes(32)),
        ("SuperchainConfig", WHERE.l1["SuperchainConfigProxy"], "pause", "mine"),
        ("L2OutputOracle", ALPHA.output_oracle, "proposeL2Output", b"\1" * 32, 10, bytes(32), 0),
        ("L2OutputOracle", ALPHA.output_oracle, "deleteL2Outputs", 0),
    ]
    for attempt in attempts:
        with pytest.raises(Refused):
            await l1.simulate(*attempt, sender=STRANGER.address)


async def test_the_guardian_pauses_all_rollups_together(l1: OpChain) -> None:
    """One call stops withdrawals everywhere; deposits go on."""
    superchain = WHERE.l1["SuperchainConfigProxy"]
    await l1.send(PLAN.role("guardian"), "SuperchainConfig", superchain, "pause", "test")
    for rollup in WHERE.rollups.values():
        assert (True,) == await l1.read("OptimismPortal", rollup.portal, "paused")
        withdrawal = (0, USER.address, USER.address, 0, 0, b"")
        with pytest.raises(Refused, match="CallPaused"):
            await l1.simulate("OptimismPortal", rollup.portal, "finalizeWithdrawalTransaction", withdrawal)
        deposit = ("depositTransaction", USER.address, 0, 100_000, False, b"")
        await l1.simulate("OptimismPortal", rollup.portal, *deposit)


async def test_only_the_proposer_proposes_and_only_the_challenger_deletes(l1: OpChain) -> None:
    """The oracle takes an output at its interval from the rollup's own proposer, and the challenger takes it back."""
    oracle, root = ALPHA.output_oracle, b"\1" * 32
    proposer = next(role for role in PLAN.roles if role.name == "alpha-proposer")
    output = ("proposeL2Output", root, 10, bytes(32), 0)
    other = WHERE.rollups["beta"].proposer
    with pytest.raises(Refused, match="only the proposer"):
        await l1.simulate("L2OutputOracle", oracle, *output, sender=other)
    await l1.send(proposer, "L2OutputOracle", oracle, *output)
    assert (10,) == await l1.read("L2OutputOracle", oracle, "latestBlockNumber")
    await l1.send(PLAN.role("alpha-challenger"), "L2OutputOracle", oracle, "deleteL2Outputs", 0)
    assert (0,) == await l1.read("L2OutputOracle", oracle, "nextOutputIndex")


async def test_portals_hold_what_their_rollups_start_with(l1: OpChain, tmp_path: Path) -> None:
    """Conservation at block 0: each portal's ether is the sum of its rollup's genesis balances."""
    geneses = await build_geneses(PLAN, tmp_path / "cache")
    for name, rollup in WHERE.rollups.items():
        supply = sum(int(account["balance"], 16) for account in geneses[name]["alloc"].values())
        assert supply > 0
        assert supply == await l1.balance(rollup.portal)


async def test_everybody_is_funded_and_the_scratch_chain_left_nothing_else(tmp_path: Path) -> None:
    """Users and roles have ether and a fresh nonce; all other accounts are contracts that have a name."""
    genesis = await build_l1_genesis(PLAN, tmp_path)
    people = {person.address.lower() for person in (*PLAN.users, *PLAN.roles)}
    named = {address.lower() for address in WHERE.l1.values()}
    named |= {address.lower() for rollup in WHERE.rollups.values() for address in rollup.l1.values()}
    assert people | named == genesis["alloc"].keys()
    assert {("balance",)} == {tuple(genesis["alloc"][person]) for person in people}


async def test_the_state_outlives_a_restart_and_a_torn_file(tmp_path: Path) -> None:
    """Graceful stop and start keep what happened; a node whose files are both torn starts from genesis again."""
    async with l1_chain(PLAN, tmp_path) as first:
        await first.send(
            USER,
            "OptimismPortal",
            ALPHA.portal,
            "depositTransaction",
            *(USER.address, 5, 100_000, False, b""),
            value=5,
        )
        held = await first.balance(ALPHA.portal)
    async with l1_chain(PLAN, tmp_path) as second:
        assert held == await second.balance(ALPHA.portal)
        assert int(await second.client.call("eth_blockNumber"), 16) == 1
    for name in ("state.json", "state.kept.json"):
        path = tmp_path / "l1-data" / name
        path.write_bytes(path.read_bytes()[:-100])
    async with l1_chain(PLAN, tmp_path) as third:
        assert held - 5 == await third.balance(ALPHA.portal)


async def test_blocks_become_safe_and_final(l1: OpChain) -> None:
    """``safe`` is four blocks behind the head and ``finalized`` eight."""
    for _ in range(12):
        await l1.client.call("evm_mine")
    tags = [
        int((await l1.client.call("eth_getBlockByNumber", tag, False))["number"], 16)
        for tag in ("latest", "safe", "finalized")
    ]
    assert [12, 8, 4] == tags


async def test_equal_plans_give_equal_bytes_whether_built_or_cached(tmp_path: Path) -> None:
    """Two cold builds and one read from the cache agree byte for byte."""
    cold, cached = await _built(PLAN, tmp_path / "one"), await _built(PLAN, tmp_path / "one")
    assert cold == cached == await _built(PLAN, tmp_path / "two")


@pytest.mark.parametrize("damage", [b"", b"garbage", b'0\n{"a": 1}'])
async def test_a_corrupt_cache_entry_is_rebuilt(tmp_path: Path, damage: bytes) -> None:
    """An emptied, overwritten or altered entry is noticed and replaced by the right one."""
    expected = await _built(PLAN, tmp_path)
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage)
    assert expected == await _built(PLAN, tmp_path)
    assert whole == entry.read_bytes()


async def test_a_built_state_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second build of a plan starts no engine."""
    await _built(PLAN, tmp_path)

    def refuse(*_: object) -> None:
        pytest.fail("a second scratch engine was started")

    monkeypatch.setattr(recipes, "scratch_anvil", refuse)
    await _built(PLAN, tmp_path)


async def test_concurrent_builders_agree_and_leave_one_whole_entry(tmp_path: Path) -> None:
    """Four builders of one cache at once all succeed, and nothing temporary stays behind."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_built(PLAN, tmp_path)) for _ in range(4)]
    assert len({task.result() for task in tasks}) == 1
    assert len(list(tmp_path.iterdir())) == 1


async def test_whatever_goes_in_changes_what_comes_out(tmp_path: Path) -> None:
    """Another interval, period, limit, window, guardian or user is another genesis, not a stale one from the cache."""
    alpha, beta = PLAN.rollups
    settlement = alpha.settlement
    roles = tuple(
        replace(STRANGER, name=role.name) if role.name == "guardian" else role for role in PLAN.roles
    )
    variants = [
        PLAN,
        replace(PLAN, rollups=(replace(alpha, settlement=replace(settlement, proposal_interval=3)), beta)),
        replace(PLAN, rollups=(replace(alpha, settlement=replace(settlement, challenge_period_s=9)), beta)),
        replace(PLAN, rollups=(replace(alpha, block_gas_limit=25_000_000), beta)),
        replace(PLAN, rollups=(replace(alpha, chain_id=77), beta)),
        replace(PLAN, roles=roles),
        replace(PLAN, users=PLAN.users[:2]),
        replace(PLAN, l1=replace(PLAN.l1, chain_id=1_900)),
        replace(PLAN, messaging=replace(PLAN.messaging, sequencing_window=61)),
    ]
    assert len(variants) == len({await _built(variant, tmp_path) for variant in variants})


async def test_adding_a_rollup_moves_nothing(tmp_path: Path) -> None:
    """With one more rollup every contract of the others is where it was, with the same code and storage.

    What router and registry hold is the one exception: they know all rollups, so they know one more.
    """
    more = example_plan(("alpha", "beta", "gamma"))
    before, after = await build_l1_genesis(PLAN, tmp_path), await build_l1_genesis(more, tmp_path)
    contracts = {key: value for key, value in before["alloc"].items() if "code" in value}
    assert deployments(PLAN).l1 == deployments(more).l1
    for name in OURS:
        address = WHERE.l1[name].lower()
        held, holds = contracts.pop(address), after["alloc"][address]
        assert held["code"] == holds["code"]
        assert held["storage"].items() < holds["storage"].items()
    assert contracts == {key: after["alloc"][key] for key in contracts}


@pytest.mark.parametrize("name", OURS)
async def test_the_ways_between_rollups_know_every_rollup_and_nobody_else(l1: OpChain, name: str) -> None:
    """Router and registry take each rollup's own messenger for it, in both directions; a stranger is no rollup's messenger."""
    contract = ours(Chain(l1.client, Clock(0)), name, WHERE.l1[name])
    for rollup in WHERE.rollups.values():
        assert rollup.messenger.lower() == await contract.read("messengerOf", rollup.chain_id)
        assert rollup.chain_id == await contract.read("chainOf", rollup.messenger)
    assert "0x" + "00" * 20 == await contract.read("messengerOf", 77)
    assert 0 == await contract.read("chainOf", STRANGER.address)


@pytest.mark.parametrize(
    ("window", "block_time_s", "margin"), [(60, 1.0, 90), (5, 2.0, 40), (3, 0.25, 31), (1, 12.0, 42)]
)
async def test_a_refund_waits_for_the_sequencing_window(
    tmp_path: Path, window: int, block_time_s: float, margin: int
) -> None:
    """The registry's margin is the window in whole seconds, rounded up, and half a minute."""
    plan = replace(
        PLAN,
        l1=replace(PLAN.l1, block_time_s=block_time_s),
        messaging=replace(PLAN.messaging, sequencing_window=window),
    )
    assert margin == refund_margin_s(plan)
    async with l1_chain(plan, tmp_path) as chain:
        registry = ours(Chain(chain.client, Clock(0)), "StrategyRegistry", WHERE.l1["StrategyRegistry"])
        assert margin == await registry.read("MARGIN")


@pytest.mark.parametrize(
    ("limit", "entered", "deposits"),
    [
        (1_000_000, 1_000_000, 500_000),
        (1_000_001, 1_000_001, 500_000),
        (20_999_999, 20_999_999, 19_999_990),
        (1_000_000_000, 200_000_000, 20_000_000),
    ],
)
async def test_extreme_block_gas_limits_still_initialise(
    tmp_path: Path, limit: int, entered: int, deposits: int
) -> None:
    """The smallest and the largest rollup that a topology may have get a SystemConfig that takes deposits."""
    plan = replace(PLAN, rollups=(replace(PLAN.rollups[0], block_gas_limit=limit),))
    async with l1_chain(plan, tmp_path) as chain:
        assert (entered,) == await chain.read("SystemConfig", ALPHA.system_config, "gasLimit")
        target = ("OptimismPortal", ALPHA.portal, "depositTransaction", STRANGER.address, 0)
        await chain.simulate(*target, deposits, False, b"")
        with pytest.raises(Refused, match="OutOfGas"):
            await chain.simulate(*target, deposits + 1, False, b"")


@pytest.mark.parametrize(
    "missing", ["deployer", "guardian", "alpha-challenger", "sequencer", "alpha-proposer"]
)
async def test_a_plan_without_a_needed_role_is_refused(tmp_path: Path, missing: str) -> None:
    """The error names the role that is missing, and nothing is cached."""
    plan = replace(PLAN, roles=tuple(role for role in PLAN.roles if role.name != missing))
    with pytest.raises(GenesisError, match=f"no role {missing}"):
        await build_l1_genesis(plan, tmp_path)
    assert [] == list(tmp_path.iterdir())


async def test_each_rollup_has_its_own_batcher_without_a_shared_sequencer(tmp_path: Path) -> None:
    """In mode ``l1-bridge`` the contracts name each rollup's own batcher and inbox, all different."""
    names = ("alpha", "beta")
    batchers = tuple(example_account(f"{name}-batcher") for name in names)
    messaging = replace(PLAN.messaging, mode="l1-bridge")
    plan = replace(PLAN, messaging=messaging, roles=(*PLAN.roles, *batchers))
    where = deployments(plan)
    async with l1_chain(plan, tmp_path) as chain:
        for name, batcher in zip(names, batchers, strict=True):
            system = where.rollups[name].system_config
            (inbox,) = await chain.read("SystemConfig", system, "batchInbox")
            (signer,) = await chain.read("SystemConfig", system, "unsafeBlockSigner")
            chain_id = where.rollups[name].chain_id
            assert (f"0xff{chain_id:038x}", batcher.address.lower()) == (inbox, signer)


async def test_the_genesis_file_is_plain_json(tmp_path: Path) -> None:
    """The file that the node reads parses, with hexadecimal balances and the L1's chain id."""
    genesis = orjson.loads(await _built(PLAN, tmp_path))
    assert PLAN.l1.chain_id == genesis["config"]["chainId"]
    assert all(account["balance"].startswith("0x") for account in genesis["alloc"].values())
