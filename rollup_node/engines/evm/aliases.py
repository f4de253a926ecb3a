"""Transaction hashes that anvil keeps under names of its own (see ``deposits``), translated in both directions."""

from collections.abc import Mapping, Sequence
from typing import Any

_BY_HASH = frozenset(
    {
        "eth_getTransactionByHash",
        "eth_getTransactionReceipt",
        "eth_getRawTransactionByHash",
        "debug_getRawTransaction",
        "debug_traceTransaction",
        "trace_transaction",
    }
)
"""Methods whose first parameter is a transaction hash."""
_NAMING = ("eth_get", "trace_", "debug_traceBlock")
"""Beginnings of methods whose answers name transactions."""


class Aliases:
    """What is known of the engine's names; outer names are everybody's, inner ones the engine's."""

    def __init__(self) -> None:
        self._inner: dict[str, str] = {}
        self._outer: dict[str, str] = {}

    def learn(self, names: Mapping[str, str]) -> None:
        """Hashes of a block's transactions with the names of their receipts; the last block to hold one counts."""
        for outer, inner in names.items():
            if outer != inner:
                self._inner[outer], self._outer[inner] = inner, outer
            else:
                self._inner.pop(outer, None)

    def inner(self, digest: str) -> str:
        """The engine's name of a transaction."""
        return self._inner.get(digest, digest)

    def question(self, method: str, params: Sequence[Any]) -> Sequence[Any]:
        """A read's parameters with the engine's names."""
        if self._inner and method in _BY_HASH and params and isinstance(params[0], str):
            return [self.inner(params[0].lower()), *params[1:]]
        return params

    def answer(self, method: str, result: Any) -> Any:
        """A read's result with everybody's names."""
        return self._translated(result) if self._outer and method.startswith(_NAMING) else result

    def _translated(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._translated(member) for key, member in value.items()}
        if isinstance(value, list):
            return [self._translated(member) for member in value]
        return self._outer.get(value, value) if isinstance(value, str) else value
