"""`luma-async demo`: the whole way of a video, against a fake gateway on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from luma_async import ImageKeyframe, Keyframes, LumaSession, PollPolicy
from luma_async.cli.console import progress, put_generation, say
from luma_async.cli.options import add_json

if TYPE_CHECKING:
    import argparse

FOLDER = Path("luma-demo")
PROMPT = "cat dance"
# Source: the relay's own example of a video from an image.
FRAME = "https://www.shutterstock.com/image-photo/beautifull-red-black-bengal-tiger-260nw-2526207017.jpg"
_SECONDS = 6.0
"""Long enough to see it wait, short enough to watch."""


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Make a video against a fake gateway on this machine: nothing is paid, nothing leaves it."
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Submit the documented example, wait for it, download it, and say what it took."""
    from luma_async.testing import FakeGateway, succeeds  # noqa: PLC0415 - only this command needs a server

    FOLDER.mkdir(exist_ok=True)  # noqa: ASYNC240 - nothing else runs yet
    async with FakeGateway(script=succeeds(after=_SECONDS)) as gateway:
        say(f"A fake gateway listens on {gateway.base_url}; nothing is paid and nothing leaves this machine.")
        with progress(PROMPT, quiet=arguments.json) as display:
            async with LumaSession(
                gateway.api_key,
                base_url=gateway.base_url,
                poll=PollPolicy.fixed(1),
                journal=FOLDER / "jobs.db",
                on_event=display.observe,
            ) as luma:
                handle = await luma.submit(
                    PROMPT, aspect_ratio="16:9", keyframes=Keyframes(frame0=ImageKeyframe(FRAME))
                )
                generation = await handle
                path = await handle.download(FOLDER / "cat-dance.mp4", overwrite=True)
        counts = {name: gateway.counts[name] for name in ("submit", "query", "tasks", "file") if gateway.counts[name]}
        charges = len(gateway.charges)
    if arguments.json:
        put_generation(generation, path=str(path), charges=charges, requests=counts)
        return 0
    took = ", ".join(f"{number} {name}" for name, number in counts.items())
    say(f"It cost {charges} charge and {sum(counts.values())} requests ({took}). The video:")
    print(path)
    return 0
