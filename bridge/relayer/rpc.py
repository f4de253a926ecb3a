"""What the relayer tells about itself, and the one thing that can be asked of it: to try a dead letter again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.l1.account import L1Account
from bridge.relayer.carried import Forward, Return, Vote
from bridge.relayer.l1_clock import L1Clock
from bridge.relayer.lifecycle import State
from bridge.relayer.messages import lifecycle as messages
from bridge.relayer.messages.crossings import Crossings
from bridge.relayer.messages.queue import CrossingQueue
from bridge.relayer.messages.store import Crossing
from bridge.relayer.store import Message, Store
from bridge.relayer.strategies.keeper import Keeper
from bridge.relayer.withdrawals import Withdrawals
from bridge.wire.clock import CLOCK_METHODS
from bridge.wire.crash_points import crash_order
from bridge.wire.errors import INVALID_PARAMS, RESOURCE_NOT_FOUND, RpcError
from bridge.wire.jsonrpc import dispatcher
from bridge.wire.keccak import from_hex, to_hex

MAX_PAGE = 1_000
"""Messages in one answer."""
WITHDRAWAL: Final = "withdrawal"
"""Kind of what goes from a rollup to L1."""
MESSAGE: Final = "message"
"""Kind of what goes from a rollup to another."""
_STATES: dict[str, frozenset[str]] = {
    WITHDRAWAL: frozenset(map(str, State)),
    MESSAGE: frozenset(map(str, messages.State)),
}


@dataclass(frozen=True, slots=True)
class Relaying:
    """What there is to tell about."""

    pipelines: Sequence[Withdrawals]
    """One per rollup."""
    crossings: Crossings
    store: Store
    """Of withdrawals."""
    queue: CrossingQueue
    """Of messages between rollups."""
    account: L1Account
    """On L1."""
    accounts: Mapping[int, L1Account]
    """On the rollups, by chain id."""
    clock: L1Clock
    keeper: Keeper
    """Of strategies over the bridge."""


class RelayerRpc:
    """Answers ``rollnet_status``, ``rollnet_messages``, ``rollnet_message`` and ``rollnet_retry``."""

    def __init__(self, relaying: Relaying) -> None:
        self._of = relaying
        self._pipelines = {pipeline.name: pipeline for pipeline in relaying.pipelines}
        self._names = {pipeline.chain_id: pipeline.name for pipeline in relaying.pipelines}
        self.handle = dispatcher(
            {
                "rollnet_status": self._status,
                "rollnet_messages": self._messages,
                "rollnet_message": self._message,
                "rollnet_retry": self._retry,
                "rollnet_crashAt": crash_order("relayer"),
                **CLOCK_METHODS,
            }
        )

    async def _status(self) -> dict[str, Any]:
        of = self._of
        withdrawals, crossings, head = of.store.counts(), of.queue.store.counts(), of.clock.head
        return {
            "ready": True,
            "l1": {"head": head.number if head else None, "trouble": of.clock.trouble},
            "account": {"address": of.account.address, "waiting": of.account.waiting},
            "messages": {"trouble": of.crossings.trouble},
            "strategies": {**of.keeper.counts, "trouble": of.keeper.trouble},
            "rollups": {
                name: {
                    "read": pipeline.scanner.read,
                    "safe": pipeline.scanner.safe,
                    "trouble": pipeline.trouble,
                    "waiting": of.accounts[pipeline.chain_id].waiting,
                    "withdrawals": withdrawals.get(pipeline.chain_id, _none(State)),
                    "messages": crossings.get(pipeline.chain_id, _none(messages.State)),
                }
                for name, pipeline in self._pipelines.items()
            },
        }

    async def _messages(self, filters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Withdrawals, or messages by source, by block; filters are kind, rollup, state, dead, limit and offset."""
        if filters is not None and not isinstance(filters, dict):
            raise RpcError(INVALID_PARAMS, "filters are an object")
        wanted = dict(filters or {})
        kind, limit, offset = (
            wanted.pop("kind", WITHDRAWAL),
            wanted.pop("limit", 100),
            wanted.pop("offset", 0),
        )
        if type(limit) is not int or type(offset) is not int or not 0 <= limit <= MAX_PAGE or offset < 0:
            raise RpcError(INVALID_PARAMS, f"limit is from 0 to {MAX_PAGE}, offset from 0 on")
        if not isinstance(kind, str) or kind not in _STATES:
            raise RpcError(INVALID_PARAMS, f"no kind {kind!r}: there are {', '.join(_STATES)}")
        columns: dict[str, Any] = {}
        for name, value in wanted.items():
            columns |= self._column(kind, name, value)
        if kind == MESSAGE:
            return [self._shown_message(each) for each in self._of.queue.store.page(columns, limit, offset)]
        return [self._shown(each) for each in self._of.store.page(columns, limit, offset)]

    def _column(self, kind: str, name: str, value: Any) -> dict[str, Any]:
        chain = "chain_id" if kind == WITHDRAWAL else "source"
        match name, value:
            case "rollup", str() if value in self._pipelines:
                return {chain: self._pipelines[value].chain_id}
            case "state", str() if value in _STATES[kind]:
                return {"state": value}
            case "dead", bool():
                return {"dead": int(value)}
        raise RpcError(
            INVALID_PARAMS,
            f"no {kind}s by {name} = {value!r}: filters are kind ({', '.join(_STATES)}), rollup "
            f"({', '.join(self._pipelines)}), state ({', '.join(sorted(_STATES[kind]))}), dead (true, false), limit and offset",
        )

    async def _message(self, digest: str, rollup: str | None = None) -> dict[str, Any]:
        found = self._named(digest, rollup)
        return self._shown_message(found) if isinstance(found, Crossing) else self._shown(found)

    async def _retry(self, digest: str, rollup: str | None = None) -> dict[str, Any]:
        """Try again what is a dead letter, or waits for its next try; for a message, its withdrawals as well."""
        found = self._named(digest, rollup)
        if isinstance(found, Message):
            revived = self._pipelines[self._names[found.chain_id]].revive(found.hash)
            if revived is not None:
                return self._shown(revived)
        else:
            crossing = self._of.crossings.revive(found.hash)
            if crossing is not None:
                for carrier in self._of.queue.carriers(found.hash):
                    self._pipelines[self._names[carrier.chain_id]].revive(carrier.hash)
                return self._shown_message(crossing)
        raise RpcError(RESOURCE_NOT_FOUND, f"{found.hash} is {found.state}: there is nothing to try again")

    def _named(self, digest: str, rollup: str | None) -> Message | Crossing:
        name = to_hex(from_hex(digest, 32))
        crossing = self._of.queue.known(name)
        if crossing is not None and rollup in (None, self._names.get(crossing.envelope.source)):
            return crossing
        found = [
            message
            for message in self._of.store.named(name)
            if rollup in (None, self._names.get(message.chain_id))
        ]
        if not found:
            raise RpcError(RESOURCE_NOT_FOUND, f"no message and no withdrawal {digest} was seen, yet")
        if len(found) > 1:
            names = ", ".join(self._names.get(message.chain_id, "?") for message in found)
            raise RpcError(INVALID_PARAMS, f"{names} all sent a withdrawal {digest}: say which one")
        return found[0]

    def _shown(self, message: Message) -> dict[str, Any]:
        shown = {"kind": WITHDRAWAL, "rollup": self._names.get(message.chain_id), **message.to_json()}
        match self._of.queue.carried_by(message):
            case Forward(envelope):
                shown["carries"] = {"message": envelope.hash}
            case Return(header, _):
                shown["carries"] = {"returned": header.hash}
            case Vote(strategy, yes, _):
                shown["carries"] = {"strategy": strategy, "vote": yes}
        return shown

    def _shown_message(self, found: Crossing) -> dict[str, Any]:
        envelope = found.envelope
        seen = [
            {
                "sign": each.sign,
                "chain_id": each.chain_id,
                "block": each.block,
                "transaction": each.transaction,
            }
            for each in self._of.queue.sightings(found.hash)
        ]
        ends = {
            "rollup": self._names.get(envelope.source),
            "destination": self._names.get(envelope.destination),
        }
        return {"kind": MESSAGE, **ends, **found.to_json(), "seen": seen}


def _none(states: Any) -> dict[str, int]:
    return dict.fromkeys((*map(str, states), "dead"), 0)
