"""The accounts of a devnet: funded, and the same for the same seed.

They come from the development mnemonic that every Ethereum tool knows, so that a user's own tools (Foundry, Hardhat,
wallets) hold the same keys: seed 0 gives the accounts that anvil prints. They are public, and worthless anywhere else.
Derivation is BIP-32 at ``m/44'/60'/<seed>'/<branch>/<index>``: branch 0 for users, 1 for the devnet's roles, 2 to 4 for the
batcher, the proposer and the challenger of each rollup. There the index is a hash of the rollup's name, so that its keys stay when other
rollups come and go. Branch 5 is that of the oracle's signers, who sign for all options rollups and have no account anywhere.
"""

import hashlib
from collections.abc import Iterable
from functools import cache

from bridge.wire.keccak import to_hex
from bridge.wire.signing import address_of
from orchestrator.topology.hd_keys import (
    HARDENED,
    ExtendedKey,
    checksum_address,
    child_key,
    extended_key,
    seed_of,
)
from orchestrator.topology.plan import Account

MNEMONIC = "test test test test test test test test test test test junk"
"""The public development mnemonic."""

ROLES = ("sequencer", "maker", "deployer", "guardian", "relayer")
"""Who acts for the devnet itself, by index on the roles' branch."""

_USERS_BRANCH = 0
_ROLES_BRANCH = 1
_BATCHERS_BRANCH = 2
_PROPOSERS_BRANCH = 3
_CHALLENGERS_BRANCH = 4
_ORACLES_BRANCH = 5


def batcher_of(rollup: str) -> str:
    """The role that posts a rollup's batches where it has a sequencer of its own."""
    return f"{rollup}-batcher"


def proposer_of(rollup: str) -> str:
    """The role that proposes a rollup's outputs."""
    return f"{rollup}-proposer"


def challenger_of(rollup: str) -> str:
    """The role that deletes a rollup's wrong outputs."""
    return f"{rollup}-challenger"


def derive_users(seed: int, count: int) -> tuple[Account, ...]:
    """``user-0`` … ``user-<count - 1>``."""
    return tuple(_derive(f"user-{index}", seed, _USERS_BRANCH, index) for index in range(count))


def derive_roles(
    seed: int, rollups: Iterable[str] = (), *, own_batchers: bool = False
) -> tuple[Account, ...]:
    """One account for each of :data:`ROLES`, then those of each rollup.

    Args:
        seed: of the devnet.
        rollups: names.
        own_batchers: whether each rollup posts its own batches.
    """
    accounts = [_derive(role, seed, _ROLES_BRANCH, index) for index, role in enumerate(ROLES)]
    for rollup in rollups:
        index = index_of(rollup)
        if own_batchers:
            accounts.append(_derive(batcher_of(rollup), seed, _BATCHERS_BRANCH, index))
        accounts.append(_derive(proposer_of(rollup), seed, _PROPOSERS_BRANCH, index))
        accounts.append(_derive(challenger_of(rollup), seed, _CHALLENGERS_BRANCH, index))
    return tuple(accounts)


def derive_oracle_signers(seed: int, count: int) -> tuple[Account, ...]:
    """``oracle-0`` … ``oracle-<count - 1>``."""
    return tuple(_derive(f"oracle-{index}", seed, _ORACLES_BRANCH, index) for index in range(count))


def index_of(rollup: str) -> int:
    """A rollup's index on the branches of its roles: 31 bits of a hash of its name."""
    digest = hashlib.sha256(f"rollnet.role-index.v1:{rollup}".encode()).digest()
    return int.from_bytes(digest) % HARDENED


@cache
def _mnemonic_seed() -> bytes:
    return seed_of(MNEMONIC)


@cache
def _branch(seed: int, branch: int) -> ExtendedKey:
    return extended_key(_mnemonic_seed(), (44 + HARDENED, 60 + HARDENED, seed + HARDENED, branch))


@cache
def _derive(name: str, seed: int, branch: int, index: int) -> Account:
    private_key = to_hex(child_key(_branch(seed, branch), index).key.secret)
    return Account(name=name, address=checksum_address(address_of(private_key)), private_key=private_key)
