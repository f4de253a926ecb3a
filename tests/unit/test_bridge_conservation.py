"""No wei and no token is made or lost between L1 and a rollup, whatever happens in whatever order; and a bridge that loses some is caught.

A random run deposits, withdraws, bridges and sends messages, to targets that accept, refuse and call back, and proves, finalizes,
replays, deletes outputs, proposes wrong ones and forges, early, late, twice and with too little gas. The books follow what L1 and the rollup
*say* (their events); after every step, what accounts and contracts *hold* must be what is in the books, and must add up.

The same run must fail on every mutant: the real contracts with one check cut out of their code, a derivation with one fault,
a challenger that sleeps.
"""

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.contracts.addresses import (
    L2_CROSS_DOMAIN_MESSENGER,
    L2_STANDARD_BRIDGE,
    L2_TO_L1_MESSAGE_PASSER,
    PREDEPLOYS,
    PREINSTALLS,
)
from bridge.contracts.codec import Interface
from bridge.contracts.op import op_artifact
from bridge.relayer.withdrawal import Inclusion, Passed, Withdrawal, passed
from bridge.wire.deposits import (
    DEPOSITED_TOPIC,
    Deposit,
    apply_alias,
    decode_deposit,
    encode_deposit,
    undo_alias,
    user_deposit,
)
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.l2 import implementation_of
from orchestrator.settlement.testing_accounting import (
    BRIDGE,
    MESSENGER,
    Message,
    erc20,
    ether,
    sent,
    tokens,
)
from orchestrator.settlement.testing_attacks import forged
from orchestrator.settlement.testing_bridge import INTERVAL, PERIOD_S, finalizing, proving
from orchestrator.settlement.testing_chains import Refused
from orchestrator.settlement.testing_scene import (
    ACCEPT,
    ETHER,
    FRIEND,
    REFUSE,
    Intruder,
    Scene,
    scene_of_attack,
)
from orchestrator.settlement.testing_sides import CALL_GAS, Call, Receipt, Side, call, theirs

T = TypeVar("T")
WEI = (0, 1, 7, ETHER)
HALF, MOSTLY = 0.5, 0.7
SEEDS = (1, 2)
TIGHT = 250_000
"""Gas of a relayer who is mean: enough to begin, mostly not to end well."""
PATIENCE_S = PERIOD_S - 30
"""Age at which the challenger deletes a wrong output at the latest."""
L1, L2 = "l1", "l2"


MOVES = tuple(
    move
    for move, weight in {
        "wait": 1,
        "deposit": 3,
        "withdraw": 2,
        "send": 4,
        "bridge_ether": 2,
        "bridge_tokens": 2,
        "change_mood": 2,
        "rehearse": 2,
        "derive": 2,
        "prove": 2,
        "hurry": 3,
        "finalize": 2,
        "relay": 3,
        "challenge": 1,
        "propose_a_lie": 1,
        "forge_a_proof": 1,
        "cash_in": 2,
        "forge_a_message": 2,
    }.items()
    for _ in range(weight)
)
"""What can happen, by how often."""
EVERYTHING = (
    *("deposit 0x1", "deposit 0x0", "relay True", "relay False", "finalized True", "finalized False"),
    *("proveWithdrawalTransaction done", "proveWithdrawalTransaction refused", "lies", "not cashed in"),
    *("finalizeWithdrawalTransaction refused", "relayMessage done", "relayMessage refused"),
    *("deleteL2Outputs done", "deleteL2Outputs refused", "finalizeBridgeERC20 refused"),
)
"""What a long run must have seen."""


class Unbalanced(AssertionError):  # noqa: N818 - names what was found
    """What is held isn't what is in the books."""


@dataclass(slots=True)
class Books:
    """What the chains said."""

    holds: dict[tuple[str, str], int]
    """Wei of those who pay no gas, by chain and lower-case address."""
    tokens: dict[tuple[str, str], int]
    """Units of the user and the friend."""
    alive: int
    """Wei on the rollup."""
    portal: int
    """Wei."""
    stranded: int = 0
    arriving: list[tuple[str, Deposit]] = field(default_factory=list)
    """Deposits that are not derived, with the hashes of their transactions."""
    leaving: dict[str, Withdrawal] = field(default_factory=dict)
    """Not finalized, by hash."""
    messages: dict[tuple[str, bytes], Message] = field(default_factory=dict)
    """By where they go and hash: one hash can be that of a message up and of another one down."""
    done: set[tuple[str, bytes]] = field(default_factory=set)
    """Messages that succeeded."""
    failed: set[tuple[str, bytes]] = field(default_factory=set)
    """Messages that a messenger keeps."""

    def move(self, where: str, payer: str | None, payee: str | None, wei: int) -> None:
        """Book a payment between those who are in the books."""
        for who, change in ((payer, -wei), (payee, wei)):
            if who is not None and (where, who.lower()) in self.holds:
                self.holds[where, who.lower()] += change


