"""No wei is made or lost between rollups, whatever happens in whatever order; and a bridge that loses some is caught.

A random run sends, finalizes, derives, starves, replays, exports and claims messages between two rollups through L1. After every
step the chains must agree with a model that knows the rules in words (what became of each message, who holds what), and,
whatever the model thinks, add up: ether on a rollup and on its way is what its portal holds.

The same run must fail on every mutant of the contracts: one line each, which breaks one rule. Longer than usual, because the machine's
rules, model and readings only make sense together.
"""

import asyncio
import tempfile
from collections import Counter, deque
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER
from bridge.contracts.artifacts import artifact
from bridge.contracts.testing import NOBODY, Contract, Failed, HandBridge, Withdrawal, ours
from bridge.contracts.testing_mutants import Mutant, creation_codes, run_machine
from bridge.wire.deposits import apply_alias, decode_deposit, encode_deposit
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.testing import bridge_plan, hand_bridge, put_contracts

T = TypeVar("T")
PLAN = bridge_plan(("alpha", "beta"), market=None)
CHAINS = (901, 902)
NOWHERE = 999
FRIEND = "0x" + "f1" * 20
"""On both rollups; has no code and never sends."""
FORTUNE = 10**21
"""Wei of every puppet at first."""
OUTGOING = ("NONE", "SENT", "EXPIRED", "REFUNDED")
INCOMING = ("NONE", "FAILED", "EXECUTED", "EXPIRED", "LATE", "EXPORTED")
ROUTES = ("NONE", "FORWARDED", "RETURNED", "CANCELLED")
AT_ONCE = 5
"""Messages that aren't at their end yet: few, so that a run follows them far instead of sending more."""
STARVED = 300_000
"""Gas with which the messenger takes a message but not its call."""
SOME = st.integers(0, 10**6)
"""Picks one of however many there are."""


