"""File names: whatever a service or a prompt says, the file lands in its folder."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luma_async import InvalidInput
from luma_async._download.names import (
    LONGEST_NAME_BYTES,
    PART_SUFFIX,
    SIDECAR_SUFFIX,
    PathKind,
    check_destination,
    check_template,
    collisions,
    render,
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
    "x" * 300: "x" * LONGEST_NAME_BYTES,
    "猫" * 100: "猫" * (LONGEST_NAME_BYTES // 3),
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
def test_hostile_names_become_harmless(text, name):
    """Each known trick ends in one plain, readable component."""
    assert safe_name(text) == name


@given(st.text(alphabet=st.characters(exclude_categories=())), st.sampled_from(["", ".mp4", "-last_frame.jpeg"]))
@example("../x", ".mp4")
@example("a/../../b", "")
@example("CON", ".mp4")
@example("x" * 239 + ". " * 5, ".mp4")
def test_a_sanitised_name_always_stays_inside_the_folder(text, suffix):
    """For any text: one component on POSIX and Windows, no device, encodable, with room for what stands beside it."""
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
def test_sanitising_twice_changes_nothing(text):
    """A safe name is left as it is, so that a name can be planned and made in two places."""
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
def test_a_slug_says_what_the_prompt_says(prompt, expected):
    """Words in lower case, joined by dashes, in any script, and short."""
    assert slug(prompt) == expected


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_a_slug_is_short_and_plain(text):
    """Whatever the prompt, a slug leaves room for an index and an id beside it."""
    made = slug(text)
    assert 1 <= len(made.encode()) <= 80
    assert not any(char in "./\\: " for char in made)


def test_a_template_names_the_files_of_a_batch():
    """The index is padded, the slug readable, the id exact."""
    name = render("{index:04d}-{slug}-{id}.{ext}", index=7, prompt="A cat", generation_id="abc_1", extension="mp4")
    assert name == "0007-a-cat-abc_1.mp4"
    assert render("{id}", index=0, prompt="", generation_id="abc", extension="mp4") == "abc"
    assert render("{index}", index=12, prompt="", generation_id="abc", extension="mp4") == "12"


@given(
    st.integers(0, 10**9),
    st.text(alphabet=st.characters(exclude_categories=())),
    st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True),
)
def test_a_rendered_name_keeps_the_index_and_the_id(index, prompt, generation_id):
    """However long the prompt, what tells two files apart is never cut away."""
    name = render(
        "{index:04d}-{slug}-{id}.{ext}", index=index, prompt=prompt, generation_id=generation_id, extension="mp4"
    )
    assert name.startswith(f"{index:04d}-")
    assert name.endswith(f"-{generation_id}.mp4")
    assert len(name.encode()) <= LONGEST_NAME_BYTES


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
def test_a_template_that_cannot_be_right_is_refused(template):
    """No foreign fields, no attributes, no widths of gigabytes, no folders, and no two files of one name."""
    with pytest.raises(InvalidInput, match="template"):
        check_template(template)


@pytest.mark.parametrize(
    "template", ["{index}", "{id}", "{index:4}", "{index:04d}_{id}", "{{{id}}}", "take {index:2d}"]
)
def test_a_template_that_tells_files_apart_is_taken(template):
    """An index or an id is enough."""
    check_template(template)


def test_collisions_are_found_as_a_file_system_sees_them():
    """Case and the spelling of accents do not tell two files apart everywhere."""
    names = ["a.mp4", "b.mp4", "A.MP4", "é.mp4", "e\u0301.mp4", "c.mp4", "a.mp4", "ß.mp4", "SS.mp4"]
    assert collisions(names) == {"a.mp4": (0, 2, 6), "é.mp4": (3, 4), "ß.mp4": (7, 8)}
    assert collisions(["a", "b"]) == {}
    assert collisions([]) == {}


@given(st.lists(st.text(max_size=3)))
def test_without_collisions_all_names_differ(names):
    """What is not reported is a name of its own; what is reported covers the rest."""
    found = collisions(names)
    colliding = {place for places in found.values() for place in places}
    alone = [name.casefold() for place, name in enumerate(names) if place not in colliding]
    assert len(set(alone)) == len(alone)


PLACES = [
    (PathKind.NOTHING, True, False, None),
    (PathKind.NOTHING, True, True, None),
    (PathKind.NOTHING, False, True, "no folder"),
    (PathKind.FILE, True, False, "exists"),
    (PathKind.FILE, True, True, None),
    (PathKind.FOLDER, True, True, "is a folder"),
    (PathKind.OTHER, True, True, "not a regular file"),
]


@pytest.mark.parametrize(("standing", "has_folder", "overwrite", "complaint"), PLACES)
def test_a_place_is_taken_or_refused(standing, has_folder, overwrite, complaint):
    """Nothing is overwritten unasked, and a device or a folder never."""
    if complaint is None:
        check_destination("x.mp4", standing=standing, has_folder=has_folder, overwrite=overwrite)
        return
    with pytest.raises(InvalidInput, match=complaint) as caught:
        check_destination("x.mp4", standing=standing, has_folder=has_folder, overwrite=overwrite)
    assert caught.value.field == "dest"
