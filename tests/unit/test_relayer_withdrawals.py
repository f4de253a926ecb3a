"""The relayer's process between a real L1 and a real rollup, through everything that can come between."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.relayer.withdrawal import Withdrawal
from bridge.wire.errors import RpcError
from bridge.wire.stages import Stage
from orchestrator.settlement.testing_relay import PERIOD_S, SINK, Relay, relay, what

pytestmark = pytest.mark.process

REVERTS = "0x" + "bd" * 20
"""Reverts whatever it is asked."""
STAGES = [
    Stage.MESSAGE_SENT,
    Stage.MESSAGE_BATCHED,
    Stage.MESSAGE_PROPOSED,
    Stage.MESSAGE_PROVEN,
    Stage.MESSAGE_FINALIZED,
]


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Relay]:
    """Both chains, the relayer not started."""
    async with relay(tmp_path) as whole:
        yield whole


def once(*withdrawals: Withdrawal) -> list[tuple[str, str, bool]]:
    """What the relayer pays for withdrawals when nothing is wasted, sorted."""
    return sorted((step, each.hash, True) for each in withdrawals for step in ("prove", "finalize"))


async def proven(net: Relay, **call: Any) -> Withdrawal:
    """A withdrawal that the relayer has proven; its challenge period runs."""
    withdrawal = await net.withdraw(**call)
    await net.propose()
    await net.until_state(withdrawal, "proven")
    return withdrawal


async def test_a_withdrawal_is_proven_and_finalized_once(net: Relay) -> None:
    """From the rollup's block to the target's balance, each stage told once, in order, with what it cost."""
    await net.start()
    withdrawal = await net.withdraw(value=12_345)
    await net.until_state(withdrawal, "sent", tick=False)
    await net.grow()
    await net.until_state(withdrawal, "batched")
    await net.propose()
    await net.until_state(withdrawal, "proven")
    await net.until_finalized(withdrawal)
    message = await net.until_state(withdrawal, "finalized")
    assert message["success"] is True
    assert 12_345 == await net.l1.balance(SINK)
    assert [("prove", withdrawal.hash, True), ("finalize", withdrawal.hash, True)] == await net.spent()
    told = [event for stage in STAGES for event in net.journal(stage)]
    assert STAGES == [event.event for event in told]
    assert [(event.id,) for event in told[:-1]] == [event.cause for event in told[1:]]
    assert message["proven_by"] == told[3].attrs["l1_tx"]
    assert message["finalized_by"] == told[4].attrs["l1_tx"]
    assert all(event.attrs["gas"] > 50_000 and event.attrs["wei"] > 0 for event in told[3:])


async def test_nothing_is_finalized_before_its_time(net: Relay) -> None:
    """Over the whole challenge period, block by block, no finalization is even sent; then exactly one."""
    await net.start()
    withdrawal = await proven(net)
    for _ in range(PERIOD_S // 10 - 1):
        await net.pass_time(10)
        before = (await net.ask("rollnet_status"))["l1"]["head"]

        async def seen(before: int = before) -> bool:
            return (await net.ask("rollnet_status"))["l1"]["head"] >= before

        await net.until(seen, "L1's head to be seen", tick=False)
        assert "finalize" not in {what(raw)[0] for raw in net.l1_gate.called}
    await net.until_finalized(withdrawal)
    await net.until_state(withdrawal, "finalized")
    assert once(withdrawal) == sorted(await net.spent())


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
async def test_killed_again_and_again_it_pays_for_nothing_twice(net: Relay, seed: int) -> None:
    """Ten withdrawals, eight kills at random moments: one proof and one finalization for each, and no failure."""
    chance = random.Random(seed)
    withdrawals: list[Withdrawal] = []

    async def world() -> None:
        while True:
            if len(withdrawals) < 10:
                withdrawals.append(await net.withdraw(user=f"user-{chance.randrange(3)}"))
            await net.propose()
            await net.pass_time(chance.randint(1, 8))
            await asyncio.sleep(chance.random() / 10)

    async def all_finalized() -> bool:
        return len(withdrawals) == 10 and all([await net.finalized(each) for each in withdrawals])

    turning = asyncio.create_task(world())
    try:
        for _ in range(8):
            await net.start()
            await asyncio.sleep(chance.random() * chance.choice((0.1, 0.5, 1.0)))
            net.l1_gate.lose_answers = chance.random() < 0.3
            await asyncio.sleep(chance.random() / 10)
            await net.kill()
            net.l1_gate.lose_answers = False
        await net.start()
        await net.until(all_finalized, "finalization of all", tick=False, within_s=60)
        for each in withdrawals:
            await net.until_state(each, "finalized", tick=False)
    finally:
        turning.cancel()
        await asyncio.gather(turning, return_exceptions=True)
    assert once(*withdrawals) == sorted(await net.spent())
    for stage in STAGES:
        assert {each.hash for each in withdrawals} == {event.msg_id for event in net.journal(stage)}


async def test_an_output_that_is_deleted_is_replaced_in_the_proof(net: Relay) -> None:
    """Proven, then the rollup has another block there and the output goes: proven again, and final on that proof's own time."""
    await net.start()
    withdrawal = await proven(net, value=1)
    await net.pass_time(PERIOD_S // 2)
    await net.rollup.client.call("anvil_rollback", 1)
    beside = await net.withdraw(value=2, user="user-1")
    await net.delete_outputs(0)
    await net.until_state(withdrawal, "batched")
    await net.propose()
    for each in (withdrawal, beside):
        await net.until_state(each, "proven")
    await net.pass_time(PERIOD_S // 2 + 1)
    assert not await net.finalized(withdrawal)
    await net.until_finalized(withdrawal, beside)
    for each in (withdrawal, beside):
        await net.until_state(each, "finalized")
    assert sorted([*once(withdrawal, beside), ("prove", withdrawal.hash, True)]) == sorted(await net.spent())
    attempts = [event for event in net.journal(Stage.MESSAGE_PROVEN) if event.msg_id == withdrawal.hash]
    assert 2 == len({event.attrs["l1_tx"] for event in attempts})


async def test_an_output_that_comes_back_needs_no_other_proof(net: Relay) -> None:
    """Deleted and proposed again with the same root at the same index: the proof counts again."""
    await net.start()
    withdrawal = await proven(net)
    await net.delete_outputs(0)
    await net.until_state(withdrawal, "batched")
    await net.propose()
    await net.until_finalized(withdrawal)
    await net.until_state(withdrawal, "finalized")
    assert once(withdrawal) == sorted(await net.spent())


async def test_a_wrong_output_is_never_proven_against(net: Relay) -> None:
    """The relayer says what is wrong, waits for the challenger, and goes on with the right one."""
    await net.start()
    withdrawal = await net.withdraw()
    await net.propose(wrong=True)

    async def contradicted() -> bool:
        return len(net.journal("output.contradicted")) > 0

    await net.until(contradicted, "the relayer to contradict")
    message = await net.message(withdrawal.hash)
    assert ("proposed", 0, False) == (message["state"], message["failures"], message["dead"])
    assert "the rollup says" in message["reason"]
    assert [] == await net.spent()
    await net.delete_outputs(0)
    await net.propose()
    await net.until_finalized(withdrawal)
    await net.until_state(withdrawal, "finalized")
    assert 1 == len(net.journal("output.contradicted"))
    assert once(withdrawal) == sorted(await net.spent())


@pytest.mark.parametrize("stage", ["proven", "finalized"])
async def test_an_l1_reorganisation_takes_it_back_and_it_is_done_again(net: Relay, stage: str) -> None:
    """Whatever L1 forgets, the relayer does again with the same bytes; L1 then holds each transaction once."""
    await net.start()
    withdrawal = await net.withdraw(value=7)
    await net.propose()
    head = int(await net.l1.client.call("eth_blockNumber"), 16)
    await net.until_state(withdrawal, "proven")
    if stage == "finalized":
        await net.pass_time()
        head = int(await net.l1.client.call("eth_blockNumber"), 16)
        await net.until_state(withdrawal, "finalized")
    depth = int(await net.l1.client.call("eth_blockNumber"), 16) - head
    await net.l1.client.call("anvil_reorg", depth, [])
    assert len(await net.spent()) == (1 if stage == "finalized" else 0)
    await net.until_finalized(withdrawal)
    await net.until_state(withdrawal, "finalized")
    assert once(withdrawal) == sorted(await net.spent())
    assert 7 == await net.l1.balance(SINK)


async def test_a_call_that_fails_is_finalized_all_the_same(net: Relay) -> None:
    """The portal consumes a withdrawal whatever its target does; the relayer says that the call failed."""
    await net.l1.client.call("anvil_setCode", REVERTS, "0x5f5ffd")
    await net.start()
    withdrawal = await proven(net, target=REVERTS, data=b"call me")
    await net.until_finalized(withdrawal)
    message = await net.until_state(withdrawal, "finalized")
    assert message["success"] is False
    assert [False] == [event.attrs["success"] for event in net.journal(Stage.MESSAGE_FINALIZED)]
    assert once(withdrawal) == sorted(await net.spent())


async def test_a_call_gets_the_gas_that_it_needs(net: Relay) -> None:
    """Sent with hardly any gas, but needing a lot: the relayer gives it, for a withdrawal is made only once."""
    hungry = "0x" + "9a" * 20
    # stores a word in each of a hundred slots: 2.2 million gas
    await net.l1.client.call("anvil_setCode", hungry, "0x60645b600181556001900380600257" + "00")
    await net.start()
    withdrawal = await proven(net, target=hungry, gas=0, data=b"\1")
    await net.until_finalized(withdrawal)
    assert (await net.until_state(withdrawal, "finalized"))["success"] is True


async def test_what_others_do_counts(net: Relay) -> None:
    """Proven or finalized by somebody else, the relayer's own transaction is not needed and not sent."""
    withdrawals = [await net.withdraw(), await net.withdraw()]
    await net.propose()
    other, portal = net.account("user-1"), net.contracts.portal
    await net.prove(other, withdrawals[0])
    await net.prove(other, withdrawals[1])
    await net.start()
    await net.until_state(withdrawals[0], "proven", tick=False)
    await net.kill()
    await net.pass_time()
    await net.l1.send(other, "OptimismPortal", portal, "finalizeWithdrawalTransaction", withdrawals[0].struct)
    await net.start()
    for each in withdrawals:
        message = await net.until_state(each, "finalized")
        assert message["success"] is True
        assert message["finalized_by"].startswith("0x")
    assert [("finalize", withdrawals[1].hash, True)] == await net.spent()
    by = {event.msg_id: event.attrs["by"] for event in net.journal(Stage.MESSAGE_FINALIZED)}
    assert {withdrawals[0].hash: "other", withdrawals[1].hash: "relayer"} == by


@pytest.mark.parametrize("gate", ["l1_gate", "rollup_gate"])
async def test_a_chain_that_is_away_only_delays(net: Relay, gate: str) -> None:
    """Away before the proof and again before the finalization: nothing fails, nothing is paid twice."""
    await net.start()
    withdrawal = await net.withdraw()
    shut = getattr(net, gate)
    shut.shut = True
    await net.propose()

    async def troubled() -> bool:
        status = await net.ask("rollnet_status")
        return bool(status["l1"]["trouble"] if gate == "l1_gate" else status["rollups"]["alpha"]["trouble"])

    await net.until(troubled, "trouble to be told")
    shut.shut = False
    await net.until_state(withdrawal, "proven")
    shut.shut = True
    await net.until(troubled, "trouble to be told")
    await net.pass_time()
    shut.shut = False
    await net.until_state(withdrawal, "finalized")
    assert once(withdrawal) == sorted(await net.spent())
    assert [] == net.journal("message.retried")


async def test_a_dead_letter_is_kept_with_its_reason_and_revived_on_request(tmp_path: Path) -> None:
    """More gas than L1's blocks have: given up after so many failures, visible, quiet; asked for again it is done."""
    async with relay(tmp_path, max_failures=2) as net:
        await net.start()
        hopeless = await net.withdraw(gas=31_000_000)
        good = await net.withdraw()
        await net.propose()
        await net.until_state(hopeless, "proven")
        await net.until_finalized(good)

        async def dead() -> bool:
            return bool((await net.message(hopeless.hash))["dead"])

        await net.until(dead, "a dead letter")
        (letter,) = await net.ask("rollnet_messages", {"dead": True})
        assert (hopeless.hash, 2, "proven") == (letter["hash"], letter["failures"], letter["state"])
        assert "gas" in letter["reason"].lower()
        status = (await net.ask("rollnet_status"))["rollups"]["alpha"]["withdrawals"]
        assert (1, 1, 1) == (status["dead"], status["proven"], status["finalized"])
        await net.kill()
        await net.start()
        assert await dead()
        await net.l1.client.call("evm_setBlockGasLimit", hex(60_000_000))
        await net.pass_time(1)
        await net.ask("rollnet_retry", hopeless.hash)
        message = await net.until_state(hopeless, "finalized")
        assert (False, 0, True) == (message["dead"], message["failures"], message["success"])
        assert once(hopeless, good) == sorted(await net.spent())


async def test_a_withdrawal_whose_block_is_reorganised_away_is_dropped(net: Relay) -> None:
    """Gone with its block before anybody proved it: dropped. In another block of the new chain: relayed from there."""
    await net.start()
    kept = await net.withdraw(value=1)
    gone = await net.withdraw(value=2)
    moved = await net.withdraw(value=3, user="user-1")
    for each in (kept, gone, moved):
        await net.until_state(each, "sent", tick=False)
    await net.rollup.client.call("anvil_rollback", 2)
    for each in (gone, moved):
        await net.until_state(each, "dropped", tick=False)
    filler = await net.withdraw(value=4, user="user-2")
    assert gone.nonce == filler.nonce
    again = await net.withdraw(value=3, user="user-1")
    assert moved.hash == again.hash
    await net.until_state(again, "sent", tick=False)
    await net.propose()
    await net.until_finalized(kept, filler, again)
    for each in (kept, filler, again):
        await net.until_state(each, "finalized")
    assert "dropped" == (await net.message(gone.hash))["state"]
    assert once(kept, filler, again) == sorted(await net.spent())


async def test_proofs_come_from_a_later_output_when_the_state_is_gone(net: Relay) -> None:
    """The rollup keeps recent states only: without the first output's, the newest one's is used; without both, the next's."""
    withdrawal = await net.withdraw()
    await net.propose()
    net.rollup_gate.oldest_state = 10**6
    await net.start()

    async def explained() -> bool:
        return "does not serve the state" in (await net.message(withdrawal.hash)).get("reason", "")

    await net.until(explained, "the relayer to wait for another output")
    await net.grow(4)
    net.rollup_gate.oldest_state = int(await net.rollup.client.call("eth_blockNumber"), 16) - 1
    await net.propose()
    await net.until_finalized(withdrawal)
    await net.until_state(withdrawal, "finalized")
    assert once(withdrawal) == sorted(await net.spent())
    assert 1 <= net.journal(Stage.MESSAGE_PROVEN)[0].attrs["output"]


async def test_a_paused_portal_is_waited_for(net: Relay) -> None:
    """The guardian's pause is no failure: nothing is sent, and everything goes on after it."""
    await net.start()
    withdrawal = await net.withdraw()
    await net.pause("pause", "a reason")
    await net.propose()

    async def waits() -> bool:
        return "paused" in (await net.message(withdrawal.hash)).get("reason", "")

    await net.until(waits, "the pause to be noticed")
    await net.pause("unpause")
    await net.until_finalized(withdrawal)
    await net.until_state(withdrawal, "finalized")
    assert once(withdrawal) == sorted(await net.spent())
    assert [] == net.journal("message.retried")


async def test_only_what_is_asked_for_is_relayed(tmp_path: Path) -> None:
    """With relay_all off, withdrawals are known and left alone until somebody names them."""
    async with relay(tmp_path, relay_all=False) as net:
        await net.start()
        left, asked = await net.withdraw(value=1), await net.withdraw(value=2)
        await net.propose()
        for each in (left, asked):
            await net.until_state(each, "sent", "batched", "proposed")
        await net.ask("rollnet_retry", asked.hash)
        await net.until_finalized(asked)
        await net.until_state(asked, "finalized")
        assert "relay_all" in (await net.message(left.hash))["reason"]
        assert once(asked) == sorted(await net.spent())


async def test_a_poor_relayer_waits_for_money(net: Relay) -> None:
    """Without ether nothing is sent and nothing fails; with ether it goes on."""
    own = net.account("relayer").address
    await net.l1.client.call("anvil_setBalance", own, hex(1))
    await net.start()
    withdrawal = await net.withdraw()
    await net.propose()

    async def poor() -> bool:
        return "send it ether" in (await net.message(withdrawal.hash)).get("reason", "")

    await net.until(poor, "poverty to be told")
    await net.l1.client.call("anvil_setBalance", own, hex(10**19))
    await net.until_finalized(withdrawal)
    await net.until_state(withdrawal, "finalized")
    assert once(withdrawal) == sorted(await net.spent())


async def test_many_at_once(net: Relay) -> None:
    """Forty withdrawals under one output: all are relayed, in few L1 blocks, each once."""
    await net.start()
    withdrawals = [await net.withdraw(value=n, user=f"user-{n % 3}") for n in range(40)]
    await net.propose()
    await net.until_finalized(*withdrawals)
    for each in withdrawals:
        await net.until_state(each, "finalized")
    assert once(*withdrawals) == sorted(await net.spent())
    assert sum(range(40)) == await net.l1.balance(SINK)


async def test_bad_questions_are_answered_in_words(net: Relay) -> None:
    """Whatever is asked, the answer is an error of the caller's, not of the relayer's."""
    await net.start()
    nobody = "0x" + "00" * 32
    questions: list[tuple[str, list[Any]]] = [
        *(("rollnet_message", [digest]) for digest in ("0x12", nobody, None, 7, "", {})),
        *(("rollnet_retry", params) for params in ([nobody], [], [nobody, "nonsense", 3])),
        *(("rollnet_messages", [{"limit": limit}]) for limit in (-1, 10**9, True, "1", None)),
        *(("rollnet_messages", [{"offset": offset}]) for offset in (-1, "0", 0.5)),
        *(
            ("rollnet_messages", [{name: "nonsense"}])
            for name in ("state", "rollup", "dead", "hash = '' OR 1")
        ),
        *(("rollnet_messages", [filters]) for filters in ("nonsense", 5, [[]], [1])),
        ("rollnet_status", [1, 2, 3]),
    ]
    for method, params in questions:
        with pytest.raises(RpcError) as caught:
            await net.ask(method, *params)
        assert caught.value.code in {-32602, -32001}, (method, params, caught.value)


async def test_pages_and_filters(net: Relay) -> None:
    """Every message is on exactly one page, and every filter gives what it says."""
    await net.start()
    withdrawals = [await net.withdraw(value=n) for n in range(5)]
    await net.propose()
    for each in withdrawals:
        await net.until_state(each, "proven")
    pages = [await net.ask("rollnet_messages", {"limit": 2, "offset": start}) for start in (0, 2, 4, 6)]
    assert Counter(each.hash for each in withdrawals) == Counter(m["hash"] for page in pages for m in page)
    assert 5 == len(await net.ask("rollnet_messages", {"rollup": "alpha", "state": "proven"}))
    assert [] == await net.ask("rollnet_messages", {"state": "finalized"})
    assert [] == await net.ask("rollnet_messages", {"limit": 0})
    shown = (await net.message(withdrawals[3].hash))["withdrawal"]
    assert withdrawals[3].value == int(shown["value"], 16)
