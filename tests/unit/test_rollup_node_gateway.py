"""Routing: no method with any parameters ever reaches the engine with a block above the gate, or with none named."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.errors import INVALID_PARAMS, METHOD_NOT_FOUND, METHOD_NOT_SUPPORTED, SERVER_ERROR, RpcError
from rollup_node import gateway
from rollup_node.gateway import (
    BLOCK_READS,
    HASH_READS,
    NUMBER_OR_HASH,
    PLAIN_READS,
    SIGNING,
    STATE_READS,
    TRANSACTION_READS,
    Heads,
    Route,
    block_number,
    is_hash,
    log_range,
    route,
)

GATE, SAFE, FINALIZED = 50, 20, 10
HEADS = Heads(GATE, SAFE, FINALIZED)
HASH = "0x" + "ab" * 32
PADDED = "0x" + f"{GATE + 1:064x}"
TAGS = st.one_of(
    st.sampled_from(
        [
            "latest",
            "pending",
            "earliest",
            "safe",
            "finalized",
            None,
            "",
            "0x",
            "newest",
            PADDED,
            HASH,
            HASH[2:],
        ]
    ),
    st.integers(-3, 2**70).map(lambda number: number if number < 0 else hex(number)),
    st.integers(GATE - 2, GATE + 3).flatmap(
        lambda n: st.sampled_from([n, hex(n), str(n), f"0x{n:064x}", f"0x{n:04x}", hex(n).upper()])
    ),
    st.integers(GATE - 2, GATE + 3).flatmap(
        lambda n: st.sampled_from(
            [
                {"blockNumber": n},
                {"blockNumber": hex(n)},
                {"blockHash": HASH},
                {"blockHash": HASH, "blockNumber": hex(n)},
            ]
        )
    ),
    st.booleans(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
    st.text(max_size=6),
)
READS = {**STATE_READS, **BLOCK_READS}


def _decided(method: str, params: list[Any]) -> Route | RpcError:
    try:
        return route(method, params, HEADS, dev_methods=False)
    except RpcError as exc:
        return exc


@given(st.sampled_from(sorted(READS)), st.lists(TAGS, max_size=4))
@settings(max_examples=600)
def test_no_forwarded_read_reaches_above_the_gate(method: str, params: list[Any]) -> None:
    """Whatever stands in the block's place, the engine gets a number up to the gate, a hash that is checked later, or nothing."""
    before = list(params)
    decided = _decided(method, params)
    if isinstance(decided, RpcError):
        assert decided.code in (INVALID_PARAMS, SERVER_ERROR)
        return
    assert before == params, "the caller's parameters were changed"
    if decided.kind == "nothing":
        assert method in BLOCK_READS
        return
    assert "forward" == decided.kind
    position = READS[method]
    named = decided.params[position]
    if is_hash(named) and (method in STATE_READS or method in NUMBER_OR_HASH):
        assert named == params[position]
        assert decided.check in ("block", "state")
        assert not (isinstance(named, dict) and "blockNumber" in named)
    else:
        assert isinstance(named, str)
        number = int(named, 16)
        assert named == hex(number)
        assert 0 <= number <= GATE
    others = [value for place, value in enumerate(decided.params) if place != position]
    assert [value for place, value in enumerate(params) if place != position] == others


@given(st.sampled_from(sorted(HASH_READS | TRANSACTION_READS)), st.lists(TAGS, max_size=3))
def test_hashes_are_forwarded_in_one_spelling(method: str, params: list[Any]) -> None:
    """The engine takes hashes in several spellings, hidden ones are known in one: anything else is refused."""
    decided = _decided(method, params)
    if isinstance(decided, RpcError):
        assert INVALID_PARAMS == decided.code
        return
    assert ("forward", str(params[0]).lower()) == (decided.kind, decided.params[0])
    assert (66, "0x") == (len(decided.params[0]), decided.params[0][:2])
    assert decided.check


KNOWN = {*READS, *HASH_READS, *TRANSACTION_READS, *PLAIN_READS, *SIGNING}


@given(
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            [
                "txpool_content",
                "ots_getBlockDetails",
                "trace_block",
                "erigon_getHeaderByNumber",
                "debug_setHead",
                "eth_getRawTransactionByBlock",
                "ETH_CALL",
                "eth_getLogs",
                "eth_newFilter",
                "eth_sendRawTransaction",
                "anvil",
                "admin_nodeInfo",
                "rollup_stage",
                "parity_x",
            ]
        ),
    )
)
def test_unknown_methods_are_refused(method: str) -> None:
    """Nothing reaches the engine that is not on the list, whatever its name looks like."""
    if method in KNOWN:
        return
    expected = METHOD_NOT_SUPPORTED if method.startswith(gateway.CONTROL_NAMESPACES) else METHOD_NOT_FOUND
    with pytest.raises(RpcError) as refused:
        route(method, ["0x1"], HEADS, dev_methods=False)
    assert expected == refused.value.code


@pytest.mark.parametrize("method", sorted(SIGNING))
def test_the_node_holds_no_keys(method: str) -> None:
    """Signing methods are refused by name, also where control methods are allowed."""
    with pytest.raises(RpcError, match="holds no keys") as refused:
        route(method, [], HEADS, dev_methods=True)
    assert METHOD_NOT_SUPPORTED == refused.value.code


