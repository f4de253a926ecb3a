"""A rollup's coin (ETH, or dollars for ETH) between L1 and it as a user moves it: a deposit through the portal, a withdrawal through the message passer.

::

    deposit:   sign ─► portal on L1 ─► its log ─► hash of the derived transaction (pure) ─► receipt on the rollup
    withdraw:  sign ─► MessagePassed ─► batched ─► proposed ─► proven ─► finalized      (the relayer does what it takes)
"""

import time
from typing import Final

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.contracts.op import op_artifact
from bridge.relayer.portal import PORTAL
from orchestrator.bridging.following import Deposited, Tell, Withdrawn, follow, follow_deposit
from orchestrator.bridging.reading import only_passed
from orchestrator.bridging.sending import BridgingFailed, receipt_of, send
from orchestrator.bridging.terms import coin_of
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments
from orchestrator.topology.plan import Account

CALL_GAS: Final = 200_000
"""Gas of the call at the other end: the recipient may be a contract."""
PASSER = op_artifact("L2ToL1MessagePasser").interface


async def deposit(
    net: Devnet, rollup: ChainHandle, account: Account, to: str, wei: int, tell: Tell, *, wait: bool = True
) -> Deposited:
    """Deposit ETH, on an options rollup booked as dollars, and follow it until it is executed there.

    Raises:
        BridgingFailed: nothing was deposited, or it isn't known.
        RollnetError: a node doesn't answer or refuses, before anything was sent.
    """
    where, started = deployments(net.plan).rollups[rollup.name], time.monotonic()
    data = PORTAL.encode_call("depositTransaction", to, wei, CALL_GAS, False, b"")
    digest = await send(net, net.l1, account, where.portal, data, wei)
    tell(f"sent to L1: {digest}")
    coin = coin_of(net.plan, rollup.name)
    kept = f"{account.address} keeps the {coin.shown(wei)} {coin.symbol} on {rollup.name}"
    return await follow_deposit(net, rollup, digest, kept, tell, started=started, wait=wait)


async def withdraw(
    net: Devnet, rollup: ChainHandle, account: Account, to: str, wei: int, tell: Tell, *, wait: bool = True
) -> Withdrawn:
    """Withdraw ETH, on an options rollup out of dollars, and follow it until L1 has paid.

    Raises:
        BridgingFailed: nothing was withdrawn, or it isn't known.
        RollnetError: a node doesn't answer or refuses, before anything was sent.
    """
    if to.lower() == deployments(net.plan).rollups[rollup.name].portal.lower():
        raise BridgingFailed(f"{to} is {rollup.name}'s portal, which never pays itself", "mend --to")
    started = time.monotonic()
    data = PASSER.encode_call("initiateWithdrawal", to, CALL_GAS, b"")
    digest = await send(net, rollup, account, L2_TO_L1_MESSAGE_PASSER, data, wei)
    receipt = await receipt_of(rollup, digest)
    found = only_passed(receipt)
    tell(f"sent in {rollup.name} block {found.block}: withdrawal {found.withdrawal.hash}")
    return await follow(net, rollup, found, tell, started=started, wait=wait)
