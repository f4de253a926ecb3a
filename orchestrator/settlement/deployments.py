"""Names and addresses of every contract of a devnet, before anything runs. Pure.

Contracts on L1 are created by *creators*: addresses that nobody has a key for, one for what all rollups share and one per rollup,
each creating in a fixed order. So addresses follow from the rollup's chain id alone: no other rollup, seed or bytecode
moves them. Names are those of the OP Stack's own deployment files: ``XProxy`` is what to call, plain ``X`` its implementation.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from bridge.contracts.addresses import (
    BUNDLE_GUARD,
    CASH_TOKEN,
    CROSS_ROLLUP_MAILBOX,
    LEG_ESCROW,
    OPTIONS_MARKET,
    OPTIONS_SYSTEM,
    PREDEPLOYS,
    PREINSTALLS,
    PRICE_ORACLE,
)
from bridge.wire import rlp
from bridge.wire.keccak import from_hex, keccak256
from bridge.wire.superbatch import BATCH_INBOX
from orchestrator.market.errors import GenesisError
from orchestrator.topology import accounts
from orchestrator.topology.hd_keys import checksum_address
from orchestrator.topology.plan import SHARED_SEQUENCER, Account, Plan, RollupPlan

FILE_NAME = "deployments.json"
"""In every run directory: :meth:`Deployments.to_json`."""

IMPLEMENTATIONS: Final = (
    "SystemConfig",
    "L2OutputOracle",
    "OptimismPortal",
    "L1CrossDomainMessenger",
    "L1StandardBridge",
    "L1ERC721Bridge",
    "OptimismMintableERC20Factory",
)
"""Contracts that every rollup has behind a proxy of its own; the code is shared."""
OURS: Final = ("MessageRouter", "StrategyRegistry")
"""What is ours on L1: the ways between rollups, for messages and for strategies."""
SHARED: Final = ("SuperchainProxyAdmin", "SuperchainConfig", "SuperchainConfigProxy", *IMPLEMENTATIONS, *OURS)
"""What exists once on L1, in order of creation: each one's address follows from its place, so new ones go to the end."""
PER_ROLLUP: Final = ("ProxyAdmin", "AddressManager", *(f"{name}Proxy" for name in IMPLEMENTATIONS))
"""What exists on L1 once per rollup, in order of creation."""


@dataclass(frozen=True, slots=True)
class RollupDeployment:
    """One rollup's contracts and who acts for it; all addresses in EIP-55 spelling."""

    chain_id: int
    batch_inbox: str
    """Where its sequencing set's batches are sent on L1; has no code."""
    batcher: str
    """Whose batches count."""
    proposer: str
    """Who may propose output roots."""
    l1: Mapping[str, str]
    """Contracts on L1 by name, such as ``OptimismPortalProxy``."""
    l2: Mapping[str, str]
    """Contracts in the rollup's genesis by name."""

    @property
    def portal(self) -> str:
        """OptimismPortal: deposits go in, withdrawals come out."""
        return self.l1["OptimismPortalProxy"]

    @property
    def output_oracle(self) -> str:
        """L2OutputOracle: the proposed output roots."""
        return self.l1["L2OutputOracleProxy"]

    @property
    def system_config(self) -> str:
        """SystemConfig: what the rollup is configured with."""
        return self.l1["SystemConfigProxy"]

    @property
    def messenger(self) -> str:
        """L1CrossDomainMessenger."""
        return self.l1["L1CrossDomainMessengerProxy"]

    @property
    def standard_bridge(self) -> str:
        """L1StandardBridge."""
        return self.l1["L1StandardBridgeProxy"]


@dataclass(frozen=True, slots=True)
class Deployments:
    """Every contract of a devnet."""

    l1: Mapping[str, str]
    """Contracts that all rollups share on L1, by name."""
    rollups: Mapping[str, RollupDeployment]
    """By the rollup's name."""

    def to_json(self) -> dict[str, Any]:
        """What ``deployments.json`` holds."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Deployments":
        """Inverse of :meth:`to_json`."""
        return cls(data["l1"], {name: RollupDeployment(**one) for name, one in data["rollups"].items()})


def deployments(plan: Plan) -> Deployments:
    """Where everything of a plan will be.

    Raises:
        GenesisError: the plan lacks a role that owns or operates a contract.
    """
    return Deployments(
        l1=_created("shared", SHARED) | {"MultiCall3": _checksummed(PREINSTALLS["MultiCall3"])},
        rollups={rollup.name: _rollup(plan, rollup) for rollup in plan.rollups},
    )


def inbox_of(plan: Plan, rollup: RollupPlan) -> str:
    """Where the batches of a rollup's sequencing set go: one inbox for the shared set, else one per rollup, by chain id."""
    if plan.messaging.mode == SHARED_SEQUENCER:
        return _checksummed(BATCH_INBOX)
    return checksum_address(b"\xff" + bytes(11) + rollup.chain_id.to_bytes(8, "big"))


