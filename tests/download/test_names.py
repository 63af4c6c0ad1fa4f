"""File names are safe, whatever a service or a prompt contains."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luma_async import InvalidInput
from luma_async._download.names import (
    FILE_NAME,
    MAX_NAME_BYTES,
    PART_SUFFIX,
    SIDECAR_SUFFIX,
    batch_file_name,
    check_file_name,
    collisions,
    safe_name,
    slug,
)

HOSTILE = {
    "../x": "_x",
    "../../etc/passwd": "_.._etc_passwd",
    "/etc/passwd": "_etc_passwd",
    "..\\..\\x": "_.._x",
    "C:\\Windows\\x": "C__Windows_x",
    "": "generation",
    ".": "generation",
    "..": "generation",
    " . . ": "generation",
    "a\0b": "a_b",
    "a\nb\x1b[31m\x7f": "a_b_[31m_",
    "CON": "_CON",
    "con.txt": "_con.txt",
    "Lpt1 .x": "_Lpt1 .x",
    "COM¹": "_COM¹",
    "x. . .": "x",
    ".hidden": "hidden",
    "gpj.\u202efdp": "gpj._fdp",
    "half \ud800 a pair": "half _ a pair",
    "zero\u200bwidth\ufeff": "zero_width_",
    'a<b>c:"d"|e?f*g': "a_b_c__d__e_f_g",
    "e\u0301": "é",
    "x" * 300: "x" * MAX_NAME_BYTES,
    "猫" * 100: "猫" * (MAX_NAME_BYTES // 3),
    "CONSOLE": "CONSOLE",
    "-rf": "-rf",
}

DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    "conin$",
    "conout$",
    *(f"{p}{n}" for p in ("com", "lpt") for n in "0123456789¹²³"),
}


@pytest.mark.parametrize(("text", "name"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_unsafe_names(text, name):
    """Each known attack becomes one readable path component."""
    assert safe_name(text) == name


@given(st.text(alphabet=st.characters(exclude_categories=())), st.sampled_from(["", ".mp4", "-last_frame.jpeg"]))
@example("../x", ".mp4")
@example("a/../../b", "")
@example("CON", ".mp4")
@example("x" * 239 + ". " * 5, ".mp4")
def test_safe_name_stays_in_folder(text, suffix):
    """Any text becomes one path component on POSIX and Windows, no device, with room for the longest suffix."""
    name = safe_name(text, suffix=suffix)
    folder = Path("/downloads/here")
    assert (folder / name).parent == folder
    assert PurePosixPath(name).parts == (name,)
    assert PureWindowsPath(name).parts == (name,)
    assert name not in {".", ".."}
    assert name.partition(".")[0].rstrip(" ").lower() not in DEVICES
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs"} for char in name)
    assert name[0] not in " ."
    assert name[-1] not in " ."
    assert name.endswith(suffix)
    longest = max(len((name + ending).encode()) for ending in (PART_SUFFIX, SIDECAR_SUFFIX))
    assert longest <= 255


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_safe_name_of_safe_name(text):
    """A safe name is not changed."""
    assert safe_name(safe_name(text)) == safe_name(text)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Cat dance!", "cat-dance"),
        ("  A  cat,   dancing -- slowly  ", "a-cat-dancing-slowly"),
        ("猫跳舞", "猫跳舞"),
        ("हिन्दी बिल्ली", "हिन्दी-बिल्ली"),
        ("../../etc/passwd", "etc-passwd"),
        ("!!!", "untitled"),
        ("", "untitled"),
        ("word " * 50, "-".join(["word"] * 16)),
    ],
)
def test_slug(prompt, expected):
    """A slug is the words of the prompt in lower case, joined by dashes, in any script, and short."""
    assert slug(prompt) == expected


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_slug_of_any_text(text):
    """A slug has 1 to 80 bytes and no separators."""
    made = slug(text)
    assert 1 <= len(made.encode()) <= 80
    assert not any(char in "./\\: " for char in made)


def test_batch_file_name():
    """A template is filled with the index, the slug, the id and the extension."""
    name = batch_file_name(
        "{index:04d}-{slug}-{id}.{ext}", index=7, prompt="A cat", generation_id="abc_1", extension="mp4"
    )
    assert name == "0007-a-cat-abc_1.mp4"
    assert batch_file_name("{id}", index=0, prompt="", generation_id="abc", extension="mp4") == "abc"
    assert batch_file_name("{index}", index=12, prompt="", generation_id="abc", extension="mp4") == "12"


@given(
    st.integers(0, 10**9),
    st.text(alphabet=st.characters(exclude_categories=())),
    st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True),
)
def test_batch_file_name_is_unique(index, prompt, generation_id):
    """However long the prompt, the index and the id are never shortened."""
    name = batch_file_name(
        "{index:04d}-{slug}-{id}.{ext}", index=index, prompt=prompt, generation_id=generation_id, extension="mp4"
    )
    assert name.startswith(f"{index:04d}-")
    assert name.endswith(f"-{generation_id}.mp4")
    assert len(name.encode()) <= MAX_NAME_BYTES


@pytest.mark.parametrize(
    "template",
    [
        "{slug}.{ext}",
        "video.mp4",
        "{prompt}-{id}",
        "{id",
        "{}",
        "{0}",
        "{id.__class__}",
        "{id[0]}",
        "{id!r}",
        "{id:>20}",
        "{index:09999999}",
        "{index:{id}}",
        "{index:x}",
        "folder/{id}.mp4",
        "..\\{id}.mp4",
        None,
        7,
    ],
)
def test_invalid_file_name(template):
    """Unknown fields, attributes, huge widths, folders, and templates without an index or an id are refused."""
    with pytest.raises(InvalidInput, match="file_name"):
        check_file_name(template)


@pytest.mark.parametrize(
    "template", ["{index}", "{id}", "{index:4}", "{index:04d}_{id}", "{{{id}}}", "take {index:2d}"]
)
def test_valid_file_name(template):
    """A template needs an index or an id."""
    check_file_name(template)


ENCODINGS = {
    "ascii": "0007-a-cat-abc.mp4",
    "iso-8859-1": "0007-a-cat-é-abc.mp4",
    "gbk": "0007-a-cat-é-猫-abc.mp4",
    "utf-8": "0007-a-cat-é-猫-abc.mp4",
}


@pytest.mark.parametrize(("encoding", "name"), ENCODINGS.items())
def test_name_in_encoding(encoding, name):
    """A name leaves out what the encoding of the file system lacks, and stays unique by the id."""
    made = batch_file_name(
        FILE_NAME, index=7, prompt="A cat é 猫", generation_id="abc", extension="mp4", encoding=encoding
    )
    assert made == name


@pytest.mark.parametrize("encoding", [*ENCODINGS, "gb18030", "koi8-r"])
@given(text=st.text(max_size=300))
@example(text="猫" * 300)
def test_any_text_in_encoding(encoding, text):
    """A name of any text can be encoded, with room for the suffixes of an incomplete download."""
    name = safe_name(text, suffix=".mp4", encoding=encoding)
    assert len(name.encode(encoding)) <= MAX_NAME_BYTES
    made = batch_file_name(
        "猫 {slug} {id}", index=7, prompt=text, generation_id="abc", extension="mp4", encoding=encoding
    )
    assert made.encode(encoding).endswith(b" abc")


def test_template_too_long():
    """A template whose names would be cut, so that two could be equal, is refused."""
    with pytest.raises(InvalidInput, match="more than 245 bytes"):
        check_file_name("x" * 190 + "{id}")
    check_file_name("x" * 190 + "{index}")


def test_collisions():
    """Names that differ in case or in the Unicode normal form collide."""
    names = ["a.mp4", "b.mp4", "A.MP4", "é.mp4", "e\u0301.mp4", "c.mp4", "a.mp4", "ß.mp4", "SS.mp4"]
    assert collisions(names) == {"a.mp4": (0, 2, 6), "é.mp4": (3, 4), "ß.mp4": (7, 8)}
    assert collisions(["a", "b"]) == {}
    assert collisions([]) == {}


@given(st.lists(st.text(max_size=3)))
def test_collisions_of_any_names(names):
    """Names that are not reported differ from each other."""
    found = collisions(names)
    colliding = {place for places in found.values() for place in places}
    alone = [name.casefold() for place, name in enumerate(names) if place not in colliding]
    assert len(set(alone)) == len(alone)


@pytest.mark.parametrize(("template", "field"), [("{prompt}-{id}", "prompt"), ("{id}{}", ""), ("{id.size}", "id.size")])
def test_unknown_field(template, field):
    """The error names the unknown field and the fields that exist."""
    with pytest.raises(InvalidInput) as caught:
        check_file_name(template)
    assert f"{{{field}}}; there are {{index}}, {{slug}}, {{id}} and {{ext}}" in str(caught.value)
