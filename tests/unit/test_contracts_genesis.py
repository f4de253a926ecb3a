"""The genesis holds what the contracts' constructors leave, is the same everywhere, and serves a working market."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.contracts.addresses import (
    BUNDLE_GUARD,
    CASH_TOKEN,
    CROSS_ROLLUP_MAILBOX,
    LEG_ESCROW,
    OPTIONS_MARKET,
    PREDEPLOYS,
    PREINSTALLS,
    PRICE_ORACLE,
)
from bridge.contracts.artifacts import artifact
from orchestrator.market.board import Quote, Terms
from orchestrator.market.errors import GenesisError
from orchestrator.market.genesis import (
    MAKER_CASH,
    USER_CASH,
    USER_WALLET_CASH,
    build_geneses,
    build_genesis,
)
from orchestrator.market.testing import EXAMPLE_MARKET, example_plan, market_chain
from orchestrator.market.units import symbol_bytes
from orchestrator.settlement import recipes
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.funding import ACCOUNT_BALANCE
from orchestrator.settlement.geth_genesis import GENESIS_TIME, genesis_bytes
from orchestrator.settlement.l2 import REMOTES, implementation_of
from orchestrator.topology.plan import Account, Plan

NO_BUNDLE = b"\0" * 32


async def _bytes(plan: Plan, cache: Path) -> list[bytes]:
    return [genesis_bytes(await build_genesis(plan, rollup, cache)) for rollup in plan.rollups]


def _roles_with(plan: Plan, other: Account) -> tuple[Account, ...]:
    return tuple(other if role.name == other.name else role for role in plan.roles)


def _entries(cache: Path, pattern: str = "genesis-*.json") -> list[Path]:
    return list(cache.glob(pattern))


async def test_equal_plans_give_equal_bytes_whether_built_or_cached(tmp_path: Path) -> None:
    """Two cold builds and one read from the cache agree byte for byte."""
    plan = example_plan(("alpha", "beta"))
    cold, cached = await _bytes(plan, tmp_path / "one"), await _bytes(plan, tmp_path / "one")
    assert cold == cached == await _bytes(plan, tmp_path / "two")


async def test_one_scratch_build_serves_all_rollups_of_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first rollup nothing runs any more; states differ only where predeploys name the rollup's contracts on L1."""
    plan = example_plan(("alpha", "beta", "gamma"))
    first = await build_genesis(plan, plan.rollups[0], tmp_path)

    def refuse(*_: object) -> None:
        pytest.fail("a second scratch engine was started")

    monkeypatch.setattr(recipes, "scratch_anvil", refuse)
    speaking = {PREDEPLOYS[name] for name in REMOTES}
    for name, genesis in (await build_geneses(plan, tmp_path)).items():
        rollup = next(rollup for rollup in plan.rollups if rollup.name == name)
        assert genesis == await build_genesis(plan, rollup, tmp_path)
        assert genesis["config"]["chainId"] == rollup.chain_id
        changed = {key for key, value in genesis["alloc"].items() if value != first["alloc"][key]}
        assert changed == (set() if rollup is plan.rollups[0] else speaking)


async def test_adding_a_rollup_changes_no_other(tmp_path: Path) -> None:
    """The genesis of a rollup is the same whatever rollups there are beside it."""
    one, two = example_plan(), example_plan(("beta", "alpha"))
    two = replace(two, rollups=(two.rollups[0], one.rollups[0]))
    alone = await build_genesis(one, one.rollups[0], tmp_path)
    assert alone == await build_genesis(two, two.rollups[1], tmp_path)


async def test_whatever_goes_in_changes_what_comes_out(tmp_path: Path) -> None:
    """Another cap, spot, user or maker is another genesis, not a stale one from the cache."""
    plan = example_plan()
    variants = [
        plan,
        replace(plan, market=replace(EXAMPLE_MARKET, price_cap=9_000.0)),
        replace(plan, market=replace(EXAMPLE_MARKET, spot=2_001.0)),
        example_plan(users=4),
        replace(plan, roles=_roles_with(plan, replace(plan.users[0], name="maker"))),
        replace(plan, roles=_roles_with(plan, replace(plan.users[0], name="deployer"))),
    ]
    built = [tuple(await _bytes(variant, tmp_path)) for variant in variants]
    assert len(variants) == len(set(built))


@pytest.mark.parametrize("damage", [b"", b"garbage", b'0\n{"a": 1}'])
async def test_a_corrupt_cache_entry_is_rebuilt(tmp_path: Path, damage: bytes) -> None:
    """An emptied, overwritten or altered entry is noticed and replaced by the right one."""
    plan = example_plan()
    expected = await _bytes(plan, tmp_path)
    (entry,) = _entries(tmp_path)
    whole = entry.read_bytes()
    entry.write_bytes(damage)
    assert expected == await _bytes(plan, tmp_path)
    assert whole == entry.read_bytes()


async def test_a_flipped_byte_in_the_cache_is_noticed(tmp_path: Path) -> None:
    """The entry's checksum covers all of its body."""
    plan = example_plan()
    expected = await _bytes(plan, tmp_path)
    (entry,) = _entries(tmp_path)
    body = entry.read_bytes()
    entry.write_bytes(body.replace(b'"0x0"', b'"0x1"', 1))
    assert expected == await _bytes(plan, tmp_path)


async def test_concurrent_builders_agree_and_leave_one_whole_entry(tmp_path: Path) -> None:
    """Four builders of one cache at once all succeed, and nothing temporary stays behind."""
    plan = example_plan()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_bytes(plan, tmp_path)) for _ in range(4)]
    assert len({tuple(task.result()) for task in tasks}) == 1
    assert len(_entries(tmp_path, "*")) == 1


