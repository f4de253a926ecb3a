"""What a container writes, as it writes it. Blocks, as ``sdk`` does.

The SDK waits with ``poll`` before each read of such a stream. What a TLS connection has decrypted already no ``poll`` announces, so the end of
what a container said would be heard only when it says more. And a machine that is gone never says so on a connection that is only read. So
streams of other machines are read here, without that waiting, and with probes that end them within a minute or so.
"""

import socket
from collections.abc import Iterator
from typing import Any

_HEADER_BYTES, _SIZE_AT = 8, 4
_WANTED = {"stdout": 1, "stderr": 1, "stream": 1}
_PROBES = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 0x10), 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""After half a minute of silence the other machine is asked every 10 s; three times without an answer end the connection."""


def output_of(api: Any, container: str) -> Iterator[bytes]:
    """Output of a container from now on, until it ends; attached when this returns."""
    if not str(api.base_url).startswith(("http://", "https://")):
        found: Iterator[bytes] = api.attach(container, stdout=True, stderr=True, stream=True)
        return found
    file = api.attach_socket(container, dict(_WANTED))
    connection = getattr(file, "_sock", file)
    connection.settimeout(None)
    for level, option, value in _PROBES:
        connection.setsockopt(level, option, value)
    return _frames(file, connection)


def _frames(file: Any, connection: Any) -> Iterator[bytes]:
    """The engine's frames: a byte that tells which output, three of nothing, the size in four, and the data."""
    while len(header := _exactly(connection, _HEADER_BYTES)) == _HEADER_BYTES:
        data = _exactly(connection, int.from_bytes(header[_SIZE_AT:], "big"))
        if data:
            yield data
    file.close()  # kept until here: the connection would be closed with it


def _exactly(connection: Any, size: int) -> bytes:
    """So many bytes, or what came before the end."""
    data = bytearray()
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return bytes(data)
