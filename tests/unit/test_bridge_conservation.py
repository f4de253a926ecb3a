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
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from bridge.contracts.addresses import PREDEPLOYS
from bridge.wire.deposits import Deposit, apply_alias, decode_deposit, encode_deposit, undo_alias
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.l2 import implementation_of
from orchestrator.settlement.testing_accounting import ether, tokens
from orchestrator.settlement.testing_books import L1, L2, Books, Unbalanced
from orchestrator.settlement.testing_bridge import PERIOD_S, finalizing
from orchestrator.settlement.testing_moves import Moves
from orchestrator.settlement.testing_scene import ACCEPT, Scene, scene_of_attack
from orchestrator.settlement.testing_sides import Side

SEEDS = (1, 2)
PATIENCE_S = PERIOD_S - 30
"""Age at which the challenger deletes a wrong output at the latest."""
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


class Bridging(Moves):
    """Everything that can happen at a bridge, in any order."""

    @rule(move=st.sampled_from(MOVES), seed=st.integers(0, 2**32 - 1))
    def move(self, move: str, seed: int) -> None:
        """One of all that can happen. One rule, so that every run has everything in it."""
        self.seen[move] += 1
        getattr(self, move)(Random(seed))

    @invariant()
    def the_challenger_is_in_time(self) -> None:
        """It looks after every step, and doesn't wait until it is too late."""
        if self.lie is not None and self.challenged and self.l1.now - self.outputs[self.lie][1] > PATIENCE_S:
            self.delete(self.lie)

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
