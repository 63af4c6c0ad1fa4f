"""Prompts from files: what rows say, and what is wrong with them."""

from __future__ import annotations

import json

import pytest

from luma_async import (
    GenerationKeyframe,
    ImageKeyframe,
    InvalidInput,
    Keyframes,
    RixAPI,
    VideoRequest,
    read_prompts,
)
from luma_async.prompts import parse_prompts

JPEG = b"\xff\xd8\xff picture"


def parse(text, how="csv", **options):
    return parse_prompts(text.encode(), format=how, name="prompts", **options)


def faults_of(text, how="csv", **options):
    """Return what is said about a file that is refused, without the first line."""
    with pytest.raises(InvalidInput) as caught:
        parse(text, how, **options)
    assert caught.value.field == "prompts"
    first, *faults = str(caught.value).splitlines()
    assert f"{len(faults)} of its rows" in first
    return [fault.strip() for fault in faults]


def test_a_text_has_a_prompt_a_line():
    """Blank lines and blanks around a prompt do not count, and everything else is the prompt's own."""
    prompts = parse('a cat\r\n\n  # 7, a "dog"  \n\u2028odd line\n', "text")
    assert [request.prompt for request in prompts] == ["a cat", '# 7, a "dog"', "odd line"]
    assert [row.line for row in prompts.rows] == [1, 3, 4]
    assert len(prompts) == 3
    assert VideoRequest("a cat") in prompts


def test_a_table_names_fields_in_its_header():
    """Columns in any order; an empty cell leaves its field out; cells may span lines."""
    text = (
        "\ufeffkey,prompt,aspect_ratio,loop,expand_prompt,model,resolution,duration,concepts,notify_hook,extra,output\n"
        'one,"a cat,\ndancing",9:16,Yes,0,ray-2,720p,5s,"dolly_zoom, orbit",'
        'https://me.example/hook,"{""seed"": 7}",a.mp4\n'
        ",a dog,,,,,,,,,,\n"
        "\n"
    )
    prompts = parse(text)
    assert list(prompts) == [
        VideoRequest(
            "a cat,\ndancing",
            aspect_ratio="9:16",
            loop=True,
            expand_prompt=False,
            model="ray-2",
            resolution="720p",
            duration="5s",
            concepts=("dolly_zoom", "orbit"),
            notify_hook="https://me.example/hook",
            extra={"seed": 7},
        ),
        VideoRequest("a dog"),
    ]
    assert prompts.keys == ["one", None]
    assert [(row.line, row.output) for row in prompts.rows] == [(3, "a.mp4"), (4, None)]


def test_json_lines_hold_objects_or_texts():
    """An object names fields with their own types, a JSON text is a prompt, and null leaves a field out."""
    rows = [{"prompt": "a cat", "loop": True, "concepts": ["orbit"], "model": None, "extra": {"seed": 7}}, "a dog"]
    prompts = parse("\n".join(map(json.dumps, rows)), "jsonl")
    assert list(prompts) == [
        VideoRequest("a cat", loop=True, concepts=("orbit",), extra={"seed": 7}),
        VideoRequest("a dog"),
    ]


def test_frames_are_addresses_files_or_generations(tmp_path):
    """A picture file is looked for beside the prompts, checked at once, and read when its row is bought."""
    (tmp_path / "first.jpg").write_bytes(JPEG)
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,frame0,frame1\na cat,first.jpg,https://pictures.example/last.jpg\na dog,,id:some-id\n")
    prompts = read_prompts(path)
    assert [request.keyframes for request in prompts] == [
        Keyframes(ImageKeyframe.from_bytes(JPEG), ImageKeyframe("https://pictures.example/last.jpg")),
        Keyframes(frame1=GenerationKeyframe("some-id")),
    ]
    (tmp_path / "first.jpg").unlink()
    with pytest.raises(InvalidInput, match="frame0"):
        list(prompts)


@pytest.mark.parametrize(
    ("name", "text"),
    [("p.csv", "prompt\na cat\n"), ("P.JSONL", '"a cat"'), ("p.ndjson", '"a cat"'), ("p.txt", "a cat")],
)
def test_the_ending_tells_the_format(tmp_path, name, text):
    """`.csv`, `.jsonl` and `.ndjson` are what they say; a text is a prompt a line."""
    (tmp_path / name).write_text(text)
    assert list(read_prompts(tmp_path / name)) == [VideoRequest("a cat")]
    assert list(read_prompts(tmp_path / name, format="text"))[-1].prompt in text


