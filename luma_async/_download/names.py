"""File names that are safe on every file system, whatever the service or the prompt contains.

A safe name is one path component: no separators, no control characters, nothing that Windows reserves, and short
enough for the suffixes that a download appends while it is incomplete.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from string import Formatter
from typing import TYPE_CHECKING

from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

PART_SUFFIX = ".part"
"""Appended to the name of a file that is incomplete."""
SIDECAR_SUFFIX = ".part.etag"
"""Appended to the name of the file that says which file a `.part` belongs to."""
MAX_NAME_BYTES = 255 - len(SIDECAR_SUFFIX)
"""Most file systems allow 255 bytes, and the longest suffix has to fit."""
SEPARATORS = ("/", "\\") if sys.platform == "win32" else ("/",)
"""A path that ends in one of these is a folder."""
FILE_NAME = "{index:04d}-{slug}-{id}.{ext}"
"""The default of `batch(file_name=…)`: sorted like the input, readable by the prompt, unique by the id."""
MAX_SLUG_BYTES = 80
"""Enough to recognise a prompt; with the longest id and index it stays below MAX_NAME_BYTES."""

FILE_SYSTEM_ENCODING = sys.getfilesystemencoding()
"""How Python encodes file names. It depends on the locale, and may lack most letters."""
_LONGEST = {"index": 999_999, "slug": "s" * MAX_SLUG_BYTES, "id": "i" * 64, "ext": "webp"}

_FORBIDDEN = frozenset('<>:"/\\|?*')
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, direction marks, surrogates, and unassigned characters."""
_WINDOWS_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789¹²³"}
)
_FIELDS = "{index}, {slug}, {id} and {ext}"
# The width is bounded: a format may ask for gigabytes of zeros.
_INDEX_SPEC = re.compile(r"([0-9]{1,2}d?)?")


def safe_name(
    text: str, *, suffix: str = "", fallback: str = "generation", encoding: str = FILE_SYSTEM_ENCODING
) -> str:
    """Make a file name of any text.

    Args:
        text: the text.
        suffix: the extension, with its dot; it is never shortened.
        fallback: the name when nothing of the text remains.
        encoding: the encoding of file names; a character that it lacks is replaced.
    """
    clean = "".join("_" if _is_unsafe(char, encoding) else char for char in unicodedata.normalize("NFC", text))
    name = clean.strip(" .") or fallback
    if name.partition(".")[0].rstrip(" ").upper() in _WINDOWS_DEVICES:
        name = f"_{name}"
    return _shorten(name, MAX_NAME_BYTES - len(suffix.encode(encoding, "replace")), encoding) + suffix


def slug(text: str, *, encoding: str = FILE_SYSTEM_ENCODING) -> str:
    """Make a short, readable part of a file name from a prompt: its words in lower case, joined by dashes."""
    words = "".join(
        char if unicodedata.category(char)[0] in "LMN" and _can_encode(char, encoding) else " "
        for char in unicodedata.normalize("NFC", text)
    )
    return _shorten("-".join(words.casefold().split()), MAX_SLUG_BYTES, encoding).rstrip("-") or "untitled"


def check_file_name(template: object) -> None:
    """Check a template of file names; see `batch(file_name=…)`.

    Raises:
        InvalidInput: it is not a string, contains a path separator or an unknown field, is too long, or has neither
            `{index}` nor `{id}`, so that two files could get the same name.
    """
    if not isinstance(template, str):
        raise InvalidInput(field="file_name", message='must be a string such as "{index:04d}-{slug}-{id}.{ext}".')
    if "/" in template or "\\" in template:
        raise InvalidInput(field="file_name", message="must not contain a path separator.")
    if not {"index", "id"} & set(template_fields(template)):
        raise InvalidInput(field="file_name", message="needs {index} or {id}, so that no two files get the same name.")
    if len(template.format(**_LONGEST).encode(FILE_SYSTEM_ENCODING, "replace")) > MAX_NAME_BYTES:
        raise InvalidInput(field="file_name", message=f"makes names of more than {MAX_NAME_BYTES} bytes.")


def batch_file_name(
    template: str,
    *,
    index: int,
    prompt: str,
    generation_id: str,
    extension: str,
    encoding: str = FILE_SYSTEM_ENCODING,
) -> str:
    """Return the file name of one item of a batch.

    Args:
        template: a checked template with the fields `{index}`, `{slug}`, `{id}` and `{ext}`.
        index: the item's place in the batch.
        prompt: the text that `{slug}` is made of.
        generation_id: the service's id.
        extension: the extension, without its dot.
        encoding: the encoding of file names.
    """
    name = template.format(index=index, slug=slug(prompt, encoding=encoding), id=generation_id, ext=extension)
    suffix = f".{extension}"
    return safe_name(name.removesuffix(suffix), suffix=suffix if name.endswith(suffix) else "", encoding=encoding)


def collisions(names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Find the names that are one file on a file system that ignores case and Unicode normal forms.

    Returns:
        The first name of each group of equal names, with the indexes of all of them.
    """
    groups: dict[str, list[int]] = {}
    first: dict[str, str] = {}
    for index, name in enumerate(names):
        same = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        first.setdefault(same, name)
        groups.setdefault(same, []).append(index)
    return {first[same]: tuple(group) for same, group in groups.items() if len(group) > 1}


def _is_unsafe(char: str, encoding: str) -> bool:
    return char in _FORBIDDEN or unicodedata.category(char) in _INVISIBLE or not _can_encode(char, encoding)


def _can_encode(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _shorten(name: str, limit_bytes: int, encoding: str) -> str:
    """Cut between two characters, and leave no space or dot at the end, which Windows would remove."""
    return name.encode(encoding, "replace")[:limit_bytes].decode(encoding, "ignore").rstrip(" .")


def template_fields(template: str) -> list[str]:
    """Return the names of a template's fields.

    Raises:
        InvalidInput: a field is unknown, or has a conversion or a format that it does not take.
    """
    try:
        parsed = [(name, spec or "", conversion) for _, name, spec, conversion in Formatter().parse(template)]
    except ValueError as error:
        raise InvalidInput(field="file_name", message=f"is not a valid format ({error}).") from None
    fields = [field for field in parsed if field[0] is not None]
    for name, spec, conversion in fields:
        if name not in {"index", "slug", "id", "ext"}:
            raise InvalidInput(field="file_name", message=f"has the unknown field {{{name}}}; there are {_FIELDS}.")
        if conversion or (not _INDEX_SPEC.fullmatch(spec) if name == "index" else spec):
            message = f"has a format that {{{name}}} does not take; only a width of {{index}} is, as in {{index:04d}}."
            raise InvalidInput(field="file_name", message=message)
    return [str(name) for name, _, _ in fields]
