"""Runs by script: journals in the real format with times that the caller chooses.

For whoever writes a checker, a report or a test of one, and wants a history that no healthy devnet would ever produce,
or a hundred thousand messages without waiting for them. Same idea as ``structlog.testing``.

    script = ScriptedRun()
    script.bundle("0xab", rollups=("alpha", "beta"), start_ns=0)
    script.emit("leg.reverted", node="beta", at_ns=9_000_000, bundle_id="0xab", leg=1)   # break it
    script.write(run_dir)
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.rundir import RunDirectory

WALL_OFFSET_NS = 1_700_000_000_000_000_000
"""Wall time of the scripted clock's zero, unix nanoseconds."""
ROLES = {
    "client": "client",
    "sequencer": "sequencer",
    "l1": "l1",
    "maker": "maker",
    "relayer": "relayer",
    "orchestrator": "orchestrator",
}
"""Roles by node name; every other name is a rollup."""
HELD_EVENTS = 10_000
"""Events that :func:`make_synthetic_run` keeps in memory before it writes them."""


class ScriptedRun:
    """Collects events as journals would, in memory, until :meth:`write`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._boots: dict[str, int] = {}
        self._next: dict[tuple[str, int], int] = {}

    def emit(
        self,
        event: str,
        *,
        node: str,
        at_ns: int,
        bundle_id: str | None = None,
        msg_id: str | None = None,
        leg: int | None = None,
        cause: Sequence[str] = (),
        attrs: dict[str, Any] | None = None,
    ) -> str:
        """Append one event at a monotonic time of the caller's choice and return its id."""
        boot = self._boots.setdefault(node, 1)
        seq = self._next.get((node, boot), 0)
        self._next[(node, boot)] = seq + 1
        record = Event(
            event=event,
            msg_id=msg_id,
            bundle_id=bundle_id,
            leg=leg,
            node=node,
            role=ROLES.get(node, "rollup"),
            boot=format(boot, "x"),
            seq=seq,
            mono_ns=at_ns,
            wall_ns=WALL_OFFSET_NS + at_ns,
            cause=tuple(cause),
            attrs=attrs or {},
        )
        self.events.append(record)
        return record.id

    def restart(self, node: str) -> None:
        """Begin a new life of `node`: its later events carry another boot and count from 0."""
        self._boots[node] = self._boots.get(node, 1) + 1

    def bundle(
        self,
        key: str,
        *,
        rollups: Sequence[str],
        start_ns: int,
        abort_leg: int | None = None,
        intended_ns: int | None = None,
        steps_ns: Sequence[int] = (1_000_000, 20_000_000, 3_000_000, 2_000_000, 4_000_000, 500_000_000),
        spread_ns: int = 100_000,
    ) -> dict[str, list[str]]:
        """A whole healthy life, leg i on ``rollups[i]``; returns the ids by stage.

        Args:
            key: bundle hash.
            rollups: one per leg.
            start_ns: when it is submitted.
            abort_leg: the leg that fails, if the bundle is to be aborted.
            intended_ns: when an open-loop schedule wanted it sent.
            steps_ns: time to admitted, sequenced, staged, decided, executed (or reverted), published.
            spread_ns: leg i is this much later than leg i - 1.
        """
        admit, sequence, stage, decide, execute, publish = steps_ns
        lag = (len(rollups) - 1) * spread_ns
        wish = {} if intended_ns is None else {"intended_ns": intended_ns}
        now = start_ns
        submitted = self.emit(Stage.SUBMITTED, node="client", at_ns=now, bundle_id=key, attrs=wish)
        now += admit
        admitted = self.emit(Stage.ADMITTED, node="sequencer", at_ns=now, bundle_id=key, cause=[submitted])
        now += sequence
        slot = {"slot": now // 200_000_000, "round": 0}
        sequenced = self.emit(
            Stage.SEQUENCED, node="sequencer", at_ns=now, bundle_id=key, cause=[admitted], attrs=slot
        )
        now += stage
        staged = []
        for leg, rollup in enumerate(rollups):
            status = {"status": "failed", "reason": "out of margin"} if leg == abort_leg else {"status": "ok"}
            staged.append(
                self.emit(
                    Stage.LEG_STAGED,
                    node=rollup,
                    at_ns=now + leg * spread_ns,
                    bundle_id=key,
                    leg=leg,
                    cause=[sequenced],
                    attrs={**slot, **status},
                )
            )
        now += lag + decide
        decision: dict[str, Any] = {"decision": "commit", **slot}
        if abort_leg is not None:
            decision = {
                **slot,
                "decision": "abort",
                "failed_leg": abort_leg,
                "rollup": rollups[abort_leg],
                "reason": "out of margin",
            }
        decided = self.emit(
            Stage.DECIDED, node="sequencer", at_ns=now, bundle_id=key, cause=staged, attrs=decision
        )
        now += execute
        end = Stage.LEG_EXECUTED if abort_leg is None else Stage.LEG_REVERTED
        ended = [
            self.emit(
                end,
                node=rollup,
                at_ns=now + leg * spread_ns,
                bundle_id=key,
                leg=leg,
                cause=[decided],
                attrs={"block": slot["slot"]},
            )
            for leg, rollup in enumerate(rollups)
        ]
        now += lag + publish
        published = []
        if abort_leg is None:
            published = [
                self.emit(Stage.PUBLISHED, node="sequencer", at_ns=now, bundle_id=key, cause=[decided])
            ]
        return {
            Stage.SUBMITTED: [submitted],
            Stage.ADMITTED: [admitted],
            Stage.SEQUENCED: [sequenced],
            Stage.LEG_STAGED: staged,
            Stage.DECIDED: [decided],
            end: ended,
            Stage.PUBLISHED: published,
        }

    def write(self, run_dir: Path, *, append: bool = False) -> None:
        """Write the journals into `run_dir`, one file per node, as the nodes would have."""
        run = RunDirectory(run_dir)
        run.journals.mkdir(parents=True, exist_ok=True)
        lines: dict[str, list[bytes]] = {}
        for event in self.events:
            lines.setdefault(event.node, []).append(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
        for node, written in lines.items():
            with run.journal_of(node).open("ab" if append else "wb") as journal:
                journal.writelines(written)


def make_synthetic_run(run_dir: Path, bundles: int = 100_000, seed: int = 7) -> None:
    """Write a run of `bundles` open-loop two- to four-leg bundles over four rollups, about 12 events each.

    The times look like a devnet's with 200 ms slots, one bundle in fifty is aborted. Same seed, same bytes.
    """
    luck = random.Random(seed)
    script = ScriptedRun()
    rollups = ("alpha", "beta", "gamma", "delta")
    for number in range(bundles):
        at = number * 1_000_000
        legs = luck.choice((2, 2, 3, 4))
        script.bundle(
            f"0x{luck.getrandbits(256):064x}",
            rollups=luck.sample(rollups, legs),
            start_ns=at + luck.randrange(200_000),
            intended_ns=at,
            abort_leg=luck.randrange(legs) if luck.random() < 0.02 else None,
            steps_ns=[
                int(luck.lognormvariate(0.0, 0.4) * middle)
                for middle in (900_000, 100_000_000, 3_000_000, 1_500_000, 2_500_000, 500_000_000)
            ],
            spread_ns=luck.randrange(10_000, 900_000),
        )
        if len(script.events) > HELD_EVENTS or number == bundles - 1:
            script.write(run_dir, append=True)
            script.events.clear()
