"""For tests: a rollup that messages come to and go from, in any order and some of them twice, against a model of what must come of it.

The model knows what the router has passed on and what time it is. After every block cash is conserved, custody is to the wei what
isn't delivered yet, each message is in the state that the model says, and receivers and senders have what is theirs.
"""

import random
from dataclasses import replace
from typing import Final

from rollup_node.engines.options.transition.block import Executed, execute
from rollup_node.engines.options.transition.context import WEI_PER_CASH as UNIT
from rollup_node.engines.options.transition.envelopes import Envelope, account_word
from rollup_node.engines.options.transition.letters import Box, find, post, state_of
from rollup_node.engines.options.transition.mailbox import Incoming, Outgoing
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.transition.testing_messages import (
    LINKED,
    OTHER,
    Counterpart,
    envelope,
    linked,
    passed,
)

QUICK: Final = replace(LINKED, step_roots=False)
FRIEND: Final = b"\x52" * 20
"""Whom messages are for."""


class Mail:
    """A rollup that messages come to and go from, in any order, some of them twice; every block is compared with what must come of it."""

    def __init__(self) -> None:
        self.desk = linked(QUICK)
        self.l1 = Counterpart(self.desk)
        self.desk.block(self.desk.deposit("alice", 10**6), self.desk.deposit("bob", 10**6))
        self.messages: list[Envelope] = []
        self.states: dict[bytes, Incoming] = {}
        self.given = 0
        """Units that messages must have brought their target."""
        self.sent: dict[bytes, tuple[int, int, Outgoing]] = {}
        """Value, last valid second and state."""
        self.lost = 0
        """Units that alice must be short of."""
        self.held = 0
        """Wei that must be in custody."""

    def run(self, *raws: bytes, seconds: int = 0) -> Executed:
        """A block, looked at; executed again it is the same."""
        mark = self.desk.world.mark()
        root = self.desk.block(*raws, seconds=seconds).root
        self.desk.world.undo(mark)
        executed = execute(self.desk.world, QUICK, self.desk.history[-1])
        assert root == executed.root, "I7: staged again, it is another block"
        return executed

    def check(self) -> None:
        """All that holds after every move."""
        world = self.desk.world
        broken = violations(world)
        assert broken == [], "; ".join(broken)
        friend = next((one.cash for one in world.accounts.values() if one.owner == FRIEND), 0)
        assert self.given == friend, "a message was executed twice, or not at all"
        assert self.held == post(world).held, "custody isn't what it must be"
        alice = world.accounts[self.desk.account("alice")].cash
        assert 10**6 - self.lost == alice, "the sender hasn't what is hers"
        for name, state in self.states.items():
            assert state == state_of(world, Box.INCOMING, name), "a message is in another state"
        for name, (_, _, expected) in self.sent.items():
            found = find(world, Box.OUTGOING, name)
            assert found is not None
            assert expected == found.state, "a message that was sent is in another state"

    def deliver(self, wei: int, valid_s: int, *, good: bool) -> None:
        """A new message; one that isn't good has data for nobody."""
        until = self.desk.timestamp + valid_s
        message = envelope(nonce=len(self.messages), value=wei, valid_until=until, data=b"" if good else b"?")
        self.messages.append(message)
        self.arrive(len(self.messages) - 1)

    def arrive(self, place: int) -> None:
        """A message that the router passes on, for the first time or not."""
        if not self.messages:
            return
        message = self.messages[place % len(self.messages)]
        self.run(self.l1.deliver(message))
        state = self.states.get(message.name, Incoming.NONE)
        self.held += message.value
        if state is Incoming.EXPIRED:
            self.states[message.name] = Incoming.LATE if message.value else Incoming.EXPORTED
        elif state is Incoming.NONE:
            self.states[message.name] = Incoming.FAILED
            self._try(message)

    def _try(self, message: Envelope) -> None:
        if self.desk.timestamp <= message.valid_until and not message.data:
            self.states[message.name] = Incoming.EXECUTED
            self.held -= message.value
            self.given += message.value // UNIT

    def replay(self, place: int) -> None:
        """Somebody tries a message again."""
        if self.messages:
            message = self.messages[place % len(self.messages)]
            self.run(self.desk.send("bob", "replay", tuple(message)))
            if self.states.get(message.name) is Incoming.FAILED:
                self._try(message)

    def export(self, place: int, *, unseen: bool = False) -> None:
        """Somebody gives a message back; also one that hasn't come."""
        if unseen:
            self.messages.append(
                envelope(nonce=len(self.messages), value=3 * UNIT, valid_until=self.desk.timestamp - 1)
            )
            place = -1
        if not self.messages:
            return
        message = self.messages[place % len(self.messages)]
        executed = self.run(self.desk.send("bob", "exportUndelivered", tuple(message)))
        state = self.states.get(message.name, Incoming.NONE)
        back = [wei for _, wei, _ in passed(executed)]
        if self.desk.timestamp <= message.valid_until or state in (
            Incoming.EXECUTED, Incoming.EXPIRED, Incoming.EXPORTED,
        ):  # fmt: skip
            assert back == [], "a message went back that mustn't"
        elif state is Incoming.NONE:
            self.states[message.name] = Incoming.EXPIRED
            assert back == [0]
        else:
            self.states[message.name] = Incoming.EXPORTED
            self.held -= message.value
            assert [message.value] == back

    def send(self, units: int, valid_s: int) -> None:
        """Alice sends one."""
        until = self.desk.timestamp + valid_s
        raw = self.desk.send("alice", "send", OTHER, account_word(FRIEND), 0, until, b"", value=units * UNIT)
        (result,) = self.run(raw).results
        assert result.status == "success"
        self.sent[result.data] = units * UNIT, until, Outgoing.SENT
        self.lost += units

    def come_back(self, place: int, late_s: int, *, whole: bool) -> None:
        """The router gives one back, or word of it; perhaps again."""
        if not self.sent:
            return
        name = sorted(self.sent)[place % len(self.sent)]
        value, until, state = self.sent[name]
        wei, expired_at = value if whole else 0, until + late_s
        self.run(self.l1.undelivered(name, expired_at, wei))
        outstanding = state in (Outgoing.SENT, Outgoing.EXPIRED)
        if outstanding and late_s > 0 and wei == value:
            self.sent[name] = value, until, Outgoing.REFUNDED
            self.lost -= value // UNIT
        else:
            self.held += wei
            if outstanding and late_s > 0:
                self.sent[name] = value, until, Outgoing.EXPIRED

    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.run(seconds=seconds)


def post_day(seed: int, moves: int) -> Mail:
    """A seeded day at the office."""
    rng, mail = random.Random(seed), Mail()
    for _ in range(moves):
        place = rng.randrange(40)
        match rng.randrange(9):
            case 0 | 1:
                mail.deliver(
                    rng.choice([0, 1, UNIT, 7 * UNIT + 3]), rng.randrange(-1, 12), good=rng.random() < 0.6
                )
            case 2:
                mail.arrive(place)
            case 3:
                mail.replay(place)
            case 4:
                mail.export(place, unseen=rng.random() < 0.2)
            case 5:
                mail.send(rng.randrange(9), rng.randrange(1, 9))
            case 6 | 7:
                mail.come_back(place, rng.choice([0, 1, 5]), whole=rng.random() < 0.6)
            case _:
                mail.wait(rng.randrange(6))
        mail.check()
    return mail
