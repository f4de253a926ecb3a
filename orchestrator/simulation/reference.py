"""What must come out, once more and naively: rollups as dictionaries, bundles tried one by one on copies, L1 read from its genesis.

Shares nothing with the code under test but the encoding of transactions and payloads; the rules of derivation are those of
``bridge.wire.testing_derivation``, which is a second writing of them too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.wire.derivation import Rules
from bridge.wire.l1 import L1Block
from bridge.wire.slot import BundlePart, Payload
from bridge.wire.testing_derivation import Naive
from bridge.wire.transaction import decode_transaction
from orchestrator.simulation.accounts import ACCOUNTS, ENDOWMENT, Act, address, user_deposit


@dataclass(slots=True)
class State:
    """One rollup: what each account holds, and how many transactions it has sent."""

    held: dict[bytes, int] = field(default_factory=lambda: {address(n): ENDOWMENT for n in range(ACCOUNTS)})
    sent: dict[bytes, int] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    """Hashes of the users' transactions in order."""

    def copy(self) -> "State":
        """An independent copy."""
        return State(dict(self.held), dict(self.sent), list(self.ran))

    def deposit(self, raw: bytes) -> None:
        """A deposit of L1."""
        found = user_deposit(raw)
        if found is not None:
            self.sent[found.sender] = self.sent.get(found.sender, 0) + 1
            self.held[found.sender] = self.held.get(found.sender, 0) + found.mint

    def run(self, raw: bytes) -> str:
        """A user's transaction: ``success``, ``failed``, ``gap`` or ``invalid``."""
        transaction = decode_transaction(raw)
        sender, count = transaction.sender, self.sent.get(transaction.sender, 0)
        if transaction.nonce > count:
            return "gap"
        if transaction.nonce < count:
            return "invalid"
        self.sent[sender] = count + 1
        self.ran.append("0x" + transaction.hash.hex())
        before = dict(self.held)
        for start in range(0, len(transaction.data), 3):
            act, account, amount = transaction.data[start : start + 3]
            needed, holder = (amount, sender) if act == Act.PAY else (amount, address(account))
            if self.held.get(holder, 0) < needed:
                self.held = before
                return "failed"
            if act == Act.PAY:
                self.held[sender] -= amount
                self.held[address(account)] = self.held.get(address(account), 0) + amount
        return "success"


def try_bundle(states: dict[int, State], legs: Sequence[bytes]) -> str:
    """Run a bundle on copies, and keep them only if every leg succeeds: ``commit``, ``abort`` or ``defer``."""
    copies = dict(states)
    statuses = []
    for raw in legs:
        chain = decode_transaction(raw).chain_id
        if copies[chain] is states[chain]:
            copies[chain] = states[chain].copy()
        statuses.append(copies[chain].run(raw))
    if set(statuses) == {"success"}:
        states.update(copies)
        return "commit"
    return "defer" if "gap" in statuses else "abort"


class Grouped(Naive):
    """The naive rules, and which blocks are of one slot."""

    groups: list[tuple[int, int, Payload]]

    @classmethod
    def of(cls, rules: Rules, l1: Sequence[L1Block]) -> "Grouped":
        """All of an L1 chain."""
        grouped = cls.read(rules, l1)
        assert isinstance(grouped, cls)
        return grouped

    def copy(self) -> "Grouped":
        """See :class:`Naive`."""
        made = super().copy()
        assert isinstance(made, Grouped)
        made.groups = list(getattr(self, "groups", ()))
        return made

    def append(
        self,
        chain: int,
        origin: int,
        timestamp: int,
        transactions: tuple[str, ...],
        bundles: tuple[BundlePart, ...],
    ) -> Payload:
        """See :class:`Naive`."""
        payload = super().append(chain, origin, timestamp, transactions, bundles)
        if not hasattr(self, "groups"):
            self.groups = []
        self.groups.append((len(self.slots), chain, payload))
        return payload


@dataclass(slots=True)
class Derived:
    """What L1 alone gives."""

    states: dict[int, list[State]]
    """After each block of each rollup, genesis first."""
    naive: Grouped
    torn: list[str]
    """Bundles of which L1 holds something that does not succeed as a whole."""


