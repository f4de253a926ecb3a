"""The accounts of a devnet: funded, and the same for the same seed.

They come from the development mnemonic that every Ethereum tool knows, so that a user's own tools (Foundry, Hardhat,
wallets) hold the same keys: seed 0 gives the accounts that anvil prints. They are public, and worthless anywhere else.
Derivation is BIP-32 at ``m/44'/60'/<seed>'/<branch>/<index>``: branch 0 for users, 1 for roles.
"""

from functools import cache

from bridge.wire.keccak import to_hex
from bridge.wire.signing import address_of
from orchestrator.topology.hd_keys import HARDENED, checksum_address, derive_key, seed_of
from orchestrator.topology.plan import Account

MNEMONIC = "test test test test test test test test test test test junk"
"""The public development mnemonic."""

ROLES = ("sequencer", "maker", "deployer")
"""Who acts for the devnet itself, by index on the roles' branch."""

_USERS_BRANCH = 0
_ROLES_BRANCH = 1


def derive_users(seed: int, count: int) -> tuple[Account, ...]:
    """``user-0`` … ``user-<count - 1>``."""
    return tuple(_derive(f"user-{index}", seed, _USERS_BRANCH, index) for index in range(count))


def derive_roles(seed: int) -> tuple[Account, ...]:
    """One account for each of :data:`ROLES`, in their order."""
    return tuple(_derive(role, seed, _ROLES_BRANCH, index) for index, role in enumerate(ROLES))


@cache
def _mnemonic_seed() -> bytes:
    return seed_of(MNEMONIC)


@cache
def _derive(name: str, seed: int, branch: int, index: int) -> Account:
    key = derive_key(_mnemonic_seed(), (44 + HARDENED, 60 + HARDENED, seed + HARDENED, branch, index))
    private_key = to_hex(key)
    return Account(name=name, address=checksum_address(address_of(private_key)), private_key=private_key)
