"""Saved L1 states: whatever anvil saved beside its chain, what is loaded again has one genesis, the one that the chain stands on."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.l1.state import loadable
from orchestrator.market.scratch import scratch_anvil


def block(number: int, timestamp: int) -> dict[str, Any]:
    """As far as it matters."""
    return {"header": {"number": hex(number), "timestamp": hex(timestamp)}, "transactions": []}


@given(st.lists(st.integers(1, 10**6), max_size=4, unique=True), st.integers(0, 5), st.randoms())
def test_only_the_oldest_genesis_is_kept(later: list[int], height: int, rng: Any) -> None:
    """Of any number of geneses, in any order; the other blocks and everything else stay as they are."""
    chain = [block(number, 100 + number) for number in range(height + 1)]
    blocks = [*chain, *(block(0, 100 + seconds) for seconds in later)]
    rng.shuffle(blocks)
    state = {"blocks": blocks, "best_block_number": height, "accounts": {"0x1": {}}}
    found = orjson.loads(loadable(orjson.dumps(state)))
    assert sorted(map(str, chain)) == sorted(map(str, found.pop("blocks")))
    assert {"best_block_number": height, "accounts": {"0x1": {}}} == found


@pytest.mark.parametrize("content", [b"", b'{"blocks": [', b"[]", b"{}", b'{"blocks": [{}]}'])
def test_what_is_no_state_is_refused(content: bytes) -> None:
    """Torn files and other documents raise; nobody loads half a chain."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        loadable(content)


async def test_a_real_chain_keeps_its_genesis_over_many_lives(tmp_path: Path) -> None:
    """anvil saves and loads again and again: block 0 stays the parent of block 1."""
    path = tmp_path / "state.json"
    genesis: str | None = None
    for _ in range(4):
        async with scratch_anvil("--no-mining", "--state", str(path), "--state-interval", "1") as client:
            first = await client.call("eth_getBlockByNumber", "0x0", False)
            genesis = genesis or first["hash"]
            assert genesis == first["hash"]
            await client.call("evm_mine")
            height = int(await client.call("eth_blockNumber"), 16)
            second = await client.call("eth_getBlockByNumber", "0x1", False)
            assert genesis == second["parentHash"]
            async with asyncio.timeout(10):
                while _height(path) < height:  # noqa: ASYNC110 - anvil says nowhere that it has saved
                    await asyncio.sleep(0.05)
        path.write_bytes(loadable(path.read_bytes()))


def _height(path: Path) -> int:
    try:
        return int(orjson.loads(path.read_bytes())["best_block_number"])
    except (OSError, ValueError):
        return -1
