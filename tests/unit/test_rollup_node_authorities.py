"""A chain under two authorities: whatever the sequencer and L1 say, in whatever order, and whenever the node dies, it is what a plain list says."""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.wire.slot import Block, Payload, payload_digest
from bridge.wire.testing import Op
from rollup_node import chain as chain_module
from rollup_node.errors import EngineFailed, NotNext, StaleTerm
from rollup_node.subscriptions import Filters
from rollup_node.testing import Decided, Node, payload

LONGEST = 3
"""Blocks that the machine's engine undoes in place."""
JUNK = "0x" + "11" * 32
FAILING = ((Op.NEED, 0, 1),)
"""A program that reverts."""


@dataclass(frozen=True)
class Told:
    """One block of the model."""

    block: Block
    claim: Payload
    """What the authority said; the block holds less where bundles failed."""


class Authorities(RuleBasedStateMachine):
    """The model is a list of blocks, what is safe and finalized, and what each line of the store's log left."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.patch = patch.object(chain_module, "LONGEST_ROLLBACK", LONGEST)
        self.patch.start()
        self.runner = asyncio.Runner()
        self.reference = Decided()
        self.chain: list[Told] = []
        self.judged = 0
        self.lines: list[tuple[list[Told], int]] = [([], 0)]
        """The chain, and how far it was judged, after each line of the log."""
        self.safe = self.finalized = self.noted_safe = self.noted_finalized = 0
        self.term = 1
        self._begin()

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.node.close()
        self.runner.close()
        self.patch.stop()
        self.folder.cleanup()

    def run(self, action: Coroutine[Any, Any, Any]) -> Any:
        """To its end."""
        return self.runner.run(action)

    def _begin(self) -> None:
        self.node = self.run(Node(Path(self.folder.name)).begin())
        self.filters = Filters(self.node.chain)
        self.filter = self.run(self.filters.new_block_filter())
        self.told = len(self.chain)

    def _again(self) -> None:
        """The node starts over from its files."""
        self.node.close()
        self._begin()
        head = min(len(self.chain), self.judged)
        self.safe, self.finalized = min(self.noted_safe, head), min(self.noted_finalized, head)
        self.noted_safe, self.noted_finalized = self.safe, self.finalized

    def _next(self, claim: Payload, *, derived: bool) -> Block:
        """The block that follows from the model's head."""
        kept = replace(claim, bundles=()) if derived and self._fails(claim) else claim
        blocks = [told.block for told in self.chain]
        return self.run(self.reference.on(blocks, kept))

    @staticmethod
    def _fails(claim: Payload) -> bool:
        return claim.sequence == 1

    def _claim(self, number: int, kind: int) -> Payload:
        """One of several payloads for a height; the last has a bundle that fails."""
        if kind < 3:
            return payload(number, kind, bundled=kind == 2)
        return replace(payload(number, kind, FAILING, bundled=True), sequence=1)

    def _extend(self, block: Block, claim: Payload) -> None:
        self.chain = [*self.chain, Told(block, claim)]
        self._line()

    def _line(self) -> None:
        self.lines.append((self.chain, self.judged))

    def _cut(self, number: int) -> None:
        self.chain, self.judged = self.chain[:number], min(self.judged, number)
        self._line()
        self.safe, self.finalized = min(self.safe, number), min(self.finalized, number)
        self.noted_safe, self.noted_finalized = (
            min(self.noted_safe, number),
            min(self.noted_finalized, number),
        )
        self.told = min(self.told, number)

    def _may_fail(self, number: int) -> bool:
        return len(self.chain) - number > LONGEST or number < self.node.engine.floor

    @rule(kind=st.integers(0, 3), staged=st.booleans(), sure=st.booleans())
    def commit(self, kind: int, staged: bool, sure: bool) -> None:
        """The sequencer decides the next block; it may have staged it, and may know its parent. A lie about a bundle is not served."""
        claim = self._claim(len(self.chain) + 1, kind)
        block = self._next(claim, derived=False)
        if staged:
            self.run(self.node.stage(claim, term=self.term))
        parent = self.node.chain.gate.hash if sure else None
        if self._fails(claim):
            with pytest.raises(NotNext, match="bundle that has no effect"):
                self.run(self.node.commit(block, parent=parent, term=self.term))
            return
        assert block.hash == self.run(self.node.commit(block, parent=parent, term=self.term)).hash
        self._extend(block, claim)

    @rule(data=st.data(), kind=st.integers(0, 3))
    def commit_out_of_place(self, data: st.DataObject, kind: int) -> None:
        """Committed before, another one in its place, after a hole, on another parent, with a false hash: nothing changes."""
        head = len(self.chain)
        number = data.draw(st.integers(1, head + 3))
        known = data.draw(st.sampled_from(["", None, JUNK]))
        if number <= head and data.draw(st.booleans()):
            block, claim = self.chain[number - 1].block, self.chain[number - 1].claim
            # nobody decides a block without the bundles that its batch held: derivation alone makes such a one
            error = None if block.payload == claim else NotNext
        else:
            block = Block(901, number, JUNK, JUNK, self._claim(number, kind))
            told = self.chain[number - 1] if number <= head else None
            here = told is not None and block.payload == told.claim == told.block.payload
            error = None if here and number < head else NotNext
        with pytest.raises(error) if error else contextlib.nullcontext():
            self.run(self.node.commit(block, parent=known, term=self.term))

    @rule(data=st.data(), kind=st.integers(0, 3))
    def derive(self, data: st.DataObject, kind: int) -> None:
        """L1 holds a block: the one that is there, another at any depth, the next, or one after a hole."""
        head = len(self.chain)
        number = data.draw(st.integers(1, head + 2))
        same = number <= head and data.draw(st.booleans())
        claim = self.chain[number - 1].claim if same else self._claim(number, kind)
        if number > head + 1:
            with pytest.raises(NotNext):
                self.run(self.node.derive(number, claim))
            return
        replaced = number <= head and claim != self.chain[number - 1].claim
        may_fail = self._may_fail(number - 1)
        known = ("L1", payload_digest(claim)) in self.node.store.dropped
        if replaced:
            self._cut(number - 1)
        if self._fails(claim) and not known:
            self._line()  # that its bundle takes no effect is noted first
        try:
            assert replaced == self.run(self.node.derive(number, claim))
        except EngineFailed:
            assert replaced
            assert may_fail
            self._again()
            assert not self.run(self.node.derive(number, claim))
        if number == len(self.chain) + 1:
            self._extend(self._next(claim, derived=True), claim)
        if number > self.judged:
            self.judged = number
            self._line()
        self.safe = max(self.safe, number)
        self.noted_safe, self.noted_finalized = self.safe, self.finalized

    @rule(data=st.data(), knows=st.booleans())
    def rewind(self, data: st.DataObject, knows: bool) -> None:
        """The sequencer cancels blocks: those that L1 holds stay."""
        head = len(self.chain)
        number = data.draw(st.integers(0, head + 1))
        wrong = data.draw(st.booleans()) and knows
        hashes = [None, *(told.block.hash for told in self.chain), None]
        digest = JUNK if wrong else hashes[number] if knows else None
        if number < self.safe or number > head or wrong:
            with pytest.raises(NotNext):
                self.run(self.node.chain.rewind(number, digest))
            return
        may_fail = self._may_fail(number)
        if number < head:
            self._cut(number)
        try:
            self.run(self.node.chain.rewind(number, digest))
        except EngineFailed:
            assert may_fail
            self._again()

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """L1's word on how far the chain is safe, which may take back an earlier one."""
        safe, finalized = data.draw(st.integers(0, 30)), data.draw(st.integers(0, 30))
        self.node.chain.settle(safe, finalized)
        self.safe = self.noted_safe = min(safe, self.judged)
        self.finalized = self.noted_finalized = min(finalized, self.safe)

    @rule(kind=st.integers(0, 3), stale=st.booleans())
    def stage(self, kind: int, stale: bool) -> None:
        """A block above the gate that is never decided, or on a parent that is no longer the head."""
        claim = self._claim(len(self.chain) + 1, kind)
        with pytest.raises(NotNext) if stale else contextlib.nullcontext():
            self.run(self.node.stage(claim, parent=JUNK if stale else None, term=self.term))

    @rule(newer=st.booleans())
    def greet(self, newer: bool) -> None:
        """A sequencer begins; the one before it is over."""
        self.term += newer
        self.run(self.node.chain.greet(self.term))
        with pytest.raises(StaleTerm):
            self.run(self.node.chain.greet(self.term - 1))

    @rule()
    def checkpoint(self) -> None:
        """The state is stored."""
        self.run(self.node.chain.checkpoint())

    @rule(torn=st.booleans(), data=st.data())
    def crash(self, torn: bool, data: st.DataObject) -> None:
        """Killed and started again; the log's last line may have been lost, in whole or in part."""
        log = Path(self.folder.name) / "blocks.log"
        lines = log.read_bytes().splitlines(keepends=True)
        if torn and lines:
            left = data.draw(st.integers(0, len(lines[-1]) - 1))
            log.write_bytes(b"".join(lines[:-1]) + lines[-1][:left])
            self.lines.pop()
            self.chain, self.judged = self.lines[-1]
        self._again()

    @precondition(lambda self: len(self.chain) > 0)
    @rule()
    def poll(self) -> None:
        """A block filter tells every block once, and again what replaced one that it told of."""
        new = [told.block.hash for told in self.chain[self.told :]]
        assert new == self.run(self.filters.changes(self.filter))
        self.told = len(self.chain)

    @invariant()
    def same(self) -> None:
        """Head, store, engine and block tags are the model's."""
        blocks, chain = [told.block for told in self.chain], self.node.chain
        hashes = [block.hash for block in blocks]
        assert (len(blocks), hashes[-1:]) == (chain.gate.number, [chain.gate.hash] if blocks else [])
        assert blocks == self.node.store.blocks()
        assert (self.safe, self.finalized) == (chain.heads.safe, chain.heads.finalized)
        assert 0 <= self.finalized <= self.safe <= len(blocks)
        held = {block.header.number: block.header.hash for block in self.node.engine.blocks}
        assert hashes == [held[number] for number in range(1, len(blocks) + 1)]


Authorities.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAuthorities = Authorities.TestCase
