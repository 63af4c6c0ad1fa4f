"""Prompts from files: a prompt a line, a table (CSV), or a JSON object a line.

Every row is checked when the file is read, so that nothing is bought from a file with a mistake in it. Pictures are
looked at then and read again when their row is bought: the rows are held in memory, their pictures are not.
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
from luma_async.values.requests import VideoRequest
from luma_async.values.validators import check_key

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from luma_async.values.keyframes import Keyframe

PromptFormat: TypeAlias = Literal["text", "csv", "jsonl"]
"""A prompt a line, a table with a header, or a JSON object (or a JSON text) a line."""

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


@attrs.frozen(kw_only=True)
class PromptRow:
    """One row of a file."""

    line: int
    """The line on which it ends, from 1."""
    fields: Mapping[str, Any] = attrs.field(repr=False, hash=False)
    """What the row says, by the names of `VideoRequest`."""
    frames: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False, hash=False)
    """Where the pictures of `frame0` and `frame1` are."""
    key: str | None = None
    """The key that it gives to its purchase."""
    output: str | None = None
    """Where its file goes, below the folder of the batch."""
    folder: Path = Path()
    """What the paths of pictures begin at."""

    @property
    def request(self) -> VideoRequest:
        """What to buy. Its pictures are read each time.

        Raises:
            InvalidInput: a field cannot be right, or a picture cannot be read.
        """
        frames: dict[str, Any] = {name: read_keyframe(where, name, self.folder) for name, where in self.frames.items()}
        return VideoRequest(**self.fields, keyframes=Keyframes(**frames) if frames else None)


@attrs.frozen
class Prompts(Collection[VideoRequest]):
    """The requests of a file, to hand to `batch()`; `keys` go beside them."""

    rows: tuple[PromptRow, ...]
    """The rows, in the order of the file."""

    @property
    def keys(self) -> list[str | None]:
        """The keys that the rows give; None leaves one to be derived."""
        return [row.key for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[VideoRequest]:
        return (row.request for row in self.rows)

    def __contains__(self, request: object) -> bool:
        return any(request == one for one in self)


def read_prompts(
    path: str | os.PathLike[str],
    *,
    format: PromptFormat | None = None,  # noqa: A002 - what everybody calls it
    check: Callable[[VideoRequest], object] | None = None,
) -> Prompts:
    """Read a file of prompts, and check every row of it.

    It reads the file and its pictures at once, so call it before a busy loop starts.

    Args:
        path: the file, in UTF-8. A table has a header that names its columns, a JSON object its fields: those of
            `VideoRequest`, and `frame0` and `frame1` (an address, a picture file, or `id:` and a generation), `key`
            (your name for the purchase) and `output` (where its file goes, below the folder of the batch).
        format: None tells it by the ending: `.csv`, `.jsonl` or `.ndjson`; `.txt` is a prompt a line, whatever it
            begins with.
        check: called with each request; what a dialect cannot carry is found out with `RixAPI().submit`.

    Raises:
        InvalidInput: rows cannot be used; the message names each with its line and field. Or the ending tells
            nothing: a document that is read as lines would be bought line by line.
        OSError: the file cannot be read.
    """
    where = Path(path)
    how = format or _FORMATS.get(where.suffix.lower())
    if how is None:
        raise InvalidInput(
            field="format",
            message=f"{where.name} may be anything by its ending: name one of {', '.join(_READERS)} (--format).",
        )
    return parse_prompts(where.read_bytes(), format=how, name=str(path), folder=where.parent, check=check)


def parse_prompts(
    data: bytes,
    *,
    format: PromptFormat,  # noqa: A002 - the same
    name: str,
    folder: Path = Path(),
    check: Callable[[VideoRequest], object] | None = None,
) -> Prompts:
    """Do the same with what was read from elsewhere.

    Args:
        data: the content.
        format: how it is to be understood.
        name: what messages call it.
        folder: what the paths of pictures begin at.
        check: called with each request.
    """
    rows: list[PromptRow] = []
    faults: list[str] = []
    try:
        # Spreadsheets put a byte order mark in front.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text, faults = "", [f"line {line}: is not UTF-8 text."]
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        text, faults = "", [f"line {line}: holds a NUL; save the file as UTF-8 text."]
    for line, fields in _READERS[format](text):
        try:
            row = _row(fields, line, folder)
            request = row.request
            if check is not None:
                check(request)
        except LumaError as error:
            faults.append(f"line {line}, {error}")
        else:
            rows.append(row)
    faults += _repeated(rows)
    if faults:
        message = f"nothing was sent, for {len(faults)} of its rows cannot be used:\n  " + "\n  ".join(faults)
        raise InvalidInput(field=name, message=message)
    return Prompts(tuple(rows))


def read_keyframe(where: str, field: str, folder: Path = Path()) -> Keyframe:
    """Read one end of a video: an address, a picture file, or `id:` and an earlier generation.

    Args:
        where: which of them.
        field: what an error calls it.
        folder: what the path of a file begins at.

    Raises:
        InvalidInput: it is none of them.
    """
    try:
        if where.startswith("id:"):
            return GenerationKeyframe(where.removeprefix("id:"))
        if "://" in where or where.startswith("data:"):
            return ImageKeyframe(where)
        return ImageKeyframe.from_file(folder / where)
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
    return InvalidInput(field="row", message="is not a JSON object or text.")


def _read_csv(text: str) -> Iterator[tuple[int, _Fields]]:
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            # What follows a row that cannot be read may be anything.
            yield table.line_num, InvalidInput(field="row", message=f"is not CSV: {error}.")
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if fault := _header_fault(header):
                yield table.line_num, fault
                return
        elif len(cells) > len(header):
            message = f"has {len(cells)} cells for {len(header)} columns; put quotes around a prompt with commas."
            yield table.line_num, InvalidInput(field="row", message=message)
        else:
            yield table.line_num, _from_cells(dict(zip(header, cells, strict=False)))


_READERS: dict[PromptFormat, Callable[[str], Iterable[tuple[int, _Fields]]]] = {
    "text": _read_text,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}


def _header_fault(header: list[str]) -> InvalidInput | None:
    unknown = [name for name in header if name not in _FIELDS]
    if unknown:
        return InvalidInput(field=unknown[0] or "header", message=f"is no column; there are {_known()}.")
    if "prompt" not in header:
        return InvalidInput(field="prompt", message="is missing among the columns; the first line names them.")
    twice = [name for name in header if header.count(name) > 1]
    return InvalidInput(field=twice[0], message="names two columns.") if twice else None


def _from_cells(cells: dict[str, str]) -> _Fields:
    """Understand the texts of a row; an empty cell leaves its field out."""
    fields: dict[str, Any] = {name: cell.strip() for name, cell in cells.items() if cell.strip()}
    for name in {"loop", "expand_prompt"} & fields.keys():
        if fields[name].lower() not in _FLAGS:
            return InvalidInput(field=name, message="must be true or false, or be empty.")
        fields[name] = _FLAGS[fields[name].lower()]
    if "concepts" in fields:
        fields["concepts"] = [concept.strip() for concept in fields["concepts"].split(",") if concept.strip()]
    if "extra" in fields:
        try:
            fields["extra"] = json.loads(fields["extra"])
        except (ValueError, RecursionError):
            return InvalidInput(field="extra", message="must be a JSON object, or be empty.")
    return fields


def _row(fields: _Fields, line: int, folder: Path) -> PromptRow:
    if isinstance(fields, InvalidInput):
        raise fields
    unknown = [name for name in fields if name not in _FIELDS]
    if unknown:
        raise InvalidInput(field=unknown[0], message=f"is no field; there are {_known()}.")
    if "prompt" not in fields:
        raise InvalidInput(field="prompt", message="is missing.")
    key, output = fields.get("key"), fields.get("output")
    if key is not None:
        check_key(key)
    if output is not None:
        _check_output(output)
    frames = {name: fields[name] for name in _FRAMES if fields.get(name) is not None}
    for name, where in frames.items():
        if not isinstance(where, str):
            raise InvalidInput(field=name, message="must be an address, a picture file, or id: and a generation.")
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
        raise InvalidInput(field="output", message="must be the name of a file below the folder of the batch.")


def _repeated(rows: list[PromptRow]) -> list[str]:
    """Find rows that would share a purchase or a file by mistake."""
    faults: list[str] = []
    keyed = [row for row in rows if row.key is not None]
    first: dict[str, int] = {}
    for row in keyed:
        assert row.key is not None
        if first.setdefault(row.key, row.line) != row.line:
            faults.append(f"line {row.line}, key: stands on line {first[row.key]} already.")
    placed = [row for row in rows if row.output is not None]
    for name, places in collisions(str(PurePath(row.output or "")) for row in placed).items():
        lines = [str(placed[place].line) for place in places]
        faults.append(f"line {lines[-1]}, output: {name} is written by lines {', '.join(lines)}.")
    return faults


def _known() -> str:
    return ", ".join(sorted(_FIELDS))
