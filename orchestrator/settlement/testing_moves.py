"""Everything that users, relayers, challengers and thieves can do at a bridge, for tests; each move looks its part up in the books."""

from dataclasses import replace
from random import Random

from bridge.contracts.addresses import L2_STANDARD_BRIDGE, L2_TO_L1_MESSAGE_PASSER
from bridge.relayer.withdrawal import Inclusion, Passed, Withdrawal
from bridge.wire.keccak import to_hex
from orchestrator.settlement.testing_accounting import BRIDGE, MESSENGER, Message, erc20
from orchestrator.settlement.testing_attacks import forged
from orchestrator.settlement.testing_bookkeeping import BookKeeping
from orchestrator.settlement.testing_books import L1, L2
from orchestrator.settlement.testing_bridge import INTERVAL, PERIOD_S, finalizing, proving
from orchestrator.settlement.testing_scene import ACCEPT, ETHER, FRIEND, REFUSE
from orchestrator.settlement.testing_sides import CALL_GAS, Call, theirs

WEI = (0, 1, 7, ETHER)
HALF, MOSTLY = 0.5, 0.7
TIGHT = 250_000
"""Gas of a relayer who is mean: enough to begin, mostly not to end well."""


class Moves(BookKeeping):
    """What can happen; a random run takes any of them in any order."""

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
