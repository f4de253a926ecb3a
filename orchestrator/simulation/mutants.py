"""Mutants: the nodes' code with one safety rule taken out, to show that a checker sees the difference.

Each is a patch of the real code that is in place only while a schedule runs. A mutant says which rule it breaks; which checkers may see that first is
part of its description, and a test holds that one of them does within the budget of the honest search.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from bridge.wire import derivation as derivation_module
from bridge.wire.atomic import Verdict, judge
from bridge.wire.disk import Disk
from bridge.wire.keccak import to_hex
from bridge.wire.slot import Slot
from bridge.wire.superbatch import encode_superbatch, superbatch_hash
from rollup_node.chain import Chain
from shared_sequencer import node as node_module
from shared_sequencer import publisher as publisher_module
from shared_sequencer import recovery as recovery_module
from shared_sequencer import sequencer as sequencer_module
from shared_sequencer import staging as staging_module
from shared_sequencer.admission import Admission
from shared_sequencer.l1 import L1View
from shared_sequencer.ordering import select as honest_select
from shared_sequencer.publisher import Publisher
from shared_sequencer.rollups import Rollup
from shared_sequencer.sequencer import Sequencer
from shared_sequencer.wal import WriteAheadLog

Patch = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule taken out."""

    name: str
    breaks: str
    """The rule, in words."""
    checkers: tuple[str, ...]
    """Those that see it."""
    patch: Patch


def _drop_sync() -> contextlib.AbstractContextManager[Any]:
    def write(self: WriteAheadLog, data: bytes) -> None:
        self._disk.write(self._fd, data)

    return patch.object(WriteAheadLog, "_write", write)


def _hasty(kinds: frozenset[str]) -> contextlib.AbstractContextManager[Any]:
    """Appends of some kinds of records return before they are on disk."""
    plain = WriteAheadLog.append

    async def append(self: WriteAheadLog, records: Sequence[Any]) -> None:
        if records and records[0]["kind"] in kinds:
            task = asyncio.ensure_future(plain(self, records))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.sleep(0)
            return
        await plain(self, records)

    return patch.object(WriteAheadLog, "append", append)


def _wake_too_many() -> contextlib.AbstractContextManager[Any]:
    async def run(self: WriteAheadLog) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            group, self._queue = self._queue, []
            if group:
                await asyncio.to_thread(self._write, b"".join(frames for frames, _ in group))
                for _, done in group + self._queue:  # those that came meanwhile are not on disk
                    if not done.done():
                        done.set_result(None)

    return patch.object(WriteAheadLog, "run", run)


def _believe_short_writes() -> contextlib.AbstractContextManager[Any]:
    return patch.object(Disk, "append", Disk.write)


def _keep_torn_tail() -> contextlib.AbstractContextManager[Any]:
    return patch.object(WriteAheadLog, "_cut_tail", lambda self, offset, size: None)  # noqa: ARG005 - as it is


def _first_yes() -> contextlib.AbstractContextManager[Any]:
    def optimistic(order: Sequence[str], results: Any, tainted: Any = ()) -> Verdict:
        yes = {b: [leg for leg in legs if leg.status == "success"] or legs for b, legs in results.items()}
        return judge(order, yes, tainted)

    return patch.object(staging_module, "judge", optimistic)


def _ignore_taint() -> contextlib.AbstractContextManager[Any]:
    def hasty(order: Sequence[str], results: Any, tainted: Any = ()) -> Verdict:
        verdicts = [judge([bundle], results, tainted) for bundle in order]
        parts = ("aborted", "certain", "deferred")
        return Verdict(*(tuple(x for v in verdicts for x in getattr(v, part)) for part in parts))

    return patch.object(staging_module, "judge", hasty)


def _forget_one_participant() -> contextlib.AbstractContextManager[Any]:
    plain = staging_module._payloads  # noqa: SLF001 - as above

    def payloads(work: Any) -> Any:
        wanted = plain(work)
        if work.aborted and work.shares:
            last = max(work.shares)
            wanted[last] = work.shares[last]  # what it has staged with the aborted bundle stays
        return wanted

    return patch.object(staging_module, "_payloads", payloads)


def _known_by_nonce() -> contextlib.AbstractContextManager[Any]:
    plain = Admission._known  # noqa: SLF001 - as above

    def known(self: Admission, identity: str, legs: Any) -> bool:
        return plain(self, identity, legs) or all(self._mempool.holder(leg) is not None for leg in legs)

    return patch.object(Admission, "_known", known)


