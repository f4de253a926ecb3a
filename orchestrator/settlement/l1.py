"""The L1 genesis: one set of the OP Stack's contracts per rollup, wired and initialised as the OP Stack's own deployment does.

::

    SuperchainConfigProxy ◄──────────── shared by all rollups: the guardian pauses them together
            ▲
    OptimismPortalProxy ─► L2OutputOracleProxy, SystemConfigProxy          every proxy is owned by the rollup's
            ▲                                                              ProxyAdmin, that by the role `deployer`
    L1CrossDomainMessengerProxy ◄── L1StandardBridgeProxy, L1ERC721BridgeProxy ◄── OptimismMintableERC20FactoryProxy

Beside them, once, ``MessageRouter`` and ``StrategyRegistry`` (:mod:`orchestrator.settlement.messages`), which nobody owns.

As on the OP Stack's chains, the messenger sits behind a ``ResolvedDelegateProxy`` and the bridge behind an ``L1ChugSplashProxy``.
"""

from pathlib import Path
from typing import Any

from bridge.contracts.addresses import PREINSTALLS
from bridge.contracts.artifacts import artifact
from bridge.contracts.op import op_artifact, preinstalled_code
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.market.errors import GenesisError
from orchestrator.settlement.deployments import (
    IMPLEMENTATIONS,
    OURS,
    PER_ROLLUP,
    SHARED,
    Deployments,
    batcher_of,
    challenger_of,
    creator,
    deployments,
    inbox_of,
    proposer_of,
    role_of,
    scope_of,
)
from orchestrator.settlement.funding import ACCOUNT_BALANCE, funded_on_l1, rollup_supply
from orchestrator.settlement.geth_genesis import GENESIS_TIME, Alloc, geth_genesis
from orchestrator.settlement.messages import l1_arguments
from orchestrator.settlement.recipes import Recipe, Step, build, contracts_at_hand
from orchestrator.topology.plan import Plan, RollupPlan

GAS_LIMIT = 30_000_000
"""Gas of every L1 block."""
MAX_SYSTEM_GAS_LIMIT = 200_000_000
"""The most that SystemConfig accepts as a rollup's gas limit; rollups with larger blocks are entered with this."""
DEPOSIT_GAS_LIMIT = 20_000_000
"""Most L2 gas that one L1 block's deposits may buy on a rollup, if its blocks are large enough."""
SYSTEM_GAS = 1_000_000
"""Gas of an L2 block that deposits may not buy: room for the L1 attributes."""
ELASTICITY = 10
"""Deposits may buy so many times their target in one block."""
L2_BLOCK_TIME_S = 1
"""What L2OutputOracle takes as the time between L2 blocks. It only bounds how far ahead of L1's clock outputs may be;
rollups make blocks in slots, not at fixed times."""
MESSENGER_NAME = "OVM_L1CrossDomainMessenger"
"""Under which the AddressManager knows the messenger's implementation."""

_METERED_IN_BLOCK_0 = 10**9
"""``ResourceParams`` as initialised: (uint128 base fee, uint64 gas bought, uint64 block) in one word, the first lowest."""
_METERED_IN_BLOCK_1 = _METERED_IN_BLOCK_0 | 1 << 192
_CHUGSPLASH, _RESOLVED = 1, 2
"""ProxyAdmin's types of proxies that aren't ERC-1967."""


async def build_l1_genesis(plan: Plan, cache: Path) -> dict[str, Any]:
    """The genesis of L1: all contracts, every account funded, every portal holding what its rollup starts with.

    Args:
        plan: the devnet.
        cache: folder for built states; created when missing, safe to share and to delete.

    Raises:
        GenesisError: anvil or a contract is not installed, a role is missing, or a set-up call fails.
    """
    where = deployments(plan)
    with contracts_at_hand():
        contracts = await build(l1_recipe(plan, where), cache) | _multicall()
    for rollup in plan.rollups:
        portal = where.rollups[rollup.name].portal.lower()
        supply = hex(rollup_supply(plan, rollup))
        contracts[portal] = _metered_from_genesis(contracts[portal]) | {"balance": supply}
    people: Alloc = {
        person.address.lower(): {"balance": hex(ACCOUNT_BALANCE)} for person in funded_on_l1(plan)
    }
    return geth_genesis(
        chain_id=plan.l1.chain_id,
        gas_limit=GAS_LIMIT,
        coinbase="0x" + "00" * 20,
        alloc=dict(sorted((people | contracts).items())),
    )


