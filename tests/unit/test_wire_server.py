"""A listener behind tokens: each opens what is its own, and nothing else does."""

import pytest

from bridge.wire.errors import METHOD_NOT_FOUND, PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client, dispatcher
from bridge.wire.server import serve
from orchestrator.crash_testing.processes import free_port


async def _said() -> str:
    return "said"


async def test_a_guest_reaches_only_what_is_its_own() -> None:
    """The owner's token opens the owner's methods, a guest's the guest's; no token, a wrong one and a part of one open nothing."""
    port = free_port()
    own, votes = dispatcher({"rollup_commit": _said}), dispatcher({"rollup_vote": _said})
    url = f"http://127.0.0.1:{port}"
    async with (
        serve(own, port, token="of-the-sequencer", guests={"of-a-rollup": votes}),
        Client(url, token="of-the-sequencer") as owner,
        Client(url, token="of-a-rollup") as guest,
    ):
        assert ("said", "said") == (await owner.call("rollup_commit"), await guest.call("rollup_vote"))
        for client, method in ((owner, "rollup_vote"), (guest, "rollup_commit")):
            with pytest.raises(RpcError) as refused:
                await client.call(method)
            assert METHOD_NOT_FOUND == refused.value.code
        for token in (None, "of-a-rollu", "of-the-sequencerx", "of-somebody"):
            async with Client(url, token=token) as stranger:
                for method in ("rollup_commit", "rollup_vote"):
                    with pytest.raises(PeerUnreachable, match="401"):
                        await stranger.call(method)
