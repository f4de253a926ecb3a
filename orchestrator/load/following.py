"""One operation from its first send to its durable end, told to the history step by step. An edge.

::

    bundle       sequencer takes it ─► decided ─► receipts on its rollups ─► ok
    transaction  rollup takes it    ─► decided ─► receipt                 ─► ok         (withdrawals likewise)
    deposit      L1 mines it        ─► the rollup executes it              ─► ok
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from bridge.wire.deposits import DEPOSITED_TOPIC, user_deposit
from bridge.wire.errors import (
    INTERNAL_ERROR,
    RESOURCE_UNAVAILABLE,
    SERVER_ERROR,
    PeerUnreachable,
    RpcError,
)
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.stages import Stage
from orchestrator.chains import ChainHandle, SequencerHandle
from orchestrator.devnet import Devnet
from orchestrator.load.history import History, Kind
from orchestrator.load.making import Prepared
from orchestrator.load.sending import ANSWER_S, submit

LOOK_S = 0.02
"""Between two looks for a receipt, seconds; longer each time."""
LONGEST_LOOK_S = 0.25
WAIT_S = 5.0
"""How long a sequencer is asked to wait for an end, seconds."""
_ENDS = frozenset({"committed", "aborted", "expired", "included", "dropped"})


class Nonces(Enum):
    """What an operation did to its sender's nonces."""

    TAKEN = auto()
    FREE = auto()
    UNSURE = auto()


@dataclass(frozen=True, slots=True)
class Deposited:
    """A deposit, as far as L1 is concerned."""

    op: int
    attempts: int
    nonces: Nonces
    on_l1: bool = False
    """Whether L1 has it; then its rollup will."""


