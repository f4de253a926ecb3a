"""The L1 node: ``python -m bridge.l1.node`` turns itself into anvil (``exec``), from its genesis file or from what its last life saved.

anvil writes its state every second and on a graceful stop. An L1 that is killed therefore comes back up to that much
older, which to everybody else looks like a reorganisation: the publisher sees its nonce go back and sends the missing
superbatches again. A state file torn by the kill falls back to the one that the life before started from.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bridge.l1.state import loadable
from bridge.wire.configuration import LISTEN_ADDRESS, read_configuration

SAVE_SECONDS = 1
"""Between two saves of the state."""
GAS_LIMIT = 30_000_000
"""Of every block."""
GENESIS_BASE_FEE = 10**9
"""Wei per gas."""
HISTORY_STATES = 256
"""Blocks whose state is served."""
EPOCH_SLOTS = 4
"""Blocks of an epoch: `safe` is one epoch behind the head, `finalized` two."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the L1 is told."""

    anvil: str
    port: int
    chain_id: int
    block_time_s: float
    genesis: str
    """Path of the genesis file, in geth's format; only its accounts count."""
    data_dir: str

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> "Config":
        """From decoded JSON; ports may be text."""
        return cls(**{**fields, "port": int(fields["port"])})


def command(config: Config) -> list[str]:
    """The anvil command line for this life."""
    data = Path(config.data_dir)
    argv = [
        config.anvil,
        "--host",
        LISTEN_ADDRESS,
        "--port",
        str(config.port),
        "--chain-id",
        str(config.chain_id),
    ]
    argv += ["--block-time", f"{config.block_time_s:g}", "--accounts", "0", "--quiet"]
    argv += ["--cache-path", str(data / "states"), "--max-persisted-states", str(HISTORY_STATES)]
    argv += ["--gas-limit", str(GAS_LIMIT), "--block-base-fee-per-gas", str(GENESIS_BASE_FEE)]
    argv += ["--slots-in-an-epoch", str(EPOCH_SLOTS)]
    return [
        *argv,
        "--state",
        str(_state_file(data, Path(config.genesis))),
        "--state-interval",
        str(SAVE_SECONDS),
    ]


def _state_file(data: Path, genesis: Path) -> Path:
    """The file that anvil loads and saves to, whole: the last one, else the one before, else the first."""
    current, kept = data / "state.json", data / "state.kept.json"
    content = _whole(current) or _whole(kept) or _first_state(genesis)
    for path in (kept, current):
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
    return current


def _whole(path: Path) -> bytes | None:
    try:
        content = loadable(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content


def _first_state(genesis: Path) -> bytes:
    accounts = {
        address: {
            "nonce": int(account.get("nonce", "0x0"), 16),
            "balance": account["balance"],
            "code": account.get("code", "0x"),
            "storage": account.get("storage", {}),
        }
        for address, account in orjson.loads(genesis.read_bytes())["alloc"].items()
    }
    return orjson.dumps(
        {"block": None, "accounts": accounts, "best_block_number": None, "blocks": [], "transactions": []}
    )


def main() -> None:
    """Become anvil."""
    config = Config.parse(read_configuration())
    Path(config.data_dir).mkdir(parents=True, exist_ok=True)
    argv = command(config)
    try:
        os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted
    except OSError as exc:
        sys.exit(f"{argv[0]} cannot be started: {exc}; run 'make setup'")


if __name__ == "__main__":
    main()
