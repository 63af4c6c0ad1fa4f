"""`luma-async demo`: a small batch from its prompts to a page of clips, against a fake gateway on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_async import ImageKeyframe, Keyframes, LumaSession, PollPolicy, VideoRequest
from luma_async.cli.batch import JOURNAL
from luma_async.cli.batch_display import display
from luma_async.cli.console import print_status, put_generation, put_json
from luma_async.cli.options import add_json
from luma_async.cli.status import read_entries

if TYPE_CHECKING:
    import argparse

    from luma_async import Outcome
    from luma_async._batch.batch import Batch
    from luma_async.testing import FakeGateway, Script

FOLDER = Path("luma-demo")
PROMPT = "cat dance"
# Source: the relay's own example of a video from an image.
FRAME = "https://www.shutterstock.com/image-photo/beautifull-red-black-bengal-tiger-260nw-2526207017.jpg"
REQUESTS = {
    "cat-dance.mp4": VideoRequest(PROMPT, aspect_ratio="16:9", keyframes=Keyframes(frame0=ImageKeyframe(FRAME))),
    "paper-boat.mp4": VideoRequest("a paper boat sails down a street in the rain"),
    "lighthouse.mp4": VideoRequest("a lighthouse at night, waves breaking below", aspect_ratio="9:16"),
}
"""What is bought, and what each file is called."""
_SECONDS = 6.0
"""How long the last one takes: long enough to see it wait, short enough to watch."""
_COUNTED = ("submit", "query", "tasks", "file")


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        f"Make {len(REQUESTS)} videos against a fake gateway on this machine, into ./{FOLDER}: nothing is paid, "
        "nothing leaves it. Run it again to see it all again; what an earlier demo put there is replaced."
    )
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Make the batch, make it once more to show that nothing is bought twice, and write the page."""
    from luma_async.gallery import write_gallery  # noqa: PLC0415 - not every command needs a page
    from luma_async.testing import FakeGateway  # noqa: PLC0415 - only this command needs a server

    _clear()
    async with FakeGateway(script=_script) as gateway:
        print_status(f"A fake gateway listens on {gateway.base_url}; nothing is paid and nothing leaves this machine.")
        with display(len(REQUESTS), quiet=arguments.json) as shown:
            async with LumaSession(
                gateway.api_key,
                base_url=gateway.base_url,
                poll=PollPolicy.fixed(1),
                journal=FOLDER / JOURNAL,
                on_event=shown.observe,
            ) as luma:
                batch = _batch(luma)
                shown.follow(batch)
                outcomes: list[Outcome] = []
                async for outcome in batch:
                    shown.ended(outcome)
                    outcomes.append(outcome)
                first = _count(gateway)
                await _batch(luma).results()
                second = _count(gateway)
    arguments.journal = FOLDER / JOURNAL
    page = FOLDER / write_gallery(FOLDER, await read_entries(arguments)).name
    outcomes.sort(key=lambda outcome: outcome.index)
    return _tell(outcomes, page, first, second, as_json=arguments.json)


def _clear() -> None:
    """Forget an earlier demo: its gateway is gone, and with it all that it ever made."""
    FOLDER.mkdir(exist_ok=True)
    for name in (*REQUESTS, JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm"):
        (FOLDER / name).unlink(missing_ok=True)


def _script(_: str, number: int) -> Script:
    from luma_async.testing import estimates, succeeds  # noqa: PLC0415 - only this command needs a server

    return estimates(succeeds(after=_SECONDS * (number + 1) / len(REQUESTS)))


def _batch(luma: LumaSession) -> Batch:
    names = tuple(REQUESTS)
    return luma.batch(list(REQUESTS.values()), name="demo", download_to=lambda outcome: FOLDER / names[outcome.index])


def _count(gateway: FakeGateway) -> dict[str, Any]:
    """Return what it has cost so far."""
    requests = {name: gateway.counts[name] for name in _COUNTED if gateway.counts[name]}
    return {"charges": len(gateway.charges), "requests": requests}


def _tell(outcomes: list[Outcome], page: Path, first: dict[str, Any], second: dict[str, Any], *, as_json: bool) -> int:
    """Print the files, the page and the costs."""
    twice = second["charges"] - first["charges"], sum(second["requests"].values()) - sum(first["requests"].values())
    for outcome in outcomes:
        if outcome.generation is None:
            print_status(f"luma-async: {outcome.error}")
        elif as_json:
            put_generation(outcome.generation, path=str(outcome.path), key=outcome.key)
        else:
            print(outcome.path)
    if as_json:
        put_json({"gallery": str(page), **first, "again": {"charges": twice[0], "requests": twice[1]}})
    else:
        print(page)
    took = ", ".join(f"{number} {name}" for name, number in first["requests"].items())
    print_status(f"It cost {first['charges']} charges and {sum(first['requests'].values())} requests ({took}).")
    print_status(
        f"The same batch once more cost {twice[0]} charges and {twice[1]} requests: the journal knows what is paid."
    )
    print_status(f"Open {page} in a browser to see the clips.")
    return 0 if all(outcome.error is None for outcome in outcomes) else 1
