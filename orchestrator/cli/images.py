"""``image build|show|prune``: the image from which containers run."""

from typing import Annotated, Any

import typer

from orchestrator.cli.output import JsonOption, command, command_group, err, out, run, say_json

app = command_group("The image that nodes run from on Docker; `rollnet up` builds it when it is missing.")


@app.command()
def build(
    again: Annotated[bool, typer.Option("--again", help="Build it even if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build the image of this checkout, unless it is there. Its base is $ROLLNET_BASE_IMAGE, or the usual Python image.

    Example: rollnet image build --again
    """
    with command(as_json=as_json):
        _say(run(_build(again=again)), as_json=as_json)


@app.command()
def show(as_json: JsonOption = False) -> None:
    """Show the image of this checkout: its name, base and size.

    Example: rollnet image show --json
    """
    with command(as_json=as_json):
        _say(run(_show()), as_json=as_json)


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the images; remove nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove images of ours that neither this checkout nor any container uses, and what builds left that were cut short.

    Every change of the sources makes an image with another name; images of others are never touched.

    Example: rollnet image prune --dry-run
    """
    with command(as_json=as_json):
        removed = run(_prune(dry_run=dry_run))
        if as_json:
            say_json({"would_remove" if dry_run else "removed": removed})
            return
        for name in removed:
            out.print(f"{'would remove' if dry_run else 'removed'} {name}", markup=False)
        if not removed:
            out.print("nothing to remove")


async def _build(*, again: bool) -> dict[str, Any]:
    from orchestrator.runtimes.docker.engine import Engine  # noqa: PLC0415 - the SDK is slow to import
    from orchestrator.runtimes.docker.image.build import ensure_image  # noqa: PLC0415 - as above

    engine = await Engine.connect()
    try:
        image = await ensure_image(
            engine, lambda line: err.print(line, style="dim", markup=False, emoji=False), again=again
        )
    finally:
        engine.close()
    return {
        "name": image.name,
        "base": image.base,
        "bytes": image.size,
        "built_in_s": round(image.seconds, 1),
    }


async def _show() -> dict[str, Any]:
    from orchestrator.runtimes.docker.engine import Engine  # noqa: PLC0415 - as above
    from orchestrator.runtimes.docker.errors import ImageError  # noqa: PLC0415 - as above
    from orchestrator.runtimes.docker.image.build import find_image  # noqa: PLC0415 - as above
    from orchestrator.runtimes.docker.image.contents import gather  # noqa: PLC0415 - as above

    engine = await Engine.connect()
    try:
        contents = gather()
        image = await find_image(engine, contents)
    finally:
        engine.close()
    if image is None:
        raise ImageError(f"{contents.name}, the image of this checkout, is not built", "rollnet image build")
    return {"name": image.name, "base": image.base, "bytes": image.size}


async def _prune(*, dry_run: bool) -> list[str]:
    from orchestrator.runtimes.docker.engine import Engine  # noqa: PLC0415 - as above
    from orchestrator.runtimes.docker.image.build import prune_images  # noqa: PLC0415 - as above
    from orchestrator.runtimes.docker.image.remains import sweep_builds  # noqa: PLC0415 - as above

    engine = await Engine.connect()
    try:
        found = await prune_images(engine, dry_run=dry_run)
        return found if dry_run else found + await sweep_builds()
    finally:
        engine.close()


def _say(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say_json(found)
        return
    seconds = found.get("built_in_s")
    built = f", built in {seconds} s" if seconds else ""
    out.print(f"{found['name']} on {found['base']}, {found['bytes'] / 1e6:.0f} MB{built}", markup=False)
