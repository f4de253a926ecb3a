"""Admission: what is checked before anything is acknowledged, and the acknowledgement itself.

Checks first (signature, chain, size, gas, fee, expiry, nonce, balance, room), then the nonces are reserved, then the item goes to the
write-ahead log, and only when that is on disk is the hash returned. The same item again returns the same hash.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bridge.wire.bundle import decode_bundle
from bridge.wire.crash_points import crash_point
from bridge.wire.deposits import ATTRIBUTES_GAS
from bridge.wire.errors import (
    INVALID_PARAMS,
    LIMIT_EXCEEDED,
    RESOURCE_UNAVAILABLE,
    SERVER_ERROR,
    TRANSACTION_REJECTED,
    RpcError,
)
from bridge.wire.journal import Journal, subject
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.stages import Stage
from bridge.wire.system import SYSTEM_GAS
from bridge.wire.transaction import Transaction, decode_transaction
from shared_sequencer.errors import RollupDown, WalFailed
from shared_sequencer.mempool import Account, Item, Mempool
from shared_sequencer.ordering import MAX_BYTES, published_bytes
from shared_sequencer.rollups import Rollup
from shared_sequencer.wal import WriteAheadLog

TRANSACTION_LIFETIME_S = 60
"""A single transaction that no slot can take (a nonce before it is missing) expires after this, seconds."""
LONGEST_DEADLINE_S = 24 * 3600
"""A bundle's deadline lies at most this far ahead, seconds."""
NONCE_WINDOW = 64
"""How far ahead of the account's pending nonce a nonce may be."""


Builder = Callable[[str], Item]
"""Makes the item once the journal event of its admission is known."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a rollup's node said of an account."""

    nonce: int
    balance: int
    """Wei."""


