"""What a rollup node does on L1: two accounts, the proposer and the challenger, wired together."""

import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.l1.account import L1Account
from bridge.l1.account_store import AccountStore
from bridge.wire.derivation import Derivation
from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import to_hex
from bridge.wire.signing import address_of
from rollup_node.chain import Chain
from rollup_node.challenger import Challenger
from rollup_node.outputs import Outputs
from rollup_node.proposer import Oracle, Proposer


@dataclass(frozen=True, slots=True)
class SettlingConfig:
    """Where and as whom a node settles."""

    l1_chain_id: int
    poll_s: float
    """Between two looks at L1."""
    output_oracle: str
    proposer_key: str
    challenger_key: str


@contextlib.contextmanager
def settling(
    config: SettlingConfig,
    *,
    l1: Client,
    folder: Path,
    chain: Chain,
    derivation: Derivation,
    caught_up: Callable[[], bool],
    outputs: Outputs,
    journal: Journal,
) -> Iterator[list[Coroutine[Any, Any, None]]]:
    """The work to run beside everything else, with the accounts' files open around it.

    Raises:
        DatabaseUnusable: an account's file is locked, damaged or not its own.
    """
    with contextlib.ExitStack() as stack:

        def account(name: str, key: str) -> L1Account:
            store = AccountStore(folder / f"{name}.sqlite", to_hex(address_of(key)), config.l1_chain_id)
            stack.callback(store.close)
            return L1Account(l1, config.l1_chain_id, key, store, poll_s=config.poll_s)

        oracle = Oracle(l1, config.output_oracle)
        proposing = account("proposer", config.proposer_key)
        challenging = account("challenger", config.challenger_key)
        proposer = Proposer(
            chain=chain,
            derivation=derivation,
            caught_up=caught_up,
            outputs=outputs,
            oracle=oracle,
            account=proposing,
            journal=journal,
            poll_s=config.poll_s,
        )
        challenger = Challenger(
            chain=chain,
            caught_up=caught_up,
            outputs=outputs,
            oracle=oracle,
            account=challenging,
            journal=journal,
            poll_s=config.poll_s,
            clock=_l1_clock(derivation),
        )
        yield [proposing.run(), challenging.run(), proposer.run(), challenger.run()]


def _l1_clock(derivation: Derivation) -> Callable[[], float]:
    """L1's time as far as this node has read it: it may be behind, never ahead."""

    def now() -> float:
        head = derivation.l1_block(derivation.l1_head)
        return float(head.info.timestamp) if head is not None else 0.0

    return now