@pytest.mark.parametrize(
    "name", ["prompts.json", "prompts.tsv", "prompts.pdf", "prompts.yaml", "prompts.csv.gz", "prompts.md", "prompts"]
)
def test_an_ending_that_tells_nothing_is_refused(tmp_path, name):
    """Read as lines, each line of such a file would be bought; whoever means it says so."""
    path = tmp_path / name
    path.write_text("a cat\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="text, csv, jsonl"):
        read_prompts(path)
    assert list(read_prompts(path, format="text")) == [VideoRequest("a cat")]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ('{"prompt": ""}', "line 1, prompt: must be"),
        ("{}", "line 1, prompt: is missing"),
        ('{"promt": "a cat"}', "line 1, promt: is no field; there are aspect_ratio,"),
        ('{"prompt": "a cat", "keyframes": {}}', "line 1, keyframes: is no field"),
        ('{"prompt": "a cat", "aspect_ratio": "wide"}', "line 1, aspect_ratio: must read"),
        ('{"prompt": "a cat", "loop": "yes"}', "line 1, loop: must be"),
        ('{"prompt": "a cat", "concepts": 7}', "line 1, concepts: must be"),
        ('{"prompt": "a cat", "concepts": "orbit"}', "line 1, concepts: must be"),
        ('{"prompt": "a cat", "extra": [1]}', "line 1, extra: must"),
        ('{"prompt": "a cat", "frame0": 7}', "line 1, frame0: must be"),
        ('{"prompt": "a cat", "frame1": "missing.jpg"}', "line 1, frame1: missing.jpg: No such file"),
        ('{"prompt": "a cat", "frame0": "id:../x"}', "line 1, frame0: must be"),
        ('{"prompt": "a cat", "key": ""}', "line 1, key: must be"),
        ('{"prompt": "a cat", "key": 7}', "line 1, key: must be"),
        ('{"prompt": "a cat", "output": "../cat.mp4"}', "line 1, output: must be"),
        ('{"prompt": "a cat", "output": "/cat.mp4"}', "line 1, output: must be"),
        ('{"prompt": "a cat", "output": "cat\\u0000.mp4"}', "line 1, output: must be"),
        ('{"prompt": "a cat", "output": "cat\\ud800.mp4"}', "line 1, output: must be"),
        ("[1]", "line 1, row: is not a JSON object"),
        ("{", "line 1, row: is not a JSON object"),
        ("[" * 100_000, "line 1, row: is not a JSON object"),
    ],
)
def test_a_bad_row_is_named_by_line_and_field(row, fault):
    """Each mistake of a JSON row is found, and said in terms of its field."""
    (found,) = faults_of(row, "jsonl")
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("promt\na cat\n", "line 1, promt: is no column"),
        ("a cat\na dog\n", "line 1, a cat: is no column"),
        ("key\none\n", "line 1, prompt: is missing among the columns"),
        ("prompt,key,key\na cat,1,2\n", "line 1, key: names two columns"),
        ("prompt,key\na cat, dancing,1\n", "line 2, row: has 3 cells for 2 columns"),
        ("prompt,loop\na cat,perhaps\n", "line 2, loop: must be true or false"),
        ("prompt,extra\na cat,{\n", "line 2, extra: must be a JSON object"),
        ('prompt\na "cat"\n"open', "line 3, row: is not CSV"),
        ("prompt,aspect_ratio\n,9:16\n", "line 2, prompt: is missing"),
    ],
)
def test_a_bad_table_is_named_by_line_and_field(text, fault):
    """Each mistake of a CSV is found, and says how to mend it."""
    (found,) = faults_of(text)
    assert found.startswith(fault)


def test_all_bad_rows_are_named_at_once():
    """Nobody mends a file row by row: every mistake is in one error, and a good row between them is none."""
    faults = faults_of("prompt,aspect_ratio\na cat,wide\na dog,1:1\n,\n,1:1\na cow,tall\n")
    assert [fault.split(":")[0] for fault in faults] == [
        "line 2, aspect_ratio",
        "line 5, prompt",
        "line 6, aspect_ratio",
    ]


def test_keys_and_files_that_stand_twice_are_mistakes():
    """Two rows of one key would share a purchase, two of one file would fight for it, whatever its case."""
    faults = faults_of("prompt,key,output\na cat,one,a.mp4\na dog,two,b.mp4\na cow,one,A.mp4\n")
    assert faults == [
        "line 4, key: stands on line 2 already.",
        "line 4, output: a.mp4 is written by lines 2, 4.",
    ]


def test_one_file_may_be_spelled_in_two_ways():
    """A dot and a doubled slash change nothing about which file it is."""
    faults = faults_of("prompt,output\na cat,b/a.mp4\na dog,./b//a.mp4\n")
    assert faults == ["line 3, output: b/a.mp4 is written by lines 2, 3."]


def test_what_a_service_cannot_carry_is_found_with_its_dialect():
    """A dialect's own check runs over each row, before anything is bought."""
    text = "prompt,concepts\na cat,orbit\na dog,\n"
    assert len(parse(text)) == 2
    (fault,) = faults_of(text, check=RixAPI().submit)
    assert fault.startswith("line 2, concepts:")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("how", "lines"), [("text", ("a cat", "a dog")), ("jsonl", ('"a cat"', '"a dog"'))])
def test_a_line_may_end_as_it_does_anywhere(ending, how, lines):
    """Nobody buys one video of a whole file."""
    prompts = parse_prompts(ending.join(lines).encode(), format=how, name="prompts")
    assert list(prompts) == [VideoRequest("a cat"), VideoRequest("a dog")]


@pytest.mark.parametrize("how", ["text", "csv", "jsonl"])
def test_text_of_two_bytes_a_letter_is_refused(how):
    """UTF-16 without a mark is valid UTF-8 full of NULs, and would be bought as such."""
    with pytest.raises(InvalidInput, match="line 1: holds a NUL; save the file as UTF-8"):
        parse_prompts('prompt\n"a cat"\n'.encode("utf-16-le"), format=how, name="prompts")


def test_bytes_that_are_no_text_are_refused():
    """A file in another encoding is named with the line of its first odd byte."""
    with pytest.raises(InvalidInput, match="line 2: is not UTF-8"):
        parse_prompts("a cat\nein Bär\n".encode("latin-1"), format="text", name="prompts")
