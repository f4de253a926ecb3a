"""Ports that nobody else gets, without a race.

The problem: asking the kernel for a free port, closing the socket and telling a node to bind it leaves a window in
which any other program may get it; and a node that is down for a while (killed, restarting) loses it again.

The choice: bind port 0 on 127.0.0.1 with ``SO_REUSEADDR``, *do not listen*, and keep the socket for the devnet's life.
Linux then lets a second socket with ``SO_REUSEADDR`` (aiohttp, tokio and anvil set it) bind and listen on the same port, while
port-0 binds and outgoing connections of everyone else pass it over. Nothing listens while the node is down, so
connections are refused at once instead of hanging, and the endpoint is the same after a restart.

Rejected: fixed port ranges (two devnets collide), ``SO_REUSEPORT`` (the held socket would share connections), handing
over a listening socket (anvil takes none, and a dead node would seem to be up).

Held down by tests on Linux. A server that does not set ``SO_REUSEADDR`` can't bind a reserved port.
"""

import errno
import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.runtimes.errors import NoPortError

LOOPBACK = "127.0.0.1"
_LISTEN = "0A"
_HINTS = {
    errno.EADDRINUSE: "take other devnets down, or widen net.ipv4.ip_local_port_range",
    errno.EMFILE: "let this process open more files: ulimit -n 4096",
}


class PortReservations:
    """Holds ports until closed."""

    def __init__(self) -> None:
        self._sockets = ExitStack()

    def reserve(self) -> int:
        """A port on 127.0.0.1 that is ours until :meth:`close`.

        Raises:
            NoPortError: the machine has no port, or this process no descriptor, left.
        """
        try:
            held = self._sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((LOOPBACK, 0))
        except OSError as exc:
            raise NoPortError(
                f"no port on {LOOPBACK} can be had for a node: {exc.strerror or exc}",
                _HINTS.get(exc.errno or 0, ""),
            ) from exc
        port: int = held.getsockname()[1]
        return port

    def close(self) -> None:
        """Give all ports back; safe to call twice."""
        self._sockets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def listening(ports: Iterable[int]) -> set[int]:
    """Those of ``ports`` on which some process of this network namespace listens, on any address."""
    found: set[int] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError):  # a kernel without IPv6
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    found.add(int(fields[1].rpartition(":")[2], 16))
    return found & set(ports)
