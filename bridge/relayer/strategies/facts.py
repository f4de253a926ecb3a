"""Asking what is true of strategies: the registry on L1 and every rollup's escrow in one batch each, and their logs where something changed."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.contracts.errors import ContractsError
from bridge.relayer.attempts import AGAIN_S
from bridge.relayer.carried import Places
from bridge.relayer.messages.lifecycle import Call
from bridge.relayer.strategies.chains import (
    Escrow,
    Happening,
    Registry,
    Seen,
    batched,
    held,
    held_on_rollup,
    newest,
)
from bridge.relayer.strategies.details import OnL1, OnRollup, Sent, ballot_of, sent_of, set_aside
from bridge.relayer.strategies.lifecycle import Decision, Lock, Side, Standing
from bridge.relayer.strategies.lifecycle import Vote as Counted
from bridge.relayer.strategies.store import Kept
from bridge.wire.errors import Malformed, WireError
from bridge.wire.jsonrpc import Client

LOOK_S = 2.0
"""Longest time for a look at a rollup, seconds: the others aren't kept waiting."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of one strategy at one moment."""

    standing: Standing
    sides: Mapping[int, Side]
    """By chain id, for all participants."""
    l1: OnL1
    rollups: Mapping[int, OnRollup]
    """By chain id, of those that answered and know of it."""
    safe: Mapping[int, int]
    """Safe heads of those that answered, by chain id."""


