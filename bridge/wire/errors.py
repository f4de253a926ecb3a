"""What can go wrong between nodes, by the reaction it asks for.

::

    WireError
    ├── Malformed          the bytes are not what they claim to be: refuse them
    ├── RpcError           a peer answered with a JSON-RPC error: read its code
    └── PeerUnreachable    no answer: the peer may or may not have acted; retry what is idempotent
"""

from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
RESOURCE_NOT_FOUND = -32001
RESOURCE_UNAVAILABLE = -32002
TRANSACTION_REJECTED = -32003
METHOD_NOT_SUPPORTED = -32004
LIMIT_EXCEEDED = -32005
"""Codes of JSON-RPC 2.0 and EIP-1474."""


class WireError(Exception):
    """Base of everything that the wire raises."""


class Malformed(WireError):  # noqa: N818 - reads as what it says: "raise Malformed"
    """Bytes from outside do not decode."""


class RpcError(WireError):
    """A JSON-RPC error, raised by handlers and by clients alike."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def to_json(self) -> dict[str, Any]:
        """The ``error`` member of a response."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


class PeerUnreachable(WireError):  # noqa: N818 - names the state of the peer, not a kind of error
    """The peer gave no answer in time, or none at all."""
