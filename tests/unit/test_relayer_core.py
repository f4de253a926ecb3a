"""The relayer's pure parts, against independent readings of the contracts that they are for."""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.relayer.lifecycle import (
    Done,
    Facts,
    Finalize,
    Output,
    Prove,
    Proven,
    State,
    Wait,
    judge,
    reached,
)
from bridge.relayer.retrying import FIRST_S, LONGEST_S, Retry, pause
from bridge.relayer.store import Checkpoint, Message, Store
from bridge.relayer.withdrawal import PASSED_TOPIC, Withdrawal, passed, storage_key
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.outputs import OutputParts

WORD = 2**256 - 1
ROOTS = st.sampled_from(["0x" + f"{n:02x}" * 32 for n in range(3)])
ADDRESSES = st.binary(min_size=20, max_size=20).map(to_hex)
WITHDRAWALS = st.builds(
    Withdrawal,
    nonce=st.integers(0, WORD),
    sender=ADDRESSES,
    target=ADDRESSES,
    value=st.integers(0, WORD),
    gas_limit=st.integers(0, WORD),
    data=st.binary(max_size=100),
)
TIMES = st.integers(1, 40)
BLOCK = 5
OUTPUTS = st.builds(Output, index=st.integers(0, 5), root=ROOTS, timestamp=TIMES, block=st.integers(BLOCK, 9))
FACTS = st.builds(
    Facts,
    now=st.integers(1, 60),
    period=st.integers(0, 10),
    paused=st.booleans(),
    safe=st.integers(0, 9),
    covering=st.none() | OUTPUTS,
    proven=st.none() | st.builds(Proven, root=ROOTS, timestamp=TIMES, index=st.integers(0, 5)),
    standing=st.none() | OUTPUTS,
    finalized=st.booleans(),
)


def takes_proof(facts: Facts) -> bool:
    """``proveWithdrawalTransaction``, line by line, given a sound proof against the covering output."""
    if facts.paused or facts.covering is None:
        return False
    if facts.proven is None:
        return True
    # getL2Output(provenWithdrawal.l2OutputIndex) panics when there is none of the index
    return facts.standing is not None and facts.standing.root != facts.proven.root


def finalizes(facts: Facts) -> bool:
    """``finalizeWithdrawalTransaction``, line by line, in a block of the given time."""
    if facts.paused or facts.proven is None or facts.finalized:
        return False
    if not facts.now > facts.proven.timestamp + facts.period:
        return False
    if facts.standing is None or facts.standing.root != facts.proven.root:
        return False
    return facts.now > facts.standing.timestamp + facts.period


@given(FACTS)
@settings(max_examples=2_000)
def test_what_is_sent_the_portal_takes_and_what_it_would_take_is_sent(facts: Facts) -> None:
    """Each step is one that the contract accepts; while it would accept one that is safe to take, the step isn't to wait."""
    state, step = judge(BLOCK, facts)
    match step:
        case Done():
            assert facts.finalized
        case Finalize():
            assert finalizes(facts)
        case Prove(output, replaced):
            assert takes_proof(facts)
            assert (facts.covering, facts.proven) == (output, replaced)
            assert facts.safe >= BLOCK
        case Wait(_, until):
            assert not facts.finalized
            assert not finalizes(facts)
            assert facts.safe < BLOCK or not takes_proof(facts)
            if until:
                calm = replace(facts, paused=False)
                assert not finalizes(replace(calm, now=until - 1))
                assert finalizes(replace(calm, now=until))
    assert (state is State.FINALIZED) == facts.finalized
    assert isinstance(step, Finalize) <= (state is State.PROVEN)
    assert isinstance(step, Prove) <= (state is State.PROPOSED)


@given(st.none() | st.sampled_from(State), st.sampled_from(State))
def test_stages_are_told_in_order_without_gaps(before: State | None, now: State) -> None:
    """From any state to any other: going on tells every state in between, once; going back tells nothing."""
    order = [State.SENT, State.BATCHED, State.PROPOSED, State.PROVEN, State.FINALIZED]
    told = reached(before, now)
    start = order.index(before) + 1 if before in order else 0
    if now in order and order.index(now) >= start:
        assert tuple(order[start : order.index(now) + 1]) == told
    else:
        assert () == told


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_double_up_to_a_bound_and_spread(failures: int, luck: float) -> None:
    """Between half and all of 1, 2, 4, … seconds, never above the bound, and never shorter after more failures."""
    seconds = pause(failures, luck)
    whole = min(LONGEST_S, FIRST_S * 2 ** min(failures - 1, 60))
    assert whole / 2 <= seconds <= whole
    assert pause(failures, 0.0) <= pause(failures + 1, 0.0)


