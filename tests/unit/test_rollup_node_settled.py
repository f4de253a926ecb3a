"""``bundle.settled``: told of every leg that a final output covers, by the node that found the output right, never before L1 itself says so."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.stages import Stage
from rollup_node.chain import Chain
from rollup_node.challenger import Challenger
from rollup_node.outputs import Output, Outputs
from rollup_node.proposer import Oracle
from rollup_node.testing import BUNDLE, Decided, Node, payload

PERIOD = 100
"""Of challenge, seconds."""


class ToyOracle:
    """L1's list of outputs."""

    def __init__(self) -> None:
        self.outputs: list[tuple[str, int, int]] = []

    async def number(self, function: str, block: str = "latest") -> int:
        """Its counters."""
        return {"finalizationPeriodSeconds": PERIOD, "nextOutputIndex": len(self.outputs)}[function]

    async def output(self, index: int) -> tuple[str, int, int]:
        """Root, timestamp, L2 block."""
        return self.outputs[index]


class ToyOutputs:
    """What the node itself finds of its blocks."""

    def at(self, number: int) -> Output:
        """Any block is due."""
        root = f"0x{number:064x}"
        return Output(number, root, root, root)


class Setting:
    """A node whose blocks hold a bundle's leg (even heights) or a transaction, L1's outputs of it, and its challenger."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.oracle, self.now = folder, ToyOracle(), 0.0
        self.decided = Decided()
        self.node: Node
        self.challenger: Challenger

    async def begin(self) -> "Setting":
        """The node's next life."""
        self.node = await Node(self.folder).begin()
        self.challenger = Challenger(
            chain=self.node.chain,
            caught_up=lambda: True,
            outputs=cast("Outputs", ToyOutputs()),
            oracle=cast("Oracle", self.oracle),
            account=cast("Any", None),
            journal=self.node.journal,
            poll_s=1.0,
            clock=lambda: self.now,
        )
        return self

    async def block(self, *, safe: bool = True) -> None:
        """The next block."""
        height = self.node.chain.gate.number + 1
        made = await self.decided.on(self.node.store.blocks(), payload(height, bundled=height % 2 == 0))
        await self.node.commit(made)
        if safe:
            await self.node.derive(height, made.payload)

    def propose(self, number: int) -> None:
        """The right output of a block is on L1, as of now."""
        self.oracle.outputs.append((ToyOutputs().at(number).root, int(self.now), number))

    async def look(self) -> None:
        """A round of the challenger, and the one after it: what it checks in one, it settles in the next."""
        for _ in range(2):
            await self.challenger._round()

    def told(self) -> list[tuple[int, str]]:
        """Block, and bundle or transaction, of what the journal was told to be settled."""
        events = [event for event in self.node.journal.events if event.event == Stage.SETTLED]
        return [(event.attrs["block"], event.bundle_id or event.msg_id or "") for event in events]

    def expected(self, first: int, last: int) -> list[tuple[int, str]]:
        """The same, of blocks from one to another."""
        found = []
        for height in range(first, last + 1):
            content = payload(height, bundled=height % 2 == 0)
            raws = content.transactions
            found.append((height, to_hex(keccak256(from_hex(raws[0]))) if raws else BUNDLE))
        return found


async def test_told_when_the_output_is_final_and_not_a_second_before(tmp_path: Path) -> None:
    """Of every block up to the output's, legs by their index; blocks that no output covers wait."""
    setting = await Setting(tmp_path).begin()
    for _ in range(7):
        await setting.block()
    setting.propose(2)
    setting.now = 40
    setting.propose(6)
    for now, last in ((100, 0), (101, 2), (140, 2), (141, 6), (10**6, 6)):
        setting.now = now
        await setting.look()
        assert setting.expected(1, last) == setting.told(), now
    legs = [event.leg for event in setting.node.journal.events if event.event == Stage.SETTLED]
    assert [None, 2, None, 2, None, 2] == legs
    newest = [event for event in setting.node.journal.events if event.event == Stage.SETTLED][-1]
    assert (6, 1, ToyOutputs().at(6).root) == tuple(newest.attrs[key] for key in ("output", "index", "root"))
    setting.node.close()


async def test_an_output_that_was_not_found_right_settles_nothing(tmp_path: Path) -> None:
    """Of a block that this node does not hold for safe, however old it is; what stands before it is settled."""
    setting = await Setting(tmp_path).begin()
    for height in range(1, 5):
        await setting.block(safe=height < 4)
    for number in (2, 4):
        setting.propose(number)
    setting.now = PERIOD / 2
    await setting.look()
    setting.now = PERIOD + 1
    with pytest.raises(AttributeError):  # it deletes the second one, and has no account here
        await setting.look()
    assert setting.expected(1, 2) == setting.told()
    setting.node.close()


async def test_told_again_at_most_once_over_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between telling and noting it is told again; after that never; what came while it was away is told too."""
    setting = await Setting(tmp_path).begin()
    for _ in range(4):
        await setting.block()
    setting.propose(4)
    setting.now = PERIOD + 1
    with monkeypatch.context() as patch:
        patch.setattr("rollup_node.store.Store.note_told", lambda *_: None)
        await setting.look()
    assert setting.expected(1, 4) == setting.told()
    setting.node.close()
    await setting.begin()
    await setting.look()
    assert setting.expected(1, 4) == setting.told()
    setting.node.close()
    await setting.begin()
    await setting.block()
    setting.propose(5)
    setting.now += PERIOD + 1
    await setting.look()
    assert setting.expected(5, 5) == setting.told()
    setting.node.close()


async def test_what_l1_took_back_is_settled_as_what_it_is_now(tmp_path: Path) -> None:
    """Blocks that were replaced are told with what they hold in the end, and each height once."""
    setting = await Setting(tmp_path).begin()
    for _ in range(3):
        await setting.block()
    other = payload(3, 7)
    await setting.node.derive(3, other)
    setting.propose(3)
    setting.now = PERIOD + 1
    await setting.look()
    assert to_hex(keccak256(from_hex(other.transactions[0]))) == dict(setting.told())[3]
    assert {1} == set(Counter(block for block, _ in setting.told()).values())
    setting.node.close()


@pytest.mark.parametrize("covered", [lambda chain: chain.covered(9), lambda chain: chain.covered(0)])
async def test_nothing_beyond_safe_is_settled(covered: Callable[[Chain], None], tmp_path: Path) -> None:
    """Whatever L1 is said to hold."""
    setting = await Setting(tmp_path).begin()
    await setting.block(safe=False)
    covered(setting.node.chain)
    assert [] == setting.told()
    setting.node.close()
