"""Writing the gallery: relative URLs, missing files, and a page that is replaced in one step."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import broken_disk
import pytest

from luma_async import Entry, InvalidInput, Phase
from luma_async.gallery import PAGE_NAME, Clip, write_gallery
from luma_async.gallery.disk import find_clip
from luma_async.testing import file_bytes


def entry(path=None, *, number=0, prompt="cat dance", generation_id="g-1"):
    return Entry(
        key=f"cat/{number}",
        phase=Phase.COMPLETED,
        service="RixAPI https://relay.example",
        digest="d",
        request={"class": "VideoRequest", "prompt": prompt},
        sent_at=datetime(2025, 11, 24, 21, number, tzinfo=UTC),
        generation_id=generation_id,
        path=path and str(path),
    )


def made(path, data=b"clip"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_write_gallery(tmp_path):
    """The page is in the folder of the clips, and shows the newest generation first."""
    clips = [made(tmp_path / f"{number}.mp4", file_bytes()) for number in range(3)]
    entries = (entry(path, number=number, prompt=f"take {number}") for number, path in enumerate(clips))
    page = write_gallery(tmp_path, entries)
    assert page == tmp_path / PAGE_NAME
    assert re.findall(r"take \d", page.read_text()) == ["take 2", "take 1", "take 0"]
    assert re.findall(r'data-src="([^"]*)"', page.read_text()) == ["2.mp4", "1.mp4", "0.mp4"]
    assert f"<title>{tmp_path.name}</title>" in page.read_text()


def test_path_that_raises(tmp_path):
    """A path that the system refuses counts as missing."""
    clip = find_clip(entry(tmp_path / ("x" * 300 + ".mp4")), tmp_path)
    assert clip is not None
    assert clip.missing


@pytest.mark.parametrize(
    "name",
    [
        "clip.mp4",
        "deep/er/clip.mp4",
        "../elsewhere/clip.mp4",
        "two cats & a dog.mp4",
        "100%25.mp4",
        "#1?.mp4",
        "javascript:alert(1).mp4",
        '"><script>.mp4',
        "ein schöner Tag, 猫.mp4",
        "back\\slash.mp4",
    ],
)
def test_relative_url(tmp_path, name):
    """Whatever the name of a file, its URL is relative, and contains only safe characters."""
    home = tmp_path / "home"
    home.mkdir()
    path = made(home / name)
    clip = find_clip(entry(path), home)
    assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", clip.address)
    assert not clip.address.startswith("/")
    assert (home / unquote(clip.address)).samefile(path)
    assert not clip.missing


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has such file names")
def test_file_name_without_encoding(tmp_path):
    """A file name that is not UTF-8 is encoded from its bytes."""
    path = made(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")))
    assert find_clip(entry(path), tmp_path).address == "%FF.mp4"
    assert write_gallery(tmp_path, [entry(path)]).exists()


def test_moved_folder(tmp_path):
    """A recorded path that no longer exists is looked up in the folder by its name."""
    made(tmp_path / "cat.mp4")
    assert find_clip(entry("/gone/for/good/cat.mp4"), tmp_path) == Clip(address="cat.mp4")
    made(tmp_path / "deep" / "dog.mp4")
    assert find_clip(entry("deep/dog.mp4"), tmp_path) == Clip(address="deep/dog.mp4")


def test_missing_file(tmp_path):
    """An entry whose file is missing has a card that says so."""
    page = write_gallery(tmp_path, [entry(tmp_path / "cat.mp4")]).read_text()
    assert "File missing" in page
    assert "There is no cat.mp4" in page
    assert 'data-src="' not in page


def test_folder_instead_of_file(tmp_path):
    """A path of a folder counts as missing."""
    (tmp_path / "cat.mp4").mkdir()
    assert find_clip(entry(tmp_path / "cat.mp4"), tmp_path).missing


def test_entry_without_path(tmp_path):
    """An entry that was never downloaded has no clip."""
    assert find_clip(entry(), tmp_path) is None


@pytest.mark.parametrize("still", ["cat.jpg", "cat.png", "cat.webp", "cat-thumbnail.jpg", "g-1-thumbnail.jpg"])
def test_poster_of_clip(tmp_path, still):
    """A picture that is named like the clip, or like a downloaded thumbnail, is its poster."""
    made(tmp_path / still)
    assert find_clip(entry(made(tmp_path / "cat.mp4")), tmp_path).poster == still


def test_picture_of_other_clip(tmp_path):
    """A picture with another name is not the poster."""
    made(tmp_path / "dog.jpg")
    made(tmp_path / "cat.txt")
    assert find_clip(entry(made(tmp_path / "cat.mp4")), tmp_path).poster is None


@pytest.mark.parametrize("name", ["cat.jpg", "cat.PNG", "cat.webp"])
def test_picture_generation(tmp_path, name):
    """The file of an image request is shown as a picture."""
    assert find_clip(entry(made(tmp_path / name)), tmp_path) == Clip(address=name, kind="picture")


def test_replace_older_page(tmp_path):
    """Writing again replaces the page, and leaves no other file."""
    write_gallery(tmp_path, [entry(prompt="yesterday")])
    page = write_gallery(tmp_path, [entry(prompt="today")])
    assert "today" in page.read_text()
    assert "yesterday" not in page.read_text()
    assert [found.name for found in tmp_path.iterdir()] == [PAGE_NAME]


@pytest.mark.parametrize("text", ["<h1>my own gallery</h1>", "", "\xff"])
def test_foreign_page(tmp_path, text):
    """A `gallery.html` that is not a gallery is not replaced, and the error says what to do."""
    (tmp_path / PAGE_NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match="move it away"):
        write_gallery(tmp_path, [entry()])
    assert (tmp_path / PAGE_NAME).read_bytes() == text.encode("latin-1")


def test_folder_does_not_exist(tmp_path):
    """A folder that does not exist is refused, and not created."""
    with pytest.raises(InvalidInput, match="does not exist"):
        write_gallery(tmp_path / "typo", [entry()])
    assert list(tmp_path.iterdir()) == []


def test_full_disk(tmp_path):
    """On a full disk the older page stays, and the incomplete page is removed."""
    page = write_gallery(tmp_path, [entry(prompt="yesterday")])
    before = page.read_bytes()

    with broken_disk.full_for_text(1000), pytest.raises(OSError, match="No space left"):
        write_gallery(tmp_path, [entry(prompt="today")])
    assert page.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [PAGE_NAME]


def test_unpaired_surrogate(tmp_path):
    """An unpaired surrogate in a prompt is replaced."""
    assert "cat ? dance" in write_gallery(tmp_path, [entry(prompt="cat \ud83d dance")]).read_text()


def test_relative_folder(tmp_path, monkeypatch):
    """The folder and the recorded path may be relative."""
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "clips" / "cat.mp4")
    page = write_gallery("clips", [entry("clips/cat.mp4")])
    assert page == tmp_path / "clips" / PAGE_NAME
    assert 'data-src="cat.mp4"' in page.read_text()
