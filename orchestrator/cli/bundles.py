"""``bundle``: the word of the sequencers on one bundle or transaction."""

from typing import Annotated, Any

import typer

from orchestrator.cli.output import JsonOption, NetOption, command, command_group, out, run, say_json
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.registry import find_devnet

app = command_group()


@app.command()
def bundle(
    bundle_hash: Annotated[str, typer.Argument(help="Bundle or transaction hash.")],
    net: NetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the sequencers what became of a bundle or transaction.

    Example: rollnet bundle 0x… --json
    """
    with command(as_json=as_json):
        found = run(_bundle(bundle_hash, net))
        if found is None:
            raise RollnetError(
                f"{bundle_hash} was never acknowledged by a sequencer of this devnet",
                "check the hash; nothing was promised for it",
            )
        if as_json:
            say_json(found)
            return
        out.print(f"{found['kind']} {found['hash']}: {found['status']}")
        for leg in found["legs"]:
            where = f"block {leg['blockNumber']}" if leg["blockNumber"] is not None else "no effect"
            out.print(f"  leg {leg['index']} on {leg['rollup']}: {where}  {leg['transactionHash']}")
        if found["reason"]:
            out.print(f"  reason: {found['reason']['message']}", markup=False)


async def _bundle(bundle_hash: str, net: str | None) -> Any:
    async with Devnet.attach(find_devnet(net).name) as devnet:
        return await devnet.bundle(bundle_hash)
