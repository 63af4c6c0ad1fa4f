"""The gallery on disk: relative addresses, missing files, and a page that is replaced whole or not at all."""

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


def test_the_page_stands_beside_the_clips_newest_first(tmp_path):
    """One call writes the page, names it, and turns the journal's order round."""
    clips = [made(tmp_path / f"{number}.mp4", file_bytes()) for number in range(3)]
    entries = (entry(path, number=number, prompt=f"take {number}") for number, path in enumerate(clips))
    page = write_gallery(tmp_path, entries)
    assert page == tmp_path / PAGE_NAME
    assert re.findall(r"take \d", page.read_text()) == ["take 2", "take 1", "take 0"]
    assert re.findall(r'data-src="([^"]*)"', page.read_text()) == ["2.mp4", "1.mp4", "0.mp4"]
    assert f"<title>{tmp_path.name}</title>" in page.read_text()


def test_a_place_that_cannot_be_looked_at_is_missing(tmp_path):
    """One entry whose path the system refuses spoils no page."""
    clip = find_clip(entry(tmp_path / ("x" * 300 + ".mp4")), tmp_path)
    assert clip is not None
    assert clip.missing


@pytest.mark.parametrize(
    "place",
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
def test_addresses_are_relative_and_lead_back_to_the_file(tmp_path, place):
    """Whatever a file is called, its address holds nothing that HTML or a URL would read otherwise."""
    home = tmp_path / "home"
    home.mkdir()
    path = made(home / place)
    clip = find_clip(entry(path), home)
    assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", clip.address)
    assert not clip.address.startswith("/")
    assert (home / unquote(clip.address)).samefile(path)
    assert not clip.missing


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has file names that are no text")
def test_a_file_name_need_not_be_text(tmp_path):
    """Bytes that are no UTF-8 are kept as they are."""
    path = made(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")))
    assert find_clip(entry(path), tmp_path).address == "%FF.mp4"
    assert write_gallery(tmp_path, [entry(path)]).exists()


def test_a_folder_that_was_moved_keeps_its_clips(tmp_path):
    """A path of yesterday leads nowhere; the file of that name in the folder is taken."""
    made(tmp_path / "cat.mp4")
    assert find_clip(entry("/gone/for/good/cat.mp4"), tmp_path) == Clip(address="cat.mp4")
    made(tmp_path / "deep" / "dog.mp4")
    assert find_clip(entry("deep/dog.mp4"), tmp_path) == Clip(address="deep/dog.mp4")


def test_a_missing_file_gets_a_card_that_says_so(tmp_path):
    """Nothing is left out for lack of a file."""
    page = write_gallery(tmp_path, [entry(tmp_path / "cat.mp4")]).read_text()
    assert "File missing" in page
    assert "It is not at cat.mp4" in page
    assert 'data-src="' not in page


def test_a_folder_is_no_clip(tmp_path):
    """A path that leads to a folder counts as missing."""
    (tmp_path / "cat.mp4").mkdir()
    assert find_clip(entry(tmp_path / "cat.mp4"), tmp_path).missing


def test_what_was_never_downloaded_has_no_clip(tmp_path):
    """No path, no file to look for."""
    assert find_clip(entry(), tmp_path) is None


@pytest.mark.parametrize("still", ["cat.jpg", "cat.png", "cat.webp", "cat-thumbnail.jpg", "g-1-thumbnail.jpg"])
def test_a_picture_beside_a_clip_is_its_poster(tmp_path, still):
    """Named like the clip, or as downloads name thumbnails."""
    made(tmp_path / still)
    assert find_clip(entry(made(tmp_path / "cat.mp4")), tmp_path).poster == still


def test_the_picture_of_another_clip_is_not(tmp_path):
    """Only a name that belongs to this clip counts."""
    made(tmp_path / "dog.jpg")
    made(tmp_path / "cat.txt")
    assert find_clip(entry(made(tmp_path / "cat.mp4")), tmp_path).poster is None


@pytest.mark.parametrize("name", ["cat.jpg", "cat.PNG", "cat.webp"])
def test_a_picture_is_shown_as_one(tmp_path, name):
    """Generations of pictures do not play."""
    assert find_clip(entry(made(tmp_path / name)), tmp_path) == Clip(address=name, kind="picture")


def test_an_older_page_of_ours_is_replaced(tmp_path):
    """Writing again leaves one page, the new one, and nothing beside it."""
    write_gallery(tmp_path, [entry(prompt="yesterday")])
    page = write_gallery(tmp_path, [entry(prompt="today")])
    assert "today" in page.read_text()
    assert "yesterday" not in page.read_text()
    assert [found.name for found in tmp_path.iterdir()] == [PAGE_NAME]


@pytest.mark.parametrize("theirs", ["<h1>my own gallery</h1>", "", "\xff"])
def test_a_page_of_somebody_else_is_never_replaced(tmp_path, theirs):
    """A file of that name that is not ours is left alone, and the error says what to do."""
    (tmp_path / PAGE_NAME).write_bytes(theirs.encode("latin-1"))
    with pytest.raises(InvalidInput, match="move it away"):
        write_gallery(tmp_path, [entry()])
    assert (tmp_path / PAGE_NAME).read_bytes() == theirs.encode("latin-1")


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    """Nothing is made for a name that was mistyped."""
    with pytest.raises(InvalidInput, match="no folder"):
        write_gallery(tmp_path / "typo", [entry()])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_older_page(tmp_path):
    """The page is replaced only by a whole one; what was begun is removed."""
    page = write_gallery(tmp_path, [entry(prompt="yesterday")])
    before = page.read_bytes()

    with broken_disk.full_for_text(1000), pytest.raises(OSError, match="No space left"):
        write_gallery(tmp_path, [entry(prompt="today")])
    assert page.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [PAGE_NAME]


def test_half_a_surrogate_pair_does_not_keep_the_page_from_being_written(tmp_path):
    """A service's JSON can hold one, and a file cannot."""
    assert "cat ? dance" in write_gallery(tmp_path, [entry(prompt="cat \ud83d dance")]).read_text()


def test_the_folder_may_be_named_from_here(tmp_path, monkeypatch):
    """A relative folder works, and a relative path of the journal too."""
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "clips" / "cat.mp4")
    page = write_gallery("clips", [entry("clips/cat.mp4")])
    assert page == tmp_path / "clips" / PAGE_NAME
    assert 'data-src="cat.mp4"' in page.read_text()