def _no_fence() -> contextlib.AbstractContextManager[Any]:
    return patch.object(Chain, "_fence", lambda self, term: None)  # noqa: ARG005 - as it is


def _open_gate_when_staged() -> contextlib.AbstractContextManager[Any]:
    plain = Chain.stage

    async def stage(self: Chain, request: Any) -> Any:
        answer = await plain(self, request)
        for callback in self.on_commit:
            callback(answer[0].header)
        return answer

    return patch.object(Chain, "stage", stage)


def _commit_before_decided() -> contextlib.AbstractContextManager[Any]:
    plain = Sequencer._decide  # noqa: SLF001 - as above

    def decide(self: Sequencer, staged: Any, number: int, timestamp: int) -> Slot:
        slot = plain(self, staged, number, timestamp)
        for block in slot.blocks:
            message = {
                "term": slot.term,
                "slot": slot.number,
                "block": block,
                "parent": self._rollups[block.chain_id].hash,
                "aborted": [],
                "causes": {},
            }
            task = asyncio.ensure_future(self._commit(self._rollups[block.chain_id], message))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return slot

    return patch.object(Sequencer, "_decide", decide)


def _publish_per_rollup() -> contextlib.AbstractContextManager[Any]:
    def encode(number: int, parent: str, term: int, slots: Sequence[Slot]) -> bytes:
        return encode_superbatch(
            number, parent, term, [replace(slot, blocks=slot.blocks[:1]) for slot in slots]
        )

    return patch.object(publisher_module, "encode_superbatch", encode)


def _another_nonce() -> contextlib.AbstractContextManager[Any]:
    async def push(self: Publisher, first: Any) -> None:
        if self.counting > first.number:
            return
        slots = self._slots.slots[first.first : first.last + 1]
        data = encode_superbatch(first.number, first.parent, self._term, slots)
        raw, l1_hash = await self._availability.sign(data, await self._mined_nonce())
        raws, hashes = to_hex(raw), to_hex(l1_hash)
        again = replace(first, raw=raws, l1_hash=hashes, hash=superbatch_hash(data))
        self._signed[again.l1_hash] = again
        self.superbatches[first.number :] = [again]
        await self._send(again)

    return patch.object(Publisher, "_push", push)


def _ignore_parent() -> contextlib.AbstractContextManager[Any]:
    return _accepting(lambda state, batch: replace(batch, parent=state.superbatch))


def _ignore_term() -> contextlib.AbstractContextManager[Any]:
    return _accepting(lambda state, batch: replace(batch, term=max(batch.term, state.term)))


def _accepting(forgiving: Callable[[Any, Any], Any]) -> contextlib.AbstractContextManager[Any]:
    """Derivation that sees superbatches as they should have been."""
    plain = derivation_module.Derivation._accept  # noqa: SLF001 - as above

    def accept(self: Any, state: Any, superbatch: Any, batch: Any, l1_number: int) -> Any:
        return plain(self, state, forgiving(state, superbatch), batch, l1_number)

    return patch.object(derivation_module.Derivation, "_accept", accept)


def _expire_committed() -> contextlib.AbstractContextManager[Any]:
    def select(ordered: Any, *, timestamp: int, **rest: Any) -> Any:
        found = honest_select(ordered, timestamp=timestamp, **rest)
        late = tuple(item for item in found.items if item.max_timestamp <= timestamp + 2)
        return replace(found, expired=found.expired + late)

    return patch.object(sequencer_module, "select", select)


def _forget_waiting() -> contextlib.AbstractContextManager[Any]:
    plain = recovery_module.recover

    def recover(records: Any) -> Any:
        found = plain(records)
        for item in list(found.mempool):
            found.mempool.waiting.pop(item.id)
            found.mempool.release(item)
        return found

    return patch.object(node_module, "recover", recover)


def _keep_lost_origins() -> contextlib.AbstractContextManager[Any]:
    async def cut(self: L1View, found: Any) -> None:
        """Whatever L1 says, the log stays."""

    return patch.object(L1View, "_cut", cut)


def _forget_cancelled_items() -> contextlib.AbstractContextManager[Any]:
    def take_back(found: Any, _gone: Any, kept: int) -> None:
        found.superbatches = [each for each in found.superbatches if each.last < kept]

    return patch.object(recovery_module, "_take_back", take_back)


def _keep_own_block() -> contextlib.AbstractContextManager[Any]:
    """L1's word on a block is taken for heard, whatever stands there."""
    return patch.object(Chain, "_holds", lambda self, number, payload, content: number <= self.gate.number)  # noqa: ARG005 - as it is


