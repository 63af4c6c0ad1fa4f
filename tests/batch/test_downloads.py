"""A batch downloads each file once."""

from __future__ import annotations

import asyncio
import os

import attrs
import broken_disk
import pytest

from luma_async import DamagedFile, DownloadError, InvalidInput, LumaSession, PollPolicy
from luma_async.testing import ALWAYS, cut_after, file_bytes, html_instead, stall_after

pytestmark = pytest.mark.looptime(noop_cycles=8)

PROMPTS = ["A cat, dancing!", "a dog"]


@pytest.fixture
def run(open_session):
    """Run one batch to its end, in a session of its own."""

    async def results(prompts=PROMPTS, **options):
        async with open_session() as luma:
            return await luma.batch(prompts, name="pets", **options).results()

    return results


async def test_default_file_names(run, tmp_path):
    """A file is named after its index, prompt and id, in a folder that is created; the outcome has its path."""
    outcomes = await run(download_to=tmp_path / "new" / "clips")
    names = [f"0000-a-cat-dancing-{outcomes[0].generation.id}.mp4", f"0001-a-dog-{outcomes[1].generation.id}.mp4"]
    assert [outcome.path.name for outcome in outcomes] == names
    assert sorted(found.name for found in (tmp_path / "new" / "clips").iterdir()) == names
    assert all(outcome.path.read_bytes() == file_bytes() for outcome in outcomes)


async def test_file_name(run, tmp_path):
    """The names of files follow the template, whose `{index}` or `{id}` keeps them apart."""
    await run(download_to=tmp_path, file_name="{slug} ({index:02d}).{ext}")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a-cat-dancing (00).mp4", "a-dog (01).mp4"]


@pytest.mark.parametrize("file_name", ["{prompt}-{id}.{ext}", "a/{id}", "{id", "video.mp4", "", 7])
async def test_invalid_file_name(run, gateway, tmp_path, file_name):
    """A template that cannot be used is refused when `batch()` is called."""
    with pytest.raises(InvalidInput, match="file_name"):
        await run(download_to=tmp_path, file_name=file_name)
    assert gateway.counts.total() == 0


async def test_file_name_without_folder(run, gateway):
    """A template without a destination is refused, because no file would be downloaded."""
    with pytest.raises(InvalidInput, match="needs download_to"):
        await run(file_name="{id}.{ext}")
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("file_name", ["{index}.{ext}", "{index}-{{id}}.{ext}"])
async def test_file_name_without_id(run, tmp_path, file_name):
    """A file whose name does not contain the id is not taken for the item's, and not overwritten."""
    other = tmp_path / file_name.format(index=0, ext="mp4")
    other.write_bytes(file_bytes())
    (outcome,) = await run(["a cat"], download_to=tmp_path, file_name=file_name)
    assert isinstance(outcome.error, DownloadError)
    assert outcome.path is None


async def test_second_run(run, gateway, tmp_path):
    """A second run downloads only files that are missing or damaged, and is charged nothing."""
    outcomes = await run(["a cat", "a dog", "a cow"], download_to=tmp_path)
    files = [outcome.path for outcome in outcomes]
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-50])
    again = await run(["a cat", "a dog", "a cow"], download_to=tmp_path)
    assert [outcome.path for outcome in again] == files
    assert all(path.read_bytes() == file_bytes() for path in files)
    assert gateway.counts["file"] == 5
    assert len(gateway.charges) == 3


async def test_unrecorded_file(run, gateway, tmp_path, journal):
    """A file that a killed program did not record is found by the id in its name, and recorded."""
    outcomes = await run(download_to=tmp_path)
    for outcome in outcomes:
        await journal.change(outcome.key, _forget_path)
    assert [outcome.path for outcome in await run(download_to=tmp_path)] == [outcome.path for outcome in outcomes]
    assert gateway.counts["file"] == 2
    assert [entry.path for entry in await journal.entries()] == [str(outcome.path) for outcome in outcomes]


def _forget_path(entry):
    return attrs.evolve(entry, path=None)


async def test_failed_download(run, gateway, tmp_path):
    """A failed download is the error of its outcome; another run downloads the file and is charged nothing."""
    gateway.inject(html_instead(), on="file", times=ALWAYS)
    outcomes = await run(["a cat"], download_to=tmp_path)
    assert isinstance(outcomes[0].error, DamagedFile)
    assert outcomes[0].generation.id in gateway.generations
    assert outcomes[0].path is None
    gateway.clear_faults("file")
    assert (await run(["a cat"], download_to=tmp_path))[0].path.exists()
    assert len(gateway.charges) == 1


