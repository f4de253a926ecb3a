"""The OpenRPC document of an options rollup's node: every method with its parameters and its result.

Made from the tables that answers go by (``methods``, ``feeds``) and the schemas of results, so it can't drift; ``rpc.discover`` serves it. After a
change run ``python -m rollup_node.engines.options.reads.openrpc --write``.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from rollup_node.engines.options.reads.blocks import CLIENT_VERSION
from rollup_node.engines.options.reads.feeds import FEEDS
from rollup_node.engines.options.reads.kinds import DATA, QUANTITY, TABLE, TEXT, Kind, Param
from rollup_node.engines.options.reads.methods import METHODS
from rollup_node.engines.options.reads.results import (
    FEED_DATA,
    FEED_ERROR,
    FEED_VIEW,
    RESULTS,
    SHARED,
    Schema,
)

FILE: Final = Path("docs/reference/options-openrpc.json")
"""From the root of the repository."""
OPENRPC: Final = "1.3.2"

_IDENTITY: Final = Param("identity", QUANTITY)
_ON_WEBSOCKETS: Final = "on WebSocket connections alone"
_MORE: Final = Kind(lambda said: said, {"description": "parameters of the feed, one by one"})

NODE: Final[Mapping[str, tuple[str, tuple[Param, ...]]]] = {
    "rpc.discover": ("This document.", ()),
    "eth_sendRawTransaction": ("Hash, once the sequencer has it on disk.", (Param("transaction", DATA),)),
    "eth_sendBundle": ("Legs on several rollups, all or none.", (Param("bundle", TABLE),)),
    "eth_newFilter": ("A polling filter of logs.", (Param("filter", TABLE),)),
    "eth_newBlockFilter": ("A polling filter of blocks.", ()),
    "eth_newPendingTransactionFilter": ("A polling filter of transactions passed on.", ()),
    "eth_getFilterChanges": ("What is new since it was asked last.", (_IDENTITY,)),
    "eth_getFilterLogs": ("All logs of a filter.", (_IDENTITY,)),
    "eth_uninstallFilter": ("Ends a filter.", (_IDENTITY,)),
    "eth_subscribe": (
        f"To newHeads, logs or newPendingTransactions; {_ON_WEBSOCKETS}.",
        (Param("kind", TEXT), Param("filter", TABLE, required=False)),
    ),
    "eth_unsubscribe": (f"Ends it; {_ON_WEBSOCKETS}.", (_IDENTITY,)),
    "options_subscribe": (
        f"To a feed: its view now, then whenever a decided block changes it; {_ON_WEBSOCKETS}.",
        (Param("feed", TEXT), Param("params", _MORE, required=False)),
    ),
    "options_unsubscribe": (f"Ends it; {_ON_WEBSOCKETS}.", (_IDENTITY,)),
    "optimism_outputAtBlock": ("Output root of a block, as op-node has it.", (Param("block", QUANTITY),)),
    "optimism_syncStatus": ("Unsafe, safe and finalized heads, as op-node has them.", ()),
}
"""What the node answers beside its engine: summary and parameters."""


@cache
def document() -> Mapping[str, Any]:
    """The document; not to be changed."""
    told = {**{method.name: (method.summary, method.params) for method in METHODS.values()}, **NODE}
    return {
        "openrpc": OPENRPC,
        "info": {
            "title": "Options rollup",
            "version": CLIENT_VERSION.rpartition("/")[2],
            "description": (
                "Ethereum's methods and the market's own, of the last decided block unless another is named. Amounts are decimal text; "
                "a block is a number in hexadecimal, a tag, or an object with its hash."
            ),
        },
        "methods": [
            {
                "name": name,
                "summary": summary,
                "paramStructure": "by-position",
                "params": _params(params),
                "result": {"name": "result", "schema": RESULTS[name]},
            }
            for name, (summary, params) in sorted(told.items())
        ],
        "components": {"schemas": SHARED},
        "x-notifications": [
            {
                "name": "options_subscription",
                "params": [
                    {"name": "subscription", "required": True, "schema": QUANTITY.schema},
                    {"name": "result", "required": True, "schema": _either(FEED_VIEW, FEED_ERROR)},
                ],
            }
        ],
        "x-feeds": [
            {
                "name": feed.name,
                "summary": feed.summary,
                "params": _params(feed.params),
                "data": FEED_DATA[feed.name],
            }
            for feed in FEEDS.values()
        ],
    }


def text() -> str:
    """The document as its file has it."""
    return json.dumps(document(), indent=1) + "\n"


def _params(params: Iterable[Param]) -> list[dict[str, Any]]:
    return [{"name": param.name, "required": param.required, "schema": param.kind.schema} for param in params]


def _either(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def main(arguments: list[str]) -> int:
    """Print the document, or write its file with ``--write``."""
    if arguments != ["--write"]:
        sys.stdout.write(text())
        return 0
    (Path(__file__).parents[4] / FILE).write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
