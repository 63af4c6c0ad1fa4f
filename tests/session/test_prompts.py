"""Prompts from files: how rows are read, and which rows are invalid."""

from __future__ import annotations

import errno
import json

import pytest

from luma_async import (
    GenerationKeyframe,
    ImageKeyframe,
    InvalidInput,
    Keyframes,
    LumaError,
    PromptFileError,
    RixAPI,
    VideoRequest,
    read_prompts,
)
from luma_async.prompts import parse_prompts

JPEG = b"\xff\xd8\xff image"


def parse(text, kind="csv", **options):
    return parse_prompts(text.encode(), format=kind, name="prompts", **options)


def problems_of(text, kind="csv", **options):
    """Return the lines of the error about a refused file, without the first line."""
    with pytest.raises(InvalidInput) as caught:
        parse(text, kind, **options)
    assert caught.value.field == "prompts"
    first, *problems = str(caught.value).splitlines()
    count = len({problem.partition(",")[0].partition(":")[0] for problem in problems})
    rows = "1 invalid row" if count == 1 else f"{count} invalid rows"
    assert first == f"prompts: {rows}; nothing was submitted:"
    return [problem.strip() for problem in problems]


def test_text_prompt_per_line():
    """A text file has a prompt per line; blank lines and surrounding spaces are ignored."""
    prompts = parse('a cat\r\n\n  # 7, a "dog"  \n\u2028odd line\n', "text")
    assert [request.prompt for request in prompts] == ["a cat", '# 7, a "dog"', "odd line"]
    assert [row.line for row in prompts.rows] == [1, 3, 4]
    assert len(prompts) == 3
    assert VideoRequest("a cat") in prompts


def test_csv_columns_are_fields():
    """Columns may be in any order, an empty cell means that the field is absent, and cells may span lines."""
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


def test_jsonl_objects_and_strings():
    """A JSON object has typed fields, a JSON string is a prompt, and null means that the field is absent."""
    rows = [{"prompt": "a cat", "loop": True, "concepts": ["orbit"], "model": None, "extra": {"seed": 7}}, "a dog"]
    prompts = parse("\n".join(map(json.dumps, rows)), "jsonl")
    assert list(prompts) == [
        VideoRequest("a cat", loop=True, concepts=("orbit",), extra={"seed": 7}),
        VideoRequest("a dog"),
    ]


def test_frames_of_rows(tmp_path):
    """A frame is a URL, a generation, or a file relative to the prompts, which is read at each access."""
    (tmp_path / "first.jpg").write_bytes(JPEG)
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,frame0,frame1\na cat,first.jpg,https://images.example/last.jpg\na dog,,id:some-id\n")
    prompts = read_prompts(path)
    assert [request.keyframes for request in prompts] == [
        Keyframes(ImageKeyframe.from_bytes(JPEG), ImageKeyframe("https://images.example/last.jpg")),
        Keyframes(frame1=GenerationKeyframe("some-id")),
    ]
    (tmp_path / "first.jpg").unlink()
    with pytest.raises(InvalidInput, match="frame0"):
        list(prompts)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "prompt\na cat\n"),
        ("p.tsv", "prompt\na cat\n"),
        ("p.tab", "prompt\na cat\n"),
        ("P.JSONL", '"a cat"'),
        ("p.ndjson", '"a cat"'),
        ("p.txt", "a cat"),
    ],
)
def test_format_from_extension(tmp_path, name, text):
    """The extension of the file selects the format; `format=` overrides it."""
    (tmp_path / name).write_text(text)
    assert list(read_prompts(tmp_path / name)) == [VideoRequest("a cat")]
    assert list(read_prompts(tmp_path / name, format="text"))[-1].prompt in text


