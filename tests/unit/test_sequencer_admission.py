"""Admission: every refusal with its code, and after a refusal nothing remembered; after an acknowledgement everything durable."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from bridge.wire.deposits import ATTRIBUTES_GAS
from bridge.wire.errors import (
    INVALID_PARAMS,
    LIMIT_EXCEEDED,
    RESOURCE_UNAVAILABLE,
    SERVER_ERROR,
    TRANSACTION_REJECTED,
    Malformed,
    RpcError,
)
from bridge.wire.keccak import to_hex
from bridge.wire.slot import Decision, Outcome
from bridge.wire.system import SYSTEM_GAS
from bridge.wire.testing import FEE, MemoryJournal, signed
from bridge.wire.transaction import Transaction
from shared_sequencer.admission import LONGEST_DEADLINE_S, NONCE_WINDOW, TRANSACTION_LIFETIME_S, Admission
from shared_sequencer.errors import WalFailed
from shared_sequencer.mempool import End, Item, Mempool
from shared_sequencer.ordering import MAX_BYTES
from shared_sequencer.rollups import Rollup
from shared_sequencer.testing import BASE_FEE, GAS_LIMIT, RICH, MemoryLog, ToySet, bundle_item

SALT = "0x" + "00" * 32


class Desk:
    """An admission with everything around it in memory."""

    def __init__(self, limit: int = 100) -> None:
        self.toys = ToySet((901, 902))
        self.rollups: dict[int, Rollup] = self.toys.rollups()
        self.mempool, self.log, self.journal = Mempool(), MemoryLog(), MemoryJournal("sequencer", "sequencer")
        self.admission = Admission(list(self.rollups.values()), self.mempool, self.log, self.journal, limit)

    async def bundle(
        self, *legs: Transaction, in_s: int = 60, salt: str = SALT, cause: str | None = None
    ) -> str:
        """Send a bundle."""
        return await self.admission.bundle(
            [to_hex(leg.raw) for leg in legs], int(time.time()) + in_s, salt, cause
        )

    async def send(self, leg: Transaction, chain_id: int | None = 901) -> str:
        """Send a single transaction."""
        return await self.admission.transaction(to_hex(leg.raw), chain_id, None)

    def nothing_remembered(self) -> bool:
        """As if nobody had ever come."""
        held = self.mempool._reserved
        return not self.log.written and not len(self.mempool) and not held and not self.mempool.ended


Request = Callable[[Desk], Awaitable[Any]]


def _poor(desk: Desk) -> None:
    desk.toys.nodes[901].balances[to_hex(signed(901, 0, 0).sender)] = 50_000 * FEE


async def _with(prepare: Callable[[Desk], None], desk: Desk, request: Awaitable[Any]) -> Any:
    prepare(desk)
    return await request


def _down(desk: Desk) -> None:
    desk.rollups[901].state = "down"


def _silent(desk: Desk) -> None:
    desk.toys.nodes[901].unreachable = True


def _used(desk: Desk) -> None:
    desk.toys.nodes[901].state.nonces[signed(901, 0, 0).sender] = 2


ROOM = GAS_LIMIT - SYSTEM_GAS - ATTRIBUTES_GAS
LEG = signed(901, 0, 0)
OTHER = signed(902, 0, 0)

REFUSALS: list[tuple[str, int, str, Request]] = [
    ("another chain", TRANSACTION_REJECTED, "invalid chain id", lambda d: d.send(OTHER, 901)),
    (
        "an unknown chain",
        TRANSACTION_REJECTED,
        "no rollup with chain id 999",
        lambda d: d.send(signed(999, 0, 0), None),
    ),
    ("a leg for an unknown chain", TRANSACTION_REJECTED, "999", lambda d: d.bundle(LEG, signed(999, 0, 0))),
    ("an old deadline", TRANSACTION_REJECTED, "expired", lambda d: d.bundle(LEG, in_s=-1)),
    ("a far deadline", INVALID_PARAMS, "ahead", lambda d: d.bundle(LEG, in_s=LONGEST_DEADLINE_S + 2)),
    (
        "little gas",
        SERVER_ERROR,
        "intrinsic gas too low: have 20999, want 21000",
        lambda d: d.send(signed(901, 0, 0, gas=20_999)),
    ),
    ("much gas", SERVER_ERROR, "exceeds block gas limit", lambda d: d.send(signed(901, 0, 0, gas=ROOM + 1))),
    (
        "a bundle's guard",
        SERVER_ERROR,
        "exceeds block gas limit",
        lambda d: d.bundle(signed(901, 0, 0, gas=ROOM - SYSTEM_GAS + 1)),
    ),
    (
        "much gas together",
        SERVER_ERROR,
        "exceeds block gas limit",
        lambda d: d.bundle(*(signed(901, 0, n, gas=ROOM // 2) for n in range(2))),
    ),
    (
        "a low fee",
        SERVER_ERROR,
        "less than block base fee",
        lambda d: d.send(signed(901, 0, 0, max_fee=BASE_FEE // 2)),
    ),
    (
        "a size that L1 does not take",
        SERVER_ERROR,
        "oversized data",
        lambda d: d.bundle(*(signed(901, 0, n, gas=10**6, padding=MAX_BYTES // 3) for n in range(3))),
    ),
    (
        "a rollup that is down",
        RESOURCE_UNAVAILABLE,
        "does not take part",
        lambda d: _with(_down, d, d.bundle(LEG, OTHER)),
    ),
    (
        "a rollup that is silent",
        RESOURCE_UNAVAILABLE,
        "nothing was acknowledged",
        lambda d: _with(_silent, d, d.bundle(OTHER, LEG)),
    ),
    (
        "a used nonce",
        SERVER_ERROR,
        "nonce too low: next nonce 2, tx nonce 1",
        lambda d: _with(_used, d, d.send(signed(901, 0, 1))),
    ),
    ("a far nonce", SERVER_ERROR, "nonce too high", lambda d: d.send(signed(901, 0, NONCE_WINDOW + 1))),
    (
        "no money",
        SERVER_ERROR,
        "insufficient funds",
        lambda d: _with(_poor, d, d.send(signed(901, 0, 0, value=1))),
    ),
    (
        "no money for both legs",
        SERVER_ERROR,
        "insufficient funds",
        lambda d: _with(_poor, d, d.bundle(LEG, signed(901, 0, 1))),
    ),
]


@pytest.mark.parametrize(
    ("code", "words", "request_"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
async def test_a_refusal_says_why_and_remembers_nothing(code: int, words: str, request_: Request) -> None:
    """Each check refuses with its standard code; no nonce is held, nothing is in the log, and the trace ends as refused."""
    desk = Desk()
    with pytest.raises(RpcError, match=words) as refused:
        await request_(desk)
    assert code == refused.value.code
    assert desk.nothing_remembered()
    assert [] == [event for event in desk.journal.events if event.event == "bundle.admitted"]


async def test_bytes_that_are_no_transaction_are_malformed() -> None:
    """Signatures that do not recover, deposits and garbage never reach the checks."""
    desk = Desk()
    broken = LEG.raw[:-32] + b"\xff" * 32
    for raw in (broken, b"\x7e\xc0", b"garbage"):
        with pytest.raises(Malformed):
            await desk.admission.transaction(to_hex(raw), 901, None)
        with pytest.raises(Malformed):
            await desk.admission.bundle([to_hex(LEG.raw), to_hex(raw)], int(time.time()) + 5, SALT, None)
    with pytest.raises(Malformed):
        await desk.admission.bundle([to_hex(LEG.raw)], int(time.time()) + 5, "0x00", None)
    assert desk.nothing_remembered()


async def test_what_just_fits_is_acknowledged() -> None:
    """Each limit is inclusive: gas, fee, nonce window, funds, deadline."""
    desk = Desk()
    sender = signed(901, 0, 0).sender
    desk.toys.nodes[901].balances[to_hex(sender)] = ROOM * FEE
    await desk.send(signed(901, 0, 0, gas=ROOM))
    await desk.bundle(signed(901, 1, 0, gas=ROOM - SYSTEM_GAS), in_s=LONGEST_DEADLINE_S - 1)
    await desk.send(signed(901, 2, NONCE_WINDOW))
    await desk.send(signed(901, 3, 0, max_fee=desk.rollups[901].base_fee))
    assert 4 == len(desk.mempool) == len(desk.log.written)


async def test_nothing_is_acknowledged_before_it_is_durable() -> None:
    """While the log has not answered, the call does not return and the item is neither waiting nor findable."""
    desk, durable = Desk(), asyncio.Event()

    async def hold(_: Sequence[Any]) -> None:
        await durable.wait()

    desk.log.after = hold
    sending = asyncio.create_task(desk.bundle(LEG, OTHER))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not sending.done()
    assert 0 == len(desk.mempool)
    assert "bundle.admitted" not in [event.event for event in desk.journal.events]
    durable.set()
    digest = await sending
    item = desk.mempool.waiting[digest]
    assert [item] == [Item.from_record(record) for record in desk.log.written]
    assert ["bundle.submitted", "bundle.admitted"] == desk.journal.of(digest)
    assert item.cause == desk.journal.events[-1].id


async def test_sending_again_is_idempotent_at_any_time() -> None:
    """Twice at once, while it waits, after its end and after its deadline: the same hash, one record, no second reservation."""
    desk = Desk()
    deadline = int(time.time()) + 1
    request = [to_hex(LEG.raw), to_hex(OTHER.raw)]
    told = await asyncio.gather(*(desk.admission.bundle(request, deadline, SALT, None) for _ in range(5)))
    assert 1 == len(set(told)) == len(desk.log.written) == len(desk.mempool)
    assert told[0] == await desk.admission.bundle(request, deadline, SALT, None)
    past = bundle_item([signed(901, 5, 0)], int(time.time()) - 100)
    from_past = [to_hex(leg.raw) for leg in past.legs]
    with pytest.raises(RpcError, match="expired"):
        await desk.admission.bundle(from_past, past.max_timestamp, SALT, None)
    desk.mempool.add(past)
    assert past.id == await desk.admission.bundle(from_past, past.max_timestamp, SALT, None)
    single = signed(902, 7, 0)
    assert 1 == len(set(await asyncio.gather(*(desk.send(single, 902) for _ in range(3)))))
    assert 2 == len(desk.log.written)


@pytest.mark.parametrize("at_once", [True, False])
async def test_another_bundle_of_the_same_hash_is_refused(at_once: bool) -> None:
    """The hash does not cover calldata, so a changed bundle must not be told that it is known."""
    desk = Desk()
    plain, changed = signed(901, 0, 0), signed(901, 0, 0, value=5)
    if at_once:
        first = asyncio.create_task(desk.bundle(plain, in_s=100))
        await asyncio.sleep(0)
    else:
        await desk.bundle(plain, in_s=100)
    with pytest.raises(RpcError, match="choose another salt"):
        await desk.bundle(changed, in_s=100)
    if at_once:
        await first
    assert 1 == len(desk.log.written)


async def test_of_two_items_for_one_nonce_exactly_one_is_acknowledged() -> None:
    """However the two interleave, one holds the nonce and the other is told who does."""
    for turns in range(12):
        desk = Desk()

        async def pause(*_told: Any, turns: int = turns) -> None:
            for _ in range(turns % 4):
                await asyncio.sleep(0)

        desk.toys.nodes[901].hook = pause
        desk.log.before = pause
        one = asyncio.create_task(desk.send(signed(901, 0, 0)))
        for _turn in range(turns // 4):
            await asyncio.sleep(0)
        two = asyncio.create_task(desk.bundle(signed(901, 0, 0, value=1)))
        told = await asyncio.gather(one, two, return_exceptions=True)
        refused = [answer for answer in told if isinstance(answer, RpcError)]
        assert 1 == len(refused) == len(desk.mempool) == len(desk.log.written)
        assert "is taken by" in refused[0].message


async def test_pending_cost_counts_against_the_balance() -> None:
    """What waits is spent: the account cannot promise the same wei twice, and other accounts are not its business."""
    desk = Desk()
    cost = signed(901, 0, 0, value=10**17).cost
    desk.toys.nodes[901].balances[to_hex(signed(901, 0, 0).sender)] = 2 * cost + 50_000 * FEE
    await desk.send(signed(901, 1, 0, value=10**17))
    await desk.send(signed(901, 0, 0, value=10**17))
    await desk.bundle(signed(901, 0, 1, value=10**17))
    with pytest.raises(RpcError, match="insufficient funds"):
        await desk.send(signed(901, 0, 2, value=1))
    await desk.send(signed(901, 0, 2))
    assert 3 * cost - cost + 50_000 * FEE == desk.mempool.pending_cost((901, signed(901, 0, 0).sender))


async def test_a_full_mempool_refuses_until_there_is_room() -> None:
    """Items on their way to the disk count; the refusal has the standard code; room that is freed is room."""
    desk, durable = Desk(limit=3), asyncio.Event()

    async def hold(_: Sequence[Any]) -> None:
        await durable.wait()

    desk.log.before = hold
    sending = [asyncio.create_task(desk.send(signed(901, n, 0))) for n in range(5)]
    for _ in range(20):
        await asyncio.sleep(0)
    durable.set()
    told = await asyncio.gather(*sending, return_exceptions=True)
    assert [LIMIT_EXCEEDED] * 2 == [answer.code for answer in told if isinstance(answer, RpcError)]
    assert 3 == len(desk.mempool)
    item = next(iter(desk.mempool))
    desk.mempool.waiting.pop(item.id)
    desk.mempool.release(item)
    await desk.send(signed(901, 4, 0))
    assert 3 == len(desk.mempool)


async def test_a_refusing_log_acknowledges_nothing_and_frees_the_nonce() -> None:
    """WalFailed reaches everybody who sent the item; nothing waits, no nonce is held, the room is free again."""
    desk = Desk(limit=1)

    async def refuse(_: Sequence[Any]) -> None:
        await asyncio.sleep(0)
        raise WalFailed("disk full")

    desk.log.before = refuse
    told = await asyncio.gather(desk.send(LEG), desk.send(LEG), return_exceptions=True)
    assert [WalFailed, WalFailed] == [type(answer) for answer in told]
    assert desk.nothing_remembered()
    desk.log.before = None
    await desk.send(LEG)
    assert 1 == len(desk.mempool)


async def test_gaps_are_accepted_within_the_window() -> None:
    """A nonce ahead waits for its predecessors; the pending nonce does not jump over the gap."""
    desk = Desk()
    account = (901, LEG.sender)
    for nonce in (2, 1):
        await desk.send(signed(901, 0, nonce))
    assert 0 == desk.mempool.pending_nonce(account)
    await desk.send(signed(901, 0, 0))
    assert 3 == desk.mempool.pending_nonce(account)
    await desk.bundle(signed(901, 0, 3), signed(901, 0, 4))
    assert 5 == desk.mempool.pending_nonce(account)


async def test_single_transactions_get_a_lifetime_and_causes_are_kept() -> None:
    """A single that no slot can take expires after a minute; a client's own event is the cause of its admission."""
    desk = Desk()
    before = int(time.time())
    digest = await desk.send(LEG)
    assert (
        before + TRANSACTION_LIFETIME_S
        <= desk.mempool.waiting[digest].max_timestamp
        <= before + TRANSACTION_LIFETIME_S + 2
    )
    bundle = await desk.bundle(OTHER, cause="client/aa/7")
    admitted = next(event for event in desk.journal.events if event.bundle_id == bundle)
    assert ("bundle.admitted", ("client/aa/7",)) == (admitted.event, admitted.cause)
    assert RICH > desk.mempool.pending_cost((902, OTHER.sender)) > 0


@pytest.mark.parametrize(("outcome", "again"), [("expire", True), ("drop", True), ("include", False)])
async def test_a_single_that_never_ran_may_come_again(outcome: Outcome, again: bool) -> None:
    """Expired and dropped transactions are admitted anew, durably; an included one is only named again."""
    desk = Desk()
    digest = await desk.send(LEG)
    desk.mempool.end(End(desk.mempool.waiting[digest], Decision(digest, outcome), None, {}))
    assert digest == await desk.send(LEG)
    assert (again, not again) == (digest in desk.mempool.waiting, digest in desk.mempool.ended)
    assert 1 + again == len(desk.log.written)


@pytest.mark.parametrize("outcome", ["commit", "abort", "expire"])
async def test_a_bundle_that_ended_has_ended(outcome: Outcome) -> None:
    """Whatever became of a bundle, its hash stands for that: sending it again starts nothing."""
    desk = Desk()
    digest = await desk.bundle(LEG, in_s=100)
    desk.mempool.end(End(desk.mempool.waiting[digest], Decision(digest, outcome), None, {}))
    assert digest == await desk.bundle(LEG, in_s=100)
    assert (0, 1) == (len(desk.mempool), len(desk.log.written))
