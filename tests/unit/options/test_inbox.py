"""I11 within a block: what L1 has said is executed before everything else, in L1's order, wherever the payload has it; and mutants."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.testing_mutants import hunt, patched
from rollup_node.engines.options.transactions.decode import Section
from rollup_node.engines.options.transactions.interfaces import ACCOUNTS
from rollup_node.engines.options.transition import arrange, block
from rollup_node.engines.options.transition.arrange import Arranged, Placed
from rollup_node.engines.options.transition.context import WEI_PER_CASH as UNIT
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.transition.testing_mail import QUICK
from rollup_node.engines.options.transition.testing_messages import Counterpart, envelope, linked

PAYLOADS = st.lists(
    st.tuples(st.sampled_from(["cash", "call", "message", "user"]), st.integers(0, 3)), max_size=9
)


@settings(max_examples=12, deadline=None)
@given(PAYLOADS)
def test_what_l1_forces_comes_first_and_in_its_order(written: list[tuple[str, int]]) -> None:
    """I11: wherever a payload has its deposits, they run before everything else, in their order, each with a receipt, and its cash is there."""
    desk = linked(QUICK)
    l1 = Counterpart(desk)
    desk.block(desk.deposit("bob", 10**6))
    raws, expected, minted = [], [], 0
    for kind, number in written:
        match kind:
            case "cash":
                raws.append(desk.deposit("alice", number))
            case "call":
                raws.append(desk.deposit("alice", number, to=ACCOUNTS, data=b"no such function"))
            case "message":
                raws.append(l1.deliver(envelope(nonce=len(raws), value=number * UNIT)))
            case _:
                raws.append(desk.send("bob", "openAccount"))
                continue
        expected.append(keccak256(raws[-1]))
        minted += number
    before = desk.world.globals.vault
    executed = desk.block(*raws)
    assert expected == [receipt.hash for receipt in executed.receipts[: len(expected)]]
    assert minted * UNIT == desk.world.globals.vault - before
    assert [] == violations(desk.world)


def _runs_the_inbox_last(old: Any) -> Any:
    def of(self: Arranged, section: Section) -> tuple[Placed, ...]:
        if section is Section.INBOX:
            return ()
        return old(self, section) + (old(self, Section.INBOX) if section is Section.BUNDLES else ())

    return of


def _runs_the_inbox_backwards(old: Any) -> Any:
    return lambda self, section: old(self, section)[:: -1 if section is Section.INBOX else 1]


def _takes_deposits_as_they_stand(old: Any) -> Any:
    return lambda message: Section.REST if message.is_deposit else old(message)


def _refuses_a_deposit(old: Any) -> Any:
    def arranged(transactions: Any, chain_id: int) -> Arranged:
        found = old(transactions, chain_id)
        *others, last = [one for one in found.placed if one.section is Section.INBOX] or [None]
        if not others:
            return found
        kept = tuple(one for one in found.placed if one is not last)
        return replace(found, placed=kept, refused=(*found.refused, (last.index, "the inbox is full")))

    return arranged


def _keeps_what_a_failed_deposit_brought(old: Any) -> Any:
    def step(self: Any, message: Any) -> Any:
        before = self._world.mark()
        receipt = old(self, message)
        if message.is_deposit and receipt.status == "failed":
            self._world.undo(before)
        return receipt

    return step


MUTANTS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (Arranged, "of", _runs_the_inbox_last),
    (Arranged, "of", _runs_the_inbox_backwards),
    (arrange, "section_of", _takes_deposits_as_they_stand),
    (block, "arrange", _refuses_a_deposit),
    (block._Run, "_step", _keeps_what_a_failed_deposit_brought),
]


@pytest.mark.parametrize(("target", "name", "made"), MUTANTS, ids=[one[2].__name__[1:] for one in MUTANTS])
def test_an_engine_that_wrongs_its_inbox_is_caught(
    target: Any, name: str, made: Callable[[Any], Any]
) -> None:
    """The test above fails on each."""
    with patched(target, name, made), pytest.raises(AssertionError):
        hunt(test_what_l1_forces_comes_first_and_in_its_order, PAYLOADS)
