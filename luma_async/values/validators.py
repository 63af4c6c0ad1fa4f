"""How ids, keys and the fields of a request are checked: what can never be right is refused.

Each of them raises `InvalidInput` with the field's name, before any I/O.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlsplit

from luma_async.values.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    import attrs

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What an id may look like before it enters a URL or a file name."""

LONGEST_KEY = 200
"""Characters: long enough for a path or a digest with a prefix, short enough for an index."""

_RATIO_PATTERN = re.compile(r"[1-9][0-9]?:[1-9][0-9]?")
_DATA_URI_PATTERN = re.compile(r"data:image/[a-z0-9.+-]+;base64,")


PATH_SEGMENT = r"/[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
"""A step of a path, as a pattern: nothing that could lead upwards or to another host."""


def check_id(value: object, field: str = "id") -> str:
    """Return a generation's id if it is safe in a URL and a file name.

    Raises:
        InvalidInput: it is empty, longer than 128 characters, or holds anything but letters, digits, `_` and `-`.
    """
    if not isinstance(value, str) or not ID_PATTERN.fullmatch(value):
        raise InvalidInput(field=field, message="must be 1-128 letters, digits, `_` or `-`, as the service gave it.")
    return value


def check_key(key: object) -> None:
    """Refuse a key that a journal or a person could trip over.

    Raises:
        InvalidInput: it is not 1-200 printable characters.
    """
    if not isinstance(key, str) or not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        raise InvalidInput(field="key", message="must be 1-200 printable characters.")


def _require_web_url(value: object, field: str) -> None:
    """Refuse what no service could fetch: anything but http(s) with a host."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        # A port that is none is found when it is asked for.
        sound = parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not str(value).isprintable() or " " in str(value):
        raise InvalidInput(field=field, message="must be an http:// or https:// address the service can reach.")


def check_web_url(_: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
    """Take an http(s) address, or nothing."""
    if value is not None:
        _require_web_url(value, attribute.name)


def check_media(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take an http(s) address."""
    _require_web_url(value, attribute.name)