def l1_recipe(plan: Plan, where: Deployments) -> Recipe:
    """What to run for the contracts of a plan. Pure."""
    recipe = _shared(plan, where)
    for rollup in plan.rollups:
        recipe += _rollup(plan, rollup, where)
    return recipe


def max_deposit_gas(rollup: RollupPlan) -> int:
    """L2 gas that the deposits of one L1 block may buy: a multiple of the elasticity that leaves room in the L2 block."""
    limit = _system_gas_limit(rollup)
    room = limit - min(SYSTEM_GAS, limit // 2)
    return min(DEPOSIT_GAS_LIMIT, room) // ELASTICITY * ELASTICITY


def _shared(plan: Plan, where: Deployments) -> Recipe:
    owner, sender = role_of(plan, "deployer").address, creator("shared")
    arguments: dict[str, tuple[Any, ...]] = {
        "SuperchainProxyAdmin": (owner,),
        "SuperchainConfigProxy": (where.l1["SuperchainProxyAdmin"],),
    }
    contracts = {"SuperchainProxyAdmin": "ProxyAdmin", "SuperchainConfigProxy": "Proxy"}
    theirs = [
        _creation(sender, contracts.get(name, name), *arguments.get(name, ()))
        for name in SHARED
        if name not in OURS
    ]
    ours = l1_arguments(plan, where)
    own_creations = [Step(sender, None, artifact(name).deployment(*ours[name])) for name in OURS]
    guardian = role_of(plan, "guardian").address
    initialisation = op_artifact("SuperchainConfig").interface.encode_call("initialize", guardian, False)
    upgrade = _admin_call(
        "upgradeAndCall",
        where.l1["SuperchainConfigProxy"],
        where.l1["SuperchainConfig"],
        initialisation,
    )
    steps = (*theirs, *own_creations, Step(owner, where.l1["SuperchainProxyAdmin"], upgrade))
    return Recipe((), steps, tuple(where.l1[name].lower() for name in SHARED))


def _rollup(plan: Plan, rollup: RollupPlan, where: Deployments) -> Recipe:
    here = where.rollups[rollup.name].l1
    owner, sender = role_of(plan, "deployer").address, creator(scope_of(rollup))
    admin, messenger = here["ProxyAdmin"], here["L1CrossDomainMessengerProxy"]
    creations = [_rollup_creation(name, sender, owner, here) for name in PER_ROLLUP]
    own_names = op_artifact("AddressManager").interface.encode_call("transferOwnership", admin)
    types = (
        _admin_call("setAddressManager", here["AddressManager"]),
        _admin_call("setProxyType", here["L1StandardBridgeProxy"], _CHUGSPLASH),
        _admin_call("setProxyType", messenger, _RESOLVED),
        _admin_call("setImplementationName", messenger, MESSENGER_NAME),
    )
    arguments = _initialisations(plan, rollup, where)
    upgrades = (
        _admin_call(
            "upgradeAndCall",
            here[f"{name}Proxy"],
            where.l1[name],
            op_artifact(name).interface.encode_call("initialize", *arguments[name]),
        )
        for name in IMPLEMENTATIONS
    )
    steps = (
        *creations,
        Step(sender, here["AddressManager"], own_names),
        *(Step(owner, admin, data) for data in (*types, *upgrades)),
    )
    return Recipe((), steps, tuple(here[name].lower() for name in PER_ROLLUP))


def _rollup_creation(name: str, sender: str, owner: str, here: Any) -> Step:
    if name == "ProxyAdmin":
        return _creation(sender, "ProxyAdmin", owner)
    if name == "AddressManager":
        return _creation(sender, "AddressManager")
    if name == "L1CrossDomainMessengerProxy":
        return _creation(sender, "ResolvedDelegateProxy", here["AddressManager"], MESSENGER_NAME)
    proxy = "L1ChugSplashProxy" if name == "L1StandardBridgeProxy" else "Proxy"
    return _creation(sender, proxy, here["ProxyAdmin"])


def _initialisations(plan: Plan, rollup: RollupPlan, where: Deployments) -> dict[str, tuple[Any, ...]]:
    """Arguments of ``initialize`` by contract."""
    here, superchain = where.rollups[rollup.name].l1, where.l1["SuperchainConfigProxy"]
    system, portal = here["SystemConfigProxy"], here["OptimismPortalProxy"]
    messenger, bridge = here["L1CrossDomainMessengerProxy"], here["L1StandardBridgeProxy"]
    return {
        "SystemConfig": _system_config(plan, rollup, here),
        "L2OutputOracle": (
            rollup.settlement.proposal_interval,
            L2_BLOCK_TIME_S,
            0,
            GENESIS_TIME,
            proposer_of(plan, rollup).address,
            challenger_of(plan, rollup).address,
            rollup.settlement.challenge_period_s,
        ),
        "OptimismPortal": (here["L2OutputOracleProxy"], system, superchain),
        "L1CrossDomainMessenger": (superchain, portal, system),
        "L1StandardBridge": (messenger, superchain, system),
        "L1ERC721Bridge": (messenger, superchain),
        "OptimismMintableERC20Factory": (bridge,),
    }


def _system_config(plan: Plan, rollup: RollupPlan, here: Any) -> tuple[Any, ...]:
    batcher, gas_limit = batcher_of(plan, rollup).address, _system_gas_limit(rollup)
    resources = (
        max_deposit_gas(rollup),
        ELASTICITY,
        8,  # base fee max change denominator, as everywhere on the OP Stack
        10**9,  # minimum base fee, wei
        min(SYSTEM_GAS, gas_limit // 2),
        2**128 - 1,  # maximum base fee, wei
    )
    no_game, ether = "0x" + "00" * 20, "0x" + "00" * 20
    addresses = (
        here["L1CrossDomainMessengerProxy"],
        here["L1ERC721BridgeProxy"],
        here["L1StandardBridgeProxy"],
        no_game,
        here["OptimismPortalProxy"],
        here["OptimismMintableERC20FactoryProxy"],
        ether,
    )
    # Both fee scalars are zero: rollups charge nothing for L1 data.
    return (
        role_of(plan, "deployer").address,
        0,
        0,
        from_hex(batcher, 20).rjust(32, b"\0"),
        gas_limit,
        batcher,
        resources,
        inbox_of(plan, rollup),
        addresses,
    )


def _system_gas_limit(rollup: RollupPlan) -> int:
    return min(rollup.block_gas_limit, MAX_SYSTEM_GAS_LIMIT)


def _creation(sender: str, contract: str, *arguments: Any) -> Step:
    return Step(sender, None, op_artifact(contract).deployment(*arguments))


def _admin_call(function: str, *arguments: Any) -> bytes:
    return op_artifact("ProxyAdmin").interface.encode_call(function, *arguments)


def _metered_from_genesis(portal: dict[str, Any]) -> dict[str, Any]:
    """The portal as if it had been initialised in block 0, where no transaction can be.

    Its metering refuses blocks before its last one. It was initialised in the scratch chain's block 1, and tools try deposits out
    (``eth_estimateGas``) on a chain that has no block yet.
    """
    places = [slot for slot, word in portal["storage"].items() if int(word, 16) == _METERED_IN_BLOCK_1]
    if len(places) != 1:
        raise GenesisError(
            f"a portal keeps its resource metering in {len(places)} slots, not in one",
            "orchestrator/settlement/l1.py and the OP Stack's contracts disagree",
        )
    word = "0x" + _METERED_IN_BLOCK_0.to_bytes(32, "big").hex()
    return {**portal, "storage": {**portal["storage"], places[0]: word}}


def _multicall() -> Alloc:
    code = to_hex(preinstalled_code()["MultiCall3"])
    return {PREINSTALLS["MultiCall3"]: {"balance": "0x0", "nonce": "0x1", "code": code, "storage": {}}}
