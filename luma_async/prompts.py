"""Prompts from files: text with a prompt per line, a table from a spreadsheet (CSV or TSV), or JSON Lines.

Every row is checked when the file is read, so that nothing is submitted from a file with an invalid row. Images are
checked then, too, and read again when their row is submitted: the rows are kept in memory, their images are not.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping
from operator import itemgetter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import attrs

from luma_async._download.names import SEPARATORS, collisions
from luma_async.values.errors import InvalidInput, LumaError, PromptFileError
from luma_async.values.keyframes import GenerationKeyframe, ImageKeyframe, Keyframes
from luma_async.values.public import public
from luma_async.values.requests import VideoRequest
from luma_async.values.validators import check_key, check_path, shown

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from luma_async.values.keyframes import Keyframe

PromptFormat: TypeAlias = Literal["text", "csv", "tsv", "jsonl"]
"""`text`: a prompt per line; `csv`, `tsv`: a table with a header, whose columns are separated by commas, semicolons,
tabs or vertical bars; `jsonl`: a JSON object or string per line."""

_FORMATS: dict[str, PromptFormat] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tab": "tsv",
    ".tsv": "tsv",
    ".txt": "text",
}
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
"""What separates the columns of a table. Spreadsheets take the semicolon where the comma is the decimal separator."""
_SEPARATOR_LINE = re.compile(r'\A"?sep=(.)"?[^\S\r\n]*(?=\r|\n|\Z)', re.IGNORECASE)
"""A first line that tells Excel the separator; it is no part of the table."""
_FRAMES = ("frame0", "frame1")
_REQUEST_FIELDS = frozenset(field.name for field in attrs.fields(VideoRequest)) - {"keyframes"}
_FIELDS = _REQUEST_FIELDS | {*_FRAMES, "key", "output"}
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@public
@attrs.frozen(kw_only=True)
class PromptRow:
    """A row of a file."""

    line: int
    """The number of its last line, counted from 1."""
    fields: Mapping[str, Any] = attrs.field(repr=False, hash=False)
    """The fields of its `VideoRequest`."""
    frames: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False, hash=False)
    """`frame0` and `frame1` as the file has them."""
    key: str | None = None
    """The key of its submit."""
    output: str | None = None
    """The path of its result, relative to the folder of the batch."""
    folder: Path = Path()
    """The folder that paths of images are relative to."""

    @property
    def request(self) -> VideoRequest:
        """The request of this row. Its images are read at each access.

        Raises:
            InvalidInput: a field has an invalid value, or an image cannot be read.
        """
        frames: dict[str, Any] = {name: read_keyframe(value, name, self.folder) for name, value in self.frames.items()}
        return VideoRequest(**self.fields, keyframes=Keyframes(**frames) if frames else None)


@public
@attrs.frozen
class Prompts(Collection[VideoRequest]):
    """The requests of a file: `luma.batch(prompts, keys=prompts.keys)`."""

    rows: tuple[PromptRow, ...]
    """The rows, in the order of the file."""

    @property
    def keys(self) -> list[str | None]:
        """The keys of the rows; None where a row has no key."""
        return [row.key for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[VideoRequest]:
        return (row.request for row in self.rows)

    def __contains__(self, request: object) -> bool:
        return any(request == each for each in self)


@public
def read_prompts(
    path: str | os.PathLike[str],
    *,
    format: PromptFormat | None = None,  # noqa: A002 - the usual name
    check: Callable[[VideoRequest], object] | None = None,
) -> Prompts:
    """Read a file of prompts and check every row.

    This blocks while it reads the file and its images; in a coroutine, call it with `asyncio.to_thread`.

    Args:
        path: the file, in UTF-8, or in UTF-16 with a byte order mark. The columns of a table and the fields of a JSON
            object are those of `VideoRequest`, and `frame0` and `frame1` (a URL, an image file, or `id:` and the id of
            a generation), `key` (your key of the submit) and `output` (the path of the result, relative to the folder
            of the batch; a folder if it ends in a slash). The header of a table shows what separates its columns;
            columns without a name must be empty.
        format: None takes it from the extension: `.txt`, `.csv`, `.tsv`, `.tab`, `.jsonl` or `.ndjson`.
        check: called with each request. `check=RixAPI().submit_call` finds fields that the dialect does not support.

    Raises:
        InvalidInput: a row is invalid; the message lists every fault with its line and field. Or there are no prompts.
            Or the format is unknown: an unknown document is not read as text, since every line of it would be
            submitted.
        PromptFileError: the file cannot be read. It is also an `OSError`.
    """
    check_path(path, "path")
    _check_options(format, check)
    file = Path(path)
    known = format or _FORMATS.get(file.suffix.lower())
    if known is None and not file.is_dir():
        formats = ", ".join(_READERS)
        raise InvalidInput(
            field="format",
            message=f"cannot tell the format of {file.name} from its extension; pass format= (--format): {formats}.",
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        failure = PromptFileError.of(error, field=str(path))
    else:
        return parse_prompts(data, format=known or "text", name=str(path), folder=file.parent, check=check)
    raise failure


def parse_prompts(
    data: bytes,
    *,
    format: PromptFormat,  # noqa: A002 - the usual name
    name: str,
    folder: Path = Path(),
    check: Callable[[VideoRequest], object] | None = None,
) -> Prompts:
    """Check every row of content that was read already.

    Args:
        data: the content.
        format: its format.
        name: the name of the content in messages.
        folder: the folder that paths of images are relative to.
        check: called with each request.

    Raises:
        InvalidInput: a row is invalid; the message lists every fault with its line and field. Or there are no prompts.
    """
    _check_options(format, check)
    rows: list[PromptRow] = []
    problems: list[tuple[int, str]] = []
    # Spreadsheets write a byte order mark first, some of them that of UTF-16.
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text, problems = "", [(line, f"line {line}: is not {encoding.upper()} text.")]
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        text, problems = "", [(line, f"line {line}: contains a NUL character; save the file as UTF-8 text.")]
    for found in _READERS[format](text):
        row, faults = _check_row(found, folder, check)
        problems += [(found[0], f"line {found[0]}, {fault}") for fault in faults]
        if row is not None:
            rows.append(row)
    problems += _repeated(rows)
    if problems:
        count = len({line for line, _ in problems})
        invalid = "1 invalid row" if count == 1 else f"{count} invalid rows"
        lines = [text for _, text in sorted(problems, key=itemgetter(0))]
        raise InvalidInput(field=name, message="\n  ".join([f"{invalid}; nothing was submitted:", *lines]))
    if not rows:
        raise InvalidInput(field=name, message="has no prompts; nothing was submitted or changed.")
    return Prompts(tuple(rows))


def _check_options(kind: object, check: object) -> None:
    if kind is not None and not (isinstance(kind, str) and kind in _READERS):
        raise InvalidInput(field="format", message=f"must be one of {', '.join(_READERS)}, not {shown(kind)}.")
    if check is not None and not callable(check):
        raise InvalidInput(field="check", message=f"must be a function, not {shown(check)}.")


def read_keyframe(value: str, field: str, folder: Path = Path()) -> Keyframe:
    """Read a keyframe: a URL, an image file, or `id:` and the id of a generation.

    Args:
        value: the URL, the path or the id.
        field: the name of the field in errors.
        folder: the folder that paths are relative to.

    Raises:
        InvalidInput: the value is not valid, or the file cannot be read.
    """
    try:
        if value.startswith("id:"):
            return GenerationKeyframe(value.removeprefix("id:"))
        if "://" in value or value.startswith("data:"):
            return ImageKeyframe(value)
        return ImageKeyframe.from_file(folder / value)
    except InvalidInput as error:
        message = error.message
    raise InvalidInput(field=field, message=message)


_Found: TypeAlias = "tuple[int, dict[str, Any], list[LumaError]]"
"""The number of a row's last line, its fields, and what is wrong with the others."""


