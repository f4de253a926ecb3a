"""What the relayer tells about itself, and the one thing that can be asked of it: to try a dead letter again."""

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.l1.account import L1Account
from bridge.relayer.l1_clock import L1Clock
from bridge.relayer.lifecycle import State
from bridge.relayer.store import Message, Store
from bridge.relayer.withdrawals import Withdrawals
from bridge.wire.errors import INVALID_PARAMS, RESOURCE_NOT_FOUND, RpcError
from bridge.wire.jsonrpc import dispatcher
from bridge.wire.keccak import from_hex, to_hex

MAX_PAGE = 1_000
"""Messages in one answer."""


class RelayerRpc:
    """Answers ``rollnet_status``, ``rollnet_messages``, ``rollnet_message`` and ``rollnet_retry``."""

    def __init__(
        self, pipelines: Sequence[Withdrawals], store: Store, account: L1Account, clock: L1Clock
    ) -> None:
        self._pipelines = {pipeline.name: pipeline for pipeline in pipelines}
        self._names = {pipeline.chain_id: pipeline.name for pipeline in pipelines}
        self._store, self._account, self._clock = store, account, clock
        self.handle = dispatcher(
            {
                "rollnet_status": self._status,
                "rollnet_messages": self._messages,
                "rollnet_message": self._message,
                "rollnet_retry": self._retry,
            }
        )

    async def _status(self) -> dict[str, Any]:
        counts, head = self._store.counts(), self._clock.head
        none = dict.fromkeys((*map(str, State), "dead"), 0)
        return {
            "ready": True,
            "l1": {"head": head.number if head else None, "trouble": self._clock.trouble},
            "account": {"address": self._account.address, "waiting": self._account.waiting},
            "rollups": {
                name: {
                    "read": pipeline.scanner.read,
                    "safe": pipeline.scanner.safe,
                    "trouble": pipeline.trouble,
                    "messages": counts.get(pipeline.chain_id, none),
                }
                for name, pipeline in self._pipelines.items()
            },
        }

    async def _messages(self, filters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Messages by rollup and block; filters are rollup, state, dead, limit and offset."""
        if filters is not None and not isinstance(filters, dict):
            raise RpcError(INVALID_PARAMS, "filters are an object")
        wanted = dict(filters or {})
        limit, offset = wanted.pop("limit", 100), wanted.pop("offset", 0)
        if type(limit) is not int or type(offset) is not int or not 0 <= limit <= MAX_PAGE or offset < 0:
            raise RpcError(INVALID_PARAMS, f"limit is from 0 to {MAX_PAGE}, offset from 0 on")
        columns: dict[str, Any] = {}
        for name, value in wanted.items():
            columns |= self._column(name, value)
        return [self._shown(message) for message in self._store.page(columns, limit, offset)]

    def _column(self, name: str, value: Any) -> dict[str, Any]:
        match name, value:
            case "rollup", str() if value in self._pipelines:
                return {"chain_id": self._pipelines[value].chain_id}
            case "state", str() if value in set(State):
                return {"state": value}
            case "dead", bool():
                return {"dead": int(value)}
        raise RpcError(
            INVALID_PARAMS,
            f"no messages by {name} = {value!r}: filters are rollup ({', '.join(self._pipelines)}), "
            f"state ({', '.join(State)}), dead (true, false), limit and offset",
        )

    async def _message(self, digest: str, rollup: str | None = None) -> dict[str, Any]:
        return self._shown(self._named(digest, rollup))

    async def _retry(self, digest: str, rollup: str | None = None) -> dict[str, Any]:
        """Try again what is a dead letter, or waits for its next try."""
        message = self._named(digest, rollup)
        revived = self._pipelines[self._names[message.chain_id]].revive(message.hash)
        if revived is None:
            raise RpcError(
                RESOURCE_NOT_FOUND, f"{message.hash} is {message.state}: there is nothing to try again"
            )
        return self._shown(revived)

    def _named(self, digest: str, rollup: str | None) -> Message:
        found = [
            message
            for message in self._store.named(to_hex(from_hex(digest, 32)))
            if rollup in (None, self._names.get(message.chain_id))
        ]
        if not found:
            raise RpcError(RESOURCE_NOT_FOUND, f"no withdrawal {digest} was seen, yet")
        if len(found) > 1:
            names = ", ".join(self._names.get(message.chain_id, "?") for message in found)
            raise RpcError(INVALID_PARAMS, f"{names} all sent a withdrawal {digest}: say which one")
        return found[0]

    def _shown(self, message: Message) -> dict[str, Any]:
        return {"rollup": self._names.get(message.chain_id), **message.to_json()}
