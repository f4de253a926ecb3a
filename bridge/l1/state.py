"""Stored states of an L1: what anvil saved, made fit for being loaded again. Pure.

anvil makes a genesis block whenever it starts, and keeps it beside the one that it loads. Saved again, the state has two blocks of
number 0 (three after the next start, …), and which of them is served after the next load is chance: half of all L1s that
were restarted twice had a block 1 whose parent nobody knew, and no node could read such a chain from its beginning.
"""

from typing import Any

import orjson


def loadable(content: bytes) -> bytes:
    """A saved state with no genesis but the one that its chain stands on, which is the oldest.

    Raises:
        orjson.JSONDecodeError: it is torn.
    """
    state: dict[str, Any] = orjson.loads(content)
    geneses = [block for block in state["blocks"] if _number(block) == 0]
    if len(geneses) < 2:
        return content
    first = min(geneses, key=lambda block: int(block["header"]["timestamp"], 16))
    state["blocks"] = [block for block in state["blocks"] if _number(block) or block is first]
    return orjson.dumps(state)


def _number(block: Any) -> int:
    return int(block["header"]["number"], 16)