def _read_text(text: str) -> Iterator[_Found]:
    for line, prompt in enumerate(io.StringIO(text, newline=None), 1):
        if prompt.strip():
            yield line, {"prompt": prompt.strip()}, []


def _read_jsonl(text: str) -> Iterator[_Found]:
    for line, document in enumerate(io.StringIO(text, newline=None), 1):
        if document.strip():
            yield line, *_from_json(document)


def _from_json(document: str) -> tuple[dict[str, Any], list[LumaError]]:
    try:
        value: Any = json.loads(document)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, str):
        return {"prompt": value}, []
    if isinstance(value, dict):
        return cast("dict[str, Any]", value), []
    return {}, [InvalidInput(field="row", message="is not a JSON object or string.")]


def _read_csv(text: str) -> Iterator[_Found]:
    return _read_table(text, default=",")


def _read_tsv(text: str) -> Iterator[_Found]:
    return _read_table(text, default="\t")


def _read_table(text: str, *, default: str) -> Iterator[_Found]:
    """Read the rows of a table.

    Args:
        text: the table.
        default: what separates its columns if the header does not show it, because it has one column.
    """
    if named := _SEPARATOR_LINE.match(text):
        # An empty line in its place keeps the numbers of the lines.
        separator, text = named[1], text[named.end() :]
        if separator not in _SEPARATORS:
            yield 1, {}, [InvalidInput(field="sep", message=f"must be one of {', '.join(_SEPARATORS.values())}.")]
            return
    else:
        separator = _find_separator(text, default)
    header: list[str] | None = None
    table = _Table(text, separator)
    while True:
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            # After a row that cannot be read, the reader no longer knows where rows begin.
            yield table.line_num, {}, [InvalidInput(field="row", message=f"is not CSV: {error}.")]
            return
        if not any(cells):
            continue
        if header is None:
            header = cells
            if problem := _header_problem(header, separator):
                yield table.line_num, {}, [problem]
                return
        else:
            yield table.line_num, *_from_cells(cells, header, separator)


