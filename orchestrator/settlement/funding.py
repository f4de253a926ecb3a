"""Who starts with how much, and on which chain. Pure.

The ether of a rollup's genesis never came through its portal, and yet must be able to leave by it. So each portal starts
with as much on L1 as its rollup starts with on L2: from block 0 on, what a rollup holds is what its portal holds for it. On an options
rollup that is dollars, whose wallets call them ether: a millionth of a dollar is 10^12 wei.
"""

from collections.abc import Mapping

from bridge.contracts.addresses import OPTIONS_MAKER_PREFIX
from bridge.wire.keccak import keccak256, to_hex
from orchestrator.market.units import PRICE_SCALE, price_units
from orchestrator.topology.accounts import batcher_of, challenger_of, proposer_of
from orchestrator.topology.plan import Account, OptionsPlan, Plan, RollupPlan

ACCOUNT_BALANCE = 10_000 * 10**18
"""Wei for every user and role, on each chain where it acts."""
MAKER_CASH = 10_000_000_000 * PRICE_SCALE
"""Free cash of the maker in each market, 1e-6 USD: collateral for whatever load takes its quotes."""
WEI_PER_CASH = 10**12
"""Of an options rollup's coin per 1e-6 USD."""
UNDERLYING = 1
"""Id of the market's underlying on options rollups."""

OF_ROLLUPS = (batcher_of, proposer_of, challenger_of)
"""Names of the roles that act on L1 for one rollup."""


def funded_on_l1(plan: Plan) -> tuple[Account, ...]:
    """Everybody."""
    return (*plan.users, *plan.roles)


def funded_on_rollups(plan: Plan) -> tuple[Account, ...]:
    """Users, and the roles that a devnet has once.

    Batchers, proposers and challengers act on L1 for one rollup each, and the genesis of a rollup must not change with the others.
    """
    elsewhere = {name(rollup.name) for rollup in plan.rollups for name in OF_ROLLUPS}
    return (*plan.users, *(role for role in plan.roles if role.name not in elsewhere))


def rollup_supply(plan: Plan, rollup: RollupPlan) -> int:
    """Wei that a rollup starts with, and that its portal therefore holds on L1."""
    if rollup.options is not None:
        return WEI_PER_CASH * sum(cash_on_options(plan, rollup.options).values())
    return ACCOUNT_BALANCE * len({person.address for person in funded_on_rollups(plan)})


def cash_on_options(plan: Plan, options: OptionsPlan) -> Mapping[str, int]:
    """What everybody starts with on an options rollup, 1e-6 USD by lower-case address; its own market maker and its backstop vault too."""
    cash = {role.address.lower(): ACCOUNT_BALANCE // WEI_PER_CASH for role in funded_on_rollups(plan)}
    cash |= {user.address.lower(): price_units(options.cash) for user in plan.users}
    cash |= {role.address.lower(): MAKER_CASH for role in plan.roles if role.name == "maker"}
    if options.amm_exposure:
        cash[amm_owner()] = price_units(options.amm_cash)
    return cash | {backstop_owner(): price_units(options.backstop_cash)}


def backstop_owner() -> str:
    """The address that the account of an options rollup's backstop vault belongs to; nobody has a key for it. Lower case."""
    return to_hex(keccak256(b"rollnet.options.backstop")[12:])


def amm_owner() -> str:
    """The address that the account of an options rollup's own market maker belongs to; nobody has a key for it. Lower case."""
    return f"{OPTIONS_MAKER_PREFIX}{UNDERLYING:02x}"