CONTROL = [
    "anvil_setBalance",
    "anvil_setCode",
    "anvil_setStorageAt",
    "hardhat_setNonce",
    "anvil_impersonateAccount",
    "anvil_nodeInfo",
]
BLOCK_MAKING = [
    *("anvil_mine", "evm_mine", "evm_mine_detailed", "hardhat_mine", "anvil_setAutomine", "evm_setAutomine"),
    *("anvil_getAutomine", "evm_setIntervalMining", "anvil_setIntervalMining", "evm_revert", "anvil_revert"),
    *("evm_snapshot", "anvil_snapshot", "anvil_rollback", "anvil_reorg", "anvil_reset", "hardhat_reset"),
    *("anvil_loadState", "hardhat_loadState", "anvil_dropTransaction", "anvil_dropAllTransactions"),
    *("hardhat_dropTransaction", "anvil_removePoolTransactions", "anvil_setNextBlockBaseFeePerGas"),
    *("evm_setNextBlockTimestamp", "evm_setTime", "anvil_setTime", "evm_increaseTime", "anvil_increaseTime"),
    *(
        "evm_setBlockGasLimit",
        "anvil_setBlockTimestampInterval",
        "anvil_removeBlockTimestampInterval",
        "anvil_setRpcUrl",
    ),
]


@pytest.mark.parametrize("method", [*CONTROL, *BLOCK_MAKING])
def test_control_methods_need_the_topologys_word(method: str) -> None:
    """Refused by default; where allowed, still never anything that makes, orders or undoes blocks."""
    with pytest.raises(RpcError, match="dev_methods") as refused:
        route(method, [], HEADS, dev_methods=False)
    assert METHOD_NOT_SUPPORTED == refused.value.code
    if method in CONTROL:
        assert ("control", [1]) == (
            route(method, [1], HEADS, dev_methods=True).kind,
            route(method, [1], HEADS, dev_methods=True).params,
        )
    else:
        with pytest.raises(RpcError, match="the sequencer alone"):
            route(method, [], HEADS, dev_methods=True)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (None, GATE),
        ("latest", GATE),
        ("pending", GATE),
        ("earliest", 0),
        ("safe", SAFE),
        ("finalized", FINALIZED),
        ("0x10", 16),
        (16, 16),
        ({"blockNumber": "0x10"}, 16),
        (PADDED, GATE + 1),
    ],
)
def test_tags_mean_what_the_gate_says(tag: Any, expected: int) -> None:
    """Latest and pending are the gate, safe and finalized what L1, and finalized L1, hold."""
    assert expected == block_number(tag, HEADS)


@pytest.mark.parametrize("tag", ["", "0x", "newest", [], {}, {"number": 1}, -1, "-1", "0xzz", "9" * 5_000])
def test_what_is_no_tag_is_invalid(tag: Any) -> None:
    """Each is the caller's mistake, with the code that says so."""
    with pytest.raises(RpcError) as refused:
        block_number(tag, HEADS)
    assert INVALID_PARAMS == refused.value.code


def test_state_above_the_gate_is_an_error_and_a_block_above_it_is_nothing() -> None:
    """As on any node: no header for state, null for a block."""
    with pytest.raises(RpcError, match="header not found") as refused:
        route("eth_call", [{}, hex(GATE + 1)], HEADS, dev_methods=False)
    assert SERVER_ERROR == refused.value.code
    assert "nothing" == route("eth_getBlockByNumber", [hex(GATE + 1), False], HEADS, dev_methods=False).kind
    assert "nothing" == route("debug_traceBlockByNumber", [PADDED], HEADS, dev_methods=False).kind
    with pytest.raises(RpcError, match="missing value for required argument 0") as refused:
        route("eth_getBalance", [], HEADS, dev_methods=False)
    assert INVALID_PARAMS == refused.value.code


@given(TAGS, TAGS, st.booleans())
@settings(max_examples=300)
def test_log_ranges_end_at_the_gate(first: Any, last: Any, open_end: bool) -> None:
    """Any filter is pinned to canonical numbers up to the gate, asks for a block by hash, matches nothing, or is refused."""
    criteria = {"fromBlock": first, "address": "0x1"} | ({} if open_end else {"toBlock": last})
    try:
        pinned = log_range(criteria, HEADS)
    except RpcError as exc:
        pinned, code = None, exc.code
    else:
        code = INVALID_PARAMS
    assert INVALID_PARAMS == code
    if pinned is None:
        return
    low, high = int(pinned["fromBlock"], 16), int(pinned["toBlock"], 16)
    assert 0 <= low <= high <= GATE
    assert (hex(low), hex(high), "0x1") == (pinned["fromBlock"], pinned["toBlock"], pinned["address"])


@pytest.mark.parametrize("criteria", [None, [], "latest", 5])
def test_a_filter_is_an_object(criteria: Any) -> None:
    """Anything else is the caller's mistake."""
    with pytest.raises(RpcError) as refused:
        log_range(criteria, HEADS)
    assert INVALID_PARAMS == refused.value.code


@given(st.sampled_from([0, 1, 2]), st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=2), TAGS)
def test_reads_of_the_engine_s_own_are_pinned_too(place: int, before: list[Any], tag: Any) -> None:
    """At their own position, what is left out before it being null; an engine that doesn't name them has no such method."""
    params = [*(before + [None] * place)[:place], tag]
    with contextlib.suppress(RpcError):
        decided = route("options_read", params, HEADS, dev_methods=True, more_reads={"options_read": place})
        pinned = decided.params[place]
        assert params[:place] == decided.params[:place]
        assert decided.check == "state" if is_hash(pinned) else int(pinned, 16) <= GATE
    for given_params in ([], before[:place]):
        short = route(
            "options_read", given_params, HEADS, dev_methods=True, more_reads={"options_read": place}
        )
        assert [*given_params, *[None] * (place - len(given_params)), hex(GATE)] == short.params
    with pytest.raises(RpcError) as refused:
        route("options_read", params, HEADS, dev_methods=True)
    assert METHOD_NOT_FOUND == refused.value.code
