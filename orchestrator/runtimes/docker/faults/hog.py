"""Takes memory inside a node's container until the kernel ends somebody: everybody else, for this program offers itself last.

A program of the standard library alone: ``hog.py BYTES``, the most that it takes.
"""

import contextlib
import os
import sys

_FIRST_TO_GO = "1000"
_STEP = 1024 * 1024


def main(most: int) -> None:
    """Make all others the kernel's choice, and take memory."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is slow to import
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/oom_score_adj", "w") as file:  # noqa: PTH123 - as above
                file.write(_FIRST_TO_GO)
    taken = []
    for _ in range(most // _STEP):
        taken.append(b"\x01" * _STEP)  # noqa: PERF401 - one after the other, until it is too much


if __name__ == "__main__":
    main(int(sys.argv[1]))