@pytest.mark.parametrize(
    "name", ["prompts.json", "prompts.xlsx", "prompts.pdf", "prompts.yaml", "prompts.csv.gz", "prompts.md", "prompts"]
)
def test_unknown_extension_is_refused(tmp_path, name):
    """A file with an unknown extension is read as text only with `format="text"`."""
    path = tmp_path / name
    path.write_text("a cat\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"pass format= \(--format\): text, csv, tsv, jsonl"):
        read_prompts(path)
    assert list(read_prompts(path, format="text")) == [VideoRequest("a cat")]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"prompt": ""}', "line 1, prompt: must be"),
        ("{}", "line 1, prompt: is missing"),
        ('{"promt": "a cat"}', "line 1, promt: is not a known field; known fields: aspect_ratio,"),
        ('{"prompt": "a cat", "keyframes": {}}', "line 1, keyframes: is not a known field"),
        ('{"prompt": "a cat", "aspect_ratio": "wide"}', "line 1, aspect_ratio: must have"),
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
def test_invalid_json_row(row, problem):
    """The error about an invalid JSON row names its line and its field."""
    (found,) = problems_of(row, "jsonl")
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("promt\na cat\n", "line 1, promt: is not a known column"),
        ("a cat\na dog\n", "line 1, a cat: is not a known column"),
        ("key\none\n", "line 1, prompt: is missing; the first line must name"),
        ("prompt,key,key\na cat,1,2\n", "line 1, key: is the name of two columns"),
        ("prompt,key\na cat, dancing,1\n", "line 2, row: has 3 cells for 2 columns"),
        ("prompt,loop\na cat,perhaps\n", "line 2, loop: must be true, false or empty"),
        ("prompt,extra\na cat,{\n", "line 2, extra: must be a JSON object"),
        ('prompt\na "cat"\n"open', "line 3, row: is not CSV"),
        ("prompt,aspect_ratio\n,9:16\n", "line 2, prompt: is missing"),
    ],
)
def test_invalid_csv(text, problem):
    """The error about an invalid CSV names the line and the field."""
    (found,) = problems_of(text)
    assert found.startswith(problem)


def test_all_invalid_rows_in_one_error():
    """One error lists every invalid row of a file, and no valid row."""
    problems = problems_of("prompt,aspect_ratio\na cat,wide\na dog,1:1\n,\n,1:1\na cow,tall\n")
    assert [problem.split(":")[0] for problem in problems] == [
        "line 2, aspect_ratio",
        "line 5, prompt",
        "line 6, aspect_ratio",
    ]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "prompt,key,output\na cat,one,a.mp4\na dog,two,b.mp4\na cow,one,A.mp4\n",
            [
                "line 4, key: is already used on line 2.",
                "line 4, output: a.mp4 is written by lines 2, 4.",
            ],
        ),
        ("prompt,output\na cat,b/a.mp4\na dog,./b//a.mp4\n", ["line 3, output: b/a.mp4 is written by lines 2, 3."]),
    ],
)
def test_repeated_key_or_output(text, problems):
    """Two rows must not have the same key or the same file, in whatever case or form its path is written."""
    assert problems_of(text) == problems


def test_all_faults_of_a_row():
    """Every fault of a row is listed, whichever cell is read first, and all faults are in the order of the lines."""
    text = (
        "prompt,key,loop,frame0,aspect_ratio\n"
        "a cat,one,,,\n"
        "a dog,two,perhaps,no.jpg,wide\n"
        "a hen,one,,,\n"
        ",three,maybe,,\n"
    )
    assert [problem.split(":")[0] for problem in problems_of(text)] == [
        "line 3, loop",
        "line 3, frame0",
        "line 3, aspect_ratio",
        "line 4, key",
        "line 5, loop",
        "line 5, prompt",
    ]
    row = '{"prompt": null, "loop": "yes", "shape": 1}'
    assert [problem.split(":")[0] for problem in problems_of(row, "jsonl")] == [
        "line 1, prompt",
        "line 1, loop",
        "line 1, shape",
    ]


@pytest.mark.parametrize(("kind", "text"), [("text", "\n \n"), ("csv", "prompt,key\n"), ("jsonl", ""), ("tsv", "")])
def test_no_prompts_is_refused(kind, text):
    """A file without prompts is an error: an empty batch would hide that it was the wrong file."""
    with pytest.raises(InvalidInput, match="prompts: has no prompts; nothing was submitted or changed"):
        parse(text, kind)


@pytest.mark.parametrize("kind", [LumaError, InvalidInput, OSError])
def test_missing_file_of_prompts(tmp_path, kind):
    """A file that cannot be read is an error of this library, and an `OSError` with its number."""
    path = tmp_path / "no.csv"
    with pytest.raises(kind, match=r"no\.csv: No such file or directory\.$") as caught:
        read_prompts(path)
    assert isinstance(caught.value, PromptFileError)
    assert (caught.value.errno, caught.value.field) == (errno.ENOENT, str(path))


def test_switches_in_tables():
    """Every field that is true or false may be written in a table."""
    (request,) = parse("prompt,loop,expand_prompt,hdr,exr_export\na cat,yes,no,true,1\n")
    assert (request.loop, request.expand_prompt, request.hdr, request.exr_export) == (True, False, True, True)