def _greet_anybody() -> contextlib.AbstractContextManager[Any]:
    async def greet(self: Rollup, term: int, cancelled: Any) -> None:  # noqa: ARG001 - as it is
        self.down.clear()
        try:
            head = await self.client.call("rollup_greet", term, self.number, deadline=2.0)
        except Exception:
            self.state = "down"
            return
        self.head, self.number, self.hash, self.state = head, head["number"], head["hash"], "up"

    return patch.object(Rollup, "_greet", greet)


MUTANTS: tuple[Mutant, ...] = (
    Mutant("drop-fsync", "a record counts once it is synced", ("acknowledged", "decided"), _drop_sync),
    Mutant(
        "acknowledge-before-the-log",
        "an acknowledgement waits for its record",
        ("acknowledged",),
        lambda: _hasty(frozenset({"bundle", "transaction"})),
    ),
    Mutant(
        "decide-before-the-log",
        "a decision waits for its record",
        ("decided",),
        lambda: _hasty(frozenset({"slot"})),
    ),
    Mutant(
        "commit-before-decided", "rollups are told after the record", ("decided",), _commit_before_decided
    ),
    Mutant("wake-too-many", "a sync wakes those that it covers", ("acknowledged", "decided"), _wake_too_many),
    Mutant(
        "believe-short-writes",
        "what a write did not take is written by the next",
        ("acknowledged", "decided", "alive", "drained"),
        _believe_short_writes,
    ),
    Mutant(
        "keep-torn-tail",
        "a torn end is cut off before anything follows",
        ("acknowledged", "alive", "drained"),
        _keep_torn_tail,
    ),
    Mutant("commit-on-the-first-yes", "every leg must succeed", ("whole", "judged"), _first_yes),
    Mutant("ignore-taint", "a failure counts only in the state that stands", ("judged",), _ignore_taint),
    Mutant(
        "forget-one-participant",
        "an aborted bundle is taken out on all its rollups",
        ("whole", "judged", "alive", "derived"),
        _forget_one_participant,
    ),
    Mutant("known-by-nonce", "an item is known by its hash", ("acknowledged",), _known_by_nonce),
    Mutant("no-fence", "a lower term is refused", ("fenced",), _no_fence),
    Mutant("serve-staged", "a staged block is behind the gate", ("decided",), _open_gate_when_staged),
    Mutant(
        "publish-per-rollup",
        "a superbatch holds all rollups of its slots",
        ("derived", "published", "drained", "alive"),
        _publish_per_rollup,
    ),
    Mutant(
        "resend-with-another-nonce", "a retry sends the same bytes", ("published", "alive"), _another_nonce
    ),
    Mutant("ignore-parent", "a superbatch names its parent", ("alive", "derived", "drained"), _ignore_parent),
    Mutant(
        "ignore-term",
        "a superbatch of a term that is over counts for nothing",
        ("alive", "derived", "drained"),
        _ignore_term,
    ),
    Mutant("expire-committed", "nothing ends twice", ("log",), _expire_committed),
    Mutant(
        "forget-waiting", "recovery keeps what waits", ("drained", "acknowledged", "log"), _forget_waiting
    ),
    Mutant(
        "keep-lost-origins",
        "the log follows an L1 that changed its mind",
        ("drained", "derived", "alive"),
        _keep_lost_origins,
    ),
    Mutant(
        "forget-cancelled-items",
        "what was cancelled waits again",
        ("drained", "alive", "log"),
        _forget_cancelled_items,
    ),
    Mutant(
        "keep-own-block",
        "L1's block replaces another in its place",
        ("derived", "drained", "alive"),
        _keep_own_block,
    ),
    Mutant(
        "greet-anybody",
        "only a rollup that stands where the log stands takes part",
        ("alive", "log", "derived", "drained"),
        _greet_anybody,
    ),
)
"""All of them."""


def table() -> str:
    """Invariant, checker and mutant, as ``docs/reference/chaos-mutants.md`` shows them."""
    rows = [
        f"| {each.breaks} | {', '.join(f'`{checker}`' for checker in each.checkers)} | `{each.name}` |"
        for each in MUTANTS
    ]
    return "\n".join(["| invariant | checker | mutant |", "|---|---|---|", *rows])


def mutant(name: str) -> Mutant:
    """By name.

    Raises:
        KeyError: there is none, and here are those that there are.
    """
    found = {each.name: each for each in MUTANTS}
    if name not in found:
        raise KeyError(f"no mutant {name!r}; there are {', '.join(sorted(found))}")
    return found[name]
