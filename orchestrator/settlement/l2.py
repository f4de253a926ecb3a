"""The OP Stack's predeploys in a rollup's genesis, at their standard addresses.

Each is a ``Proxy`` owned by the ProxyAdmin predeploy, with its implementation at ``0xc0d3…`` and the same last two bytes (WETH
alone stands without a proxy), and is initialised, so that nobody can do it again. Rollups of a plan differ in three
addresses only: their contracts on L1. So the predeploys are built once per plan, with marks in the place of these, and
the marks are replaced per rollup.
"""

from collections.abc import Mapping
from typing import Any

from bridge.contracts.addresses import (
    L2_STANDARD_BRIDGE,
    PREDEPLOYS,
    PREINSTALLS,
    PROXY_ADMIN,
    SYSTEM_SENDER_PREFIX,
)
from bridge.contracts.op import op_artifact, preinstalled_code
from bridge.wire.keccak import keccak256, to_hex
from orchestrator.market.errors import GenesisError
from orchestrator.settlement.geth_genesis import Alloc
from orchestrator.settlement.recipes import Placement, Recipe, Step

DEPOSITOR = SYSTEM_SENDER_PREFIX + "0001"
"""The OP Stack's system sender: of the L1 attributes, and of upgrades."""
VAULT_MINIMUM = 10**15
"""Least wei that a fee vault pays out: a devnet's fees are small."""
TO_L1 = 0
"""The fee vaults' ``WithdrawalNetwork``."""
REMOTES = {
    "L2CrossDomainMessenger": "L1CrossDomainMessengerProxy",
    "L2StandardBridge": "L1StandardBridgeProxy",
    "L2ERC721Bridge": "L1ERC721BridgeProxy",
}
"""Predeploys that are initialised with a contract of the rollup on L1."""
VAULTS = ("SequencerFeeVault", "BaseFeeVault", "L1FeeVault")
"""Predeploys that collect fees, for the deployer on L1."""

_NOBODY = "0x" + "00" * 20
_NOT_PROXIED = "WETH"
_CODE_SPACE = "0xc0d3c0d3c0d3c0d3c0d3c0d3c0d3c0d3c0d3"


def l2_recipe(deployer: str, l1_chain_id: int, remotes: Mapping[str, str] | None = None) -> Recipe:
    """What to run for the predeploys. Pure.

    Args:
        deployer: owns ProxyAdmin and gets the fees.
        l1_chain_id: of the chain that ERC-721 tokens come from.
        remotes: contracts on L1 by name; marks for :func:`for_rollup` by default.
    """
    implementations = [
        Placement(implementation_of(name), _creation_code(name, deployer, l1_chain_id), deployer)
        for name in PREDEPLOYS
    ]
    proxied = [name for name in PREDEPLOYS if name != _NOT_PROXIED]
    proxy = op_artifact("Proxy").deployment(PROXY_ADMIN)
    proxies = [Placement(PREDEPLOYS[name], proxy, deployer) for name in proxied]
    return Recipe(
        placements=(*implementations, *proxies),
        steps=(*_own_admin(deployer), *_initialised(deployer, _MARKS if remotes is None else remotes)),
        keep=tuple(part.address for part in (*implementations, *proxies)),
    )


def for_rollup(built: Alloc, l1: Mapping[str, str]) -> Alloc:
    """The built predeploys with a rollup's own contracts on L1 in the place of the marks.

    Args:
        built: what :func:`l2_recipe` left.
        l1: the rollup's contracts on L1 by name.

    Raises:
        GenesisError: a predeploy keeps its address in another way than it did.
    """
    changed = {
        PREDEPLOYS[name]: _marked(built[PREDEPLOYS[name]], _MARKS[remote], l1[remote].lower())
        for name, remote in REMOTES.items()
    }
    return built | changed


def preinstalls() -> Alloc:
    """Contracts that tools expect on every chain, as the OP Stack has them in every genesis."""
    code = preinstalled_code()
    return {
        address: {"balance": "0x0", "nonce": "0x1", "code": to_hex(code[name]), "storage": {}}
        for name, address in PREINSTALLS.items()
    }


def implementation_of(name: str) -> str:
    """Where the code behind a predeploy stands."""
    address = PREDEPLOYS[name]
    return address if name == _NOT_PROXIED else _CODE_SPACE + address[-4:]


_MARKS = {name: to_hex(keccak256(f"rollnet.mark/{name}".encode())[12:]) for name in REMOTES.values()}


def _own_admin(deployer: str) -> tuple[Step, ...]:
    """Make the ProxyAdmin predeploy work.

    It is its own admin and has no initialiser, but a proxy also lets the zero address in: nobody, except on a scratch engine.
    """
    admin = op_artifact("ProxyAdmin").interface
    upgrade = op_artifact("Proxy").interface.encode_call("upgradeTo", implementation_of("ProxyAdmin"))
    return (
        Step(_NOBODY, PROXY_ADMIN, upgrade),
        Step(_NOBODY, PROXY_ADMIN, admin.encode_call("transferOwnership", deployer)),
    )


def _initialised(deployer: str, remotes: Mapping[str, str]) -> tuple[Step, ...]:
    admin, oracle = op_artifact("ProxyAdmin").interface, op_artifact("GasPriceOracle").interface
    arguments = {name: remotes[remote] for name, remote in REMOTES.items()}
    arguments["OptimismMintableERC20Factory"] = L2_STANDARD_BRIDGE
    steps = []
    for name, address in PREDEPLOYS.items():
        if name in {_NOT_PROXIED, "ProxyAdmin"}:
            continue
        code = implementation_of(name)
        if name in arguments:
            call = op_artifact(name).interface.encode_call("initialize", arguments[name])
            data = admin.encode_call("upgradeAndCall", address, code, call)
        else:
            data = admin.encode_call("upgrade", address, code)
        steps.append(Step(deployer, PROXY_ADMIN, data))
    forks = ("setEcotone", "setFjord")
    oracle_at = PREDEPLOYS["GasPriceOracle"]
    return (*steps, *(Step(DEPOSITOR, oracle_at, oracle.encode_call(fork)) for fork in forks))


def _creation_code(name: str, deployer: str, l1_chain_id: int) -> bytes:
    if name in VAULTS:
        return op_artifact(name).deployment(deployer, VAULT_MINIMUM, TO_L1)
    if name == "OptimismMintableERC721Factory":
        return op_artifact(name).deployment(PREDEPLOYS["L2ERC721Bridge"], l1_chain_id)
    if name == "ProxyAdmin":
        return op_artifact(name).deployment(deployer)
    return op_artifact(name).deployment()


def _marked(account: dict[str, Any], mark: str, address: str) -> dict[str, Any]:
    digits, wanted = mark[2:], address[2:]
    places = [slot for slot, word in account["storage"].items() if digits in word]
    if len(places) != 1:
        raise GenesisError(
            f"a predeploy keeps its counterpart on L1 in {len(places)} slots, not in one",
            "orchestrator/settlement/l2.py and the OP Stack's contracts disagree",
        )
    words = {slot: word.replace(digits, wanted) for slot, word in account["storage"].items()}
    return {**account, "storage": words}