def test_check_finds_unsupported_fields():
    """`check=` runs the check of a dialect over each row, before anything is submitted."""
    text = "prompt,concepts\na cat,orbit\na dog,\n"
    assert len(parse(text)) == 2
    (problem,) = problems_of(text, check=RixAPI().submit_call)
    assert problem.startswith("line 2, concepts:")


ROWS = [("one", VideoRequest("a cat, black")), (None, VideoRequest("a dog"))]
TABLES = {
    "commas": 'prompt,key\n"a cat, black",one\na dog,\n',
    "semicolons": "prompt;key\na cat, black;one\na dog;\n",
    "tabs": "prompt\tkey\na cat, black\tone\na dog\n",
    "vertical bars": "prompt|key\na cat, black|one\na dog|\n",
    "empty columns": 'prompt,key,,\r\n"a cat, black",one,,\r\na dog,,,\r\n,,,\r\n',
    "empty column between": 'key, ,prompt\none,,"a cat, black"\n,,a dog\n',
    "more empty cells than columns": "prompt;key\na cat, black;one;;;\na dog;;; ;\n",
    "separator line": "sep=;\r\nprompt;key\r\na cat, black;one\r\na dog;\r\n",
    "separator line of tabs": "SEP=\t\nprompt\tkey\na cat, black\tone\na dog\n",
    "quoted separator line": '"sep=|"\nprompt|key\na cat, black|one\na dog|\n',
    "byte order mark": "\ufeffsep=;\nprompt;key\na cat, black;one\na dog;\n",
    "quoted header": '"prompt";"key"\n"a cat, black";"one"\n"a dog";""\n',
    "other columns first": "model;loop;key;prompt\n;;one;a cat, black\n;;;a dog\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("kind", ["csv", "tsv"])
@pytest.mark.parametrize("table", TABLES)
def test_tables_of_spreadsheets(table, kind, encoding):
    """The header shows the separator; empty columns without a name, empty rows and byte order marks are no fault."""
    prompts = parse_prompts(TABLES[table].encode(encoding), format=kind, name="prompts")
    assert list(zip(prompts.keys, prompts, strict=True)) == ROWS


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("promt;key\na;b\n", "csv", "line 1, promt: is not a known column (the separator is the semicolon)"),
        ("promt\tkey\na\tb\n", "csv", "line 1, promt: is not a known column (the separator is the tab)"),
        ("promt|key\na|b\n", "tsv", "line 1, promt: is not a known column (the separator is the vertical bar)"),
        ("promt,key\na,b\n", "tsv", "line 1, promt: is not a known column (the separator is the comma)"),
        (
            "prompt;key\na; b;c\n",
            "csv",
            "line 2, row: has 3 cells for 2 columns; quote prompts that contain a semicolon",
        ),
        ("prompt,,key\na, b,c\n", "csv", "line 2, row: has a cell in a column without a name; quote prompts"),
        ("prompt,\na, b\n", "csv", "line 2, row: has 2 cells for 1 columns; quote prompts"),
        ("prompt\na\tb\n", "tsv", "line 2, row: has 2 cells for 1 columns; quote prompts that contain a tab"),
        ("sep=,\nprompt;key\na;b\n", "csv", "line 2, prompt;key: is not a known column (the separator is the comma)"),
        ("sep=x\nprompt;key\na;b\n", "csv", "line 1, sep: must be one of comma, semicolon, tab, vertical bar"),
    ],
)
def test_separator_in_errors(text, kind, problem):
    """The error about a table names the separator that was found, and nothing is guessed about a row."""
    (found,) = problems_of(text, kind)
    assert found.startswith(problem)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("kind", "lines"), [("text", ("a cat", "a dog")), ("jsonl", ('"a cat"', '"a dog"'))])
def test_line_endings(ending, kind, lines):
    """Lines may end in any of the three common ways."""
    assert list(parse(ending.join(lines), kind)) == [VideoRequest("a cat"), VideoRequest("a dog")]


@pytest.mark.parametrize("kind", ["text", "csv", "jsonl"])
def test_utf16_is_refused(kind):
    """UTF-16 without a byte order mark is refused, although it is valid UTF-8 with NUL characters."""
    with pytest.raises(InvalidInput, match="line 1: contains a NUL character; save the file as UTF-8"):
        parse_prompts('prompt\n"a cat"\n'.encode("utf-16-le"), format=kind, name="prompts")


def test_latin1_is_refused():
    """The error about a file that is not UTF-8 names the line of the first invalid byte."""
    with pytest.raises(InvalidInput, match="line 2: is not UTF-8"):
        parse_prompts("a cat\nein Bär\n".encode("latin-1"), format="text", name="prompts")