def derive(rules: Rules, l1: Sequence[L1Block], legs: Mapping[str, Sequence[bytes]]) -> Derived:
    """Read L1 from its genesis and execute everything, jointly.

    Args:
        rules: of the set.
        l1: the present chain.
        legs: raw transactions of every bundle that any user ever sent, by hash.
    """
    naive = Grouped.of(rules, l1)
    states = {chain: State() for chain in naive.chains}
    found = Derived({chain: [State()] for chain in naive.chains}, naive, [])
    for group in _groups(naive):
        for chain, payload in group:
            for raw in payload.deposits[1:]:
                states[chain].deposit(bytes.fromhex(raw[2:]))
            for raw in payload.transactions:
                states[chain].run(bytes.fromhex(raw[2:]))
        for bundle, held in _bundles([payload for _, payload in group]):
            known = legs.get(bundle, ())
            if {"0x" + raw.hex() for raw in known} != held or try_bundle(states, known) != "commit":
                found.torn.append(bundle)
        for chain, _ in group:
            found.states[chain].append(states[chain].copy())
    return found


def _groups(naive: Grouped) -> list[list[tuple[int, Payload]]]:
    """Blocks of one slot together; forced ones are of none, and may stand with others."""
    groups: list[list[tuple[int, Payload]]] = []
    last = None
    for slot, chain, payload in getattr(naive, "groups", ()):
        if slot != last or any(chain == other for other, _ in groups[-1]):
            groups.append([])
        last = slot
        groups[-1].append((chain, payload))
    return groups


def _bundles(payloads: Sequence[Payload]) -> list[tuple[str, set[str]]]:
    """Bundles of one slot in order, each with the raw transactions that it has on all rollups."""
    held: dict[str, set[str]] = {}
    for payload in payloads:
        for part in payload.bundles:
            held.setdefault(part.bundle, set()).update(part.transactions)
    return [(bundle, held[bundle]) for bundle in _in_order(payloads)]


def _in_order(payloads: Sequence[Payload]) -> list[str]:
    """Bundles in an order that agrees with every rollup's."""
    queues = [[part.bundle for part in payload.bundles] for payload in payloads]
    order: list[str] = []
    while any(queues):
        heads = [queue[0] for queue in queues if queue]
        following = next((head for head in heads if all(head not in queue[1:] for queue in queues)), heads[0])
        order.append(following)
        queues = [[bundle for bundle in queue if bundle != following] for queue in queues]
    return order


def judged(
    slots: Sequence[Mapping[str, Any]],
    forced: Sequence[tuple[int, Mapping[str, Any]]],
    items: Mapping[str, Any],
    chains: Sequence[int],
) -> list[str]:
    """Where the decisions of a log are not those of judging its bundles one by one, in the order of their admission.

    Args:
        slots: of the log.
        forced: blocks that L1 forced, each with the number of slots before it.
        items: every item of the log by hash (:class:`orchestrator.simulation.ledger.Entry`).
        chains: of the set.
    """
    wrong: list[str] = []
    states = {chain: State() for chain in chains}
    waiting = list(forced)
    for number in range(len(slots) + 1):
        while waiting and waiting[0][0] <= number:
            block = waiting.pop(0)[1]
            for raw in block["payload"]["deposits"][1:]:
                states[block["chain_id"]].deposit(bytes.fromhex(raw[2:]))
        if number < len(slots):
            wrong += _judge_slot(slots[number], items, states)
    return wrong


def _judge_slot(slot: Mapping[str, Any], items: Mapping[str, Any], states: dict[int, State]) -> list[str]:
    wrong = []
    for block in slot["blocks"]:
        state = states[block["chain_id"]]
        for raw in block["payload"]["deposits"][1:]:
            state.deposit(bytes.fromhex(raw[2:]))
        ran = [state.run(bytes.fromhex(raw[2:])) for raw in block["payload"]["transactions"]]
        if not {"success", "failed"}.issuperset(ran):
            wrong.append(f"slot {slot['number']} includes a transaction that cannot run")
    decisions = {d["id"]: d["outcome"] for d in slot["decisions"] if d["outcome"] in ("commit", "abort")}
    left = sorted(decisions, key=lambda key: items[key].order if key in items else -1)
    while left:
        bundle, truth = _next(left, items, states)
        left.remove(bundle)
        if truth != decisions[bundle]:
            wrong.append(
                f"slot {slot['number']} decides {decisions[bundle]} on {bundle[:10]}, which is a {truth}"
            )
    return wrong


def _next(left: list[str], items: Mapping[str, Any], states: dict[int, State]) -> tuple[str, str]:
    """The first bundle that does not wait for another one's nonce, and what becomes of it; the first of all if every one waits."""
    for bundle in left:
        truth = try_bundle(states, items[bundle].raws) if bundle in items else "defer"
        if truth != "defer":
            return bundle, truth
    return left[0], "defer"
