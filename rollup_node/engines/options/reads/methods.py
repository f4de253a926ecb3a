"""Every method with what it takes: the table that answers go by, and that the OpenRPC document is made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rollup_node.engines.options.reads import (
    accounts,
    auctions,
    blocks,
    calls,
    economics,
    feeds,
    logs,
    market,
    portfolio,
    steps,
    transactions,
)
from rollup_node.engines.options.reads.kinds import (
    ADDRESS,
    ANY,
    BLOCK,
    DATA,
    FLAG,
    HASH,
    KEY,
    KEYS,
    LIST,
    NUMBER,
    QUANTITY,
    TABLE,
    TEXT,
    Param,
)


@dataclass(frozen=True, slots=True)
class Method:
    """Something that can be asked."""

    name: str
    summary: str
    params: tuple[Param, ...]
    run: Callable[..., Any]
    """Gets a scene, and the parameters but that of the block."""
    null_without_block: bool = False
    """Whether a block that isn't there is answered with null, and not with an error."""

    @property
    def block_place(self) -> int | None:
        """Position of the parameter that names a block."""
        return next((place for place, param in enumerate(self.params) if param.kind is BLOCK), None)


_AT = Param("block", BLOCK, required=False)
_BLOCK = Param("block", BLOCK)
_FULL = Param("full", FLAG, required=False)
_HASH = Param("hash", HASH)
_INDEX = Param("index", QUANTITY)
_ADDRESS = Param("address", ADDRESS)
_CALL = (Param("call", TABLE), _AT, Param("overrides", ANY, required=False))
_ACCOUNT = Param("account", NUMBER)
_SERIES = Param("series", NUMBER)
_SYMBOL = Param("underlying", TEXT, required=False)
_SYMBOL_FIRST = Param("underlying", TEXT)


def _lookups() -> tuple[Method, ...]:
    """By number or tag: null if there is no such block."""
    table: tuple[tuple[str, str, tuple[Param, ...], Callable[..., Any]], ...] = (
        ("eth_getBlockByNumber", "A block.", (_BLOCK, _FULL), blocks.block),
        ("eth_getBlockReceipts", "Receipts of a block.", (_BLOCK,), transactions.receipts_json),
        (
            "eth_getBlockTransactionCountByNumber",
            "Number of transactions of a block.",
            (_BLOCK,),
            blocks.count,
        ),
        (
            "eth_getTransactionByBlockNumberAndIndex",
            "A transaction.",
            (_BLOCK, _INDEX),
            transactions.by_place,
        ),
        ("eth_getUncleCountByBlockNumber", "None.", (_BLOCK,), blocks.no_uncles),
    )
    return tuple(Method(name, summary, params, run, True) for name, summary, params, run in table)


_ETHEREUM: Final = (
    Method("web3_clientVersion", "Name of this software.", (), blocks.version),
    Method("web3_sha3", "Keccak-256 of some bytes.", (Param("data", DATA),), blocks.sha3),
    Method("net_version", "Chain id in decimal.", (), blocks.network),
    Method("net_listening", "True.", (), blocks.yes),
    Method("net_peerCount", "Zero: rollup nodes have no peers of that kind.", (), blocks.zero),
    Method("eth_chainId", "Chain id.", (), blocks.chain_id),
    Method("eth_blockNumber", "Number of the last block.", (), blocks.block_number),
    Method("eth_syncing", "False.", (), blocks.no),
    Method("eth_accounts", "None: the node holds no keys.", (), blocks.nothing),
    Method("eth_gasPrice", "Wei per gas in the next block; zero where gas is free.", (), blocks.gas_price),
    Method("eth_maxPriorityFeePerGas", "Zero: tips buy nothing.", (), blocks.zero),
    Method("eth_blobBaseFee", "Zero: there are no blobs.", (), blocks.zero),
    Method(
        "eth_feeHistory",
        "Base fees and how full blocks were.",
        (Param("blocks", QUANTITY), _BLOCK, Param("percentiles", ANY, required=False)),
        blocks.fee_history,
    ),
    Method("eth_getBlockByHash", "A block.", (_HASH, _FULL), blocks.block_by_hash),
    Method(
        "eth_getBlockTransactionCountByHash",
        "Number of transactions of a block.",
        (_HASH,),
        blocks.count_by_hash,
    ),
    Method(
        "eth_getTransactionByBlockHashAndIndex", "A transaction.", (_HASH, _INDEX), blocks.by_hash_and_place
    ),
    Method("eth_getUncleCountByBlockHash", "None.", (_HASH,), blocks.no_uncles_by_hash),
    Method("eth_getTransactionByHash", "A transaction, derived ones too.", (_HASH,), transactions.by_hash),
    Method("eth_getTransactionReceipt", "A receipt.", (_HASH,), transactions.receipt_by_hash),
    Method("eth_getRawTransactionByHash", "A transaction's bytes.", (_HASH,), transactions.raw_by_hash),
    Method("eth_getLogs", "Logs by addresses, topics and blocks.", (Param("filter", TABLE),), logs.logs),
    Method(
        "eth_getBalance",
        "What the primary account could withdraw, in wei.",
        (_ADDRESS, _AT),
        accounts.balance,
    ),
    Method("eth_getTransactionCount", "Nonce of the next transaction.", (_ADDRESS, _AT), accounts.nonce),
    Method("eth_getCode", "A stub for system addresses.", (_ADDRESS, _AT), accounts.code),
    Method(
        "eth_getStorageAt",
        "The message passer's storage.",
        (_ADDRESS, Param("slot", KEY), _AT),
        accounts.storage,
    ),
    Method(
        "eth_getProof",
        "Proofs of the message passer's storage; accounts are in another tree, see options_getProof.",
        (_ADDRESS, Param("slots", KEYS), _AT),
        accounts.proof,
    ),
    Method("eth_call", "A view function, or a transaction as it would run.", _CALL, calls.call),
    Method("eth_estimateGas", "Gas of a transaction as it would run.", _CALL, calls.estimate),
    Method("eth_createAccessList", "Nothing to list.", _CALL, calls.access_list),
)

