"""Our key derivation against the packaged library's."""

from eth_account import Account
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic
from eth_utils import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.topology.accounts import MNEMONIC, derive_roles, derive_users
from orchestrator.topology.hd_keys import HARDENED, checksum_address, derive_key, seed_of

INDEXES = st.lists(st.tuples(st.integers(0, HARDENED - 1), st.booleans()), max_size=5)


def test_the_mnemonic_gives_the_standard_seed() -> None:
    """BIP-39, as the library reads it."""
    assert seed_from_mnemonic(MNEMONIC, passphrase="") == seed_of(MNEMONIC)


@given(INDEXES)
@settings(deadline=None, max_examples=60)
def test_every_path_leads_to_the_library_s_key(path: list[tuple[int, bool]]) -> None:
    """BIP-32, hardened and not, at any depth."""
    seed = seed_of(MNEMONIC)
    text = "m" + "".join(f"/{index}{chr(39) if hardened else ''}" for index, hardened in path)

    assert key_from_seed(seed, text) == derive_key(
        seed, tuple(index + HARDENED * hardened for index, hardened in path)
    )


@given(st.binary(min_size=20, max_size=20))
def test_addresses_are_spelled_as_eip_55_says(address: bytes) -> None:
    """Mixed case carries the checksum."""
    assert to_checksum_address(address) == checksum_address(address)


def test_keys_belong_to_their_addresses() -> None:
    """What a plan lists can be imported into any wallet."""
    for account in (*derive_users(7, 3), *derive_roles(7)):
        assert Account.from_key(account.private_key).address == account.address