class _Table(Iterator["list[str]"]):
    """The rows of a table, without the spaces around cells and without empty cells at the end of a row."""

    def __init__(self, text: str, separator: str) -> None:
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)

    @property
    def line_num(self) -> int:
        """The number of the last line of the row, counted from 1."""
        return self._reader.line_num

    def __next__(self) -> list[str]:
        cells = [cell.strip() for cell in next(self._reader)]
        while cells and not cells[-1]:
            cells.pop()
        return cells


def _find_separator(text: str, default: str) -> str:
    """Return the separator that splits the header into known columns, or else the one that splits it most often."""
    most, found = 1, default
    for separator in (default, *_SEPARATORS):
        try:
            header = next((cells for cells in _Table(text, separator) if any(cells)), list[str]())
        except csv.Error:
            continue
        if _header_problem(header, separator) is None:
            return separator
        if len(header) > most:
            most, found = len(header), separator
    return found


_READERS: dict[PromptFormat, Callable[[str], Iterable[_Found]]] = {
    "text": _read_text,
    "csv": _read_csv,
    "tsv": _read_tsv,
    "jsonl": _read_jsonl,
}


def _header_problem(header: list[str], separator: str) -> InvalidInput | None:
    """Check the names of the columns; a column without a name is allowed while its cells are empty."""
    names = [name for name in header if name]
    unknown = [name for name in names if name not in _FIELDS]
    if unknown:
        split = f" (the separator is the {_SEPARATORS[separator]})"
        return InvalidInput(field=unknown[0], message=f"is not a known column{split}; known columns: {_known()}.")
    if "prompt" not in names:
        return InvalidInput(field="prompt", message="is missing; the first line must name the columns.")
    repeated = [name for name in names if names.count(name) > 1]
    return InvalidInput(field=repeated[0], message="is the name of two columns.") if repeated else None


