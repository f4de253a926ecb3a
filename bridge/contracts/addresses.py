"""Where our contracts live on every EVM rollup.

Addresses are fixed, in the range that the OP Stack reserves for predeploys, so that a strategy signed for one rollup
needs no look-up on another. ``0x4200…0b00`` and up is unused by the OP Stack, Superchain interop included.
"""

from typing import Final

BUNDLE_GUARD: Final = "0x4200000000000000000000000000000000000b00"
"""Says which atomic bundle is running; on every EVM rollup, market or not."""
CASH_TOKEN: Final = "0x4200000000000000000000000000000000000b01"  # noqa: S105 - an address, not a password
"""The devnet's dollar, an ERC-20 with 6 decimals."""
PRICE_ORACLE: Final = "0x4200000000000000000000000000000000000b02"
"""Spot and settlement prices."""
OPTIONS_MARKET: Final = "0x4200000000000000000000000000000000000b03"
"""European options, quoted by makers, collateralised in full."""
SYSTEM_SENDER_PREFIX: Final = "0xdeaddeaddeaddeaddeaddeaddeaddeaddead"
"""First 18 bytes of the senders of system transactions; only they open and close bundles (``bridge.wire.system``)."""
