"""A world that goes back to an earlier block to be read there, and comes again.

The problem: a block lies staged above the last decided one, and readers ask for the decided one all the time; so the state of both is
needed, and there is one world. The choice: the undo log, with a note of what each change had led to, so that going back loses
nothing. The world stays where it was read last: a hundred reads of one block are one way there. Rejected: two worlds
(twice the memory, every block executed twice) and copies of what is read (margins look at everything).
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from rollup_node.engines.options.book.book import Numbered
from rollup_node.engines.options.book.orders import Resized, Resting
from rollup_node.engines.options.state.journal import Change
from rollup_node.engines.options.state.tables import Table, Written
from rollup_node.engines.options.state.world import KEPT_BLOCKS, Passed, TooFarBack, World

Again: TypeAlias = Callable[[], None]
"""Makes a change once more, and notes it as the first time."""
KEPT: Final = KEPT_BLOCKS


class Travel:
    """Moves a world between the ends of blocks.

    Args:
        world: at the end of a block.
        number: of that block; nothing before it can be gone back to.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.head = number
        """The last block."""
        self.at = number
        """Where the world is."""
        world.seal(number)
        self._marks: deque[tuple[int, int]] = deque([(number, world.mark())], KEPT + 1)
        self._ahead: list[list[Again]] = []
        """Changes of the blocks after ``at``, the next block's last; newest change first."""

    def grown(self) -> None:
        """The world, which is at the head, has executed one more block."""
        self.head = self.at = self.head + 1
        self.world.seal(self.head)
        self._marks.append((self.head, self.world.mark()))

    def go(self, number: int) -> World:
        """The world at the end of a block.

        Raises:
            TooFarBack: its state isn't kept any more, or there is no such block.
        """
        self._mark(number)
        while self.at > number:
            self.at -= 1
            self._ahead.append(_taken_back(self.world, self._mark(self.at)))
        while self.at < number:
            for again in reversed(self._ahead.pop()):
                again()
            self.at += 1
            self.world.seal(self.at)
        return self.world

    def cut(self, number: int) -> None:
        """Blocks after this one are no more. Raises as :meth:`go`."""
        mark = self._mark(number)
        if self.at < number:
            self.go(number)
        self.world.undo(mark)
        self.head = self.at = number
        self._ahead.clear()
        while self._marks[-1][0] > number:
            self._marks.pop()

    def _mark(self, number: int) -> int:
        first, last = self._marks[0][0], self._marks[-1][0]
        if not first <= number <= last:
            raise TooFarBack(f"the state of block {number} isn't kept, those of {first} to {last} are")
        return self._marks[number - first][1]


def _taken_back(world: World, mark: int) -> list[Again]:
    """Undo everything after a mark, newest first; what makes it again, in that order."""
    found: list[Again] = []
    while world.mark() > mark:
        found.append(_again(world, world.journal[-1]))
        world.undo(world.mark() - 1)
    return found


def _again(world: World, change: Change) -> Again:
    match change:
        case Written():
            return partial(_write, change.table, change.key, change.table.get(change.key))
        case Resting():
            book = change.level.book
            return partial(_come, world, change, book.sequence) if change.rests else partial(_leave, change)
        case Resized():
            return partial(change.order.level.book.resize, change.order, change.order.quantity)
        case Numbered():
            return partial(change.book.skip_number, change.book.sequence)
        case Passed():
            return partial(world.pass_message, change.slot)
    raise TypeError(f"nobody knows how to make a {type(change).__name__} again")


def _write(table: Table[object], key: int, value: object) -> None:
    if value is None:
        del table[key]
    else:
        table[key] = value


def _come(world: World, order: Resting, sequence: int) -> None:
    book = order.level.book
    book.turn_round(order)
    world.journal.append(order)
    book.sequence = sequence


def _leave(order: Resting) -> None:
    order.level.book.cancel(order.account, order.id)
