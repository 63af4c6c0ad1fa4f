"""`luma-async demo`: run a small batch against a fake gateway on this machine, and write a page of its clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_async import ImageKeyframe, Keyframes, LumaSession, PollPolicy, VideoRequest
from luma_async.cli.errors import error_text
from luma_async.cli.journal import BATCH_JOURNAL, read_entries
from luma_async.cli.options import add_json
from luma_async.cli.output import print_error, print_generation, print_json, print_path, print_status
from luma_async.cli.progress import batch_progress

if TYPE_CHECKING:
    import argparse

    from luma_async import Outcome
    from luma_async._batch.batch import Batch
    from luma_async.testing import FakeGateway, Script

FOLDER = Path("luma-demo")
# Source: the relay's own example of a video from an image.
FRAME = "https://www.shutterstock.com/image-photo/beautifull-red-black-bengal-tiger-260nw-2526207017.jpg"
REQUESTS = {
    "cat-dance.mp4": VideoRequest("cat dance", aspect_ratio="16:9", keyframes=Keyframes(frame0=ImageKeyframe(FRAME))),
    "paper-boat.mp4": VideoRequest("a paper boat sails down a street in the rain"),
    "lighthouse.mp4": VideoRequest("a lighthouse at night, waves breaking below", aspect_ratio="9:16"),
}
"""The requests, by the names of their files."""
_SECONDS = 6.0
"""How long the last video takes: long enough to see the progress."""
_COUNTED = ("submit", "query", "tasks", "file")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        f"Make {len(REQUESTS)} videos with a fake gateway on this machine, in ./{FOLDER}. Nothing is paid, and nothing "
        "is sent to other machines. A second demo replaces the files of the first."
    )
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Run the batch, run it again to show that nothing is bought twice, and write the page."""
    from luma_async.gallery import write_gallery  # noqa: PLC0415 - loaded only when a page is written
    from luma_async.testing import FakeGateway  # noqa: PLC0415 - only this command needs a server

    _clear()
    arguments.journal = FOLDER / BATCH_JOURNAL
    async with FakeGateway(script=_script) as gateway:
        print_status(f"A fake gateway is running at {gateway.base_url}. Nothing is paid or sent to other machines.")
        with batch_progress(len(REQUESTS), quiet=arguments.json) as display:
            async with LumaSession(
                gateway.api_key,
                base_url=gateway.base_url,
                poll=PollPolicy.fixed(1),
                journal=arguments.journal,
                on_event=display.observe,
            ) as luma:
                batch = _batch(luma)
                display.follow(batch)
                outcomes: list[Outcome] = []
                async for outcome in batch:
                    display.ended(outcome, None if outcome.error is None else error_text(outcome.error, arguments))
                    outcomes.append(outcome)
                first = _count(gateway)
                await _batch(luma).results()
                second = _count(gateway)
    page = FOLDER / write_gallery(FOLDER, await read_entries(arguments)).name
    outcomes.sort(key=lambda outcome: outcome.index)
    _print_outcomes(outcomes, arguments)
    _print_costs(page, first, second, as_json=arguments.json)
    return 0 if all(outcome.error is None for outcome in outcomes) else 1


def _clear() -> None:
    """Remove the files of an earlier demo, whose gateway no longer exists."""
    FOLDER.mkdir(exist_ok=True)
    for name in (*REQUESTS, BATCH_JOURNAL, f"{BATCH_JOURNAL}-wal", f"{BATCH_JOURNAL}-shm"):
        (FOLDER / name).unlink(missing_ok=True)


def _script(prompt: str, number: int) -> Script:
    from luma_async.testing import SCENES, estimates, shows, succeeds  # noqa: PLC0415 - only this command needs a server

    scene = SCENES[[request.prompt for request in REQUESTS.values()].index(prompt)]
    return estimates(shows(scene, succeeds(after=_SECONDS * (number + 1) / len(REQUESTS))))


def _batch(luma: LumaSession) -> Batch:
    names = tuple(REQUESTS)
    return luma.batch(list(REQUESTS.values()), name="demo", download_to=lambda outcome: FOLDER / names[outcome.index])


def _count(gateway: FakeGateway) -> dict[str, Any]:
    """Return the charges and requests so far."""
    requests = {name: gateway.counts[name] for name in _COUNTED if gateway.counts[name]}
    return {"charges": len(gateway.charges), "requests": requests}


def _print_outcomes(outcomes: list[Outcome], arguments: argparse.Namespace) -> None:
    for outcome in outcomes:
        if outcome.error is not None:
            print_error(error_text(outcome.error, arguments))
        elif arguments.json and outcome.generation is not None:
            print_generation(outcome.generation, path=str(outcome.path), key=outcome.key)
        else:
            print_path(outcome.path)


def _print_costs(page: Path, first: dict[str, Any], second: dict[str, Any], *, as_json: bool) -> None:
    """Print the page, and what each of the two runs cost."""
    charges = second["charges"] - first["charges"]
    requests = sum(second["requests"].values()) - sum(first["requests"].values())
    if as_json:
        print_json({"gallery": str(page), **first, "again": {"charges": charges, "requests": requests}})
    else:
        print_path(page)
    names = ", ".join(f"{number} {name}" for name, number in first["requests"].items())
    print_status(f"The batch made {first['charges']} charges and {sum(first['requests'].values())} requests ({names}).")
    print_status(
        f"The same batch a second time made {charges} charges and {requests} requests: the journal has every result."
    )
    print_status(f"Open {page} in a browser to see the clips.")