@dataclass(slots=True)
class Gatherer:
    """Asks, and keeps what logs said until something changes.

    Args:
        registry: on L1.
        rollups: public RPCs, by chain id.
        places: where the rollups' withdrawals go on L1, by chain id.
    """

    registry: Registry
    rollups: Mapping[int, Client]
    places: Mapping[int, Places]
    silent: dict[int, str] = field(default_factory=dict)
    """Why rollups didn't answer at the last look, by chain id."""
    _l1: dict[str, OnL1] = field(default_factory=dict)
    _rollups: dict[tuple[str, int], OnRollup] = field(default_factory=dict)
    _stale: set[str] = field(default_factory=set)

    def forget(self) -> None:
        """Read all logs again: blocks may be gone."""
        self._l1.clear()
        self._rollups.clear()

    def stale(self, strategy: str) -> None:
        """Read L1's logs of a strategy again: something was done there."""
        self._stale.add(strategy)

    async def gather(self, strategies: Sequence[Kept]) -> dict[str, Facts]:
        """Facts by id; strategies that L1 doesn't know are left out.

        Raises:
            RpcError: L1 refuses.
            PeerUnreachable: no answer of L1.
            Malformed: it answered something else than blocks and logs.
            AbiMismatch: there is another contract at the registry's address.
        """
        known = {each.id: each for each in strategies}
        self._drop(known)
        standings = await self.registry.look(list(known)) if known else {}
        for name, standing in standings.items():
            await self._read_l1(known[name], standing)
        seen = await self._look_at_rollups(standings)
        waiting = await self._held_on_l1(standings)
        found = {}
        for name, standing in standings.items():
            sides = {
                chain_id: self._side(name, standing, chain_id, seen.get(chain_id), waiting)
                for chain_id in standing.chains
            }
            details = {c: each for c in standing.chains if (each := self._rollups.get((name, c)))}
            safe = {c: seen[c][0].safe for c in standing.chains if c in seen}
            found[name] = Facts(standing, sides, self._l1[name], details, safe)
        return found

    def _side(
        self,
        name: str,
        standing: Standing,
        chain_id: int,
        seen: tuple[Seen, frozenset[str]] | None,
        waiting: frozenset[str],
    ) -> Side:
        l1, detail = self._l1[name], self._rollups.get((name, chain_id))
        sent = l1.sent.get(chain_id, Sent())
        ballots = [detail.ballot] if detail and detail.ballot else []
        uncounted = standing.votes[chain_id] is Counted.NONE
        return Side(
            lock=None if seen is None else seen[0].locks.get(name),
            clock=0 if seen is None else seen[0].clock,
            held=()
            if seen is None
            else tuple(call for call in l1.calls.get(chain_id, ()) if call.hash in seen[1]),
            held_on_l1=tuple(call for call in ballots if uncounted and call.hash in waiting),
            sent=sent.times,
            sent_at=sent.at,
            unsent=sent.unsent,
        )

    def _drop(self, known: Mapping[str, Kept]) -> None:
        for name in self._l1.keys() - known.keys():
            del self._l1[name]
        for key in [key for key in self._rollups if key[0] not in known]:
            del self._rollups[key]

    # -- L1

    async def _read_l1(self, kept: Kept, standing: Standing) -> None:
        mark = (standing.decision, tuple(standing.votes.values()))
        known, now = self._l1.get(kept.id), time.monotonic()
        fresh = kept.id not in self._stale
        if fresh and known is not None and known.mark == mark and now < known.read_at + AGAIN_S:
            return
        self._stale.discard(kept.id)
        history = tuple(await self.registry.history(kept.id, kept.block))
        sends = [each for each in history if each.name in ("LegsOrdered", "DecisionSent")]
        calls: dict[int, list[Call]] = {}
        for chain_id, call in await self.registry.calls(kept.id, [each.transaction for each in sends]):
            calls.setdefault(chain_id, []).append(call)
        times = await self._times(history)
        sent = {chain_id: sent_of(history, chain_id, times) for chain_id in standing.chains}
        found = {chain_id: tuple(own) for chain_id, own in calls.items()}
        self._l1[kept.id] = OnL1(history, found, sent, mark, now)

    async def _times(self, history: Iterable[Happening]) -> dict[str, int]:
        """Timestamps of the blocks in which decisions were made or sent, by hash."""
        names = ("Decided", "DecisionSent", "DecisionUnsent")
        hashes = list(dict.fromkeys(each.block_hash for each in history if each.name in names))
        blocks = await batched(
            self.registry.client, [("eth_getBlockByHash", [digest, False]) for digest in hashes]
        )
        try:
            return {digest: int(block["timestamp"], 16) for digest, block in zip(hashes, blocks, strict=True)}
        except (TypeError, KeyError, ValueError) as exc:
            raise Malformed(f"L1 moved, or answered something that is no block: {exc!r}") from exc

    async def _held_on_l1(self, standings: Mapping[str, Standing]) -> frozenset[str]:
        """Hashes of votes that messengers on L1 hold."""
        ballots: dict[int, list[Call]] = {}
        for (name, chain_id), detail in self._rollups.items():
            standing = standings.get(name)
            if detail.ballot and standing and standing.votes[chain_id] is Counted.NONE:
                ballots.setdefault(chain_id, []).append(detail.ballot)
        found: set[str] = set()
        for chain_id, calls in ballots.items():
            messenger = self.places[chain_id].messenger
            found |= {call.hash for call in await held(self.registry.client, messenger, calls)}
        return frozenset(found)

    # -- rollups

    async def _look_at_rollups(
        self, standings: Mapping[str, Standing]
    ) -> dict[int, tuple[Seen, frozenset[str]]]:
        """What each rollup says, and hashes of calls that its messenger holds; rollups that don't answer are left out."""
        found: dict[int, tuple[Seen, frozenset[str]]] = {}
        wanted: dict[int, list[str]] = {}
        for name, standing in standings.items():
            for chain_id in standing.chains:
                wanted.setdefault(chain_id, []).append(name)
        self.silent = {}

        async def ask(chain_id: int, names: list[str]) -> None:
            try:
                async with asyncio.timeout(LOOK_S):
                    found[chain_id] = await self._look_at(chain_id, names, standings)
            except (WireError, ContractsError, TimeoutError) as exc:
                self.silent[chain_id] = str(exc) or f"no answer within {LOOK_S:g} s"

        async with asyncio.TaskGroup() as tasks:
            for chain_id, names in wanted.items():
                if chain_id in self.rollups:
                    tasks.create_task(ask(chain_id, names))
        return found

    async def _look_at(
        self, chain_id: int, names: list[str], standings: Mapping[str, Standing]
    ) -> tuple[Seen, frozenset[str]]:
        client = self.rollups[chain_id]
        seen = await Escrow(client).look(names)
        for name in names:
            lock = seen.locks[name]
            known = self._rollups.get((name, chain_id))
            if lock is Lock.NONE:
                self._rollups.pop((name, chain_id), None)
            elif known is None or known.lock is not lock:
                self._rollups[name, chain_id] = await self._read_rollup(chain_id, name, lock)
        calls = [
            call
            for name in names
            if _waits(seen.locks[name], standings[name].decision)
            for call in self._l1[name].calls.get(chain_id, ())
        ]
        return seen, frozenset(call.hash for call in await held_on_rollup(client, calls))

    async def _read_rollup(self, chain_id: int, name: str, lock: Lock) -> OnRollup:
        client = self.rollups[chain_id]
        history = tuple(await Escrow(client).history(name))
        answered = newest(history, "LegLocked", "LegRefused")
        if answered is None:
            return OnRollup(history, lock)
        (receipt,) = await batched(client, [("eth_getTransactionReceipt", [answered.transaction])])
        ballot, withdrawal = ballot_of(receipt, name, self.places[chain_id])
        amount = await set_aside(client, name, answered) if answered.name == "LegLocked" else None
        return OnRollup(history, lock, ballot, withdrawal, amount)


def _waits(lock: Lock, decision: Decision) -> bool:
    """Whether an escrow still has to be told something."""
    return lock is Lock.NONE or (lock is Lock.LOCKED and decision is not Decision.NONE)
