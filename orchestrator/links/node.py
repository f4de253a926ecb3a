"""The link proxy, a node: ``python -m orchestrator.links.node`` (configuration: ``bridge.wire.configuration``)."""

import resource
import sys
from dataclasses import dataclass
from typing import Any

import uvloop

from bridge.wire.configuration import read_configuration
from bridge.wire.server import run_until_signalled
from orchestrator.links.link import Address
from orchestrator.links.proxy import open_proxy
from orchestrator.links.rpc import serve_control


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the proxy is told."""

    port: int
    """Of the control endpoint."""
    token: str
    """That the control endpoint asks for."""
    links: tuple[Address, ...]

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> "Config":
        """From decoded JSON; ports may be text.

        Raises:
            ValueError: it is no configuration of a proxy.
        """
        try:
            links = tuple(Address(**{**link, "port": int(link["port"])}) for link in fields["links"])
            return cls(**{**fields, "port": int(fields["port"]), "links": links})
        except (ValueError, TypeError, KeyError) as exc:
            raise ValueError(f"this is no configuration of a link proxy: {exc!r}") from exc


async def run(config: Config) -> None:
    """Pass on until SIGTERM."""
    async with open_proxy(config.links) as proxy, serve_control(proxy, config.port, config.token):
        await run_until_signalled()


def main() -> None:
    """Entry point."""
    try:
        config = Config.parse(read_configuration())
    except ValueError as exc:
        sys.exit(f"{exc}; start it with rollnet up")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # it has two for every connection between nodes
    uvloop.run(run(config))


if __name__ == "__main__":
    main()