@given(st.integers(1, 12), st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_a_message_dies_at_the_limit_and_not_before(limit: int, lucks: list[float]) -> None:
    """So many failures in a row, with the last one's reason."""
    retry = Retry()
    for number, luck in enumerate(lucks[:limit], 1):
        retry = retry.failed(f"reason {number}", 100.0, luck, limit)
        assert (number, number == limit, f"reason {number}") == (retry.failures, retry.dead, retry.reason)
        assert retry.not_before > 100.0


@given(WITHDRAWALS)
def test_a_withdrawal_has_the_hash_that_the_contracts_give_it(withdrawal: Withdrawal) -> None:
    """keccak256(abi.encode(...)) as Hashing.hashWithdrawal does it, by another encoder."""
    kinds = ["uint256", "address", "address", "uint256", "uint256", "bytes"]
    assert to_hex(keccak256(encode(kinds, withdrawal.struct))) == withdrawal.hash
    slot = keccak256(encode(["bytes32", "uint256"], [from_hex(withdrawal.hash), 0]))
    assert to_hex(slot) == storage_key(withdrawal.hash)


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=3, max_size=3))
def test_an_output_root_is_the_hash_of_its_version_and_parts(parts: list[bytes]) -> None:
    """Version 0, state root, storage root of the message passer, block hash: 128 bytes."""
    output = OutputParts(*map(to_hex, parts))
    assert to_hex(keccak256(bytes(32) + b"".join(parts))) == output.root


def log_of(withdrawal: Withdrawal) -> dict[str, object]:
    """The event of a withdrawal, by another encoder."""
    data = encode(
        ["uint256", "uint256", "bytes", "bytes32"],
        [withdrawal.value, withdrawal.gas_limit, withdrawal.data, from_hex(withdrawal.hash)],
    )
    words = (
        withdrawal.nonce.to_bytes(32, "big"),
        *(from_hex(a) for a in (withdrawal.sender, withdrawal.target)),
    )
    return {
        "address": L2_TO_L1_MESSAGE_PASSER,
        "topics": [PASSED_TOPIC, *(to_hex(word.rjust(32, b"\0")) for word in words)],
        "data": to_hex(data),
        "blockNumber": "0x7",
        "blockHash": "0x" + "b7" * 32,
        "transactionHash": "0x" + "c7" * 32,
        "logIndex": "0x3",
    }


@given(WITHDRAWALS)
def test_a_log_is_read_as_it_was_written(withdrawal: Withdrawal) -> None:
    """Every field of every withdrawal comes out of its event again."""
    found = passed(log_of(withdrawal))
    assert (withdrawal, 7, 3) == (found.withdrawal, found.block, found.index)


@given(WITHDRAWALS, st.data())
def test_an_altered_log_is_refused(withdrawal: Withdrawal, data: st.DataObject) -> None:
    """One byte anywhere in topics or data, another address, another shape: refused as malformed, never as something else."""
    log = log_of(withdrawal)
    place = data.draw(st.sampled_from(["topics", "data", "address", "missing", "short"]))
    if place == "topics":
        topics = [bytearray(from_hex(topic)) for topic in log["topics"]]  # type: ignore[attr-defined]
        topic = data.draw(st.integers(0, 3))
        topics[topic][data.draw(st.integers(0, 31))] ^= data.draw(st.integers(1, 255))
        log["topics"] = [to_hex(bytes(each)) for each in topics]
    elif place == "data":
        body = bytearray(from_hex(log["data"]))
        # the last 31 bytes may be padding of the call data, which the hash doesn't cover
        body[data.draw(st.integers(0, 32 * 5 - 1))] ^= data.draw(st.integers(1, 255))
        log["data"] = to_hex(bytes(body))
    elif place == "address":
        log["address"] = "0x" + "11" * 20
    elif place == "missing":
        del log[data.draw(st.sampled_from(["topics", "data", "address"]))]
    else:
        log["data"] = "0x"
    with pytest.raises(Malformed):
        passed(log)


def message_of(chain_id: int, withdrawal: Withdrawal, state: State, block: int) -> Message:
    """A message in a state."""
    return Message(chain_id, withdrawal.hash, withdrawal, block, "0xbb", "0xcc", state, told=state)


@given(st.lists(st.tuples(st.sampled_from((901, 902)), WITHDRAWALS, st.sampled_from(State)), max_size=12))
def test_messages_are_kept_whole_and_found_by_all_that_names_them(
    tmp_path_factory: pytest.TempPathFactory, given_: list[tuple[int, Withdrawal, State]]
) -> None:
    """What is read after a restart is what was saved, field by field; lists, counts and look-ups agree with it."""
    path: Path = tmp_path_factory.mktemp("store") / "messages.sqlite"
    messages = {
        (chain, each.hash): message_of(chain, each, state, number)
        for number, (chain, each, state) in enumerate(given_)
    }
    store = Store(path)
    store.save(messages.values(), Checkpoint(7, "0xaa"))
    store.close()
    store = Store(path)
    assert Checkpoint(7, "0xaa") == store.l1()
    for (chain, digest), message in messages.items():
        assert message == store.get(chain, digest)
        assert message in store.named(digest)
        shown = message.to_json()
        assert asdict(message.withdrawal)["nonce"] == int(shown["withdrawal"]["nonce"], 16)
    assert Counter(messages.values()) == Counter(store.page({}, 100, 0))
    for chain in (901, 902):
        own = [message for (where, _), message in messages.items() if where == chain]
        over = {State.FINALIZED, State.DROPPED}
        assert Counter(each for each in own if each.state not in over) == Counter(store.unfinished(chain))
        assert Counter(each for each in own if each.state is State.FINALIZED) == Counter(
            store.finalized(chain)
        )
        if own:
            assert Counter(each.state for each in own) == Counter(
                {state: count for state, count in store.counts()[chain].items() if state != "dead" and count}
            )
    store.close()