OPTIONS: Final = (
    Method("options_getParameters", "What is fixed for the rollup's life.", (), portfolio.parameters),
    Method(
        "options_getSeries",
        "Series that can be traded, or all, with their marks.",
        (_SYMBOL, Param("all", FLAG, required=False), _AT),
        market.all_series,
    ),
    Method(
        "options_getMarks", "Oracle prices, marks, scenario changes, Greeks.", (_SYMBOL, _AT), market.marks
    ),
    Method(
        "options_getBook",
        "Price levels of a series' book, the best first.",
        (_SERIES, Param("levels", NUMBER, required=False), _AT),
        market.book,
    ),
    Method(
        "options_getQuotes",
        "What the market maker bids and asks for a quantity of each series.",
        (_SYMBOL_FIRST, Param("quantity", QUANTITY), _AT),
        market.quotes,
    ),
    Method(
        "options_getTrades",
        "Trades up to a block, the newest first.",
        (Param("series", NUMBER, required=False), Param("limit", NUMBER, required=False), _AT),
        market.trades,
    ),
    Method(
        "options_getFeed",
        "What a feed tells of a block; trades are those of the blocks after another one.",
        (
            Param("feed", TEXT),
            Param("params", LIST, required=False),
            Param("since", NUMBER, required=False),
            _AT,
        ),
        feeds.view,
    ),
    Method("options_getAccounts", "Accounts of an address.", (_ADDRESS, _AT), portfolio.accounts),
    Method("options_getAccount", "Cash, mode and keys of an account.", (_ACCOUNT, _AT), portfolio.account),
    Method("options_getMargin", "Equity and requirements of an account.", (_ACCOUNT, _AT), portfolio.margin),
    Method("options_getPositions", "Positions at their marks.", (_ACCOUNT, _AT), portfolio.positions),
    Method("options_getCombos", "An account's locked combos.", (_ACCOUNT, _AT), portfolio.combos),
    Method("options_getOrders", "An account's resting orders.", (_ACCOUNT, _AT), portfolio.orders),
    Method("options_getGreeks", "Greeks of an account's positions.", (_ACCOUNT, _AT), portfolio.greeks),
    Method(
        "options_getAuction",
        "An account's auction: what is for sale, at which price; null if there is none.",
        (_ACCOUNT, _AT),
        auctions.auction,
    ),
    Method("options_getAuctions", "All auctions, by account.", (_AT,), auctions.all_auctions),
    Method(
        "options_getBackstop",
        "The backstop vault: its address, account and cash.",
        (_AT,),
        auctions.vault_json,
    ),
    Method(
        "options_getFees",
        "What fees have come to, by kind, and what has become of them.",
        (_AT,),
        economics.fees,
    ),
    Method(
        "options_getBreakers",
        "Level of each breaker, and what they remember.",
        (_AT,),
        economics.breakers,
    ),
    Method("options_getTotals", "Insurance, fees, and what L1 holds.", (_AT,), portfolio.totals),
    Method(
        "options_getSteps",
        "Transactions of a block and the root of the state after each: what its header commits to where it takes them.",
        (_AT,),
        steps.steps,
    ),
    Method(
        "options_getOmissions",
        "Liquidations that a maker's block of this payload has left out, by the steps that it tells, with their proofs for L1.",
        (Param("steps", ANY), _AT),
        steps.omissions,
    ),
    Method(
        "options_getProof",
        "A leaf of the state tree, or its absence, with its proof.",
        (Param("kind", TEXT), Param("number", NUMBER), _AT),
        accounts.leaf_proof,
    ),
)
"""What an options rollup answers beside Ethereum's methods."""

METHODS: Final[Mapping[str, Method]] = {method.name: method for method in (*_ETHEREUM, *_lookups(), *OPTIONS)}
"""By name."""
SLOW: Final = frozenset(
    {
        "options_getSteps",
        "options_getOmissions",
        "eth_getLogs",
        "options_getTrades",
        "options_getMarks",
        "options_getQuotes",
        "options_getFeed",
    }
)
"""May take long, so they are answered in a thread."""
BLOCK_PLACES: Final[Mapping[str, int]] = {
    method.name: place for method in OPTIONS if (place := method.block_place) is not None
}
"""Of the options' own methods, where the block stands among the parameters: a gateway pins it there."""