def check_prompt(_: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
    """Take a text that says something and can be sent."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(field=attribute.name, message="must be a text that is not empty.")
    try:
        value.encode()
    except UnicodeEncodeError:
        fault = InvalidInput(field=attribute.name, message="holds half a surrogate pair, which no service can read.")
    else:
        return
    raise fault


def check_text(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take a text that says something, or nothing."""
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise InvalidInput(field=attribute.name, message="must be a text that is not empty, or be left out.")


def check_ratio(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take a ratio such as 16:9."""
    if not isinstance(value, str) or not _RATIO_PATTERN.fullmatch(value):
        raise InvalidInput(field=attribute.name, message='must read like "16:9".')


def check_flag(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take a boolean, or nothing."""
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(field=attribute.name, message="must be True, False or None (the service's default).")


def check_source(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take a generation's id."""
    check_id(value, attribute.name)


def check_whole(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take a whole number of 0 or more, or nothing."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise InvalidInput(field=attribute.name, message="must be a whole number of 0 or more.")


def matches(pattern: re.Pattern[str], message: str) -> Any:
    """Build a validator that takes a string of this form."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise InvalidInput(field=attribute.name, message=message)

    return check


def as_number(value: Any) -> Any:
    """Keep a whole number as what equals it, so that equal requests are one purchase; the check refuses the rest."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def check_weight(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take a number from 0 to 1, or nothing."""
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1):
        raise InvalidInput(field=attribute.name, message="must lie between 0 and 1.")


def is_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """Whether it is a tuple, whatever it holds."""
    return isinstance(value, tuple)


def _is_iterable(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, Iterable)


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def as_tuple(value: Any) -> Any:
    """Keep a sequence as a tuple; the check refuses the rest, a lone text too: nobody means its letters."""
    return tuple(value) if _is_iterable(value) and not isinstance(value, str) else value


def check_texts(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take texts that say something."""
    if not is_tuple(value) or not all(isinstance(one, str) and one.strip() for one in value):
        raise InvalidInput(field=attribute.name, message='must be a list of names, such as ("dolly_zoom",).')


def as_mapping(value: Any) -> Any:
    """Keep a copy of a mapping, so that adding to the original changes no request; the check refuses the rest."""
    return dict(value) if _is_mapping(value) else value


def check_json_mapping(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take names of fields with JSON values."""
    if not _is_mapping(value) or not all(isinstance(name, str) and name for name in value):
        raise InvalidInput(field=attribute.name, message="must map names of fields to JSON values.")
    if not value:
        return
    try:
        json.dumps(value, allow_nan=False)
        odd = _odd_name(value)
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)
    else:
        if odd is None:
            return
        reason = f"the name {odd} is no text"
    raise InvalidInput(field=attribute.name, message=f"must hold JSON values only ({reason}).")


def _odd_name(value: object) -> str | None:
    """Return a name in a JSON value, however deep, that JSON would turn into a text; None where there is none."""
    holders: list[object] = [value]
    # The list grows while it is read.
    for holder in holders:
        if _is_mapping(holder):
            odd = [name for name in holder if not isinstance(name, str)]
            if odd:
                return repr(odd[0])
            holders.extend(holder.values())
        elif _is_iterable(holder) and not isinstance(holder, str):
            holders.extend(holder)
    return None


def check_picture_url(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take a web address or an inline image."""
    if not isinstance(value, str) or not value.startswith("data:"):
        _require_web_url(value, attribute.name)
    elif not _DATA_URI_PATTERN.match(value) or value.endswith(","):
        raise InvalidInput(field=attribute.name, message="an inline image must read `data:image/…;base64,…`.")
    else:
        _check_base64(value, attribute.name)


def _check_base64(value: str, field: str) -> None:
    try:
        base64.b64decode(value.partition(",")[2], validate=True)
        sound = True
    except (binascii.Error, ValueError):
        sound = False
    if not sound:
        raise InvalidInput(field=field, message="the inline image is not valid Base64; use ImageKeyframe.from_bytes().")


def as_characters(value: Any) -> Any:
    """Keep the addresses of each identity as a tuple; a lone one is a tuple of one."""
    if not _is_mapping(value):
        return value
    return {name: (urls,) if isinstance(urls, str) else as_tuple(urls) for name, urls in value.items()}


def check_character_urls(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take http(s) addresses by identity."""
    if not _is_mapping(value):
        raise InvalidInput(field=attribute.name, message='must read like {"identity0": ["https://…"]}.')
    for name, urls in value.items():
        if not isinstance(name, str) or not is_tuple(urls) or not urls:
            raise InvalidInput(
                field=f"{attribute.name}.{name}", message='must be a list of addresses, such as ["https://…"].'
            )
        for url in urls:
            _require_web_url(url, f"{attribute.name}.{name}")


def check_media_kind(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take the two kinds of media that can be reframed."""
    if not isinstance(value, str) or value not in {"video", "image"}:
        raise InvalidInput(field=attribute.name, message='must be "video" or "image".')


def check_kind(kind: type[Any]) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """Return a validator of a session's setting: its value must be of this class."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(message=f"{attribute.name} must be a {kind.__name__}, not {value!r}.")

    return check


def check_dialect(_: Any, __: attrs.Attribute[Any], value: object) -> None:
    """Refuse a session's dialect that is a class, or something else."""
    if isinstance(value, type) or not hasattr(value, "default_base_url"):
        raise ConfigurationError(
            message=f"dialect must be an instance such as RixAPI() or DreamMachine(), not {value!r}."
        )


def check_proxy(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
    """Refuse a proxy that is not an http(s) address."""
    if value is None:
        return
    try:
        parts = urlsplit(str(value))
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        # The message does not repeat the value, which may hold a password.
        raise ConfigurationError(message="proxy must be an address like http://proxy.example:3128, with its scheme.")