def batcher_of(plan: Plan, rollup: RollupPlan) -> Account:
    """Who sends the batches of a rollup's sequencing set.

    Raises:
        GenesisError: the plan has no such role.
    """
    shared = plan.messaging.mode == SHARED_SEQUENCER
    return role_of(plan, "sequencer" if shared else accounts.batcher_of(rollup.name))


def challenger_of(plan: Plan, rollup: RollupPlan) -> Account:
    """Who deletes a rollup's wrong output roots.

    Raises:
        GenesisError: the plan has no such role.
    """
    return role_of(plan, accounts.challenger_of(rollup.name))


def proposer_of(plan: Plan, rollup: RollupPlan) -> Account:
    """Who proposes a rollup's output roots.

    Raises:
        GenesisError: the plan has no such role.
    """
    return role_of(plan, accounts.proposer_of(rollup.name))


def role_of(plan: Plan, name: str) -> Account:
    """A role by name.

    Raises:
        GenesisError: the plan has no such role.
    """
    for role in plan.roles:
        if role.name == name:
            return role
    raise GenesisError(f"the plan of {plan.name} has no role {name}", "plan the topology again")


def creator(scope: str) -> str:
    """The address that creates the contracts of a scope: ``shared``, or a rollup's chain id."""
    return checksum_address(keccak256(f"rollnet.creator/{scope}".encode())[12:])


def scope_of(rollup: RollupPlan) -> str:
    """A rollup's scope, for :func:`creator`."""
    return str(rollup.chain_id)


def _rollup(plan: Plan, rollup: RollupPlan) -> RollupDeployment:
    on_l2 = _on_options_rollups() if rollup.options is not None else _on_evm_rollups(plan)
    return RollupDeployment(
        chain_id=rollup.chain_id,
        batch_inbox=inbox_of(plan, rollup),
        batcher=batcher_of(plan, rollup).address,
        proposer=proposer_of(plan, rollup).address,
        l1=_created(scope_of(rollup), PER_ROLLUP),
        l2={name: _checksummed(address) for name, address in on_l2.items()},
    )


def _on_evm_rollups(plan: Plan) -> Mapping[str, str]:
    ours = {"BundleGuard": BUNDLE_GUARD, "CrossRollupMailbox": CROSS_ROLLUP_MAILBOX}
    if plan.market is not None:
        ours |= {"CashToken": CASH_TOKEN, "PriceOracle": PRICE_ORACLE, "OptionsMarket": OPTIONS_MARKET}
        ours |= {"LegEscrow": LEG_ESCROW}
    return {**PREDEPLOYS, **ours, **PREINSTALLS}


def _on_options_rollups() -> Mapping[str, str]:
    """System addresses, which are no contracts and are called like them."""
    theirs = ("L2CrossDomainMessenger", "L1Block", "L2ToL1MessagePasser")
    ours = {
        "BundleGuard": BUNDLE_GUARD,
        "CrossRollupMailbox": CROSS_ROLLUP_MAILBOX,
        "LegEscrow": LEG_ESCROW,
    }
    return {**{name: PREDEPLOYS[name] for name in theirs}, **ours, **OPTIONS_SYSTEM}


def _created(scope: str, names: tuple[str, ...]) -> dict[str, str]:
    """Addresses of contracts created one after the other: keccak256(rlp([creator, nonce])), last 20 bytes."""
    sender = from_hex(creator(scope), 20)
    return {
        name: checksum_address(keccak256(rlp.encode([sender, nonce]))[12:])
        for nonce, name in enumerate(names)
    }


def _checksummed(address: str) -> str:
    return checksum_address(from_hex(address, 20))