async def test_full_disk(run, gateway, tmp_path):
    """An OSError becomes a DownloadError with the path, in an outcome with the generation."""
    with broken_disk.full(0):
        outcome = (await run(["a cat"], download_to=tmp_path))[0]
    assert "No space left" in str(outcome.error)
    assert outcome.error.path.parent == tmp_path
    assert outcome.generation is not None


async def test_download_to_function(run, gateway, tmp_path):
    """`download_to` may be a function of the outcome; an existing file of another origin is not overwritten."""
    (tmp_path / "a dog.mp4").write_bytes(b"mine")
    outcomes = await run(["a cat", "a dog"], download_to=lambda outcome: tmp_path / f"{outcome.request.prompt}.mp4")
    assert outcomes[0].path == tmp_path / "a cat.mp4"
    # Not InvalidInput, which would say that nothing was submitted.
    assert isinstance(outcomes[1].error, DownloadError)
    assert "a dog.mp4 exists" in str(outcomes[1].error)
    assert (tmp_path / "a dog.mp4").read_bytes() == b"mine"
    outcomes[0].path.write_bytes(b"damaged")
    again = await run(["a cat"], download_to=lambda outcome: tmp_path / f"{outcome.request.prompt}.mp4")
    assert again[0].path.read_bytes() == file_bytes()


IMPOSSIBLE = {
    "a name without room": lambda folder: folder / ("a" * 246 + ".mp4"),
    "a name that cannot be encoded": lambda folder: f"{folder}/half \ud800.mp4",
    "a name with a zero": lambda folder: f"{folder}/a\0b.mp4",
    "a named pipe": lambda folder: folder / "pipe",
    "no path": lambda _: 7,
    "an exception": lambda _: {}["missing"],
}


async def test_folder_with_separator(run, tmp_path):
    """A path that the function returns with a separator at its end is a folder, which is created."""
    (outcome,) = await run(["a cat"], download_to=lambda _: f"{tmp_path}/new/deep/", file_name="{index}.{ext}")
    assert outcome.path == tmp_path / "new" / "deep" / "0.mp4"
    assert outcome.path.read_bytes() == file_bytes()


@pytest.mark.parametrize("place", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
async def test_impossible_name(run, gateway, tmp_path, place):
    """An item whose file cannot be where the function says fails alone with a DownloadError; the others go on."""
    os.mkfifo(tmp_path / "pipe")
    outcomes = await run(["a cat", "a dog"], download_to=lambda outcome: place(tmp_path) if outcome.index else tmp_path)
    assert outcomes[0].path.read_bytes() == file_bytes()
    assert isinstance(outcomes[1].error, DownloadError)
    assert outcomes[1].generation is not None
    assert len(gateway.charges) == 2


async def test_download_to_read_only_folder(run, gateway):
    """A folder where no file can be created is refused before anything is sent."""
    with pytest.raises(InvalidInput, match="no file can be written to /proc"):
        await run(download_to="/proc")
    assert gateway.counts.total() == 0


async def test_broken_connection(run, gateway, tmp_path):
    """A download whose connection breaks is resumed."""
    gateway.inject(cut_after(1000), on="file")
    outcomes = await run(download_to=tmp_path)
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len(gateway.charges) == 2


async def test_slot_during_download(gateway, tmp_path):
    """A generation whose file is being downloaded is not in flight at the service, and holds its slot."""
    gateway.inject(stall_after(1000, seconds=20), on="file", times=2)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, poll=PollPolicy.fixed(1)) as luma:
        batch = luma.batch(PROMPTS, max_in_flight=2, download_to=tmp_path)
        taking = asyncio.ensure_future(batch.results())
        await asyncio.sleep(30)
        assert (batch._in_flight.unfinished, batch._in_flight.used) == (0, 2)
        await taking


@pytest.mark.parametrize("name", ["clips", "clips/below", "a\0b", "\ud800", "x" * 300])
async def test_download_to_no_folder(run, gateway, tmp_path, name):
    """A path that cannot be a folder is refused before anything is sent."""
    (tmp_path / "clips").write_text("a file")
    with pytest.raises(InvalidInput, match="download_to"):
        await run(download_to=f"{tmp_path}/{name}")
    assert gateway.counts.total() == 0


async def test_cancelled_download(run, gateway, tmp_path):
    """Downloads of a cancelled batch are resumed by the next run."""
    gateway.inject(stall_after(1000, seconds=60), on="file", times=2)
    taking = asyncio.ensure_future(run(download_to=tmp_path))
    await asyncio.sleep(30)
    assert gateway.counts["file"] == 2
    taking.cancel()
    await asyncio.wait([taking])
    outcomes = await run(download_to=tmp_path)
    assert all(outcome.path.read_bytes() == file_bytes() for outcome in outcomes)
    assert len(gateway.charges) == 2
