"""Builds the genesis of rollups: of EVM rollups the OP Stack's predeploys, our own (guard, mailbox, market, escrow), and funded accounts.

Options rollups have no contracts (:mod:`orchestrator.market.options_genesis`). All contracts of all others of a plan are built in one run (see :mod:`orchestrator.settlement.recipes`); what differs from rollup
to rollup, the contracts on L1 that the predeploys speak with, is put in afterwards.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.contracts.addresses import (
    BUNDLE_GUARD,
    CASH_TOKEN,
    OPTIONS_MARKET,
    PRICE_ORACLE,
    SEQUENCER_FEE_VAULT,
)
from bridge.contracts.artifacts import artifact
from bridge.wire.keccak import to_hex
from orchestrator.market.options_genesis import options_genesis
from orchestrator.market.units import PRICE_SCALE, price_units, symbol_bytes
from orchestrator.settlement.deployments import Deployments, deployments, role_of
from orchestrator.settlement.funding import ACCOUNT_BALANCE, MAKER_CASH, funded_on_rollups
from orchestrator.settlement.geth_genesis import Alloc, geth_genesis
from orchestrator.settlement.l2 import for_rollup, l2_recipe, preinstalls
from orchestrator.settlement.messages import l2_messages_recipe
from orchestrator.settlement.recipes import EMPTY, Placement, Recipe, Step, build, contracts_at_hand
from orchestrator.topology.plan import MarketPlan, Plan, RollupPlan

USER_CASH = 10_000_000 * PRICE_SCALE
"""Free cash of every user in the market, 1e-6 USD."""
USER_WALLET_CASH = 100_000 * PRICE_SCALE
"""Cash tokens in every user's own hands, 1e-6 USD: for trying out deposits."""


async def build_genesis(plan: Plan, rollup: RollupPlan, cache: Path) -> dict[str, Any]:
    """The genesis of one rollup: for ``anvil --init``, or for the options engine.

    Args:
        plan: the devnet; its market (if any), users and roles go in.
        rollup: whose chain id, gas limit and contracts on L1 to use.
        cache: folder for built states; created when missing, safe to share and to delete.

    Raises:
        GenesisError: anvil or a contract is not installed, a role is missing, or a set-up call fails.
    """
    return (await _geneses(plan, (rollup,), cache))[rollup.name]


async def build_geneses(plan: Plan, cache: Path) -> dict[str, dict[str, Any]]:
    """The genesis of every rollup by name; as :func:`build_genesis`, which for many would read the cache as often."""
    return await _geneses(plan, plan.rollups, cache)


async def _geneses(plan: Plan, rollups: Sequence[RollupPlan], cache: Path) -> dict[str, dict[str, Any]]:
    found = {one.name: options_genesis(plan, one, one.options) for one in rollups if one.options is not None}
    if len(found) == len(rollups):
        return found
    with contracts_at_hand():
        where = deployments(plan)
        built = await build(_recipe(plan, where), cache)
        return found | {
            one.name: _genesis_of(plan, one, where, built) for one in rollups if one.name not in found
        }


def _genesis_of(plan: Plan, rollup: RollupPlan, where: Deployments, built: Alloc) -> dict[str, Any]:
    contracts = for_rollup(built, where.rollups[rollup.name].l1)
    people = {person.address.lower(): {"balance": hex(ACCOUNT_BALANCE)} for person in funded_on_rollups(plan)}
    alloc = people | preinstalls() | _guard() | contracts
    return geth_genesis(
        chain_id=rollup.chain_id,
        gas_limit=rollup.block_gas_limit,
        coinbase=SEQUENCER_FEE_VAULT,
        alloc=dict(sorted(alloc.items())),
    )


def _recipe(plan: Plan, where: Deployments) -> Recipe:
    predeploys = l2_recipe(role_of(plan, "deployer").address, plan.l1.chain_id)
    market = EMPTY if plan.market is None else _market(plan, plan.market)
    return predeploys + market + l2_messages_recipe(plan, where)


def _market(plan: Plan, market: MarketPlan) -> Recipe:
    deployer, maker = role_of(plan, "deployer").address, role_of(plan, "maker").address
    cash, oracle, options = artifact("CashToken"), artifact("PriceOracle"), artifact("OptionsMarket")
    cap = price_units(market.price_cap)
    deposits = [(maker, MAKER_CASH), *((user.address, USER_CASH) for user in plan.users)]
    total = sum(amount for _, amount in deposits)
    token, venue = cash.interface.encode_call, options.interface.encode_call
    spot = oracle.interface.encode_call("postSpot", symbol_bytes(market.underlying), price_units(market.spot))
    calls = (
        (CASH_TOKEN, token("mint", deployer, total)),
        (CASH_TOKEN, token("approve", OPTIONS_MARKET, total)),
        *((OPTIONS_MARKET, venue("depositFor", account, amount)) for account, amount in deposits),
        *((CASH_TOKEN, token("mint", user.address, USER_WALLET_CASH)) for user in plan.users),
        (PRICE_ORACLE, spot),
    )
    constructors = (
        (CASH_TOKEN, cash.deployment(deployer)),
        (PRICE_ORACLE, oracle.deployment(deployer, maker)),
        (OPTIONS_MARKET, options.deployment(CASH_TOKEN, PRICE_ORACLE, BUNDLE_GUARD, cap)),
    )
    return Recipe(
        placements=tuple(Placement(address, code, deployer) for address, code in constructors),
        steps=tuple(Step(deployer, to, data) for to, data in calls),
        keep=tuple(address for address, _ in constructors),
    )


def _guard() -> Alloc:
    code = to_hex(artifact("BundleGuard").runtime_code)
    return {BUNDLE_GUARD: {"balance": "0x0", "nonce": "0x1", "code": code, "storage": {}}}
