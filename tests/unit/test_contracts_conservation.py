"""No wei is made or lost between rollups, whatever happens in whatever order; and a bridge that loses some is caught.

A random run sends, finalizes, derives, starves, replays, exports and claims messages between two rollups through L1. After every
step the chains must agree with a model that knows the rules in words, and, whatever the model thinks, add up: ether on a rollup and
on its way is what its portal holds. The same run must fail on every mutant of the contracts: one line each, which breaks one rule.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER
from bridge.contracts.artifacts import artifact
from bridge.contracts.testing import NOBODY, Contract, Failed, ours
from bridge.contracts.testing_mutants import Mutant, creation_codes, run_machine
from bridge.wire.deposits import decode_deposit, encode_deposit
from bridge.wire.keccak import from_hex
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.testing import bridge_plan, hand_bridge, put_contracts
from orchestrator.settlement.testing_modelled import (
    CHAINS,
    FORTUNE,
    FRIEND,
    INCOMING,
    NOWHERE,
    OUTGOING,
    ROUTES,
    Message,
    Modelled,
    Parcel,
)

PLAN = bridge_plan(("alpha", "beta"), market=None)
AT_ONCE = 5
"""Messages that aren't at their end yet: few, so that a run follows them far instead of sending more."""
STARVED = 300_000
"""Gas with which the messenger takes a message but not its call."""
SOME = st.integers(0, 10**6)
"""Picks one of however many there are."""


class Bridging(Modelled):
    """Everything that can happen to messages, in any order."""

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