def _from_cells(cells: list[str], header: list[str], separator: str) -> tuple[dict[str, Any], list[LumaError]]:
    """Convert the cells of a row to fields; an empty cell means that the field is absent."""
    word = _SEPARATORS[separator]
    if len(cells) > len(header):
        message = f"has {len(cells)} cells for {len(header)} columns; quote prompts that contain a {word}."
        return {}, [InvalidInput(field="row", message=message)]
    named = list(zip(header, cells, strict=False))
    if any(cell and not name for name, cell in named):
        message = f"has a cell in a column without a name; quote prompts that contain a {word}."
        return {}, [InvalidInput(field="row", message=message)]
    fields: dict[str, Any] = {}
    faults: list[LumaError] = []
    for name, cell in named:
        if cell:
            try:
                fields[name] = _from_cell(name, cell)
            except (KeyError, ValueError, RecursionError):
                what = "a JSON object" if name == "extra" else "true, false"
                faults.append(InvalidInput(field=name, message=f"must be {what} or empty."))
    return fields, faults


def _from_cell(name: str, cell: str) -> Any:
    match name:
        case "loop" | "expand_prompt" | "hdr" | "exr_export":
            return _FLAGS[cell.lower()]
        case "concepts":
            return [concept.strip() for concept in cell.split(",") if concept.strip()]
        case "extra":
            return json.loads(cell)
        case _:
            return cell


def _check_row(
    found: _Found, folder: Path, check: Callable[[VideoRequest], object] | None
) -> tuple[PromptRow | None, list[LumaError]]:
    """Return a row, or everything that is wrong with it."""
    line, fields, faults = found
    if faults and not fields:
        return None, faults
    try:
        row = _row(fields, line, folder)
        request = row.request
        if check is not None:
            check(request)
    except LumaError as error:
        return None, [*faults, *(_faults_of_fields(fields, folder) or [error])]
    return (None if faults else row), faults


def _faults_of_fields(fields: dict[str, Any], folder: Path) -> list[LumaError]:
    """Check each field by itself: the check of a whole row ends with its first fault."""
    faults: list[LumaError] = []
    # With an unknown field, the prompt is more likely misspelled than missing.
    missing = {"prompt": None} if fields.keys() <= _FIELDS else {}
    for name, value in {**missing, **fields}.items():
        try:
            _ = _row({"prompt": "any", name: value}, 0, folder).request
        except LumaError as error:
            faults.append(error)
    return faults


def _row(fields: dict[str, Any], line: int, folder: Path) -> PromptRow:
    unknown = [name for name in fields if name not in _FIELDS]
    if unknown:
        raise InvalidInput(field=unknown[0], message=f"is not a known field; known fields: {_known()}.")
    if fields.get("prompt") is None:
        raise InvalidInput(field="prompt", message="is missing.")
    key, output = fields.get("key"), fields.get("output")
    if key is not None:
        check_key(key)
    if output is not None:
        _check_output(output)
    frames = {name: fields[name] for name in _FRAMES if fields.get(name) is not None}
    for name, value in frames.items():
        if not isinstance(value, str):
            raise InvalidInput(field=name, message="must be a URL, an image file, or id: and the id of a generation.")
    return PromptRow(
        line=line,
        fields={name: value for name, value in fields.items() if name in _REQUEST_FIELDS and value is not None},
        frames=frames,
        key=key,
        output=output,
        folder=folder,
    )


def _check_output(output: object) -> None:
    path = PurePath(output) if isinstance(output, str) and output.strip() and output.isprintable() else None
    if path is None or path.is_absolute() or ".." in path.parts or not path.name:
        raise InvalidInput(field="output", message="must be a relative path inside the folder of the batch.")


def _repeated(rows: list[PromptRow]) -> list[tuple[int, str]]:
    """Find rows with the same key or the same output."""
    first: dict[str, int] = {}
    problems = [
        (row.line, f"line {row.line}, key: is already used on line {first[row.key]}.")
        for row in rows
        if row.key is not None and first.setdefault(row.key, row.line) != row.line
    ]
    written = [row for row in rows if row.output is not None and not row.output.endswith(SEPARATORS)]
    for name, indices in collisions(str(PurePath(row.output or "")) for row in written).items():
        lines = [written[index].line for index in indices]
        numbers = ", ".join(map(str, lines))
        problems.append((lines[-1], f"line {lines[-1]}, output: {name} is written by lines {numbers}."))
    return problems


def _known() -> str:
    return ", ".join(sorted(_FIELDS))