@dataclass(slots=True)
class Message:
    """A message as the model knows it."""

    digest: bytes
    envelope: tuple[Any, ...]
    source: int
    destination: int
    sender: str
    target: str
    value: int
    valid_until: int
    outgoing: str = "SENT"
    route: str = "NONE"
    incoming: str = "NONE"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message, or its return, on one hop. ``value`` is what the hop carries."""

    kind: str
    message: Message
    value: int


@dataclass(slots=True)
class Rollup:
    """What stands on one rollup, and what waits for it."""

    mailbox: Contract
    puppets: tuple[Contract, Contract]
    """The second one has moods."""
    leaving: list[tuple[Withdrawal, Parcel]]
    coming: deque[Parcel]
    starved: list[tuple[bytes, Parcel]]
    """Deliveries that the messenger keeps, and the call that repeats each."""
    refuses: bool = False
    """Whether the second puppet does."""


class Bridging(RuleBasedStateMachine):
    """Everything that can happen to messages, in any order."""

    runner: ClassVar[asyncio.Runner]
    bridge: ClassVar[HandBridge]
    router: ClassVar[Contract]
    puppets: ClassVar[dict[int, tuple[Contract, Contract]]]
    witnessed: ClassVar[Counter[tuple[str, str, str, bool]]] = Counter()
    """States in which a message was seen after a step, and whether it carried value."""
    claims: ClassVar[int] = 0
    """Refunds that were refused when pushed and claimed later."""
    most: ClassVar[int] = 0
    """Messages in the run that had the most."""

    def __init__(self) -> None:
        super().__init__()
        self.chains = [self.bridge.l1, *(rollup.chain for rollup in self.bridge.rollups.values())]
        self.start = self.bridge.l1.clock.now
        self.snapshots = [self.do(chain.client.call("evm_snapshot")) for chain in self.chains]
        self.messages: list[Message] = []
        self.rollups: dict[int, Rollup] = {}
        self.holds: dict[tuple[int, str], int] = {}
        self.claimable: dict[tuple[int, str], int] = {}
        self.start_sums: dict[str, int] = {}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop that the engines' connections belong to."""
        return self.runner.run(work)

    @property
    def now(self) -> int:
        """Unix seconds, on all chains."""
        return self.bridge.l1.clock.now

    @initialize()
    def open_books(self) -> None:
        """Puppets have ether, everything else has none."""
        for chain_id, rollup in self.bridge.rollups.items():
            rollup.deposits.clear()
            rollup.withdrawals.clear()
            mailbox = ours(rollup.chain, "CrossRollupMailbox", CROSS_ROLLUP_MAILBOX)
            self.rollups[chain_id] = Rollup(mailbox, self.puppets[chain_id], [], deque(), [])
            for puppet in self.puppets[chain_id]:
                self.holds[chain_id, puppet.address] = FORTUNE
            for other in (FRIEND, CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER):
                self.holds[chain_id, other] = 0
        self.start_sums = self.do(self.look()).sums

    # -- users

    @precondition(lambda self: len(self.unfinished()) < AT_ONCE)
    @rule(
        source=st.sampled_from(CHAINS),
        sender=st.integers(0, 1),
        goal=st.sampled_from(["first", "second", "friend", "nowhere"]),
        value=st.sampled_from([0, 1, 7, 10**18]),
        valid_s=st.sampled_from([1, 20, 200]),
    )
    def send(self, source: int, sender: int, goal: str, value: int, valid_s: int) -> None:
        """A puppet sends something to someone on the other rollup, or to a rollup that doesn't exist."""
        here = self.rollups[source]
        other = self.rollups[CHAINS[1 - CHAINS.index(source)]]
        to = {"second": other.puppets[1].address, "friend": FRIEND}.get(goal, other.puppets[0].address)
        destination = NOWHERE if goal == "nowhere" else CHAINS[1 - CHAINS.index(source)]
        data = b"" if goal == "friend" else b"ping"
        arguments = (destination, from_hex(to).rjust(32, b"\0"), 150_000, self.now + valid_s, data)
        call = here.mailbox.interface.encode_call("send", *arguments)
        puppet = here.puppets[sender]
        receipt = self.do(puppet.send(NOBODY, "act", CROSS_ROLLUP_MAILBOX, value, call))
        (event,) = here.mailbox.events(receipt)
        message = Message(
            event.arguments["msgHash"],
            event.arguments["message"],
            source,
            destination,
            puppet.address,
            to,
            value,
            self.now + valid_s,
        )
        assert message.envelope[3] == len([one for one in self.messages if one.source == source])
        self.messages.append(message)
        self.holds[source, puppet.address] -= value
        self.leave(source, receipt, Parcel("forward", message, value))

    @precondition(lambda self: self.messages)
    @rule(pick=SOME)
    def replay(self, pick: int) -> None:
        """Anyone tries a message again."""
        message = self.one(pick)
        if message.destination == NOWHERE:
            return
        works = message.incoming == "FAILED" and self.now <= message.valid_until and not self.refused(message)
        mailbox = self.rollups[message.destination].mailbox
        assert works == self.succeeds(mailbox.send(NOBODY, "replay", message.envelope))
        if works:
            message.incoming = "EXECUTED"
            self.pay(message.destination, CROSS_ROLLUP_MAILBOX, message.target, message.value)

    @precondition(lambda self: self.messages)
    @rule(pick=SOME, patient=st.booleans())
    def export(self, pick: int, patient: bool) -> None:
        """Anyone hands in a message, here or not; the patient wait until it expired."""
        if (message := self.one(pick)).destination == NOWHERE:
            return
        if patient:
            self.wait(max(0, message.valid_until + 1 - self.now))
        self.hand_in(message)

    def hand_in(self, message: Message) -> None:
        """Export one message."""
        works = self.now > message.valid_until and message.incoming in {"NONE", "FAILED", "LATE"}
        mailbox = self.rollups[message.destination].mailbox
        receipt: list[Any] = []
        assert works == self.succeeds(mailbox.send(NOBODY, "exportUndelivered", message.envelope), receipt)
        if not works:
            return
        value = message.value if message.incoming != "NONE" else 0
        message.incoming = "EXPIRED" if message.incoming == "NONE" else "EXPORTED"
        self.holds[message.destination, CROSS_ROLLUP_MAILBOX] -= value
        self.leave(message.destination, receipt[0], Parcel("return", message, value))

    @precondition(lambda self: self.claimable)
    @rule(chain_id=st.sampled_from(CHAINS))
    def claim(self, chain_id: int) -> None:
        """The moody puppet claims what it once refused, for the friend."""
        here = self.rollups[chain_id]
        puppet = here.puppets[1]
        due = self.claimable.pop((chain_id, puppet.address), 0)
        type(self).claims += due > 0
        call = here.mailbox.interface.encode_call("claim", FRIEND)
        assert (due > 0) == self.succeeds(puppet.send(NOBODY, "act", CROSS_ROLLUP_MAILBOX, 0, call))
        self.pay(chain_id, CROSS_ROLLUP_MAILBOX, FRIEND, due)

    @precondition(lambda self: self.unfinished())
    @rule(chain_id=st.sampled_from(CHAINS))
    def change_mood(self, chain_id: int) -> None:
        """The moody puppet starts or stops refusing calls and ether."""
        self.feel(chain_id, refuses=not self.rollups[chain_id].refuses)

    def feel(self, chain_id: int, *, refuses: bool) -> None:
        """Set the moody puppet's mood."""
        self.rollups[chain_id].refuses = refuses
        self.do(self.rollups[chain_id].puppets[1].send(NOBODY, "feel", int(refuses)))

    @precondition(lambda self: self.unfinished())
    @rule(seconds=st.sampled_from([1, 30, 300]))
    def wait(self, seconds: int) -> None:
        """Time passes everywhere."""
        self.bridge.l1.clock.now += seconds

    # -- the way

    @precondition(lambda self: any(rollup.leaving for rollup in self.rollups.values()))
    @rule(pick=SOME)
    def finalize(self, pick: int) -> None:
        """L1 takes in any withdrawal, in any order."""
        chain_id, (withdrawal, parcel) = self.chosen(pick, "leaving")
        self.do(self.bridge.finalize(withdrawal))
        self.rollups[chain_id].leaving.remove((withdrawal, parcel))
        message = parcel.message
        if parcel.kind == "forward":
            if message.route == "NONE" and message.destination != NOWHERE:
                message.route = "FORWARDED"
                self.rollups[message.destination].coming.append(Parcel("deliver", message, message.value))
                return
            if message.route == "NONE" or message.value:
                self.rollups[message.source].coming.append(Parcel("undelivered", message, message.value))
            message.route = "RETURNED"
            return
        if message.route == "RETURNED":
            assert 0 == parcel.value
            return
        if message.route == "NONE":
            message.route = "CANCELLED"
        elif parcel.value == message.value:
            message.route = "RETURNED"
        self.rollups[message.source].coming.append(Parcel("undelivered", message, parcel.value))

    @precondition(lambda self: any(rollup.coming for rollup in self.rollups.values()))
    @rule(pick=SOME)
    def derive(self, pick: int) -> None:
        """A rollup executes its next deposit."""
        chain_id, _ = self.chosen(pick, "coming")
        assert self.bridge.rollups[chain_id].deposits
        self.do(self.bridge.derive(chain_id))
        self.arrive(chain_id, self.rollups[chain_id].coming.popleft())

    @precondition(lambda self: any(rollup.coming for rollup in self.rollups.values()))
    @rule(pick=SOME)
    def starve(self, pick: int) -> None:
        """A rollup executes its next deposit with too little gas: the messenger keeps message and value."""
        chain_id, _ = self.chosen(pick, "coming")
        assert self.bridge.rollups[chain_id].deposits
        here = self.rollups[chain_id]
        deposit = decode_deposit(self.bridge.rollups[chain_id].deposits.popleft())
        raw = encode_deposit(replace(deposit, gas=STARVED))
        receipt = self.do(self.bridge.rollups[chain_id].chain.send_raw(raw))
        assert "0x1" == receipt["status"]
        parcel = here.coming.popleft()
        here.starved.append((deposit.data, parcel))
        self.holds[chain_id, L2_CROSS_DOMAIN_MESSENGER] += parcel.value

    @precondition(lambda self: any(rollup.starved for rollup in self.rollups.values()))
    @rule(pick=SOME)
    def relay(self, pick: int) -> None:
        """Anyone makes a messenger repeat what it keeps; doing it twice changes nothing."""
        chain_id, (call, parcel) = self.chosen(pick, "starved")
        chain = self.bridge.rollups[chain_id].chain
        receipt = self.do(chain.transact(NOBODY, L2_CROSS_DOMAIN_MESSENGER, call))
        assert "0x1" == receipt["status"]
        again = self.do(chain.transact(NOBODY, L2_CROSS_DOMAIN_MESSENGER, call))
        assert "0x0" == again["status"]
        self.rollups[chain_id].starved.remove((call, parcel))
        self.holds[chain_id, L2_CROSS_DOMAIN_MESSENGER] -= parcel.value
        self.arrive(chain_id, parcel)

    @precondition(lambda self: any(here.leaving or here.coming for here in self.rollups.values()))
    @rule(pick=SOME, hops=st.integers(1, 3))
    def travel(self, pick: int, hops: int) -> None:
        """A few hops in a row, as when a relayer is awake."""
        for _ in range(hops):
            ready = [
                move for move in ("leaving", "coming") if any(map(attrgetter(move), self.rollups.values()))
            ]
            if ready:
                {"leaving": self.finalize, "coming": self.derive}[ready[pick % len(ready)]](pick)

    # -- the model

    def arrive(self, chain_id: int, parcel: Parcel) -> None:
        """What a mailbox does with what the messenger brings."""
        message = parcel.message
        self.holds[chain_id, CROSS_ROLLUP_MAILBOX] += parcel.value
        if parcel.kind == "undelivered":
            self.come_home(parcel)
        elif message.incoming == "EXPIRED":
            message.incoming = "LATE" if message.value else "EXPORTED"
        elif self.now > message.valid_until or self.refused(message):
            message.incoming = "FAILED"
        else:
            message.incoming = "EXECUTED"
            self.pay(chain_id, CROSS_ROLLUP_MAILBOX, message.target, message.value)

    def come_home(self, parcel: Parcel) -> None:
        """The source learns that a message wasn't executed."""
        message = parcel.message
        if message.outgoing == "REFUNDED":
            assert 0 == parcel.value
        elif parcel.value != message.value:
            message.outgoing = "EXPIRED"
        else:
            message.outgoing = "REFUNDED"
            moody = message.sender == self.rollups[message.source].puppets[1].address
            if parcel.value and moody and self.rollups[message.source].refuses:
                key = (message.source, message.sender)
                self.claimable[key] = self.claimable.get(key, 0) + parcel.value
            else:
                self.pay(message.source, CROSS_ROLLUP_MAILBOX, message.sender, parcel.value)

    def refused(self, message: Message) -> bool:
        """Whether the target refuses just now."""
        there = self.rollups[message.destination]
        return there.refuses and message.target == there.puppets[1].address

    def pay(self, chain_id: int, payer: str, payee: str, value: int) -> None:
        """Book a transfer."""
        self.holds[chain_id, payer] -= value
        self.holds[chain_id, payee] += value

    def leave(self, chain_id: int, receipt: Any, parcel: Parcel) -> None:
        """A transaction put one withdrawal on its way."""
        waiting = self.bridge.rollups[chain_id].withdrawals
        self.bridge.note(receipt, chain_id)
        assert parcel.value == waiting[-1].fields[3]
        self.rollups[chain_id].leaving.append((waiting[-1], parcel))

    def unfinished(self) -> list[Message]:
        """Messages that neither ran nor were refunded."""
        return [one for one in self.messages if one.incoming != "EXECUTED" and one.outgoing != "REFUNDED"]

    def one(self, pick: int) -> Message:
        """A message; every other time one that isn't at its end."""
        some = self.unfinished() if pick % 2 else self.messages
        some = some or self.messages
        return some[pick // 2 % len(some)]

    def chosen(self, pick: int, queue: str) -> tuple[int, Any]:
        """One of all that wait in a queue of any rollup."""
        every = [(chain_id, item) for chain_id, here in self.rollups.items() for item in getattr(here, queue)]
        return every[pick % len(every)]

    def succeeds(self, work: Coroutine[Any, Any, Any], receipt: list[Any] | None = None) -> bool:
        """Whether a transaction succeeds; its receipt goes into the list."""
        try:
            found = self.do(work)
        except Failed:
            return False
        if receipt is not None:
            receipt.append(found)
        return True

    # -- what must hold

    @invariant()
    def no_wei_is_made_or_lost(self) -> None:
        """The chains agree with the model, and whatever the model says they add up."""
        if not self.start_sums:
            return
        seen = self.do(self.look())
        assert self.holds == seen.holds
        assert self.claimable == {key: value for key, value in seen.claimable.items() if value}
        assert [(one.outgoing, one.route, one.incoming) for one in self.messages] == seen.states
        for chain_id, here in self.rollups.items():
            assert len(here.coming) == len(self.bridge.rollups[chain_id].deposits)
        assert self.start_sums == seen.sums
        for chain_id in CHAINS:
            owed = sum(value for (chain, _), value in seen.claimable.items() if chain == chain_id)
            for message, (_, _, incoming) in zip(self.messages, seen.states, strict=True):
                kept = message.destination == chain_id and incoming in {"FAILED", "LATE"}
                owed += message.envelope[6] if kept else 0
            assert owed == seen.holds[chain_id, CROSS_ROLLUP_MAILBOX]
        for message, (outgoing, route, incoming) in zip(self.messages, seen.states, strict=True):
            assert not (incoming == "EXECUTED" and outgoing in {"EXPIRED", "REFUNDED"})
            self.witnessed[outgoing, route, incoming, message.value > 0] += 1

    def teardown(self) -> None:
        """Every message can be brought to its end: executed or refunded. Then back to the start."""
        type(self).most = max(self.most, len(self.messages))
        try:
            if self.start_sums:
                self.bring_to_an_end()
        finally:
            for chain, snapshot in zip(self.chains, self.snapshots, strict=True):
                self.do(chain.client.call("evm_revert", snapshot))
            self.bridge.l1.clock.now = self.start

    def bring_to_an_end(self) -> None:
        """No sender, target or relayer can keep a message in between for good."""
        for chain_id in CHAINS:
            self.feel(chain_id, refuses=len(self.messages) % 2 == 1)
        self.wait(1_000)
        for _ in range(2):  # a message that came behind its word is handed in twice
            self.drain()
            for message in self.unfinished():
                if message.incoming in {"NONE", "FAILED", "LATE"}:
                    self.hand_in(message)
        self.drain()
        for chain_id in CHAINS:
            self.claim(chain_id)
        self.no_wei_is_made_or_lost()
        for message in self.messages:
            assert (message.incoming == "EXECUTED") != (message.outgoing == "REFUNDED")

    def drain(self) -> None:
        """Let everything arrive that is on its way."""
        while True:
            busy = [*self.rollups.values()]
            if any(here.leaving for here in busy):
                self.finalize(0)
            elif any(here.starved for here in busy):
                self.relay(0)
            elif any(here.coming for here in busy):
                self.derive(0)
            else:
                return

    # -- reading

    async def look(self) -> "Seen":
        """Read everything from the chains, in one batch each."""
        l1 = [self.router.address]
        for rollup in self.bridge.rollups.values():
            l1 += [rollup.portal, rollup.messenger]
        routes = [self.router.interface.encode_call("routes", one.digest) for one in self.messages]
        balances, answers = await self.bridge.l1.look(l1, [(self.router.address, call) for call in routes])
        locked = dict(zip(l1, balances, strict=True))
        names = [ROUTES[int.from_bytes(answer)] for answer in answers]
        sums, holds, claimable = {"l1": sum(balances)}, {}, {}
        incoming, outgoing = ["NONE"] * len(self.messages), ["NONE"] * len(self.messages)
        for chain_id, rollup in self.bridge.rollups.items():
            mailbox = self.rollups[chain_id].mailbox.interface
            accounts = [address for chain, address in self.holds if chain == chain_id]
            alias = to_hex(apply_alias(from_hex(rollup.messenger)))
            puppets = [puppet.address for puppet in self.puppets[chain_id]]
            here = [index for index, one in enumerate(self.messages) if one.destination == chain_id]
            hence = [index for index, one in enumerate(self.messages) if one.source == chain_id]
            calls = [mailbox.encode_call("claimable", puppet) for puppet in puppets]
            calls += [mailbox.encode_call("incoming", self.messages[index].digest) for index in here]
            calls += [mailbox.encode_call("outgoing", self.messages[index].digest) for index in hence]
            balances, answers = await rollup.chain.look(
                [*accounts, alias], [(CROSS_ROLLUP_MAILBOX, call) for call in calls]
            )
            words = deque(answers)
            holds |= {(chain_id, who): wei for who, wei in zip(accounts, balances, strict=False)}
            claimable |= {(chain_id, who): int.from_bytes(words.popleft()) for who in puppets}
            for index in here:
                incoming[index] = INCOMING[int.from_bytes(words.popleft())]
            for index in hence:
                outgoing[index] = OUTGOING[mailbox.decode_result("outgoing", words.popleft())[0][2]]
            coming = sum(decode_deposit(raw).mint for raw in rollup.deposits)
            leaving = sum(withdrawal.fields[3] for withdrawal in rollup.withdrawals)
            sums[str(chain_id)] = sum(balances) + coming + leaving - locked[rollup.portal]
        return Seen(holds, claimable, list(zip(outgoing, names, incoming, strict=True)), sums)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the chains say."""

    holds: dict[tuple[int, str], int]
    claimable: dict[tuple[int, str], int]
    states: list[tuple[str, str, str]]
    """Per message: at the source, at the router, at the destination."""
    sums: dict[str, int]
    """What never changes: per rollup its ether, there and on its way, less what its portal holds; and all ether on L1."""


MUTANTS = (
    Mutant(
        "refund-on-the-word-alone",
        "CrossRollupMailbox",
        "        if (msg.value != sent.value) {\n            if",
        "        if (msg.value != sent.value && address(this).balance < sent.value) {\n            if",
    ),
    Mutant("refund-twice", "CrossRollupMailbox", "sent.state = Outgoing.REFUNDED;", ""),
    Mutant("run-again", "CrossRollupMailbox", "incoming[msgHash] = Incoming.EXECUTED;\n", "\n"),
    Mutant("keep-the-value-of-a-word", "CrossRollupMailbox", "            value = header.value;\n", "\n"),
    Mutant(
        "refuse-what-comes-late",
        "CrossRollupMailbox",
        "if (state == Incoming.EXPIRED) {",
        "if (false) {",
    ),
    Mutant(
        "run-after-expiry",
        "CrossRollupMailbox",
        "if (block.timestamp > message.validUntil) {",
        "if (block.timestamp > message.validUntil + 50) {",
    ),
    Mutant(
        "export-before-expiry",
        "CrossRollupMailbox",
        "if (block.timestamp <= message.validUntil) revert StillValid",
        "if (block.timestamp + 150 <= message.validUntil) revert StillValid",
    ),
    Mutant("claim-twice", "CrossRollupMailbox", "        claimable[msg.sender] = 0;\n", "\n"),
    Mutant(
        "push-and-credit",
        "CrossRollupMailbox",
        "if (!pushed) claimable[sender] += msg.value;",
        "claimable[sender] += msg.value;",
    ),
    Mutant(
        "forward-what-was-cancelled",
        "MessageRouter",
        "if (route == Route.NONE && message.dstChainId",
        "if (message.dstChainId",
    ),
    Mutant(
        "lose-what-no-rollup-takes",
        "MessageRouter",
        "if (route == Route.NONE || msg.value > 0) {",
        "if (false) {",
    ),
)


@pytest.fixture(scope="module")
def mutated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Creation code of every mutant, by name."""
    return creation_codes(tmp_path_factory.mktemp("mutants"), MUTANTS)


@pytest.fixture(scope="module")
def engines() -> Iterator[None]:
    """L1 and two rollups, for all runs of this file."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        Bridging.runner = runner
        Bridging.bridge = runner.run(stack.enter_async_context(hand_bridge(PLAN, Path(folder))))
        try:
            router = deployments(PLAN).l1["MessageRouter"]
            Bridging.router = ours(Bridging.bridge.l1, "MessageRouter", router)
            Bridging.puppets = {
                chain_id: runner.run(_puppets(rollup)) for chain_id, rollup in Bridging.bridge.rollups.items()
            }
            yield
        finally:
            runner.run(stack.aclose())


async def _puppets(rollup: Any) -> tuple[Contract, Contract]:
    made = []
    for _ in range(2):
        address = await rollup.chain.create(NOBODY, artifact("Puppet").creation_code)
        await rollup.chain.fund(address, FORTUNE)
        made.append(ours(rollup.chain, "Puppet", address))
    return made[0], made[1]


def _deploy(**contracts: bytes) -> None:
    Bridging.runner.run(put_contracts(Bridging.bridge, PLAN, **contracts))


def _hunt() -> None:
    """As many runs as it may take to meet a rare fault."""
    for number in range(1, 9):
        run_machine(Bridging, number, examples=12, steps=50)


def _witnessed() -> bool:
    """Whether the runs so far saw every state that there is, with and without value, and a refund that had to be claimed."""
    seen = [set(states) for states in zip(*Bridging.witnessed, strict=True)]
    everything = [set(OUTGOING) - {"NONE"}, set(ROUTES), set(INCOMING), {False, True}]
    return everything == seen and Bridging.claims > 0


@pytest.mark.long
@pytest.mark.timeout(300)
def test_random_bridging_conserves_every_wei(engines: None) -> None:
    """Runs of 300 steps and many short ones, until all was seen: the chains agree with the model and add up after every step.

    Hypothesis's first examples are its simplest, one step again and again; the long run is the random one that follows.
    """
    _deploy()
    run_machine(Bridging, 0, examples=4, steps=300)
    assert 15 < Bridging.most
    for number in range(1, 9):
        run_machine(Bridging, number, examples=12, steps=50)
        if _witnessed():
            break
    assert _witnessed()


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_bridge_that_breaks_a_rule_is_caught(
    engines: None, mutated: dict[str, bytes], mutant: Mutant
) -> None:
    """The run above isn't green because it looks away: it fails on every mutant."""
    _deploy(**{mutant.contract: mutated[mutant.name]})
    with pytest.raises((AssertionError, Failed)):
        _hunt()
