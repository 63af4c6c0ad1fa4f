"""What files are called: names that stay inside their folder on every file system, whatever a service or a prompt says.

A name is one path component: no separators, no control characters, nothing that Windows reserves, and short enough
that what a download keeps beside it has room as well.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum, auto
from string import Formatter
from typing import TYPE_CHECKING

from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

PART_SUFFIX = ".part"
"""What is on its way stands beside its place under this ending."""
SIDECAR_SUFFIX = ".part.etag"
"""And beside that, what it takes to go on with it."""
LONGEST_NAME_BYTES = 255 - len(SIDECAR_SUFFIX)
"""File systems commonly take 255 bytes, and the longest ending has to fit as well."""
LONGEST_SLUG_BYTES = 80
"""Enough to recognise a prompt; beside the longest id and index it stays below the longest name."""

_FORBIDDEN = frozenset('<>:"/\\|?*')
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, direction marks, halves of surrogate pairs, and what no font shows."""
_WINDOWS_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789¹²³"}
)
_FIELDS = frozenset({"index", "slug", "id", "ext"})
# The width is bounded: a format may ask for gigabytes of zeros.
_INDEX_SPEC = re.compile(r"([0-9]{1,2}d?)?")
_NO_SPEC = re.compile("")


def safe_name(text: str, *, suffix: str = "", fallback: str = "generation") -> str:
    """Make a file name of any text.

    Args:
        text: what the name should say.
        suffix: the ending, with its dot; it is never shortened.
        fallback: the name when nothing of the text remains.
    """
    shown = "".join("_" if _unfit(char) else char for char in unicodedata.normalize("NFC", text))
    name = shown.strip(" .") or fallback
    if name.partition(".")[0].rstrip(" ").upper() in _WINDOWS_DEVICES:
        name = f"_{name}"
    return _shorten(name, LONGEST_NAME_BYTES - len(suffix.encode())) + suffix


def slug(text: str) -> str:
    """Make a short, readable part of a name of a prompt: its words in lower case, joined by dashes."""
    words = "".join(
        char if unicodedata.category(char)[0] in "LMN" else " " for char in unicodedata.normalize("NFC", text)
    )
    return _shorten("-".join(words.casefold().split()), LONGEST_SLUG_BYTES).rstrip("-") or "untitled"


def check_template(template: object) -> None:
    """Refuse a template of file names that cannot be right.

    Raises:
        InvalidInput: it is no text, names a folder or an unknown field, or could give two files one name.
    """
    if not isinstance(template, str):
        raise InvalidInput(field="template", message='must be a text such as "{index:04d}-{slug}-{id}.{ext}".')
    if "/" in template or "\\" in template:
        raise InvalidInput(field="template", message="must be a file name; the folder is given beside it.")
    if not {"index", "id"} & set(_fields(template)):
        raise InvalidInput(field="template", message="needs {index} or {id}, or two files could get one name.")


def render(template: str, *, index: int, prompt: str, generation_id: str, extension: str) -> str:
    """Name the file of one item of a batch.

    Args:
        template: a text with `{index}`, which takes a width as in `{index:04d}`, `{slug}`, `{id}` and `{ext}`.
        index: the item's place in the batch.
        prompt: what `{slug}` is made of.
        generation_id: the service's id.
        extension: the ending, without its dot.

    Raises:
        InvalidInput: the template cannot be right.
    """
    check_template(template)
    values = {"slug": slug(prompt), "id": generation_id, "ext": extension}
    name = template.format(index=index, **values)
    ending = f".{extension}"
    return safe_name(name.removesuffix(ending), suffix=ending if name.endswith(ending) else "")


def collisions(names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Find the names that would fall on one file, on a file system that ignores case and spelling too.

    Returns:
        The first of each group of equal names, with the places of all of them; empty when every name is its own.
    """
    places: dict[str, list[int]] = {}
    first: dict[str, str] = {}
    for place, name in enumerate(names):
        same = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        first.setdefault(same, name)
        places.setdefault(same, []).append(place)
    return {first[same]: tuple(found) for same, found in places.items() if len(found) > 1}


class PathKind(Enum):
    """What stands at a path."""

    NOTHING = auto()
    FILE = auto()
    FOLDER = auto()
    OTHER = auto()
    """A device, a pipe, a socket."""


def check_destination(path: str, *, standing: PathKind, has_folder: bool, overwrite: bool) -> None:
    """Refuse a place where no file can be put.

    Raises:
        InvalidInput: something is there already, or there is no folder to hold it.
    """
    if not has_folder:
        raise InvalidInput(field="dest", message=f"there is no folder for {path}; make it first.")
    if standing is PathKind.FOLDER:
        raise InvalidInput(field="dest", message=f"{path} is a folder.")
    if standing is PathKind.OTHER:
        raise InvalidInput(field="dest", message=f"{path} is not a regular file.")
    if standing is PathKind.FILE and not overwrite:
        raise InvalidInput(field="dest", message=f"{path} exists; overwrite=True (--overwrite) replaces it.")


def _unfit(char: str) -> bool:
    return char in _FORBIDDEN or unicodedata.category(char) in _INVISIBLE


def _shorten(name: str, limit_bytes: int) -> str:
    """Cut between two characters, and leave no blank or dot at the end: Windows would drop it."""
    return name.encode()[:limit_bytes].decode("utf-8", "ignore").rstrip(" .")


def _fields(template: str) -> list[str]:
    try:
        parsed = [
            (name, spec or "", conversion)
            for _, name, spec, conversion in Formatter().parse(template)
            if name is not None
        ]
    except ValueError:
        parsed = [("{", "", None)]
    for name, spec, conversion in parsed:
        width = _INDEX_SPEC if name == "index" else _NO_SPEC
        if name not in _FIELDS or not width.fullmatch(spec) or conversion:
            known = "{index}, {index:04d}, {slug}, {id} and {ext}"
            raise InvalidInput(field="template", message=f"may hold {known} only.")
    return [name for name, _, _ in parsed]