class Following:
    """Sends operations of one load and follows them.

    Args:
        net: running.
        history: told of every step.
        lifetime_s: how long an operation is sent again and again, seconds.
    """

    def __init__(self, net: Devnet, history: History, lifetime_s: float) -> None:
        self._net, self._history, self._lifetime_s = net, history, lifetime_s
        self.in_flight = 0
        """Operations that were acknowledged and have no end yet."""
        self.until = float("inf")
        """``time.monotonic()`` after which nobody waits any more: what has no end then is ``info``."""

    @property
    def over(self) -> bool:
        """Whether nobody waits any more."""
        return time.monotonic() >= self.until

    async def bundle(self, prepared: Prepared, sequencer: SequencerHandle, intended_ns: int) -> Nonces:
        """An atomic bundle."""
        submitted = self._net.journal.emit(
            Stage.SUBMITTED,
            bundle_id=prepared.id,
            legs=len(prepared.legs),
            strategy=prepared.attrs["work"],
            intended_ns=intended_ns,
        )
        op = self._history.invoke(
            prepared.kind,
            prepared.id,
            prepared.legs,
            intended_ns,
            lifetime_s=self._lifetime_s,
            **prepared.attrs,
        )
        request = {
            "txs": [to_hex(raw) for raw in prepared.raws],
            "maxTimestamp": prepared.max_timestamp,
            "salt": to_hex(prepared.salt),
        }
        sent = await submit(
            lambda: sequencer.client.call("eth_sendBundle", request, submitted, deadline=ANSWER_S),
            until=self._deadline(),
            over=lambda: self.over,
        )
        if not sent.acknowledged:
            if sent.certain:
                self._net.journal.emit(
                    Stage.REFUSED, bundle_id=prepared.id, cause=(submitted,), reason=sent.reason
                )
            return self._unacknowledged(op, sent.certain, sent.reason, sent.attempts)
        return await self._sequenced(op, prepared, sequencer, sent.attempts)

    async def transaction(
        self, prepared: Prepared, rollup: ChainHandle, sequencer: SequencerHandle, intended_ns: int
    ) -> Nonces:
        """A single transaction on a rollup."""
        op = self._history.invoke(
            prepared.kind,
            prepared.id,
            prepared.legs,
            intended_ns,
            lifetime_s=self._lifetime_s,
            **prepared.attrs,
        )
        raw = to_hex(prepared.raws[0])
        sent = await submit(
            lambda: rollup.client.call("eth_sendRawTransaction", raw, deadline=ANSWER_S),
            until=self._deadline(),
            over=lambda: self.over,
            # the rollup's node passes it on: when it had no answer, the sequencer may have it all the same
            uncertain=(INTERNAL_ERROR, RESOURCE_UNAVAILABLE),
        )
        if not sent.acknowledged:
            return self._unacknowledged(op, sent.certain, sent.reason, sent.attempts)
        return await self._sequenced(op, prepared, sequencer, sent.attempts)

    async def deposit(self, prepared: Prepared, intended_ns: int) -> Deposited:
        """A transaction on L1 that puts one on a rollup, until L1 has it; :meth:`arrival` follows it from there."""
        op = self._history.invoke(
            prepared.kind,
            prepared.id,
            prepared.legs,
            intended_ns,
            lifetime_s=self._lifetime_s,
            **prepared.attrs,
        )
        l1, raw = self._net.l1, to_hex(prepared.raws[0])
        sent = await submit(
            lambda: l1.client.call("eth_sendRawTransaction", raw, deadline=ANSWER_S),
            until=self._deadline(),
            over=lambda: self.over,
            # "already known" and "nonce too low" are what a second attempt is told
            uncertain=(INTERNAL_ERROR, SERVER_ERROR),
        )
        if sent.certain and not sent.acknowledged:
            return Deposited(op, sent.attempts, self._unacknowledged(op, True, sent.reason, sent.attempts))
        pause = LOOK_S
        while not self.over:
            mined = await self._receipt(l1, prepared.id)
            if mined is not None and mined["status"] != "0x1":
                self._history.ok(op, "reverted", reason="on l1", attempts=sent.attempts)
                return Deposited(op, sent.attempts, Nonces.TAKEN)
            if mined is not None:
                self._history.acknowledge(op, l1_block=int(mined["blockNumber"], 16))
                return Deposited(op, sent.attempts, Nonces.TAKEN, on_l1=True)
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, LONGEST_LOOK_S)
        self._history.info(op, "not on l1 until now", attempts=sent.attempts)
        return Deposited(op, sent.attempts, Nonces.UNSURE)

    async def arrival(self, prepared: Prepared, rollup: ChainHandle, deposited: Deposited) -> None:
        """Wait until a rollup has executed a deposit that L1 has."""
        pause = LOOK_S
        while not self.over:
            # asked again each time: a reorganisation of L1 gives the deposit another name
            mined = await self._receipt(self._net.l1, prepared.id)
            if mined is not None and mined["status"] == "0x1":
                (log,) = (log for log in mined["logs"] if log["topics"][0] == DEPOSITED_TOPIC)
                name = to_hex(keccak256(user_deposit(log, mined["blockHash"])))
                there = await self._receipt(rollup, name)
                if there is not None:
                    outcome = "executed" if there["status"] == "0x1" else "reverted"
                    self._history.ok(deposited.op, outcome, attempts=deposited.attempts)
                    return
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, LONGEST_LOOK_S)
        self._history.info(deposited.op, "on l1, and not executed until now", attempts=deposited.attempts)

    async def _sequenced(
        self, op: int, prepared: Prepared, sequencer: SequencerHandle, attempts: int
    ) -> Nonces:
        self._history.acknowledge(op)
        self.in_flight += 1
        try:
            status = await self._end(sequencer, prepared.id)
            if status is None:
                self._history.info(op, "acknowledged, and no end until now", attempts=attempts)
                return Nonces.UNSURE
            outcome = str(status["status"])
            if outcome in ("committed", "included"):
                reason, ok = await self._receipts(status["legs"])
                if prepared.kind is not Kind.BUNDLE and not ok:
                    outcome = "reverted"
                self._history.ok(op, outcome, reason=reason, attempts=attempts, slot=status["slot"])
                return Nonces.TAKEN
            reason = (status["reason"] or {}).get("message", "")
            self._history.ok(op, outcome, reason=reason, attempts=attempts, slot=status["slot"])
            return Nonces.FREE
        finally:
            self.in_flight -= 1

    def _unacknowledged(self, op: int, certain: bool, reason: str, attempts: int) -> Nonces:
        if certain:
            self._history.fail(op, reason, attempts=attempts)
        else:
            self._history.info(op, reason, attempts=attempts)
        return Nonces.UNSURE

    async def _end(self, sequencer: SequencerHandle, digest: str) -> Mapping[str, Any] | None:
        """The durable end of an acknowledged item; None if there was none in time.

        A sequencer that does not know it any more is asked again: saying nothing of it is for the checkers to judge.
        """
        while not self.over:
            try:
                status: Mapping[str, Any] | None = await sequencer.client.call(
                    "rollnet_waitForEnd", digest, WAIT_S, deadline=2 * WAIT_S
                )
            except (PeerUnreachable, RpcError):
                status = None
            if status is not None and status["status"] in _ENDS:
                return status
            await asyncio.sleep(LOOK_S)
        return None

    async def _receipts(self, legs: list[Mapping[str, Any]]) -> tuple[str, bool]:
        """Wait for the receipts of all legs: what is still missing in the end, in words, and whether all succeeded."""
        waiting = {(leg["rollup"], leg["transactionHash"]) for leg in legs}
        pause, succeeded = LOOK_S, True
        while True:
            for rollup, digest in tuple(waiting):
                receipt = await self._receipt(self._net.rollups[rollup], digest)
                if receipt is not None:
                    waiting.discard((rollup, digest))
                    succeeded &= receipt["status"] == "0x1"
            if not waiting or self.over:
                silent = ", ".join(sorted({rollup for rollup, _ in waiting}))
                return (f"no receipt yet from {silent}" if silent else ""), succeeded
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, LONGEST_LOOK_S)

    async def _receipt(self, chain: ChainHandle, digest: str) -> Mapping[str, Any] | None:
        try:
            receipt: Mapping[str, Any] | None = await chain.client.call(
                "eth_getTransactionReceipt", digest, deadline=ANSWER_S
            )
        except (PeerUnreachable, RpcError):
            return None
        return receipt

    def _deadline(self) -> float:
        return min(time.monotonic() + self._lifetime_s, self.until)
