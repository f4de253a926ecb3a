"""What methods and feeds answer, as JSON schemas (draft 7, as OpenRPC has them); a test holds real answers to them.

Objects are closed: a field that an answer has and its schema hasn't, or the other way, is a mistake in one of them.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from rollup_node.engines.options.reads.auctions import PHASES
from rollup_node.engines.options.reads.market import FIGURES, STATUS

Schema: TypeAlias = Mapping[str, Any]


def table(optional: Mapping[str, Schema] | None = None, /, **fields: Schema) -> Schema:
    """An object of these fields; those of ``optional`` may be missing."""
    return {
        "type": "object",
        "properties": fields | dict(optional or {}),
        "required": sorted(fields),
        "additionalProperties": False,
    }


def each(schema: Schema) -> Schema:
    """A list of those."""
    return {"type": "array", "items": schema}


def or_null(schema: Schema) -> Schema:
    """That, or nothing."""
    return {"anyOf": [schema, {"type": "null"}]}


def by_name(schema: Schema) -> Schema:
    """An object with whatever names."""
    return {"type": "object", "additionalProperties": schema}


def one_of(*words: str) -> Schema:
    """One of some words."""
    return {"enum": list(words)}


def refer(name: str) -> Schema:
    """To one of :data:`SHARED`."""
    return {"$ref": f"#/components/schemas/{name}"}


_WORDS: Final[Mapping[str, Schema]] = {
    "Quantity": {"type": "string", "pattern": "^0x(0|[1-9a-f][0-9a-f]*)$"},
    "Bytes": {"type": "string", "pattern": "^0x([0-9a-f]{2})*$"},
    "Address": {"type": "string", "pattern": "^0x[0-9a-f]{40}$"},
    "Word": {"type": "string", "pattern": "^0x[0-9a-f]{64}$"},
    "Amount": {
        "type": "string",
        "pattern": "^-?[0-9]+$",
        "description": "decimal, in the engine's units: prices and cash 1e-6 USD, quantities 1e-4 contracts, volatilities and shares 1e-18",
    },
}
QUANTITY, BYTES, ADDRESS, WORD, AMOUNT = map(refer, _WORDS)
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
NAME: Final[Schema] = {"type": "string"}
FIGURE: Final[Schema] = {"type": "number"}

_GREEKS: Final = table(**dict.fromkeys(FIGURES, FIGURE))
_HOLDING: Final = table(series=COUNT, quantity=AMOUNT)
_LEVELS: Final = each({"type": "array", "items": AMOUNT, "minItems": 2, "maxItems": 2})
_BEST: Final = or_null({"type": "array", "items": AMOUNT, "minItems": 2, "maxItems": 2})
_LEVEL: Final = {"level": COUNT, "name": NAME}
_PROOF_LEAF: Final = table(data=BYTES, proof=BYTES)
_OUTPUT_BLOCK: Final = table(hash=WORD, number=COUNT, parentHash=WORD)
_HEAD: Final = table(hash=WORD, number=COUNT, timestamp=COUNT)

SHARED: Final[Mapping[str, Schema]] = {
    **_WORDS,
    "Log": table(
        address=ADDRESS,
        topics=each(WORD),
        data=BYTES,
        blockHash=WORD,
        blockNumber=QUANTITY,
        blockTimestamp=QUANTITY,
        transactionHash=WORD,
        transactionIndex=QUANTITY,
        logIndex=QUANTITY,
        removed=FLAG,
    ),
    "Transaction": table(
        {
            "chainId": QUANTITY,
            "accessList": each(table(address=ADDRESS, storageKeys=each(BYTES))),
            "yParity": QUANTITY,
            "maxFeePerGas": QUANTITY,
            "maxPriorityFeePerGas": QUANTITY,
            "sourceHash": WORD,
            "mint": QUANTITY,
            "isSystemTx": FLAG,
            "depositReceiptVersion": QUANTITY,
        },
        **dict.fromkeys(("hash",), WORD),
        **dict.fromkeys(("type", "nonce", "value", "gas", "gasPrice", "v", "r", "s"), QUANTITY),
        **{"from": ADDRESS, "to": or_null(ADDRESS), "input": BYTES},
        blockHash=or_null(WORD),
        blockNumber=or_null(QUANTITY),
        transactionIndex=or_null(QUANTITY),
    ),
    "Receipt": table(
        {"depositNonce": QUANTITY, "depositReceiptVersion": QUANTITY},
        **dict.fromkeys(("transactionHash", "blockHash"), WORD),
        **dict.fromkeys(
            (
                "transactionIndex", "type", "blockNumber", "status", "gasUsed", "cumulativeGasUsed",
                "effectiveGasPrice",
            ),
            QUANTITY,
        ),
        **{"from": ADDRESS, "to": or_null(ADDRESS), "contractAddress": {"type": "null"}},
        logsBloom=BYTES,
        logs=each(refer("Log")),
    ),
    "Block": table(
        **dict.fromkeys(
            ("hash", "parentHash", "mixHash", "sha3Uncles", "transactionsRoot", "stateRoot", "receiptsRoot"),
            WORD,
        ),
        **dict.fromkeys(
            ("number", "difficulty", "size", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas"), QUANTITY
        ),
        nonce=BYTES,
        logsBloom=BYTES,
        extraData=BYTES,
        miner=ADDRESS,
        transactions=each({"anyOf": [WORD, refer("Transaction")]}),
        uncles={"type": "array", "maxItems": 0},
    ),
    "Trade": table(
        **dict.fromkeys(("series", "taker", "maker", "block", "timestamp"), COUNT),
        **dict.fromkeys(
            ("takerOrder", "makerOrder", "price", "quantity", "takerFee", "makerFee"), AMOUNT
        ),
        transaction=WORD,
    ),
    "Series": table(
        series=COUNT,
        underlying=NAME,
        expiry=COUNT,
        isCall=FLAG,
        status=one_of(*STATUS),
        mark=or_null(AMOUNT),
        **dict.fromkeys(("strike", "tick", "lot", "settlement", "openInterest"), AMOUNT),
    ),
    "Order": table(
        **dict.fromkeys(("order", "price", "quantity"), AMOUNT),
        **dict.fromkeys(("account", "series", "expiry"), COUNT),
        buy=FLAG,
        reduceOnly=FLAG,
    ),
    "Market": table(
        underlying=NAME,
        **dict.fromkeys(("spot", "discount", "confidence"), AMOUNT),
        **dict.fromkeys(("sequence", "timestamp", "breaker"), COUNT),
        forwards=each(table(expiry=COUNT, price=AMOUNT)),
        series=each(table(series=COUNT, mark=AMOUNT, changes=each(AMOUNT), greeks=or_null(_GREEKS))),
    ),
    "Position": table(series=COUNT, quantity=AMOUNT, mark=AMOUNT, value=AMOUNT),
    "Auction": table(
        **dict.fromkeys(("account", "block", "started", "priceShare", "most"), COUNT),
        phase=one_of(*PHASES),
        **dict.fromkeys(("maintenance", "missing", "value", "cash", "reserved"), AMOUNT),
        positions=each(_HOLDING),
    ),
}  # fmt: skip
"""By name; referred to from others."""

BOOK: Final = {"series": COUNT, "sequence": COUNT, "bids": _LEVELS, "asks": _LEVELS}
MARGIN: Final = {
    "account": COUNT,
    **dict.fromkeys(("equity", "initial", "maintenance", "surplus", "withdrawable"), AMOUNT),
    "covered": FLAG,
    "liquidatable": FLAG,
}
GREEKS: Final = {
    "account": COUNT,
    "positions": each(table(dict.fromkeys(FIGURES, FIGURE), series=COUNT, quantity=AMOUNT)),
    "total": _GREEKS,
}

FEED_DATA: Final[Mapping[str, Schema]] = {
    "book": table(**BOOK),
    "ticker": table(
        series=COUNT,
        status=one_of(*STATUS),
        mark=or_null(AMOUNT),
        openInterest=AMOUNT,
        settlement=AMOUNT,
        bid=_BEST,
        ask=_BEST,
        greeks=or_null(_GREEKS),
    ),
    "trades": each(refer("Trade")),
    "marks": each(refer("Market")),
    "greeks": table(**GREEKS),
    "margin": table(**MARGIN),
    "positions": each(refer("Position")),
    "orders": each(refer("Order")),
}
"""What each feed says."""
_VIEW: Final = {"feed": one_of(*FEED_DATA), "params": {"type": "array"}, "block": COUNT}
FEED_VIEW: Final = table(
    **_VIEW, hash=WORD, timestamp=COUNT, data={"anyOf": list(FEED_DATA.values())}
)  # fmt: skip
FEED_ERROR: Final = table(**_VIEW, error=table(code={"type": "integer"}, message=NAME))
"""In place of a view: there is no telling at the moment."""

_BLOCKS: Final = or_null(refer("Block"))
_TRANSACTION: Final = or_null(refer("Transaction"))
_STEP: Final = table(raw=BYTES, root=WORD, siblings=each(WORD))

RESULTS: Final[Mapping[str, Schema]] = {
    "web3_clientVersion": NAME,
    "web3_sha3": WORD,
    "net_version": NAME,
    "net_listening": FLAG,
    **dict.fromkeys(
        (
            "net_peerCount", "eth_chainId", "eth_blockNumber", "eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_blobBaseFee",
            "eth_getBalance", "eth_getTransactionCount", "eth_estimateGas",
        ),
        QUANTITY,
    ),
    **dict.fromkeys(
        (
            "eth_getBlockTransactionCountByHash", "eth_getBlockTransactionCountByNumber", "eth_getUncleCountByBlockHash",
            "eth_getUncleCountByBlockNumber",
        ),
        or_null(QUANTITY),
    ),
    "eth_syncing": FLAG,
    "eth_accounts": each(ADDRESS),
    "eth_feeHistory": table(
        {"reward": each(each(QUANTITY))},
        oldestBlock=QUANTITY,
        baseFeePerGas=each(QUANTITY),
        gasUsedRatio=each(FIGURE),
    ),
    "eth_getBlockByHash": _BLOCKS,
    "eth_getBlockByNumber": _BLOCKS,
    "eth_getBlockReceipts": or_null(each(refer("Receipt"))),
    "eth_getTransactionByBlockHashAndIndex": _TRANSACTION,
    "eth_getTransactionByBlockNumberAndIndex": _TRANSACTION,
    "eth_getTransactionByHash": _TRANSACTION,
    "eth_getTransactionReceipt": or_null(refer("Receipt")),
    "eth_getRawTransactionByHash": or_null(BYTES),
    "eth_getLogs": each(refer("Log")),
    "eth_getCode": BYTES,
    "eth_getStorageAt": WORD,
    "eth_getProof": table(
        address=ADDRESS,
        accountProof={"type": "array", "maxItems": 0},
        balance=QUANTITY,
        nonce=QUANTITY,
        codeHash=WORD,
        storageHash=WORD,
        storageProof=each(table(key=WORD, value=QUANTITY, proof=each(BYTES))),
    ),
    "eth_call": BYTES,
    "eth_createAccessList": table(accessList={"type": "array", "maxItems": 0}, gasUsed=QUANTITY),
    "options_getParameters": {"type": "object", "required": ["chain_id", "markets", "peers", "l1"]},
    "options_getSeries": each(refer("Series")),
    "options_getMarks": FEED_DATA["marks"],
    "options_getBook": table(**BOOK, block=COUNT),
    "options_getQuotes": each(
        table(series=COUNT, quantity=AMOUNT, bid=or_null(AMOUNT), ask=or_null(AMOUNT))
    ),
    "options_getTrades": FEED_DATA["trades"],
    "options_getFeed": FEED_VIEW,
    "options_getAccounts": table(owner=ADDRESS, nonce=COUNT, accounts=each(COUNT)),
    "options_getAccount": table(
        account=COUNT,
        owner=ADDRESS,
        nonce=COUNT,
        **dict.fromkeys(("cash", "reserved", "locked", "due"), AMOUNT),
        locks=each(_HOLDING),
        mode=one_of("portfolio", "standard"),
        liquidating=FLAG,
        keys=each(table(key=ADDRESS, scope=COUNT, expiry=COUNT, nonce=COUNT)),
    ),
    "options_getMargin": table(**MARGIN, block=COUNT),
    "options_getPositions": FEED_DATA["positions"],
    "options_getCombos": each(
        table(
            **dict.fromkeys(("combo", "snapshot", "deadline"), COUNT),
            name=BYTES,
            legsHash=BYTES,
            state=NAME,
            legs=each(_HOLDING),
            required=AMOUNT,
            due=AMOUNT,
            pledges=each(
                table(
                    direction=one_of("pays", "is paid"),
                    **dict.fromkeys(("series", "chainId", "account"), COUNT),
                    strike=AMOUNT,
                    isCall=FLAG,
                    quantity=AMOUNT,
                )
            ),
        )
    ),
    "options_getOrders": FEED_DATA["orders"],
    "options_getGreeks": table(**GREEKS, block=COUNT),
    "options_getAuction": or_null(refer("Auction")),
    "options_getAuctions": each(refer("Auction")),
    "options_getBackstop": table(owner=ADDRESS, account=or_null(COUNT), cash=AMOUNT),
    "options_getFees": table(
        block=COUNT,
        kinds=by_name(AMOUNT),
        **dict.fromkeys(("gross", "sequencer", "insurance", "unswept", "volume"), AMOUNT),
    ),
    "options_getBreakers": table(
        block=COUNT,
        **_LEVEL,
        coolOff=COUNT,
        rollup=table(
            **_LEVEL,
            held=COUNT,
            **dict.fromkeys(("deficit", "insurance", "volume"), AMOUNT),
            withdrawals=table(since=COUNT, allowed=AMOUNT, withdrawn=AMOUNT),
        ),
        underlyings=each(
            table(
                underlying=NAME,
                **_LEVEL,
                held=COUNT,
                age=or_null(COUNT),
                **dict.fromkeys(("confidence", "spot", "previous", "fast", "slow"), AMOUNT),
            )
        ),
    ),
    "options_getTotals": table(
        block=COUNT,
        **dict.fromkeys(
            ("insurance", "sequencerFees", "protocolFees", "sharedLoss", "cash", "pools", "dust", "undelivered", "vault"),
            AMOUNT,
        ),
        withdrawals=COUNT,
        accounts=COUNT,
    ),
    "options_getSteps": each(table(transaction=WORD, raw=BYTES, root=WORD)),
    "options_getOmissions": each(
        table(
            section=table(count=COUNT, first=COUNT, steps=each(_STEP)),
            holder=table(
                number=COUNT,
                account=_PROOF_LEAF,
                **dict.fromkeys(("series", "rows", "oracles"), each(_PROOF_LEAF)),
            ),
        )
    ),
    "options_getProof": table(
        stateRoot=WORD, index=COUNT, leaf=or_null(BYTES), siblings=each(WORD), encoded=BYTES
    ),
    "eth_sendRawTransaction": WORD,
    "eth_sendBundle": table(bundleHash=WORD),
    **dict.fromkeys(
        (
            "eth_newFilter", "eth_newBlockFilter", "eth_newPendingTransactionFilter", "eth_subscribe",
            "options_subscribe",
        ),
        QUANTITY,
    ),
    **dict.fromkeys(("eth_uninstallFilter", "eth_unsubscribe", "options_unsubscribe"), FLAG),
    "eth_getFilterChanges": each({"anyOf": [WORD, refer("Log")]}),
    "eth_getFilterLogs": each(refer("Log")),
    "optimism_outputAtBlock": table(
        blockRef=_OUTPUT_BLOCK,
        **dict.fromkeys(("version", "outputRoot", "withdrawalStorageRoot", "stateRoot"), WORD),
    ),
    "optimism_syncStatus": table(
        current_l1=or_null(table(hash=WORD, number=COUNT)),
        **dict.fromkeys(("unsafe_l2", "safe_l2", "finalized_l2"), _HEAD),
    ),
    "rpc.discover": {"type": "object"},
}  # fmt: skip
"""By method."""
