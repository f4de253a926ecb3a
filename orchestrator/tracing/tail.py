"""Reading journals while they are written: what is new since the last look.

For whoever waits for something that many messages come to: the nodes are not asked, so that watching doesn't slow down what is measured.
"""

from collections.abc import Iterable
from pathlib import Path

from bridge.wire.journal import Event


class Tail:
    """The new events of some journals.

    Args:
        journals: files; those that don't exist yet are read once they do.
    """

    def __init__(self, journals: Iterable[Path]) -> None:
        self._read = dict.fromkeys(journals, 0)

    def poll(self) -> list[Event]:
        """Events since the last poll, in the order of the files; torn lines are left out.

        Raises:
            OSError: a journal can't be read.
        """
        found: list[Event] = []
        for path, offset in self._read.items():
            if not path.exists():
                continue
            with path.open("rb") as journal:
                journal.seek(offset)
                written, _, _ = journal.read().rpartition(b"\n")  # the rest is a line that is being written
            self._read[path] = offset + len(written) + bool(written)
            for line in written.split(b"\n"):
                try:
                    found.append(Event.from_json(line))
                except ValueError:
                    continue
        return found
