"""The faults on a devnet's links as its users hold them: ``await net.links.apply(LinkFault(…))``."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client
from orchestrator.links import errors
from orchestrator.links.errors import LinkError, LinksUnreachable
from orchestrator.links.faults import LinkFault

CONTROL_ANSWER_S = 5.0
"""Longest wait for the proxy, seconds."""


@dataclass(frozen=True)
class LinksHandle:
    """All links of one devnet; what is done to them is noted in the journal, so that reports can show it.

    The faults live in the proxy: one that was killed and restarted has none, and has forgotten how often the earlier ones mattered.
    """

    http: str
    """Of the proxy's control endpoint."""
    client: Client
    journal: Journal

    async def apply(self, fault: LinkFault) -> tuple[str, ...]:
        """Put a fault on its links, at once; returns their names, such as ``alpha→sequencer:http``.

        Raises:
            NoSuchLink: its source and target mean none; the error lists those that there are.
            LinkFaultTaken: a fault of this name is there.
            LinksUnreachable: the proxy does not answer.
        """
        names = tuple(await self._call("links_apply", fault.to_json()))
        self.journal.emit(
            "fault.link-applied",
            node=f"{fault.source}→{fault.target}",
            name=fault.name,
            kind=fault.kind.value,
            links=len(names),
        )
        return names

    async def heal(self, name: str) -> int:
        """Take a fault away and release what waits because of it; returns how often it has mattered.

        Raises:
            NoSuchLinkFault: there never was one of this name. Healing twice is fine.
            LinksUnreachable: the proxy does not answer.
        """
        touched = int(await self._call("links_heal", name))
        self.journal.emit("fault.link-healed", node="links", name=name, touched=touched)
        return touched

    async def heal_all(self) -> Mapping[str, int]:
        """Take all faults away; how often each has mattered by name.

        Raises:
            LinksUnreachable: the proxy does not answer.
        """
        healed: dict[str, int] = await self._call("links_healAll")
        for name, touched in healed.items():
            self.journal.emit("fault.link-healed", node="links", name=name, touched=touched)
        return healed

    async def touched(self, name: str) -> int:
        """How many messages (or connections) a fault has met so far; it is known after it was healed, too.

        Raises:
            NoSuchLinkFault: there never was one of this name.
            LinksUnreachable: the proxy does not answer.
        """
        return int(await self._call("links_touched", name))

    async def names(self) -> tuple[str, ...]:
        """All links, such as ``alpha→sequencer:http``.

        Raises:
            LinksUnreachable: the proxy does not answer.
        """
        return tuple((await self.status())["links"])

    async def status(self) -> Mapping[str, Any]:
        """Open connections of each link, and the faults: ``{"links": {name: connections}, "faults": {name: {…, "touched": n}}}``.

        Raises:
            LinksUnreachable: the proxy does not answer.
        """
        status: Mapping[str, Any] = await self._call("links_status")
        return status

    async def _call(self, method: str, *params: Any) -> Any:
        with _translated():
            return await self.client.call(method, *params)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PeerUnreachable as exc:
        raise LinksUnreachable(
            f"the link proxy does not answer: {exc}",
            "look at `rollnet logs links`, or `rollnet node restart links`",
        ) from exc
    except RpcError as exc:
        said = exc.data if isinstance(exc.data, dict) else {}
        found = getattr(errors, str(said.get("kind")), LinkError)
        raise found(exc.message, str(said.get("hint", ""))) from exc
