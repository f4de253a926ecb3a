"""Where contracts live on every EVM rollup: ours, and the OP Stack's predeploys and preinstalls; and what options rollups have instead.

Our addresses are fixed, in the range that the OP Stack reserves for predeploys, so that a strategy signed for one rollup
needs no look-up on another. ``0x4200…0b00`` and up is unused by the OP Stack, Superchain interop included.
"""

from collections.abc import Mapping
from typing import Final

BUNDLE_GUARD: Final = "0x4200000000000000000000000000000000000b00"
"""Says which atomic bundle is running; on every EVM rollup, market or not."""
CASH_TOKEN: Final = "0x4200000000000000000000000000000000000b01"  # noqa: S105 - an address, not a password
"""The devnet's dollar, an ERC-20 with 6 decimals."""
PRICE_ORACLE: Final = "0x4200000000000000000000000000000000000b02"
"""Spot and settlement prices."""
OPTIONS_MARKET: Final = "0x4200000000000000000000000000000000000b03"
"""European options, quoted by makers, collateralised in full."""
CROSS_ROLLUP_MAILBOX: Final = "0x4200000000000000000000000000000000000b04"
"""Messages to and from other rollups over L1; on every EVM rollup."""
LEG_ESCROW: Final = "0x4200000000000000000000000000000000000b05"
"""Holds the legs of strategies that are decided on L1; on every EVM rollup with a market."""
OPTIONS_SYSTEM: Final[Mapping[str, str]] = {
    "IOptionsAccounts": "0x4200000000000000000000000000000000000c01",
    "IOptionsExchange": "0x4200000000000000000000000000000000000c02",
    "IOptionsOracle": "0x4200000000000000000000000000000000000c03",
    "IOptionsRisk": "0x4200000000000000000000000000000000000c04",
    "IOptionsLiquidation": "0x4200000000000000000000000000000000000c05",
    "IOptionsCombos": "0x4200000000000000000000000000000000000c07",
}
"""What can be called on options rollups, by the name of the interface."""
OPTIONS_MAKER_PREFIX: Final = "0x4200000000000000000000000000000000000d"
"""First 19 bytes of the owners of an options rollup's market makers; the last is the underlying. Nobody has a key for any of them."""
SYSTEM_SENDER_PREFIX: Final = "0xdeaddeaddeaddeaddeaddeaddeaddeaddead"
"""First 18 bytes of the senders of system transactions; only they open and close bundles (``bridge.wire.system``)."""

L2_TO_L1_MESSAGE_PASSER: Final = "0x4200000000000000000000000000000000000016"
"""Keeps the hash of every withdrawal; its storage root is part of the output root."""
L2_CROSS_DOMAIN_MESSENGER: Final = "0x4200000000000000000000000000000000000007"
"""Messages to and from the rollup's L1CrossDomainMessenger, replayable when they fail."""
L2_STANDARD_BRIDGE: Final = "0x4200000000000000000000000000000000000010"
"""ETH and ERC-20 to and from the rollup's L1StandardBridge."""
L1_BLOCK: Final = "0x4200000000000000000000000000000000000015"
"""What the rollup knows of L1; written by the first transaction of every block."""
PROXY_ADMIN: Final = "0x4200000000000000000000000000000000000018"
"""Owns the proxies of all predeploys."""
SEQUENCER_FEE_VAULT: Final = "0x4200000000000000000000000000000000000011"
"""Coinbase of every block: collects priority fees."""

PREDEPLOYS: Final[Mapping[str, str]] = {
    "LegacyMessagePasser": "0x4200000000000000000000000000000000000000",
    "WETH": "0x4200000000000000000000000000000000000006",
    "L2CrossDomainMessenger": L2_CROSS_DOMAIN_MESSENGER,
    "GasPriceOracle": "0x420000000000000000000000000000000000000f",
    "L2StandardBridge": L2_STANDARD_BRIDGE,
    "SequencerFeeVault": SEQUENCER_FEE_VAULT,
    "OptimismMintableERC20Factory": "0x4200000000000000000000000000000000000012",
    "L1BlockNumber": "0x4200000000000000000000000000000000000013",
    "L2ERC721Bridge": "0x4200000000000000000000000000000000000014",
    "L1Block": L1_BLOCK,
    "L2ToL1MessagePasser": L2_TO_L1_MESSAGE_PASSER,
    "OptimismMintableERC721Factory": "0x4200000000000000000000000000000000000017",
    "ProxyAdmin": PROXY_ADMIN,
    "BaseFeeVault": "0x4200000000000000000000000000000000000019",
    "L1FeeVault": "0x420000000000000000000000000000000000001a",
}
"""The OP Stack's predeploys, by the name of the contract."""

PREINSTALLS: Final[Mapping[str, str]] = {
    "MultiCall3": "0xca11bde05977b3631167028862be2a173976ca11",
    "Create2Deployer": "0x13b0d85ccb8bf860b6b79af3029fca081ae9bef2",
    "DeterministicDeploymentProxy": "0x4e59b44847b379578588920ca78fbf26c0b4956c",
    "SafeSingletonFactory": "0x914d7fec6aac8cd542e72bca78b30650d45643d7",
}
"""Contracts that tools expect on every chain and that need no storage, by the OP Stack's name."""
