"""Crash points of the relayer, and of accounts on L1, in the order of their work; :mod:`bridge.wire.crash_table` says how a row is read."""

ACCOUNT = """
account.tried | bridge.l1.account.L1Account._enter | each transaction that the account sends
    a transaction would succeed -> it has a nonce, and signed bytes on disk
    nothing was sent and no nonce is spent; the intention is taken up again

account.assigned | bridge.l1.nonces.Nonces.assign | each transaction that the account sends
    nonce and signed bytes on disk -> they are known in memory, and sent
    the same bytes are sent; the intention is not sent under another nonce

account.sending | bridge.l1.nonces.Nonces.transmit | each transaction that the account sends
    nonce and signed bytes on disk -> they are sent
    as before it

account.sent | bridge.l1.nonces.Nonces.transmit | each transaction that the account sends
    the chain has the bytes -> their sender knows
    the bytes are mined once

account.resigned | bridge.l1.nonces.Nonces.sign_again | a base fee above the offer
    other bytes for the same nonce on disk -> they are sent
    one of the two is mined, and counts for the intention

account.mined | bridge.l1.upkeep.Upkeep._collect | each transaction that is mined
    a transaction is mined -> who waits for it knows
    its receipt is read again; the intention is done, once

account.settled | bridge.l1.nonces.Nonces.settle | each transaction that is final
    final receipts on disk -> their nonces are let go
    a key that was used is known for ever

account.reopened | bridge.l1.nonces.Nonces.reopen | the chain loses what was final
    nonces are open again on disk -> their bytes are sent again
    what the chain lost is mined again, once

database.committing | bridge.l1.database.transaction | each write of an account or of the relayer
    all statements of a transaction -> its commit
    none of it happened

database.committed | bridge.l1.database.transaction | each write of an account or of the relayer
    its commit -> anybody knows
    all of it happened, and the next life goes on from there
"""
"""Whoever sends to L1: the relayer, and a rollup's node as proposer and challenger."""
RELAYER = """
relayer.boot.opened | bridge.relayer.node.run | each boot
    all files are open -> anything is read or sent
    nothing has changed

relayer.sent.told | bridge.relayer.arrivals.Arrivals._add | each withdrawal
    new withdrawals are in the journal -> they, and that their blocks were read, are stored
    they are read and told again, and relayed once

relayer.sent.stored | bridge.relayer.arrivals.Arrivals._add | each withdrawal
    they are stored -> they are looked at
    they are relayed

relayer.lost.stored | bridge.relayer.arrivals.Arrivals._lose | blocks that are taken back
    it is stored that a rollup's blocks are gone -> the journal is told
    withdrawals of these blocks are not relayed unless they come again

relayer.l1.stored | bridge.relayer.arrivals.L1Arrivals.read | each message between rollups
    what L1's logs say of messages is stored -> they are looked at
    each message goes on from what its logs say

relayer.withdrawal.told | bridge.relayer.withdrawals.Withdrawals._judge | each withdrawal
    new stages are in the journal -> they are stored
    the stages are read from L1 and told again; nothing is done twice

relayer.withdrawal.stored | bridge.relayer.withdrawals.Withdrawals._judge | each withdrawal
    new stages are stored -> steps begin
    the steps begin in the next life

relayer.withdrawal.acting | bridge.relayer.withdrawals.Withdrawals._act | each withdrawal
    a step is due -> anything of it is done
    the step is taken by the next life

relayer.withdrawal.done | bridge.relayer.withdrawals.Withdrawals._act | each withdrawal
    a step has ended -> how it went is stored
    L1 says what was achieved; it is not done twice

relayer.message.told | bridge.relayer.messages.crossings.Crossings._round | each message between rollups
    new stages are in the journal -> they are stored
    the stages are told again; the message is executed once

relayer.message.stored | bridge.relayer.messages.crossings.Crossings._round | each message between rollups
    new stages are stored -> steps begin
    the steps begin in the next life

relayer.message.acting | bridge.relayer.messages.crossings.Crossings._act | a message that fails or expires
    a step is due -> anything of it is done
    the step is taken by the next life

relayer.message.done | bridge.relayer.messages.crossings.Crossings._act | a message that fails or expires
    a step has ended -> how it went is stored
    the chains say what was achieved; value moves once

relayer.strategy.found | bridge.relayer.strategies.queue.StrategyQueue.found | each strategy over the bridge
    strategies that L1 opened are stored, and how far it was read -> they are looked at
    they are seen to their end

relayer.strategy.told | bridge.relayer.strategies.telling.StrategyTeller._say | each strategy over the bridge
    a stage is in the journal -> it is stored that it was told
    the stage is told again; what is done follows from the chains alone

relayer.strategy.kept | bridge.relayer.strategies.telling.StrategyTeller._say | each strategy over the bridge
    it is stored that a stage was told -> the next stage, or a step
    the stage is told once; what is due is done by the next life

relayer.strategy.acting | bridge.relayer.strategies.keeper.Keeper._act | a strategy that nobody else ends
    a step is due -> anything of it is done
    the step is taken by the next life: nothing stays locked

relayer.strategy.done | bridge.relayer.strategies.keeper.Keeper._take | a strategy that nobody else ends
    a step was mined -> the journal is told
    the step is not taken twice; the journal may lack the line

relayer.strategy.ended | bridge.relayer.strategies.keeper.Keeper._round | each strategy over the bridge
    it is stored that a strategy is finished -> the others are looked at
    it is not looked at again, unless L1 is reorganised
"""
