"""A machine that keeps the books of a bridge, for tests: it reads what each transaction said, and holds what is there against it."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from bridge.contracts.addresses import (
    L2_CROSS_DOMAIN_MESSENGER,
    L2_STANDARD_BRIDGE,
    L2_TO_L1_MESSAGE_PASSER,
    PREDEPLOYS,
)
from bridge.contracts.op import op_artifact
from bridge.relayer.withdrawal import Passed, Withdrawal, passed
from bridge.wire.deposits import DEPOSITED_TOPIC, apply_alias, decode_deposit, user_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.settlement.testing_accounting import BRIDGE, MESSENGER, Message, erc20, ether, sent
from orchestrator.settlement.testing_books import L1, L2, Books, Seen, balanced, selector, wei_of, words_of
from orchestrator.settlement.testing_chains import Refused
from orchestrator.settlement.testing_scene import FRIEND, Intruder, Scene
from orchestrator.settlement.testing_sides import Call, Receipt, Side, theirs

T = TypeVar("T")


class BookKeeping(RuleBasedStateMachine):
    """A bridge, and the books of what was said there."""

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
        if message.value or message.data[:4] == selector("finalizeBridgeETH"):
            payer, payee, _, _ = interface.decode_arguments("finalizeBridgeETH", message.data)
            return payer, payee, 0
        _, _, payer, payee, amount, _ = interface.decode_arguments("finalizeBridgeERC20", message.data)
        return payer, payee, amount

    # -- what must hold

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

    def look(self) -> Seen:
        """Ask each chain for everything at once."""
        books, token, at = self.books, self.scene.token, self.at["bridge"]
        assert books is not None
        local = {L1: token.l1, L2: token.l2}
        words: dict[Any, Any] = {}
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