async def test_without_a_market_there_are_guard_mailbox_and_predeploys(tmp_path: Path) -> None:
    """A plan without market has bundle guard and mailbox, the OP Stack's predeploys, what tools expect, and funded accounts."""
    plan = example_plan(market=None)
    alloc = (await build_genesis(plan, plan.rollups[0], tmp_path))["alloc"]
    people = {account.address.lower() for account in (*plan.users, *plan.roles)}
    people -= {plan.role(f"alpha-{role}").address.lower() for role in ("proposer", "challenger")}
    code = {*PREDEPLOYS.values(), *map(implementation_of, PREDEPLOYS)}
    assert people | code | {BUNDLE_GUARD, CROSS_ROLLUP_MAILBOX} | set(PREINSTALLS.values()) == alloc.keys()
    assert {alloc[person]["balance"] for person in people} == {hex(ACCOUNT_BALANCE)}
    assert {"0x0"} == {alloc[contract]["balance"] for contract in alloc.keys() - people}


async def test_the_code_is_the_compiled_code_with_immutables_filled_in(tmp_path: Path) -> None:
    """Running the constructors at their predeploy addresses gives exactly the artifacts' runtime code."""
    plan = example_plan()
    alloc = (await build_genesis(plan, plan.rollups[0], tmp_path))["alloc"]
    for name, address in (
        ("CashToken", CASH_TOKEN),
        ("PriceOracle", PRICE_ORACLE),
        ("CrossRollupMailbox", CROSS_ROLLUP_MAILBOX),
        ("LegEscrow", LEG_ESCROW),
        ("OptionsMarket", OPTIONS_MARKET),
    ):
        code = bytearray.fromhex(alloc[address]["code"][2:])
        filled = set()
        for places in artifact(name).immutables:
            for start, length in places:
                filled.add(bytes(code[start : start + length]))
                code[start : start + length] = bytes(length)
        assert artifact(name).runtime_code == bytes(code)
    cap = 8_000 * 10**6
    expected = {
        bytes.fromhex(address[2:]).rjust(32, b"\0") for address in (CASH_TOKEN, PRICE_ORACLE, BUNDLE_GUARD)
    }
    assert expected | {cap.to_bytes(32, "big")} == filled


async def test_mailbox_and_escrow_hear_their_counterparts_on_l1_alone(tmp_path: Path) -> None:
    """They name router, registry and market, and hold nothing."""
    plan = example_plan()
    alloc = (await build_genesis(plan, plan.rollups[0], tmp_path))["alloc"]
    assert {} == alloc[CROSS_ROLLUP_MAILBOX]["storage"] == alloc[LEG_ESCROW]["storage"]
    on_l1 = deployments(plan).l1
    async with market_chain(plan, tmp_path) as chain:
        peers = [
            await chain.read("CrossRollupMailbox", CROSS_ROLLUP_MAILBOX, "ROUTER"),
            await chain.read("LegEscrow", LEG_ESCROW, "REGISTRY"),
            await chain.read("LegEscrow", LEG_ESCROW, "MARKET"),
        ]
    expected = [on_l1["MessageRouter"], on_l1["StrategyRegistry"], OPTIONS_MARKET]
    assert [(address.lower(),) for address in expected] == peers


@pytest.mark.parametrize("missing", ["deployer", "maker", "sequencer"])
async def test_a_plan_without_a_needed_role_is_refused(tmp_path: Path, missing: str) -> None:
    """The error names the role that is missing."""
    plan = example_plan()
    plan = replace(plan, roles=tuple(role for role in plan.roles if role.name != missing))
    with pytest.raises(GenesisError, match=f"no role {missing}"):
        await build_genesis(plan, plan.rollups[0], tmp_path)


async def test_the_engine_serves_the_market_of_the_genesis(tmp_path: Path) -> None:
    """From block 0: identity, funds, oracle; then a real signed trade moves premium and positions."""
    plan = example_plan(("alpha", "beta"))
    maker, taker = plan.roles[1], plan.users[0]
    async with market_chain(plan, tmp_path, rollup=1) as chain:
        assert plan.rollups[1].chain_id == int(await chain.client.call("eth_chainId"), 16)
        block = await chain.client.call("eth_getBlockByNumber", "0x0", False)
        limits = [int(block[key], 16) for key in ("timestamp", "gasLimit", "baseFeePerGas")]
        assert limits == [GENESIS_TIME, 30_000_000, 10**9]
        balance = await chain.client.call("eth_getBalance", taker.address, "latest")
        assert int(balance, 16) == ACCOUNT_BALANCE
        cash = [
            (await chain.read("CashToken", CASH_TOKEN, "balanceOf", who))[0]
            for who in (taker.address, OPTIONS_MARKET)
        ]
        assert cash == [USER_WALLET_CASH, MAKER_CASH + 3 * USER_CASH]
        spot = await chain.read("PriceOracle", PRICE_ORACLE, "spot", symbol_bytes("ETH"))
        assert spot == (2_000 * 10**6, GENESIS_TIME)

        terms = Terms("ETH", 2_000 * 10**6, GENESIS_TIME + 86_400, is_call=True)
        series = await chain.quote(maker, terms, Quote(50_000_000, 51_000_000, 10_000, 10_000))
        arguments = (series, maker.address, 5_000, 51_000_000, NO_BUNDLE)
        await chain.send(taker, "OptionsMarket", OPTIONS_MARKET, "trade", *arguments)
        free = [
            (await chain.read("OptionsMarket", OPTIONS_MARKET, "freeCash", who.address))[0]
            for who in (taker, maker)
        ]
        premium, locked = 25_500_000, 3_000 * 10**6
        assert free == [USER_CASH - premium, MAKER_CASH + premium - locked]
