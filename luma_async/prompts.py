"""Prompts from files: text with a prompt per line, CSV, or JSON Lines.

Every row is checked when the file is read, so that nothing is submitted from a file with an invalid row. Images are
checked then, too, and read again when their row is submitted: the rows are kept in memory, their images are not.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import attrs

from luma_async._download.names import collisions
from luma_async.values.errors import InvalidInput, LumaError
from luma_async.values.keyframes import GenerationKeyframe, ImageKeyframe, Keyframes
from luma_async.values.public import public
from luma_async.values.requests import VideoRequest
from luma_async.values.validators import check_key

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from luma_async.values.keyframes import Keyframe

PromptFormat: TypeAlias = Literal["text", "csv", "jsonl"]
"""`text`: a prompt per line; `csv`: a table with a header; `jsonl`: a JSON object or string per line."""

_FORMATS: dict[str, PromptFormat] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
}
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
        path: the file, in UTF-8. The columns of a table and the fields of a JSON object are those of `VideoRequest`,
            and `frame0` and `frame1` (a URL, an image file, or `id:` and the id of a generation), `key` (your key of
            the submit) and `output` (the path of the result, relative to the folder of the batch).
        format: None takes it from the extension: `.txt`, `.csv`, `.jsonl` or `.ndjson`.
        check: called with each request. `check=RixAPI().submit_call` finds fields that the dialect does not support.

    Raises:
        InvalidInput: a row is invalid; the message lists every invalid row with its line and field. Or the format is
            unknown: an unknown document is not read as text, since every line of it would be submitted.
        OSError: the file cannot be read.
    """
    file = Path(path)
    known = format or _FORMATS.get(file.suffix.lower())
    if known is None:
        formats = ", ".join(_READERS)
        raise InvalidInput(
            field="format",
            message=f"cannot tell the format of {file.name} from its extension; pass format= (--format): {formats}.",
        )
    return parse_prompts(file.read_bytes(), format=known, name=str(path), folder=file.parent, check=check)


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
        InvalidInput: a row is invalid; the message lists every invalid row with its line and field.
    """
    rows: list[PromptRow] = []
    problems: list[str] = []
    try:
        # Spreadsheets write a byte order mark first.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text, problems = "", [f"line {line}: is not UTF-8 text."]
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        text, problems = "", [f"line {line}: contains a NUL character; save the file as UTF-8 text."]
    for line, fields in _READERS[format](text):
        try:
            row = _row(fields, line, folder)
            request = row.request
            if check is not None:
                check(request)
        except LumaError as error:
            problems.append(f"line {line}, {error}")
        else:
            rows.append(row)
    problems += _repeated(rows)
    if problems:
        rows_found = "1 invalid row" if len(problems) == 1 else f"{len(problems)} invalid rows"
        message = f"{rows_found}; nothing was submitted:\n  " + "\n  ".join(problems)
        raise InvalidInput(field=name, message=message)
    return Prompts(tuple(rows))


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


_Fields: TypeAlias = "dict[str, Any] | InvalidInput"


def _read_text(text: str) -> Iterator[tuple[int, _Fields]]:
    for line, prompt in enumerate(io.StringIO(text, newline=None), 1):
        if prompt.strip():
            yield line, {"prompt": prompt.strip()}


def _read_jsonl(text: str) -> Iterator[tuple[int, _Fields]]:
    for line, document in enumerate(io.StringIO(text, newline=None), 1):
        if document.strip():
            yield line, _from_json(document)


def _from_json(document: str) -> _Fields:
    try:
        value: Any = json.loads(document)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, str):
        return {"prompt": value}
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    return InvalidInput(field="row", message="is not a JSON object or string.")


def _read_csv(text: str) -> Iterator[tuple[int, _Fields]]:
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            # After a row that cannot be read, the reader no longer knows where rows begin.
            yield table.line_num, InvalidInput(field="row", message=f"is not CSV: {error}.")
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if problem := _header_problem(header):
                yield table.line_num, problem
                return
        elif len(cells) > len(header):
            message = f"has {len(cells)} cells for {len(header)} columns; quote prompts that contain commas."
            yield table.line_num, InvalidInput(field="row", message=message)
        else:
            yield table.line_num, _from_cells(dict(zip(header, cells, strict=False)))


_READERS: dict[PromptFormat, Callable[[str], Iterable[tuple[int, _Fields]]]] = {
    "text": _read_text,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}


def _header_problem(header: list[str]) -> InvalidInput | None:
    unknown = [name for name in header if name not in _FIELDS]
    if unknown:
        return InvalidInput(field=unknown[0] or "header", message=f"is not a known column; known columns: {_known()}.")
    if "prompt" not in header:
        return InvalidInput(field="prompt", message="is missing; the first line must name the columns.")
    repeated = [name for name in header if header.count(name) > 1]
    return InvalidInput(field=repeated[0], message="is the name of two columns.") if repeated else None


def _from_cells(cells: dict[str, str]) -> _Fields:
    """Convert the cells of a row to fields; an empty cell means that the field is absent."""
    fields: dict[str, Any] = {name: cell.strip() for name, cell in cells.items() if cell.strip()}
    for name in {"loop", "expand_prompt"} & fields.keys():
        if fields[name].lower() not in _FLAGS:
            return InvalidInput(field=name, message="must be true, false or empty.")
        fields[name] = _FLAGS[fields[name].lower()]
    if "concepts" in fields:
        fields["concepts"] = [concept.strip() for concept in fields["concepts"].split(",") if concept.strip()]
    if "extra" in fields:
        try:
            fields["extra"] = json.loads(fields["extra"])
        except (ValueError, RecursionError):
            return InvalidInput(field="extra", message="must be a JSON object or empty.")
    return fields


def _row(fields: _Fields, line: int, folder: Path) -> PromptRow:
    if isinstance(fields, InvalidInput):
        raise fields
    unknown = [name for name in fields if name not in _FIELDS]
    if unknown:
        raise InvalidInput(field=unknown[0], message=f"is not a known field; known fields: {_known()}.")
    if "prompt" not in fields:
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


def _repeated(rows: list[PromptRow]) -> list[str]:
    """Find rows with the same key or the same output."""
    problems: list[str] = []
    keyed = [row for row in rows if row.key is not None]
    first: dict[str, int] = {}
    for row in keyed:
        assert row.key is not None
        if first.setdefault(row.key, row.line) != row.line:
            problems.append(f"line {row.line}, key: is already used on line {first[row.key]}.")
    written = [row for row in rows if row.output is not None]
    for name, indices in collisions(str(PurePath(row.output or "")) for row in written).items():
        lines = [str(written[index].line) for index in indices]
        problems.append(f"line {lines[-1]}, output: {name} is written by lines {', '.join(lines)}.")
    return problems


def _known() -> str:
    return ", ".join(sorted(_FIELDS))
