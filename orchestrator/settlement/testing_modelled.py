"""A machine that knows messages between two rollups in words, for tests: what becomes of each, who holds what, and what the chains say of it."""

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER
from bridge.contracts.testing import Contract, Failed, HandBridge, Withdrawal, ours
from bridge.wire.deposits import apply_alias, decode_deposit
from bridge.wire.keccak import from_hex, to_hex

T = TypeVar("T")
CHAINS = (901, 902)
NOWHERE = 999
FRIEND = "0x" + "f1" * 20
"""On both rollups; has no code and never sends."""
FORTUNE = 10**21
"""Wei of every puppet at first."""
OUTGOING = ("NONE", "SENT", "EXPIRED", "REFUNDED")
INCOMING = ("NONE", "FAILED", "EXECUTED", "EXPIRED", "LATE", "EXPORTED")
ROUTES = ("NONE", "FORWARDED", "RETURNED", "CANCELLED")


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


@dataclass(frozen=True, slots=True)
class Seen:
    """What the chains say."""

    holds: dict[tuple[int, str], int]
    claimable: dict[tuple[int, str], int]
    states: list[tuple[str, str, str]]
    """Per message: at the source, at the router, at the destination."""
    sums: dict[str, int]
    """What never changes: per rollup its ether, there and on its way, less what its portal holds; and all ether on L1."""


class Modelled(RuleBasedStateMachine):
    """Two rollups and a bridge, and a model of the messages between them."""

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
            assert parcel.value == 0
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

    # -- reading

    async def look(self) -> Seen:
        """Read everything from the chains, in one batch each."""
        l1 = [self.router.address]
        for rollup in self.bridge.rollups.values():
            l1 += [rollup.portal, rollup.messenger]
        routes = [self.router.interface.encode_call("routes", one.digest) for one in self.messages]
        balances, answers = await self.bridge.l1.look(l1, [(self.router.address, call) for call in routes])
        locked = dict(zip(l1, balances, strict=True))
        names = [ROUTES[int.from_bytes(answer)] for answer in answers]
        sums = {"l1": sum(balances)}
        holds: dict[tuple[int, str], int] = {}
        claimable: dict[tuple[int, str], int] = {}
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
