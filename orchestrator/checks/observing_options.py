"""Reading an options rollup's ledger at the end of a run: whose the cash is that L1's portal holds, and who holds what. An edge.

What an address could withdraw (``eth_getBalance``) is less than its cash while it holds positions, so every account is read by its number;
and what belongs to nobody by what it is: fees, the insurance fund, what settlement hasn't paid out yet. A withdrawal leaves the ledger, so what
left stands under the message passer, where EVM rollups keep it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from orchestrator.chains import ChainHandle
from orchestrator.checks.decoding import good
from orchestrator.checks.observed import AccountSeen, Amounts, BlockSeen, LedgerSeen, Series
from orchestrator.settlement.funding import WEI_PER_CASH

READ_S: Final = 60.0
"""Longest wait for one page, seconds."""
_PAGE: Final = 30
"""Accounts in one request; each takes two calls."""
_PURSES: Final = ("insurance", "sequencerFees", "protocolFees", "pools")
"""What belongs to nobody, 1e-6 USD, by its name in ``options_getTotals``."""


async def observe_ledger(
    chain: ChainHandle, number: int, blocks: Iterable[BlockSeen], alloc: Mapping[str, int]
) -> tuple[dict[str, Amounts], LedgerSeen]:
    """Wei of everybody who has any, by lower-case address, and of what belongs to nobody, by its name; and the accounts themselves.

    Args:
        chain: the rollup.
        number: of the block to read at.
        blocks: up to there.
        alloc: who had how much in its genesis, wei.

    Raises:
        RpcError, PeerUnreachable: it can't be read.
    """
    at = hex(number)
    totals, listed = good(
        await chain.client.batch(
            [("options_getTotals", [at]), ("options_getSeries", [None, True, at])], READ_S
        )
    )
    accounts = await _accounts(chain, totals["accounts"], at)
    after: dict[str, int] = {}
    for account in accounts.values():
        after[account.owner] = after.get(account.owner, 0) + account.cash * WEI_PER_CASH
    after |= {name: int(totals[name]) * WEI_PER_CASH for name in _PURSES}
    after["shared loss"] = -int(totals["sharedLoss"]) * WEI_PER_CASH
    after |= {name: int(totals[name]) for name in ("dust", "undelivered")}
    passer = L2_TO_L1_MESSAGE_PASSER
    after[passer] = after.get(passer, 0) + _withdrawn(blocks)
    found = {who: Amounts(alloc.get(who, 0), after.get(who, 0)) for who in sorted({*alloc, *after})}
    cash = {who: amounts for who, amounts in found.items() if amounts.before or amounts.after}
    series = {str(one["series"]): Series(int(one["strike"]), one["expiry"], one["isCall"]) for one in listed}
    settling = tuple(str(one["series"]) for one in listed if one["status"] == "expired")
    return cash, LedgerSeen(accounts, series, settling)


async def _accounts(chain: ChainHandle, count: int, at: str) -> dict[str, AccountSeen]:
    found: dict[str, AccountSeen] = {}
    for first in range(1, count + 1, _PAGE):
        numbers = range(first, min(first + _PAGE, count + 1))
        calls: list[tuple[str, list[Any]]] = [
            (method, [number, at])
            for number in numbers
            for method in ("options_getAccount", "options_getPositions")
        ]
        answers = good(await chain.client.batch(calls, READ_S))
        for number, account, held in zip(numbers, answers[::2], answers[1::2], strict=True):
            positions = {str(one["series"]): int(one["quantity"]) for one in held}
            found[str(number)] = AccountSeen(account["owner"].lower(), int(account["cash"]), positions)
    return found


def _withdrawn(blocks: Iterable[BlockSeen]) -> int:
    """Wei that have left for L1."""
    return sum(
        int(event.arguments["value"])
        for block in blocks
        for sent in block.transactions
        for event in sent.events
        if event.name == "MessagePassed"
    )