@dataclass(frozen=True, slots=True)
class Seen:
    """What the chains hold."""

    portal: int
    alive: int
    held: int
    """Tokens that the bridge on L1 has."""
    booked: int
    """Tokens that it believes to have."""
    supply: int
    """Tokens on the rollup."""
    holds: dict[tuple[str, str], int]
    tokens: dict[tuple[str, str], int]


class Bridging(RuleBasedStateMachine):
    """Everything that can happen at a bridge, in any order."""

    runner: ClassVar[asyncio.Runner]
    scene: ClassVar[Scene]
    sound: ClassVar[bool] = True
    """Whether nothing is broken on purpose: then refusals are expected, too."""
    challenged: ClassVar[bool] = True
    """Whether the challenger is awake."""
    undo: ClassVar[bool] = True
    """Whether the chains go back to where they were after a run."""
    seen: ClassVar[Counter[str]] = Counter()
    """What happened, over all runs."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha, self.l1 = self.scene.alpha, self.scene.bridge.l1
        self.at = {
            "portal": self.alpha.portal,
            "oracle": self.alpha.where.output_oracle,
            "messenger": self.alpha.where.messenger.lower(),
            "bridge": self.alpha.where.standard_bridge.lower(),
        }
        self.stack = AsyncExitStack()
        if self.undo:
            self.do(self.stack.enter_async_context(self.scene.bridge.undone()))
        self.proofs: dict[str, tuple[int, str, int]] = {}
        """By hash: index and root of the output, time of the proof."""
        self.outputs: list[tuple[str, int]] = []
        """Root and time."""
        self.lie: int | None = None
        """Index of a wrong output that stands."""
        self.loot: list[Withdrawal] = []
        """Withdrawals that never happened, and were proven against a lie."""
        self.refuses = {L1: False, L2: False}
        self.rest = 0
        self.forgeries = 0
        self.books: Books | None = None

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop that the chains' connections belong to."""
        return self.runner.run(work)

    # -- sides

    def side(self, name: str) -> Side:
        """L1 or the rollup."""
        return self.l1 if name == L1 else self.alpha

    def intruder(self, name: str) -> Intruder:
        """The hostile contract there."""
        return self.scene.on_l1 if name == L1 else self.scene.on_l2

    def messenger(self, name: str) -> str:
        """The messenger there."""
        return self.at["messenger"] if name == L1 else L2_CROSS_DOMAIN_MESSENGER

    @property
    def withdrawals(self) -> list[Passed]:
        """All that the rollup made."""
        return self.alpha.passed

    def goal(self, name: str, goal: str) -> str:
        """An address there; the unsafe one is the messenger itself."""
        known = {"friend": FRIEND, "unsafe": self.messenger(name), "passer": L2_TO_L1_MESSAGE_PASSER}
        return known.get(goal, self.intruder(name).address)

    @initialize()
    def open_books(self) -> None:
        """The friend, the intruders and the messengers have nothing yet."""
        self.do(self.alpha.follow())
        found = self.do(ether(self.scene.bridge, self.alpha))
        count = self.do(self.l1.read(theirs("L2OutputOracle", self.at["oracle"], "nextOutputIndex")))
        self.outputs = [self.output(number) for number in range(count)]
        alias = {
            to_hex(apply_alias(from_hex(who))) for who in (self.intruder(L1).address, self.at["messenger"])
        }
        mine = {(L1, who) for who in (FRIEND, self.intruder(L1).address, self.at["messenger"])}
        mine |= {(L2, who) for who in (FRIEND, self.intruder(L2).address, L2_CROSS_DOMAIN_MESSENGER, *alias)}
        holds = {key: self.do(self.side(key[0]).balance(key[1])) for key in sorted(mine)}
        units = {
            (where, who.lower()): self.do(self.side(where).read(erc20(token, "balanceOf", who)))
            for where, token in ((L1, self.scene.token.l1), (L2, self.scene.token.l2))
            for who in (self.scene.user.address, FRIEND)
        }
        books = Books(holds, units, found.alive, found.held, found.stranded)
        for one in self.withdrawals:
            digest = from_hex(one.withdrawal.hash)
            done = theirs("OptimismPortal", self.at["portal"], "finalizedWithdrawals", digest)
            if not self.do(self.l1.read(done)):
                books.leaving[one.withdrawal.hash] = one.withdrawal
        self.books = books
        self.rest = found.alive - self.look().alive

    def output(self, index: int) -> tuple[str, int]:
        """Root and time of an output on L1."""
        wanted = theirs("L2OutputOracle", self.at["oracle"], "getL2Output", index)
        root, time, _ = self.do(self.l1.read(wanted))
        return to_hex(root), time

    @rule(move=st.sampled_from(MOVES), seed=st.integers(0, 2**32 - 1))
    def move(self, move: str, seed: int) -> None:
        """One of all that can happen. One rule, so that every run has everything in it."""
        self.seen[move] += 1
        getattr(self, move)(Random(seed))

    # -- users

    def deposit(self, rng: Random) -> None:
        """An account or a contract deposits through the portal, once or twice the same in one block; more than it has fails.

        What goes to the message passer is withdrawn at once.
        """
        goal, mint, times = rng.choice(["friend", "intruder", "passer"]), rng.choice(WEI), rng.randint(1, 2)
        wei = rng.choice([mint, mint, 0, 10**30])
        data = b"\1" if goal == "intruder" else b""
        arguments = (self.goal(L2, goal), wei, 1_000_000, False, data)
        wanted = theirs("OptimismPortal", self.at["portal"], "depositTransaction", *arguments, value=mint)
        if rng.random() < HALF:
            wanted = self.intruder(L1).acting(*[wanted] * times, value=mint * times)
            times = 1
        sent_ = [(self.scene.user, replace(wanted, gas=5_000_000))] * times
        for receipt in self.do(self.l1.together(*sent_)):
            self.read(L1, receipt)

    def withdraw(self, rng: Random) -> None:
        """An account or a contract withdraws through the message passer; the oracle takes no ether."""
        target = rng.choice([self.at["oracle"], self.goal(L1, "friend"), self.goal(L1, "intruder")])
        arguments = ("initiateWithdrawal", target, 1_200_000, b"\1")
        wanted = theirs("L2ToL1MessagePasser", L2_TO_L1_MESSAGE_PASSER, *arguments, value=rng.choice(WEI))
        self.act(L2, wanted, contract=rng.random() < HALF)

    def send(self, rng: Random) -> None:
        """A message to the other side, through both messengers."""
        where, other = rng.sample([L1, L2], 2)
        target = self.goal(other, rng.choice(["friend", "intruder", "intruder", "intruder", "unsafe"]))
        arguments = ("sendMessage", target, b"\1", 900_000)
        wanted = theirs(MESSENGER, self.messenger(where), *arguments, value=rng.choice(WEI))
        self.act(where, wanted, contract=rng.random() < HALF)

    def bridge_ether(self, rng: Random) -> None:
        """Ether to somebody on the other side, through both standard bridges."""
        where, other = rng.sample([L1, L2], 2)
        target = self.goal(other, rng.choice(["friend", "intruder"]))
        at = self.at["bridge"] if where == L1 else L2_STANDARD_BRIDGE
        self.act(where, theirs(BRIDGE, at, "bridgeETHTo", target, 900_000, b"", value=rng.choice(WEI)))

    def bridge_tokens(self, rng: Random) -> None:
        """Tokens to the friend on the other side."""
        where, token = rng.choice([L1, L2]), self.scene.token
        amount = rng.choice([0, 1, 10**18, 2**200])
        at = self.at["bridge"] if where == L1 else L2_STANDARD_BRIDGE
        pair = (token.l1, token.l2) if where == L1 else (token.l2, token.l1)
        self.act(where, theirs(BRIDGE, at, "bridgeERC20To", *pair, FRIEND, amount, 300_000, b""))

    def act(self, where: str, wanted: Call, *, contract: bool = False) -> None:
        """The user does it, by himself or through the hostile contract there."""
        if contract:
            wanted = self.intruder(where).acting(wanted, value=wanted.value)
        if where == L2:
            self.derive()
        self.read(where, self.do(self.side(where).send(self.scene.user, replace(wanted, gas=5_000_000))))

    # -- targets

    def change_mood(self, rng: Random) -> None:
        """The hostile contract starts or stops refusing."""
        where = rng.choice([L1, L2])
        self.refuses[where] = not self.refuses[where]
        self.derive()
        self.do(self.intruder(where).feel(self.scene.crook, REFUSE if self.refuses[where] else ACCEPT))

    def rehearse(self, rng: Random) -> None:
        """The hostile contract shall call back: finalize and relay, whatever there is."""
        assert self.books is not None
        where = rng.choice([L1, L2])
        some = [message for (there, _), message in self.books.messages.items() if there == where]
        script = [message.relay(self.messenger(where)) for message in some[-5:]]
        if where == L1:
            script += [finalizing(self.alpha, found.withdrawal) for found in self.withdrawals[-5:]]
        self.derive()
        chosen = rng.sample(script, min(len(script), rng.randint(0, 2)))
        self.do(self.intruder(where).rehearse(self.scene.crook, *chosen))

    # -- the way

    def derive(self, _: Random | None = None) -> None:
        """The rollup takes in what L1 has deposited."""
        books = self.books
        assert books is not None
        self.do(self.alpha.follow())
        for digest, deposit in books.arriving:
            receipt = self.do(self.alpha.request("eth_getTransactionReceipt", digest))
            books.alive += deposit.mint
            sender, target = to_hex(deposit.sender), to_hex(deposit.to or b"")
            books.move(L2, None, sender, deposit.mint)
            if receipt is not None and receipt["status"] == "0x1":
                books.move(L2, sender, target, deposit.value)
                self.read(L2, receipt)
            self.seen[f"deposit {None if receipt is None else receipt['status']}"] += 1
        books.arriving = []

    def prove(self, rng: Random) -> None:
        """Anybody proves any withdrawal, against the last output."""
        index = self.propose()
        self.prove_against(rng.choice(self.withdrawals), index)

    def prove_against(self, passed: Passed, index: int) -> None:
        """Prove one withdrawal; the portal takes a first proof, and another one if the output of the first was replaced."""
        inclusion = self.do(self.alpha.inclusion(passed.withdrawal, (index + 1) * INTERVAL))
        before = self.proofs.get(passed.withdrawal.hash)
        works = before is None or self.outputs[before[0]][0] != before[1]
        wanted = proving(self.alpha, passed.withdrawal, index, inclusion)
        assert works == self.attempt(L1, wanted)
        if works:
            self.proofs[passed.withdrawal.hash] = (index, self.outputs[index][0], self.l1.now)

    def propose(self, wrong: str | None = None) -> int:
        """Propose whatever is due, the last one wrong if asked to; the index of the last one."""
        self.derive()
        number = self.alpha.head.number + (INTERVAL if wrong else 0)
        due = -(-number // INTERVAL) * INTERVAL
        index = self.do(self.scene.bridge.propose(self.alpha, number, {due: wrong} if wrong else None))
        self.outputs += [self.output(place) for place in range(len(self.outputs), index + 1)]
        assert index == len(self.outputs) - 1
        return index

    def finalize(self, rng: Random) -> None:
        """Anybody finalizes any withdrawal: unproven, early, again, or with too little gas."""
        ready = [one for one in self.withdrawals if self.mature(one.withdrawal)]
        withdrawal = rng.choice(ready if ready and rng.random() < MOSTLY else self.withdrawals).withdrawal
        works, mean = self.mature(withdrawal), rng.random() > MOSTLY
        done = self.attempt(L1, replace(finalizing(self.alpha, withdrawal), gas=TIGHT if mean else CALL_GAS))
        if self.sound:
            assert done <= works if mean else done == works

    def mature(self, withdrawal: Withdrawal) -> bool:
        """Whether the portal has to finalize it in the next block."""
        assert self.books is not None
        proof = self.proofs.get(withdrawal.hash)
        if proof is None or proof[0] >= len(self.outputs) or withdrawal.hash not in self.books.leaving:
            return False
        root, time = self.outputs[proof[0]]
        return root == proof[1] and self.l1.now + 1 > max(time, proof[2]) + PERIOD_S

    def relay(self, rng: Random) -> None:
        """Anybody relays any message, with enough gas or not: what is kept runs, what ran or never came does not."""
        assert self.books is not None
        if not self.books.messages:
            return
        self.derive()
        kept = sorted(self.books.failed)
        every = kept if kept and rng.random() < MOSTLY else sorted(self.books.messages)
        key = rng.choice(every)
        where, message = key[0], self.books.messages[key]
        works, gas = key in kept, CALL_GAS if rng.random() < MOSTLY else TIGHT
        done = self.attempt(where, replace(message.relay(self.messenger(where)), gas=gas))
        if self.sound:
            assert done <= works if gas == TIGHT else done == works

    def hurry(self, rng: Random) -> None:
        """An eager relayer takes up to three withdrawals all the way."""
        index = self.propose()
        unproven = [one for one in self.withdrawals if one.withdrawal.hash not in self.proofs]
        for found in rng.sample(unproven, min(3, len(unproven))):
            self.prove_against(found, index)
        self.pass_time(PERIOD_S + 1)
        for _ in range(4):
            self.finalize(rng)

    def wait(self, rng: Random) -> None:
        """Nothing happens for a while."""
        self.pass_time(rng.choice([5, 40, PERIOD_S + 1]))

    def pass_time(self, seconds: int) -> None:
        """Time passes on L1; the challenger uses it."""
        if self.lie is not None and self.challenged:
            self.delete(self.lie)
        self.l1.wait(seconds)

    def challenge(self, rng: Random) -> None:
        """The challenger deletes outputs, right or wrong; final ones stay."""
        if self.outputs and self.challenged:
            self.delete(rng.randrange(max(0, len(self.outputs) - 3), len(self.outputs)))

    def delete(self, index: int) -> None:
        """Delete an output and all after it."""
        works = self.l1.now + 1 - self.outputs[index][1] < PERIOD_S
        wanted = theirs("L2OutputOracle", self.at["oracle"], "deleteL2Outputs", index)
        assert works == self.attempt(L1, wanted, self.alpha.challenger)
        if works:
            del self.outputs[index:]
            if self.lie is not None and self.lie >= index:
                self.lie = None

    # -- thieves

    def propose_a_lie(self, _: Random) -> None:
        """The proposer claims a state with a withdrawal in it that never was, and proves that."""
        if self.lie is not None:
            return
        withdrawal, inclusion = self.forgery()
        self.lie = self.propose(inclusion.parts.root)
        assert self.attempt(L1, proving(self.alpha, withdrawal, self.lie, inclusion))
        self.loot.append(withdrawal)
        self.seen["lies"] += 1

    def forge_a_proof(self, rng: Random) -> None:
        """A thief proves a withdrawal that never was, against a true output."""
        if not self.outputs:
            return
        withdrawal, inclusion = self.forgery()
        if self.attempt(L1, proving(self.alpha, withdrawal, rng.randrange(len(self.outputs)), inclusion)):
            assert not self.sound
            self.loot.append(withdrawal)

    def cash_in(self, rng: Random) -> None:
        """A thief finalizes what never was, at once or when it should be ripe."""
        if not self.loot:
            return
        if rng.random() < HALF:
            self.pass_time(PERIOD_S + 1)
        done = self.attempt(L1, finalizing(self.alpha, rng.choice(self.loot)))
        assert not (done and self.sound)
        self.seen["cashed in" if done else "not cashed in"] += 1

    def forge_a_message(self, rng: Random) -> None:
        """A thief tells messengers, bridges and the twin what only their counterparts may."""
        crook, token = self.scene.crook.address, self.scene.token
        bridges = {L1: self.at["bridge"], L2: L2_STANDARD_BRIDGE}
        pairs = {L1: (token.l1, token.l2), L2: (token.l2, token.l1)}
        where, other = rng.sample([L1, L2], 2)
        pays = theirs(BRIDGE, bridges[where], "finalizeBridgeERC20", *pairs[where], crook, crook, 5, b"")
        self.forgeries += 1
        nonce = (1 << 240) + 10**6 + self.forgeries
        message = Message(nonce, bridges[other], bridges[where], 0, 300_000, pays.data)
        thefts = [pays, message.relay(self.messenger(where))]
        thefts += [erc20(token.l2, "mint", crook, 5)] if where == L2 else []
        self.derive()
        done = self.attempt(where, rng.choice(thefts))
        assert not (done and self.sound)

    def forgery(self) -> tuple[Withdrawal, Inclusion]:
        """A withdrawal that never was, and a state in which it is the only one."""
        self.forgeries += 1
        nonce = (1 << 240) + 10**6 + self.forgeries
        withdrawal = Withdrawal(nonce, self.scene.crook.address, "0x" + "c0" * 20, ETHER, 0, b"")
        return withdrawal, forged(withdrawal)

    # -- the books

    def attempt(self, where: str, wanted: Call, account: Any = None) -> bool:
        """Whether a transaction, of the crook by default, has an effect; if it has, it goes into the books."""
        try:
            receipt = self.do(self.side(where).send(account or self.scene.crook, wanted))
        except Refused:
            self.seen[f"{wanted.function} refused"] += 1
            return False
        self.seen[f"{wanted.function} done"] += 1
        self.read(where, receipt)
        return True

    def read(self, where: str, receipt: Receipt) -> None:
        """Enter what a transaction said, in the order in which it said it."""
        books = self.books
        assert books is not None
        for message in sent(receipt, self.messenger(where)):
            self.enter_message(L2 if where == L1 else L1, message)
        for log in receipt["logs"]:
            topics, address = [from_hex(topic) for topic in log["topics"]], log["address"].lower()
            if address == self.messenger(where):
                event = op_artifact(MESSENGER).interface.decode_event(topics, from_hex(log["data"]))
                if event is not None and event.name in ("RelayedMessage", "FailedRelayedMessage"):
                    self.enter_relay(where, event.arguments["msgHash"], success=event.name[0] == "R")
            elif address == self.at["portal"] and log["topics"][0] == DEPOSITED_TOPIC:
                raw = user_deposit(log, receipt["blockHash"])
                books.arriving.append((to_hex(keccak256(raw)), decode_deposit(raw)))
                books.portal += decode_deposit(raw).mint
            elif address == self.at["portal"]:
                event = op_artifact("OptimismPortal").interface.decode_event(topics, from_hex(log["data"]))
                if event is not None and event.name == "WithdrawalFinalized":
                    self.enter_finalization(
                        to_hex(event.arguments["withdrawalHash"]), success=event.arguments["success"]
                    )
            elif address == L2_TO_L1_MESSAGE_PASSER:
                withdrawal = passed(log).withdrawal
                books.leaving[withdrawal.hash] = withdrawal
                books.alive -= withdrawal.value

    def enter_message(self, there: str, message: Message) -> None:
        """A message is on its way."""
        assert self.books is not None
        self.books.messages[there, message.hash] = message
        payer, _, amount = self.carried(message)
        if amount and (L1 if there == L2 else L2, payer) in self.books.tokens:
            self.books.tokens[L1 if there == L2 else L2, payer] -= amount

    def enter_relay(self, where: str, digest: bytes, *, success: bool) -> None:
        """A message ran, or failed and is kept."""
        books = self.books
        assert books is not None
        self.seen[f"relay {success}"] += 1
        if not success:
            books.failed.add((where, digest))
        elif (where, digest) in books.messages.keys() - books.done:
            message = books.messages[where, digest]
            _, payee, amount = self.carried(message)
            books.move(where, self.messenger(where), payee, message.value)
            if (where, payee) in books.tokens:
                books.tokens[where, payee] += amount
            books.done.add((where, digest))
            books.failed.discard((where, digest))

    def enter_finalization(self, digest: str, *, success: bool) -> None:
        """A withdrawal is final; what its target did not take stays in the portal for good."""
        books = self.books
        assert books is not None
        self.seen[f"finalized {success}"] += 1
        withdrawal = books.leaving.pop(digest, None)
        if withdrawal is None:
            return
        if success:
            books.portal -= withdrawal.value
            books.move(L1, None, withdrawal.target, withdrawal.value)
        else:
            books.stranded += withdrawal.value

    def carried(self, message: Message) -> tuple[str, str, int]:
        """Who pays and who gets what a message carries, and how many tokens that is."""
        if message.sender.lower() not in (self.at["bridge"], L2_STANDARD_BRIDGE):
            return message.sender.lower(), message.target.lower(), 0
        interface = op_artifact(BRIDGE).interface
        if message.value or message.data[:4] == _selector("finalizeBridgeETH"):
            payer, payee, _, _ = interface.decode_arguments("finalizeBridgeETH", message.data)
            return payer, payee, 0
        _, _, payer, payee, amount, _ = interface.decode_arguments("finalizeBridgeERC20", message.data)
        return payer, payee, amount

    # -- what must hold

    @invariant()
    def the_challenger_is_in_time(self) -> None:
        """It looks after every step, and doesn't wait until it is too late."""
        if self.lie is not None and self.challenged and self.l1.now - self.outputs[self.lie][1] > PATIENCE_S:
            self.delete(self.lie)

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        """What is held is what is in the books, and adds up."""
        if (books := self.books) is None:
            return
        self.seen["steps"] += 1
        found = self.look()
        arriving = sum(deposit.mint for _, deposit in books.arriving)
        leaving = sum(withdrawal.value for withdrawal in books.leaving.values())
        balanced("ether", found.alive + arriving + leaving + books.stranded, found.portal)
        balanced("ether in the portal", books.portal, found.portal)
        balanced("ether on the rollup", books.alive, found.alive)
        for key, wei in books.holds.items():
            balanced(f"ether of {key}", wei, found.holds[key])
        waiting = [message for key, message in books.messages.items() if key not in books.done]
        on_the_way = sum(self.carried(message)[2] for message in waiting)
        balanced("tokens", found.supply + on_the_way, found.held)
        balanced("tokens in the bridge", found.booked, found.held)
        for key, units in books.tokens.items():
            balanced(f"tokens of {key}", units, found.tokens[key])

    def look(self) -> "Seen":
        """Ask each chain for everything at once."""
        books, token, at = self.books, self.scene.token, self.at["bridge"]
        assert books is not None
        local, words = {L1: token.l1, L2: token.l2}, {}
        for where in (L1, L2):
            holders = [key for key in books.holds if key[0] == where]
            owners = [key for key in books.tokens if key[0] == where]
            asked = [wei_of(who) for _, who in holders]
            asked += [erc20(local[where], "balanceOf", who) for _, who in owners]
            asked += (
                [
                    wei_of(self.at["portal"]),
                    erc20(token.l1, "balanceOf", at),
                    theirs(BRIDGE, at, "deposits", token.l1, token.l2),
                ]
                if where == L1
                else [erc20(token.l2, "totalSupply"), *map(wei_of, self.everybody())]
            )
            answers = self.do(words_of(self.side(where), asked))
            words |= dict(zip([*holders, *((key, "tokens") for key in owners)], answers, strict=False))
            words[where] = answers[len(holders) + len(owners) :]
        portal, held, booked = words[L1]
        supply, *wei = words[L2]
        return Seen(
            portal,
            self.rest + sum(wei),
            held,
            booked,
            supply,
            {key: words[key] for key in books.holds},
            {key: words[key, "tokens"] for key in books.tokens},
        )

    def everybody(self) -> list[str]:
        """All on the rollup who can have ether, but the message passer."""
        plan = self.scene.bridge.plan
        people = {person.address.lower() for person in (*plan.users, *plan.roles)}
        alias = {
            to_hex(apply_alias(from_hex(who))) for who in (self.intruder(L1).address, self.at["messenger"])
        }
        found = people | alias | {FRIEND, self.intruder(L2).address, *PREDEPLOYS.values()}
        return sorted(found - {L2_TO_L1_MESSAGE_PASSER})

    def teardown(self) -> None:
        """Everything can be brought to its end. Then back to the start."""
        try:
            if self.books is not None and self.sound:
                self.bring_to_an_end(self.books)
        finally:
            self.do(self.stack.aclose())

    def bring_to_an_end(self, books: Books) -> None:
        """No target, thief or relayer keeps anything in between for good; only what was sent to nowhere stays there."""
        if self.lie is not None:
            self.delete(self.lie)
        for where in (L1, L2):
            self.derive()
            self.do(self.intruder(where).rehearse(self.scene.crook))
            self.do(self.intruder(where).feel(self.scene.crook, ACCEPT))
        index = self.propose()
        for passed_ in self.withdrawals:
            proof = self.proofs.get(passed_.withdrawal.hash)
            if passed_.withdrawal.hash in books.leaving and (
                proof is None or self.outputs[proof[0]][0] != proof[1]
            ):
                self.prove_against(passed_, index)
        self.l1.wait(PERIOD_S + 1)
        for withdrawal in list(books.leaving.values()):
            assert self.attempt(L1, finalizing(self.alpha, withdrawal))
        for where, digest in sorted(books.failed):
            assert self.attempt(where, books.messages[where, digest].relay(self.messenger(where)))
        self.nothing_is_made_or_lost()
        undone = [message for key, message in books.messages.items() if key not in books.done]
        assert {one.target.lower() for one in undone} <= {self.messenger(L1), self.messenger(L2)}
        assert (0, 0, 0) == (len(books.arriving), len(books.leaving), len(books.failed))
        assert [0, 0] == [books.holds[where, self.messenger(where)] for where in (L1, L2)]
        found = self.do(ether(self.scene.bridge, self.alpha))
        assert (0, books.alive, books.portal, books.stranded) == (
            found.surplus,
            found.alive,
            found.held,
            found.stranded,
        )
        assert 0 == self.do(tokens(self.scene.bridge, self.alpha, self.scene.token)).surplus
        assert 0 == self.do(ether(self.scene.bridge, self.scene.beta)).surplus


MULTICALL = Interface(
    [
        {
            "type": "function",
            "name": "aggregate3",
            "inputs": [
                {
                    "type": "tuple[]",
                    "components": [{"type": "address"}, {"type": "bool"}, {"type": "bytes"}],
                }
            ],
            "outputs": [{"type": "tuple[]", "components": [{"type": "bool"}, {"type": "bytes"}]}],
        },
        {
            "type": "function",
            "name": "getEthBalance",
            "inputs": [{"type": "address"}],
            "outputs": [{"type": "uint256"}],
        },
    ]
)
"""What is used here of MultiCall3, which is in every genesis."""


@cache
def wei_of(address: str) -> Call:
    """Asks for a balance."""
    return call(MULTICALL, PREINSTALLS["MultiCall3"], "getEthBalance", address)


async def words_of(side: Side, asked: list[Call]) -> list[int]:
    """The answers to many questions, in one."""
    calls = [(one.to, False, one.data) for one in asked]
    answers = await side.read(call(MULTICALL, PREINSTALLS["MultiCall3"], "aggregate3", calls))
    return [int.from_bytes(answer, "big") for _, answer in answers]


def balanced(what: str, expected: int, found: int) -> None:
    """Raise if they differ."""
    if expected != found:
        raise Unbalanced(f"{what}: {found} is held, {expected} is accounted for")


def _selector(function: str) -> bytes:
    interface = op_artifact(BRIDGE).interface
    addresses = 4 if function == "finalizeBridgeERC20" else 2
    return interface.encode_call(function, *["0x" + "00" * 20] * addresses, 0, b"")[:4]


# -- what must be caught


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bridge with one rule broken."""

    name: str
    contract: str = ""
    """Whose check is cut out."""
    check: str = ""
    """What the check says when it fails."""
    derive: Callable[[tuple[str, ...]], tuple[str, ...]] | None = None
    """What derivation makes of a block's deposits."""
    challenged: bool = True


def each(change: Callable[[Deposit], Deposit]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """A derivation that changes every deposit."""
    return lambda raws: tuple(to_hex(encode_deposit(change(decode_deposit(from_hex(raw))))) for raw in raws)


def repeated(raws: tuple[str, ...]) -> tuple[str, ...]:
    """A derivation that takes every deposit twice, under two names."""
    renamed = each(lambda deposit: replace(deposit, source_hash=keccak256(deposit.source_hash)))(raws)
    return tuple(raw for pair in zip(raws, renamed, strict=True) for raw in pair)


def unaliased(deposit: Deposit) -> Deposit:
    """A contract of L1 as if it were the one of the same address here."""
    known = {apply_alias(from_hex(Bridging.scene.on_l1.address))}
    return replace(deposit, sender=undo_alias(deposit.sender)) if deposit.sender in known else deposit


REPLAYED = "CrossDomainMessenger: message cannot be replayed"
OTHER_BRIDGE = "StandardBridge: function can only be called from the other bridge"
MUTANTS = (
    Mutant("finalize-twice", "OptimismPortal", "OptimismPortal: withdrawal has already been finalized"),
    Mutant("prove-by-any-root", "OptimismPortal", "OptimismPortal: invalid output root proof"),
    Mutant(
        "finalize-by-a-deleted-output",
        "OptimismPortal",
        "OptimismPortal: output root proven is not the same as current output root",
    ),
    Mutant("relay-what-never-came-to-l1", "L1CrossDomainMessenger", REPLAYED),
    Mutant("relay-what-never-came-to-l2", "L2CrossDomainMessenger", REPLAYED),
    Mutant("pay-anybody-on-l1", "L1StandardBridge", OTHER_BRIDGE),
    Mutant("pay-anybody-on-l2", "L2StandardBridge", OTHER_BRIDGE),
    Mutant("mint-for-anybody", "twin", "OptimismMintableERC20: only bridge can mint and burn"),
    Mutant("derive-twice", derive=repeated),
    Mutant("drop-deposits", derive=lambda raws: raws[:0]),
    Mutant("drop-a-second-deposit", derive=lambda raws: raws[:1]),
    Mutant("forget-the-mint", derive=each(lambda deposit: replace(deposit, mint=0))),
    Mutant("forget-the-alias", derive=each(unaliased)),
    Mutant("sleeping-challenger", challenged=False),
)


def without(code: bytes, check: str) -> bytes:
    """A contract's code in which one ``require`` lets everything pass: where it would begin to revert, it jumps on."""
    text, found = check.encode(), 0
    for match in re.finditer(re.escape(text[:32]), code):
        if text[32:64] not in code[match.start() : match.start() + 100]:
            continue  # another text that begins alike
        revert = code.rindex(b"\x60\x40\x51", 0, match.start())
        jump = code[revert - 4 : revert]
        assert (b"\x61", b"\x57") == (jump[:1], jump[3:])
        code = code[:revert] + jump[:3] + b"\x56" + code[revert + 4 :]
        found += 1
    assert found
    return code


async def break_contract(scene: Scene, mutant: Mutant) -> None:
    """Put a mutant's code in the place of a contract's."""
    side: Side = scene.alpha if mutant.contract in (*PREDEPLOYS, "twin") else scene.bridge.l1
    if mutant.contract == "twin":
        address = scene.token.l2
    elif side is scene.alpha:
        address = implementation_of(mutant.contract)
    else:
        address = deployments(scene.bridge.plan).l1[mutant.contract]
    code = from_hex(await side.request("eth_getCode", address, "latest"))
    await side.request("anvil_setCode", address, to_hex(without(code, mutant.check)))
    await scene.bridge.l1.mine()
    await scene.alpha.mine()


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A scene of its own for each test."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        Bridging.runner = runner
        Bridging.scene = runner.run(stack.enter_async_context(scene_of_attack(Path(folder), crowd=2)))
        Bridging.sound, Bridging.challenged, Bridging.undo, Bridging.seen = True, True, True, Counter()
        try:
            yield Bridging.scene
        finally:
            runner.run(stack.aclose())


def run(examples: int, steps: int) -> None:
    """Let hypothesis choose the moves, from the same start every time."""
    machine = Bridging.TestCase
    machine.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    machine("runTest").runTest()


def run_seeded(seed: int, steps: int) -> None:
    """The same machine and moves, so many in a row.

    Not by hypothesis: its first example is always the simplest, so many times the same step, and a longer one overruns its buffer.
    """
    rng = Random(seed)
    machine = Bridging()
    try:
        machine.open_books()
        for _ in range(steps):
            machine.move(rng.choice(MOVES), rng.getrandbits(32))
            machine.the_challenger_is_in_time()
            machine.nothing_is_made_or_lost()
    finally:
        machine.teardown()


def test_random_bridging_conserves_ether_and_tokens(scene: Scene) -> None:
    """Many short runs: after every step all is in the books and adds up, and in the end all comes to its end."""
    run(12, 30)
    assert 12 * 20 < Bridging.seen["steps"]


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_run_conserves_ether_and_tokens(scene: Scene, seed: int) -> None:
    """300 steps in a row, on a chain that grows, in which everything happens."""
    Bridging.undo = False
    run_seeded(seed, 300)
    assert set() == {*MOVES, *EVERYTHING} - Bridging.seen.keys()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_bridge_that_breaks_a_rule_is_caught(scene: Scene, mutant: Mutant) -> None:
    """The runs above aren't green because they look away: what is broken here is what they look at."""
    Bridging.sound, Bridging.challenged, Bridging.undo = False, mutant.challenged, False
    if mutant.contract:
        Bridging.runner.run(break_contract(scene, mutant))
    scene.alpha.alter = mutant.derive or tuple
    with pytest.raises(Unbalanced):
        run_seeded(SEEDS[0], 300)