class Admission:
    """Admits bundles and transactions into the mempool."""

    def __init__(
        self,
        rollups: Sequence[Rollup],
        mempool: Mempool,
        wal: WriteAheadLog,
        journal: Journal,
        limit: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rollups = {rollup.chain_id: rollup for rollup in rollups}
        self._mempool, self._wal, self._journal, self._limit = mempool, wal, journal, limit
        self._clock = clock
        self._admitting: dict[str, tuple[tuple[Transaction, ...], asyncio.Future[str]]] = {}
        """Legs and answer of what is being admitted."""
        self._reserved = 0
        """Items on their way to the disk."""
        self._over = False

    async def bundle(self, raws: Sequence[str], max_timestamp: int, salt: str, cause: str | None) -> str:
        """Acknowledge a bundle; returns its hash.

        Raises:
            RpcError: refused, nothing is remembered.
            Malformed: a leg does not decode.
            WalFailed: not acknowledged, though it may be found in the log after a restart.
        """
        decoded = decode_bundle([from_hex(raw) for raw in raws], max_timestamp, from_hex(salt, 32))
        identity = to_hex(decoded.hash)
        if self._known(identity, decoded.legs):
            return identity
        now = self._clock()
        if max_timestamp < now:
            raise RpcError(
                TRANSACTION_REJECTED,
                f"bundle expired: maxTimestamp {max_timestamp} is before now, {int(now)}",
            )
        if max_timestamp > now + LONGEST_DEADLINE_S:
            raise RpcError(
                INVALID_PARAMS, f"maxTimestamp {max_timestamp} is more than {LONGEST_DEADLINE_S} s ahead"
            )
        return await self._admit(
            identity,
            lambda event: Item(identity, "bundle", decoded.legs, max_timestamp, salt, event),
            decoded.legs,
            cause,
        )

    async def transaction(self, raw: str, chain_id: int | None, cause: str | None) -> str:
        """Acknowledge a single transaction; returns its hash. Raises as :meth:`bundle`."""
        sent = decode_transaction(from_hex(raw))
        if chain_id is not None and sent.chain_id != chain_id:
            raise RpcError(
                TRANSACTION_REJECTED, f"invalid chain id for signer: have {sent.chain_id} want {chain_id}"
            )
        identity = to_hex(sent.hash)
        deadline = int(self._clock()) + TRANSACTION_LIFETIME_S
        return await self._admit(
            identity,
            lambda event: Item(identity, "transaction", (sent,), deadline, "0x", event),
            (sent,),
            cause,
        )

    def close(self) -> None:
        """This life is over: whoever still asks the rollups about an item must not put it into the log that the next life has read."""
        self._over = True

    async def refresh(self, rollup: Rollup) -> None:
        """Ask for the nonces of accounts that wait for this rollup: deposits and forced blocks raise them too."""
        senders = {
            leg.sender for item in self._mempool for leg in item.legs if leg.chain_id == rollup.chain_id
        }
        answers = await self._ask(rollup.chain_id, sorted(senders)) if senders else []
        if isinstance(answers, RollupDown):
            return  # it is greeted again, and asked again
        for sender, (nonce, _) in zip(sorted(senders), answers, strict=True):
            account = (rollup.chain_id, sender)
            known = self._mempool.next_nonce.get(account, 0)
            self._mempool.next_nonce[account] = max(known, int(nonce, 16))

    async def _admit(
        self, identity: str, build: Builder, legs: tuple[Transaction, ...], cause: str | None
    ) -> str:
        """Once per identity: whoever sends the same while it is being admitted waits for the same answer."""
        if self._known(identity, legs):
            return identity
        first, pending = self._admitting.get(identity, (legs, None))
        _refuse_another(identity, first, legs)
        if pending is None:
            pending = asyncio.ensure_future(self._admit_once(identity, build, legs, cause))
            self._admitting[identity] = (legs, pending)
            pending.add_done_callback(lambda _: self._admitting.pop(identity))
        return await asyncio.shield(pending)

    async def _admit_once(
        self, identity: str, build: Builder, legs: tuple[Transaction, ...], cause: str | None
    ) -> str:
        kind = build("").kind
        key = subject(kind, identity)
        submitted = cause or self._journal.emit(Stage.SUBMITTED, legs=len(legs), **key)
        try:
            self._check_alone(legs, is_bundle=kind == "bundle")
            accounts = await self._accounts(legs)
            # no await from here to the reservation: what is checked is what is reserved
            if self._over:
                raise RpcError(
                    RESOURCE_UNAVAILABLE,
                    "the sequencer begins again from its log; nothing was acknowledged, try again",
                )
            if len(self._mempool) + self._reserved >= self._limit:
                raise RpcError(
                    LIMIT_EXCEEDED, f"txpool is full: {self._limit} items wait; try again after the next slot"
                )
            self._check_account(legs, accounts)
        except RpcError as exc:
            if cause is None:  # our own clients say so themselves
                self._journal.emit(Stage.REFUSED, cause=(submitted,), reason=exc.message, **key)
            raise
        event = self._journal.reserve()
        item = build(event)
        self._mempool.reserve(item)
        self._reserved += 1
        try:
            crash_point("sequencer.admission.reserved")
            await self._wal.append([item.to_record()])
        except WalFailed:
            self._mempool.release(item)
            raise
        finally:
            self._reserved -= 1
        crash_point("sequencer.admission.logged")
        self._journal.emit(Stage.ADMITTED, reserved=event, cause=(submitted,), legs=len(legs), **key)
        crash_point("sequencer.admission.told")
        self._mempool.add(item)
        return identity

    def _known(self, identity: str, legs: Sequence[Transaction]) -> bool:
        """Whether it was acknowledged and the answer still stands: a transaction that never ran may come again."""
        end = self._mempool.ended.get(identity)
        if end is not None and end.decision.outcome in ("expire", "drop") and end.item.kind == "transaction":
            end = None
        item = self._mempool.waiting.get(identity) if end is None else end.item
        if item is not None:
            _refuse_another(identity, item.legs, legs)
        return item is not None

    def _check_alone(self, legs: Sequence[Transaction], *, is_bundle: bool) -> None:
        """Everything that needs no account."""
        size = published_bytes(legs)
        if size > MAX_BYTES:
            raise RpcError(
                SERVER_ERROR, f"oversized data: {size} bytes with overhead, a slot takes {MAX_BYTES}"
            )
        gas: dict[int, int] = {}
        for leg in legs:
            rollup = self._rollups.get(leg.chain_id)
            if rollup is None:
                known = ", ".join(f"{r.name} {r.chain_id}" for r in self._rollups.values())
                raise RpcError(
                    TRANSACTION_REJECTED, f"no rollup with chain id {leg.chain_id} here; there are {known}"
                )
            gas[leg.chain_id] = gas.get(leg.chain_id, SYSTEM_GAS if is_bundle else 0) + leg.gas
            if leg.gas < leg.intrinsic_gas:
                raise RpcError(
                    SERVER_ERROR, f"intrinsic gas too low: have {leg.gas}, want {leg.intrinsic_gas}"
                )
            if not rollup.up:
                raise RpcError(
                    RESOURCE_UNAVAILABLE, f"rollup {rollup.name} does not take part at the moment; try again"
                )
            if leg.max_fee < rollup.base_fee:
                raise RpcError(
                    SERVER_ERROR,
                    f"max fee per gas less than block base fee: {leg.max_fee} < {rollup.base_fee} on {rollup.name}",
                )
        for chain, needed in gas.items():
            room = self._rollups[chain].gas_limit - SYSTEM_GAS - ATTRIBUTES_GAS
            if needed > room:
                raise RpcError(
                    SERVER_ERROR, f"exceeds block gas limit: {needed} > {room} on {self._rollups[chain].name}"
                )

    def _check_account(self, legs: Sequence[Transaction], accounts: Mapping[Account, Told]) -> None:
        costs: dict[Account, int] = {}
        expected: dict[Account, int] = {}
        for leg in legs:
            account = (leg.chain_id, leg.sender)
            where = f"{to_hex(leg.sender)} on {self._rollups[leg.chain_id].name}"
            told = accounts[account]
            decided = max(told.nonce, self._mempool.next_nonce.get(account, 0))
            pending = expected.get(account, max(told.nonce, self._mempool.pending_nonce(account)))
            if leg.nonce < decided:
                raise RpcError(
                    SERVER_ERROR, f"nonce too low: next nonce {decided}, tx nonce {leg.nonce} ({where})"
                )
            holder = self._mempool.holder(leg)
            if holder is not None:
                raise RpcError(
                    SERVER_ERROR,
                    f"nonce {leg.nonce} of {where} is taken by {holder.kind} {holder.id}, which waits",
                )
            if leg.nonce > pending + NONCE_WINDOW:
                raise RpcError(
                    SERVER_ERROR, f"nonce too high: pending nonce {pending}, tx nonce {leg.nonce} ({where})"
                )
            expected[account] = max(pending, leg.nonce + 1)
            if account not in costs:
                costs[account] = self._mempool.pending_cost(account)
            costs[account] += leg.cost
            if costs[account] > told.balance:
                raise RpcError(
                    SERVER_ERROR,
                    f"insufficient funds for gas * price + value: have {told.balance} want {costs[account]} ({where})",
                )

    async def _accounts(self, legs: Sequence[Transaction]) -> dict[Account, Told]:
        """Nonces and balances at the heads; nonces are remembered as they are learned.

        Not so those of a rollup that takes no part just now: its node may still hold blocks that the log took back, and
        a nonce that is counted too high is waited for in vain.
        """
        senders: dict[int, dict[bytes, None]] = {}
        for leg in legs:
            senders.setdefault(leg.chain_id, {})[leg.sender] = None
        async with asyncio.TaskGroup() as group:
            asked = {chain: group.create_task(self._ask(chain, list(own))) for chain, own in senders.items()}
        found: dict[Account, Told] = {}
        for chain, task in asked.items():
            answers = task.result()
            if isinstance(answers, RollupDown):
                raise RpcError(RESOURCE_UNAVAILABLE, f"{answers}; nothing was acknowledged, try again")
            for sender, (nonce, balance) in zip(senders[chain], answers, strict=True):
                account = (chain, sender)
                found[account] = Told(int(nonce, 16), int(balance, 16))
                if self._rollups[chain].up:
                    known = self._mempool.next_nonce.get(account, 0)
                    self._mempool.next_nonce[account] = max(known, found[account].nonce)
        return found

    async def _ask(self, chain: int, senders: Sequence[bytes]) -> list[list[str]] | RollupDown:
        try:
            answers: list[list[str]] = await self._rollups[chain].call(
                "rollup_accounts", [to_hex(sender) for sender in senders]
            )
        except RollupDown as exc:
            return exc
        return answers


def _refuse_another(identity: str, known: Sequence[Transaction], legs: Sequence[Transaction]) -> None:
    """A bundle's hash does not cover calldata: other transactions under a known hash must not look acknowledged."""
    if [leg.raw for leg in known] != [leg.raw for leg in legs]:
        raise RpcError(
            TRANSACTION_REJECTED,
            f"{identity} names a bundle with other transactions of the same senders and nonces; choose another salt",
        )
