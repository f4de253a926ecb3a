"""For tests of checkers: a model of a devnet that records a run as clients, journals, an onlooker and an observer would.

It keeps ether, cash, nonces, blocks and slots consistent by itself; it is a model and no devnet: that checkers accept what real nodes do is
shown on real runs. Longer than other files: what must stay consistent stands together.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER, OPTIONS_MARKET, SEQUENCER_FEE_VAULT
from bridge.wire.journal import Event
from bridge.wire.slot import GENESIS_PARENT
from orchestrator.checks.facts import RunFacts
from orchestrator.checks.ledger import Ledger, fair_premium
from orchestrator.checks.observed import (
    Amounts,
    BlockSeen,
    DecisionSeen,
    DepositSeen,
    EventSeen,
    FinalizedSeen,
    Holder,
    L1Seen,
    MarketSeen,
    Observed,
    ProvenSeen,
    RollupSeen,
    SequencerSeen,
    Series,
    SlotServed,
    StatusSeen,
    TransactionSeen,
)
from orchestrator.load.history import Kind, Leg, Operation, Result, Sighting, SlotSeen
from orchestrator.market.testing import example_plan
from orchestrator.topology.names import L1, RELAYER, SEQUENCER

STEP_NS = 100_000_000
"""Between two slots."""
FEE, ETHER, CASH = 21_000 * 10**9, 10**21, 10**12
PRICE, CAP = 100_000_000, 8_000_000_000
CALL, PUT = "0x" + "ca" * 32, "0x" + "b0" * 32
SERIES = {CALL: Series(2_000_000_000, 2_000_000_000, True), PUT: Series(1_900_000_000, 2_000_000_000, False)}
SINK = "0x" + "5e" * 20
ROLLUPS = ("alpha", "beta")
_ROLES = {SEQUENCER: "sequencer", **dict.fromkeys(ROLLUPS, "rollup"), RELAYER: "relayer"}


def name_of(*parts: object) -> str:
    """A hash that follows from what it is the name of."""
    return "0x" + hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(slots=True)
class _Chain:
    """One rollup of the model."""

    blocks: list[BlockSeen]
    ether: dict[str, int]
    ledger: Ledger
    nonces: dict[str, int] = field(default_factory=dict)
    waiting: list[TransactionSeen] = field(default_factory=list)


@dataclass(slots=True)
class _Told:
    """What a slot decides about one item."""

    id: str
    outcome: str
    legs: tuple[Leg, ...] = ()


class Recorder:
    """Makes a run, step by step.

    Args:
        users: how many there are.
    """

    def __init__(self, users: int = 4) -> None:
        self.plan = example_plan(ROLLUPS, users)
        self.users = [user.address.lower() for user in self.plan.users]
        self.maker = self.plan.role("maker").address.lower()
        self.now = 1_000_000_000
        self.boot = self._lives = 1
        self.l1_number = 1
        self._begin = dict.fromkeys((*self.users, self.maker), CASH)
        self._chains = {name: self._genesis(name) for name in ROLLUPS}
        self._slots: list[SlotServed] = []
        self._told: list[_Told] = []
        self._statuses: dict[str, StatusSeen | None] = {}
        self._operations: list[Operation] = []
        self._open: list[int] = []
        self._sightings: list[Sighting] = []
        self._events: list[Event] = []
        self._deposits: list[DepositSeen] = []
        self._finalized: list[FinalizedSeen] = []
        self._paid = dict.fromkeys(ROLLUPS, 0)
        for node, role in _ROLES.items():
            self._say("node.started", node, role)

    def bundle(
        self,
        user: int,
        *,
        trades: Sequence[int] = (),
        outcome: str = "committed",
        result: Result = Result.OK,
        acknowledged: bool = True,
    ) -> str:
        """Two legs, one on each rollup; returns the bundle's hash.

        Args:
            user: who signs.
            trades: signed quantities of the legs if they are trades (a call, then a put); transfers if empty.
            outcome: how its sequencer ends it; empty for one that it never saw.
            result: what its client knows.
            acknowledged: whether its client was told that it was taken.
        """
        op = len(self._operations)
        identity = name_of("bundle", op)
        legs = tuple(
            self._leg(name, user, op, index, trades[index] if trades else None)
            for index, name in enumerate(ROLLUPS)
        )
        self._begin_operation(Kind.BUNDLE, identity, legs, result, outcome, acknowledged)
        if outcome == "committed":
            for leg in legs:
                self._run(leg, identity)
            self._told.append(_Told(identity, "commit", legs))
        elif outcome == "aborted":
            self._told.append(_Told(identity, "abort", legs))
        if outcome:
            placed = tuple((leg.chain, leg.transaction) for leg in legs)
            self._statuses[identity] = StatusSeen(outcome, "bundle", len(self._slots), placed)
        else:
            self._statuses[identity] = None
        return identity

    def transaction(self, user: int, rollup: str = "alpha", kind: Kind = Kind.TRANSACTION) -> str:
        """A transfer on one rollup, or a withdrawal from it; returns its hash."""
        leg = self._leg(rollup, user, len(self._operations), 0, None)
        events: tuple[EventSeen, ...] = ()
        if kind is Kind.WITHDRAWAL:
            leg = replace(leg, to=L2_TO_L1_MESSAGE_PASSER)
            passed = {"withdrawalHash": name_of("withdrawal", leg.transaction), "value": leg.value}
            events = (EventSeen("L2ToL1MessagePasser", "MessagePassed", passed),)
        self._begin_operation(kind, leg.transaction, (leg,), Result.OK, "included", True)
        self._run(leg, None, events)
        self._told.append(_Told(leg.transaction, "include", (leg,)))
        where = ((rollup, leg.transaction),)
        self._statuses[leg.transaction] = StatusSeen("included", "transaction", len(self._slots), where)
        return leg.transaction

    def deposit(self, user: int, rollup: str = "beta") -> str:
        """Ether from L1; returns the hash of the L1 transaction."""
        op, value = len(self._operations), 5_000
        on_l1, there = name_of("deposit", op), name_of("deposited", op)
        sender = self.users[user]
        self.l1_number += 1
        self._deposits.append(DepositSeen(rollup, there, self.l1_number, sender, value, on_l1))
        leg = Leg(L1, on_l1, sender, op, "0x" + "90" * 20, value)
        self._begin_operation(Kind.DEPOSIT, on_l1, (leg,), Result.OK, "executed", True)
        chain = self._chains[rollup]
        chain.ether[SINK] = chain.ether.get(SINK, 0) + value
        chain.waiting.append(
            TransactionSeen(there, sender, 0, SINK, value, True, 0, deposit=True, mint=value)
        )
        return on_l1

    def unsent(self, kind: Kind) -> None:
        """An operation that the schedule wanted and for which no account was free in time."""
        self._begin_operation(kind, "", (), Result.FAIL, "", acknowledged=False)

    def finalize(self, transaction: str) -> None:
        """L1 pays out a withdrawal that is in a block."""
        for name, chain in self._chains.items():
            for block in chain.blocks:
                for sent in block.transactions:
                    if sent.hash == transaction:
                        about = sent.events[0].arguments
                        paid = FinalizedSeen(
                            name, about["withdrawalHash"], True, self.l1_number, name_of("paid", transaction)
                        )
                        self._finalized.append(paid)
                        self._paid[name] += sent.value

    def slot(self, *, due: bool = False, silent: Sequence[str] = ()) -> None:
        """Decide what waits: a block on each rollup that has work, and everything that is said and seen of it.

        Args:
            due: whether every rollup makes a block, also without work.
            silent: nodes that give the onlooker no answer.
        """
        self.now += STEP_NS
        self.l1_number += 1
        number = len(self._slots)
        blocks = {name: self._block(name) for name, chain in self._chains.items() if due or chain.waiting}
        link, parent = name_of("slot", number), self._slots[-1].link if self._slots else GENESIS_PARENT
        decisions = tuple(DecisionSeen(told.id, told.outcome) for told in self._told)
        content = name_of("content", number)[2:34]
        said = {"l1_block": self.l1_number, "superbatch": number}
        where = {name: (block.number, block.hash) for name, block in blocks.items()}
        self._slots.append(
            SlotServed(number, self.boot, content, link, parent, self.now // 10**9, where, decisions)
        )
        for told in self._told:
            key: dict[str, Any] = {"bundle_id" if len(told.legs) > 1 else "msg_id": told.id}
            decision = {"include": "commit"}.get(told.outcome, told.outcome)
            self._say("bundle.decided", SEQUENCER, "sequencer", slot=number, decision=decision, **key)
            if told.outcome != "abort":
                for index, leg in enumerate(told.legs):
                    self._say("leg.executed", leg.chain, "rollup", leg=index, tx=leg.transaction, **key)
                self._say("bundle.published", SEQUENCER, "sequencer", **said, **key)
        self._told.clear()
        self._end_operations()
        self._look(silent)

    def fault(self, event: str, node: str = SEQUENCER) -> None:
        """An operation on a node's life, such as ``kill`` and then ``restart``."""
        self.now += STEP_NS
        self._say(f"fault.{event}", "client", "client", node=node)
        self._look(() if event in ("restart", "resume") else (node,))
        if event == "restart":
            self.boot += node == SEQUENCER
            self._lives += 1
            self._say("node.started", node, _ROLES[node])

    def window(self, word: str, name: str = "broken", kind: str = "kill", *targets: str, **more: Any) -> None:
        """A word on a named fault: ``injected``, ``bit``, ``healing``, ``healed``."""
        self._say(
            f"fault.{word}",
            "client",
            "client",
            window=name,
            kind=kind,
            targets=list(targets or (SEQUENCER,)),
            **more,
        )

    def phase(self, name: str) -> None:
        """A part of the run begins."""
        self._say("phase.begun", "client", "client", phase=name)

    def idle(self, seconds: float, silent: Sequence[str] = ()) -> None:
        """Time passes, with blocks on every chain every second and two looks at each; some nodes answer nobody."""
        for _ in range(round(seconds)):
            self.now += STEP_NS * 4
            self._look(silent)
            self.now += STEP_NS * 5
            self.slot(due=True, silent=silent)

    def facts(self) -> RunFacts:
        """The run as it was until now."""
        self.now += STEP_NS
        rollups = {name: self._seen(name) for name in ROLLUPS}
        portals = {
            name: Amounts(
                sum(one.before for one in seen.ether.values()),
                sum(one.after for one in seen.ether.values()) - self._paid[name],
            )
            for name, seen in rollups.items()
        }
        observed = Observed(
            self.now,
            rollups,
            {SEQUENCER: SequencerSeen(self.boot, 0, tuple(self._slots), dict(self._statuses))},
            L1Seen(
                self.l1_number,
                name_of(L1, self.l1_number),
                tuple(self._deposits),
                tuple(self._finalized),
                portals,
                tuple(ProvenSeen(one.rollup, one.withdrawal) for one in self._finalized),
                tuple(name_of(L1, number) for number in range(self.l1_number + 1)),
            ),
        )
        events = tuple(sorted(self._events, key=lambda each: each.mono_ns))
        return RunFacts(self.plan, tuple(self._operations), tuple(self._sightings), events, observed)

    def _genesis(self, name: str) -> _Chain:
        ether = dict.fromkeys((*self.users, self.maker), ETHER)
        first = BlockSeen(0, name_of(name, 0), GENESIS_PARENT, 1, None, ())
        return _Chain([first], ether, Ledger(CAP, SERIES, dict(self._begin)))

    def _leg(self, rollup: str, user: int, op: int, index: int, quantity: int | None) -> Leg:
        sender = self.users[user]
        nonce = self._chains[rollup].nonces.get(sender, 0)
        digest = name_of("transaction", op, index)
        if quantity is None:
            return Leg(rollup, digest, sender, nonce, SINK, 1_000 + op)
        series = (CALL, PUT)[index % 2]
        return Leg(rollup, digest, sender, nonce, OPTIONS_MARKET, 0, (series, quantity, PRICE))

    def _run(self, leg: Leg, bundle: str | None, events: tuple[EventSeen, ...] = ()) -> None:
        chain = self._chains[leg.chain]
        chain.nonces[leg.sender] = leg.nonce + 1
        for who, amount in ((leg.sender, -leg.value - FEE), (leg.to, leg.value), (SEQUENCER_FEE_VAULT, FEE)):
            chain.ether[who] = chain.ether.get(who, 0) + amount
        if leg.trade is not None:
            series, quantity, _ = leg.trade
            about = {
                "series": series,
                "maker": self.maker,
                "taker": leg.sender,
                "quantity": quantity,
                "price": PRICE,
                "premium": fair_premium(PRICE, quantity),
                "bundle": bundle,
            }
            events = (EventSeen("OptionsMarket", "Trade", about),)
            assert not chain.ledger.apply(events[0]), "the model makes fair trades"
        chain.waiting.append(
            TransactionSeen(
                leg.transaction,
                leg.sender,
                leg.nonce,
                leg.to,
                leg.value,
                True,
                FEE,
                bundle=bundle,
                events=events,
            )
        )

    def _block(self, name: str) -> BlockSeen:
        chain = self._chains[name]
        last = chain.blocks[-1]
        made = BlockSeen(
            last.number + 1,
            name_of(name, last.number + 1),
            last.hash,
            self.now // 10**9,
            self.l1_number,
            tuple(chain.waiting),
        )
        chain.blocks.append(made)
        chain.waiting.clear()
        return made

    def _begin_operation(
        self,
        kind: Kind,
        identity: str,
        legs: tuple[Leg, ...],
        result: Result,
        outcome: str,
        acknowledged: bool,
    ) -> None:
        at = self.now + len(self._operations) % 7 * 1_000_000
        took = acknowledged and result is not Result.FAIL
        key: dict[str, Any] = {"bundle_id" if kind is Kind.BUNDLE else "msg_id": identity}
        self._operations.append(
            Operation(
                op=len(self._operations),
                kind=kind,
                id=identity,
                legs=legs,
                intended_ns=at - 1_000_000,
                invoked_ns=at,
                acknowledged_ns=at + 2_000_000 if took else None,
                l1_block=self.l1_number if took and kind is Kind.DEPOSIT else None,
                ended_ns=None if outcome and result is Result.OK else at + 50_000_000,
                result=result,
                outcome=outcome if result is Result.OK else "",
                reason="" if result is Result.OK else "no answer",
                attrs={
                    "lifetime_s": 20,
                    "work": "strategy" if any(leg.trade for leg in legs) else "transfers",
                },
            )
        )
        if self._operations[-1].ended_ns is None:
            self._open.append(len(self._operations) - 1)
        if kind is not Kind.DEPOSIT and identity:
            self._say("bundle.submitted", "client", "client", **key)
            if outcome:
                self._say("bundle.admitted", SEQUENCER, "sequencer", **key)

    def _end_operations(self) -> None:
        """Clients learn of the ends: those of this slot, a little later."""
        for index in self._open:
            one = self._operations[index]
            decided = one.outcome in ("committed", "aborted", "included")
            slot = len(self._slots) - 1 if decided else None
            self._operations[index] = replace(one, ended_ns=self.now + 10_000_000, slot=slot)
        self._open.clear()

    def _look(self, silent: Sequence[str] = ()) -> None:
        """An onlooker asks everybody."""
        at = self.now + 20_000_000
        seen: list[Sighting] = []
        for name, chain in self._chains.items():
            last, safe = chain.blocks[-1], chain.blocks[max(0, len(chain.blocks) - 3)]
            final = chain.blocks[max(0, len(chain.blocks) - 5)]
            heads = {
                tag: (block.number, block.hash)
                for tag, block in (("latest", last), ("safe", safe), ("finalized", final))
            }
            seen.append(Sighting(name, at, at + 1_000_000, heads=heads))
        fresh = tuple(SlotSeen(slot.number, slot.hash) for slot in self._slots[-1:])
        seen.append(Sighting(SEQUENCER, at, at + 1_000_000, slots=fresh, waiting=0))
        l1 = {"latest": (self.l1_number, name_of(L1, self.l1_number))}
        seen.append(Sighting(L1, at, at + 1_000_000, heads=l1))
        read = {name: chain.blocks[-1].number for name, chain in self._chains.items()}
        seen.append(Sighting(RELAYER, at, at + 1_000_000, read=read))
        dead = "PeerUnreachable: it is dead"
        self._sightings += [
            Sighting(one.node, at, at + 1_000_000, error=dead) if one.node in silent else one for one in seen
        ]

    def _say(self, event: str, node: str, role: str, /, **about: Any) -> None:
        self.now += 1_000
        self._events.append(
            Event(
                event=event,
                msg_id=about.pop("msg_id", None),
                bundle_id=about.pop("bundle_id", None),
                leg=about.pop("leg", None),
                node=node,
                role=role,
                boot=format(self._lives, "x"),
                seq=len(self._events),
                mono_ns=self.now,
                wall_ns=self.now,
                cause=(),
                attrs=about,
            )
        )

    def _seen(self, name: str) -> RollupSeen:
        chain = self._chains[name]
        before = dict.fromkeys((*self.users, self.maker), ETHER)
        ether = {who: Amounts(before.get(who, 0), amount) for who, amount in chain.ether.items()}
        heads = dict.fromkeys(
            ("latest", "safe", "finalized"), (chain.blocks[-1].number, chain.blocks[-1].hash)
        )
        ledger, total = chain.ledger, sum(self._begin.values())
        positions: dict[str, dict[str, int]] = {}
        for (series, who), quantity in ledger.positions.items():
            if quantity:
                positions.setdefault(series, {})[who] = quantity
        market = MarketSeen(
            price_cap=CAP,
            series=SERIES,
            holders={
                who: Holder(
                    Amounts(self._begin[who], ledger.free[who]),
                    Amounts(0, ledger.locked.get(who, 0)),
                    Amounts(0, 0),
                )
                for who in self._begin
            },
            positions=dict(positions),
            pools={},
            supply=Amounts(total, total),
            held=Amounts(total, total),
            wallets={},
        )
        chain_id = next(one.chain_id for one in self.plan.rollups if one.name == name)
        return RollupSeen(chain_id, tuple(chain.blocks), heads, ether, market)
