"""One end of a passage: a TCP connection with its flow control, and with the reset that a fault may ask for."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

_LINGER = struct.pack("ii", 1, 0)
"""Closing sends RST and forgets what was not sent."""


class Side(asyncio.Protocol):
    """A connection to the caller or to the target.

    Args:
        received: told of bytes.
        ended: told when the other end has nothing more to say.
        lost: told when the connection is gone, with the reason if it was not closed in order.
        flow: told when it can take more, or no more.
        made: told that there is a connection.
    """

    def __init__(
        self,
        received: Callable[[bytes], None],
        ended: Callable[[], None],
        lost: Callable[[Exception | None], None],
        flow: Callable[[], None],
        made: Callable[[], None] = lambda: None,
    ) -> None:
        self._made = made
        self._received, self._ended, self._lost, self._flow = received, ended, lost, flow
        self._transport: asyncio.Transport | None = None
        self._reading = True
        self._taking = asyncio.Event()
        self.opened = asyncio.Event()
        """Set once there is a connection."""

    @property
    def taking(self) -> bool:
        """There is a connection, and what is written to it soon leaves."""
        return self._taking.is_set()

    async def take(self) -> None:
        """Wait until it takes more."""
        await self._taking.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From the event loop."""
        self._transport = cast("asyncio.Transport", transport)
        self._taking.set()
        self.opened.set()
        self._made()

    def data_received(self, data: bytes) -> None:
        """From the event loop."""
        self._received(data)

    def eof_received(self) -> bool:
        """From the event loop: this direction has ended, the other may go on."""
        self._ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """From the event loop."""
        self._transport = None
        self._taking.set()  # nobody must wait for it any more
        self._lost(exc)

    def pause_writing(self) -> None:
        """From the event loop."""
        self._taking.clear()
        self._flow()

    def resume_writing(self) -> None:
        """From the event loop."""
        self._taking.set()
        self._flow()

    def write(self, data: bytes) -> None:
        """Send; what can't be sent any more is forgotten, as the network would."""
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def end(self) -> None:
        """Say that nothing more will be sent."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def read(self, *, wanted: bool) -> None:
        """Read on, or leave what comes to the kernel, whose window then closes."""
        if wanted is self._reading or self._transport is None or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def close(self) -> None:
        """Close in order, once everything has been sent."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close at once, with RST."""
        if self._transport is not None:
            handle: socket.socket = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError):  # closed a moment ago
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            self._transport.abort()
