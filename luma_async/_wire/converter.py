"""From JSON to values: the only cattrs converter.

A dialect passes what its service said under the names of our fields. cattrs by itself would coerce (`None` becomes
the string "None") and refuse a whole answer for a single odd field. Here every hook returns None for what it cannot
read, and such a field keeps its default. Only a missing field without a default is an error.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter

from luma_async._wire.answer import is_list, is_object
from luma_async._wire.links import read_link
from luma_async._wire.states import read_state
from luma_async.values.errors import UnreadableResponse
from luma_async.values.files import UploadedFile
from luma_async.values.models import (
    Credits,
    Generation,
    Image,
    Json,
    KeyUsage,
    Layer,
    OtherOutput,
    Output,
    State,
    User,
    Video,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_WIRE_NAMES = {"duration_s": "duration", "thumbnail_url": "thumbnail"}
"""Fields of files that have another name on the wire, in all formats."""


def structure(cls: type[T], fields: Mapping[str, Any]) -> T:
    """Build a value from what a service said.

    Args:
        cls: `Generation`, `User`, `KeyUsage` or `Credits`.
        fields: what the service said, by the names of the class's fields, `raw` among them. Files keep their names
            on the wire, which all formats share.

    Raises:
        UnreadableResponse: a field without a default is missing; `paths` names it.
    """
    value: T = _HOOKS[cls](fields, cls)
    return value


def _text(value: Any, _: Any) -> str | None:
    """Some services send integers in place of strings; an empty string counts as missing."""
    if isinstance(value, str):
        return value or None
    return str(value) if type(value) is int else None


def _link(value: Any, _: Any) -> str | None:
    """What is neither http(s) nor relative to the service cannot be fetched."""
    return read_link(value)


def _number(value: Any, _: Any) -> float | None:
    """Numbers come as strings too. Python's JSON has NaN and infinities, which count as missing."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any, kind: Any) -> int | None:
    """Integers come as `656.0` and as strings too."""
    if type(value) is int:
        return value
    number = _number(value, kind)
    return int(number) if number is not None and number.is_integer() else None


def _flag(value: Any, _: Any) -> bool | None:
    """Any string is true in Python, so only a JSON boolean counts."""
    return value if isinstance(value, bool) else None


def _state(value: Any, _: Any) -> State | None:
    """An unknown word is `State.UNKNOWN`, which is not final."""
    return read_state(value)


def _moment(value: Any, kind: Any) -> datetime | None:
    """Moments are ISO strings of any precision or Unix seconds; 0 and the year 1 are Go's zero values: not set.

    Assumed: a string without a zone is UTC, as in all recorded answers.
    """
    try:
        if isinstance(value, str) and not value.isdigit():
            moment = datetime.fromisoformat(value)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            return moment if moment.year > 1 else None
        seconds = _number(value, kind)
        return datetime.fromtimestamp(seconds, UTC) if seconds and seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _progress(value: Any, kind: Any) -> float | None:
    """Progress is `37%`. Assumed: an integer is percent too, and a number with a point up to 1 is a fraction."""
    percent = value.strip().endswith("%") if isinstance(value, str) else type(value) is int
    number = _number(value.strip().rstrip("%") if isinstance(value, str) else value, kind)
    if number is None or not 0 <= number <= 100:
        return None
    percent = percent or number > 1 or (isinstance(value, str) and value.strip().isdecimal())
    return number / 100 if percent else number


def _outputs(value: Any, _: Any) -> tuple[Output, ...] | None:
    """Results are objects with a type and a link; a layer is a picture with a place. What has no link is no result."""
    if not is_list(value):
        return None
    outputs = [_output(item) for item in value if is_object(item) and _link(item.get("url"), None)]
    return tuple(outputs) or None


def _output(item: dict[str, Any]) -> Output:
    kind, layer = item.get("type"), item.get("layer")
    if kind == "video":
        # No service that lists results puts a watermark on them.
        video: Video = _CONVERTER.get_structure_hook(Video)(item | {"download_url": item["url"]}, Video)
        return video
    if is_object(layer):
        found: Layer = _CONVERTER.get_structure_hook(Layer)(layer | item, Layer)
        return found
    if kind == "image":
        image: Image = _CONVERTER.get_structure_hook(Image)(item, Image)
        return image
    return OtherOutput(type=kind if isinstance(kind, str) else "", url=item["url"])


def _raw(value: Any, _: Any) -> Json:
    kept: Json = value
    return kept


def _build_value(cls: type[Any], converter: Converter) -> Callable[[Any, Any], Any]:
    """Build the hook of a class: `X | None` is unwrapped here once, not at each answer."""
    attrs.resolve_types(cls)
    fields = attrs.fields(cls)
    readers = {_WIRE_NAMES.get(field.name, field.name): (field.name, *_hook_of(field, converter)) for field in fields}
    required = {field.name for field in fields if field.default is attrs.NOTHING}

    def structure(value: Any, _: Any) -> Any:
        readable: dict[str, Any] = {}
        for wire_name, item in value.items():
            if item is None or (reader := readers.get(wire_name)) is None:
                continue
            name, hook, kind = reader
            read = hook(item, kind)
            if read is not None:
                readable[name] = read
        if required and not required <= readable.keys():
            missing = tuple(field.name for field in fields if field.name in required - readable.keys())
            raise UnreadableResponse(message=f"the response has no {' and no '.join(missing)}", paths=missing)
        return cls(**readable)

    return structure


def _hook_of(field: attrs.Attribute[Any], converter: Converter) -> tuple[Callable[[Any, Any], Any], Any]:
    kind: Any = field.type
    if get_origin(kind) in {Union, UnionType}:
        kind = next(option for option in get_args(kind) if option is not NoneType)
    if field.name.endswith("url"):
        return _link, kind
    if field.name == "progress":
        return _progress, kind
    if field.name == "outputs":
        return _outputs, kind
    return converter.get_structure_hook(kind), kind


def _build_file(cls: type[Any], converter: Converter) -> Callable[[Any, Any], Any]:
    """A file is an object, or its bare link; without any link it counts as missing."""
    structure = _build_value(cls, converter)

    def structure_file(value: Any, kind: Any) -> Any:
        if not is_object(value):
            value = {"url": value}
        file = structure(value, kind)
        return file if file.url or getattr(file, "download_url", None) else None

    return structure_file


def _build() -> Converter:
    converter = Converter()
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(int, _whole)
    converter.register_structure_hook(bool, _flag)
    converter.register_structure_hook(State, _state)
    converter.register_structure_hook(datetime, _moment)
    converter.register_structure_hook_func(lambda kind: kind == Json, _raw)
    converter.register_structure_hook_factory(attrs.has, _build_value)
    converter.register_structure_hook_factory(lambda kind: kind in {Image, Layer, Video}, _build_file)
    return converter


_CONVERTER = _build()
_HOOKS: dict[type[Any], Callable[[Any, Any], Any]] = {
    cls: _CONVERTER.get_structure_hook(cls) for cls in (Generation, User, KeyUsage, Credits, UploadedFile)
}
