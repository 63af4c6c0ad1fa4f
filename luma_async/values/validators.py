"""Checks of ids, keys, the fields of a request and the settings of a session.

They raise `InvalidInput` with the name of the field (settings of a session: `ConfigurationError`), before any I/O.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeGuard, cast
from urllib.parse import urlsplit

import attrs

from luma_async.values.errors import ConfigurationError, InvalidInput
from luma_async.values.redaction import clip

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""The ids that are safe in a URL and in a file name."""

MAX_KEY_LENGTH = 200
"""Characters. Long enough for a path or a digest with a prefix, short enough for a database index."""

_MAX_TEXT_CHARS = 100_000
"""An answer that repeats megabytes is too large to read, which leaves the submit in doubt.

Assumed: no service takes a longer prompt. The longest documented limit is 6000 characters.
"""

_MAX_SHOWN_CHARS = 60
_CALL_ARGUMENTS = {"key": "`submit()`, `run()` and the like", "timeout": "`wait()`, `run()` and the like"}
"""Arguments that are given together with the fields of a request, and where."""
_JOURNAL_METHODS = ("enter", "leave", "alive", "get", "find", "change", "entries", "aclose")

_RATIO_PATTERN = re.compile(r"[1-9][0-9]?:[1-9][0-9]?")
_DATA_URI_PATTERN = re.compile(r"data:image/[a-z0-9.+-]+;base64,")


PATH_SEGMENT = r"/[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
"""A step of a path, as a pattern: nothing that could lead upwards or to another host."""


def check_id(value: object, field: str = "id") -> str:
    """Return the id of a generation if it is safe in a URL and in a file name.

    Raises:
        InvalidInput: it is not 1-128 letters, digits, `_` or `-`.
    """
    if not isinstance(value, str) or not ID_PATTERN.fullmatch(value):
        raise InvalidInput(field=field, message="must be the id from the service: 1-128 letters, digits, `_` or `-`.")
    return value


def check_key(key: object) -> None:
    """Check the key of a paid intent.

    Raises:
        InvalidInput: it is not 1-200 printable characters.
    """
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_LENGTH or not key.isprintable():
        raise InvalidInput(field="key", message="must be 1-200 printable characters.")


def check_string(value: object, field: str) -> None:
    """Check an argument that is a string.

    Raises:
        InvalidInput: it is not a string, or an empty one.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(field=field, message=f"must be a non-empty string, not {shown(value)}.")


def check_bool(value: object, field: str) -> None:
    """Check an argument that switches something on.

    Raises:
        InvalidInput: it is not a boolean: the string "no" would switch it on.
    """
    if not isinstance(value, bool):
        raise InvalidInput(field=field, message=f"must be True or False, not {shown(value)}.")


def check_path(value: Any, field: str) -> None:
    """Check an argument that is a path.

    Raises:
        InvalidInput: it is not a string or a path object, or no file system can have it.
    """
    try:
        path = os.fspath(value) if isinstance(value, str) or hasattr(value, "__fspath__") else None
        valid = isinstance(path, str) and bool(os.fsencode(path)) and "\0" not in path
    except (TypeError, UnicodeEncodeError):
        valid = False
    if not valid:
        raise InvalidInput(field=field, message=f"must be a path, as a string or a Path, not {shown(value)}.")


def check_many(value: object, field: str, what: str) -> None:
    """Check an argument that is an iterable of several things.

    Raises:
        InvalidInput: it is not iterable, or a string or a mapping, whose items are something else.
    """
    if not _is_iterable(value) or isinstance(value, str | bytes | bytearray) or _is_mapping(value):
        raise InvalidInput(field=field, message=f"must be a list of {what}, not {shown(value)}.")


def check_field_names(cls: type[Any], given: Mapping[str, Any]) -> None:
    """Check the names of arguments that a request is made of.

    Raises:
        InvalidInput: the request has no such field; the message says where the argument belongs.
    """
    known = attrs.fields_dict(cls)
    for name, value in given.items():
        if name in known:
            continue
        if name in _CALL_ARGUMENTS:
            hint = f"It is an argument of {_CALL_ARGUMENTS[name]}."
        elif similar := get_close_matches(name, [*known, *_CALL_ARGUMENTS], n=1, cutoff=0.7):
            hint = f"Did you mean {similar[0]}?"
        else:
            number = shown(value) if isinstance(value, int | float) else "…"
            hint = f'To send a field of your service under its own name, pass extra={{"{clip(name)}": {number}}}.'
        raise InvalidInput(field=clip(name), message=f"{cls.__name__} has no such field. {hint}")


def shown(value: Any) -> str:
    """Return a value as an error shows it: short, whatever its repr does."""
    try:
        text = repr(value)
    except Exception:  # a value of the user, whose repr may raise anything
        text = f"a {type(value).__name__}"
    return clip(text, _MAX_SHOWN_CHARS)


def _require_web_url(value: object, field: str) -> None:
    """Refuse everything but http(s) addresses with a host."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        # `urlsplit` checks the port only when it is read.
        valid = parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not str(value).isprintable() or " " in str(value):
        raise InvalidInput(field=field, message="must be an http:// or https:// address that the service can reach.")


def check_web_url(_: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
    """Accept an http(s) address or None."""
    if value is not None:
        _require_web_url(value, attribute.name)


def check_web_address(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept an http(s) address."""
    _require_web_url(value, attribute.name)


def check_prompt(_: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
    """Accept a non-empty string that can be encoded."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(field=attribute.name, message="must be a non-empty string.")
    _check_length(attribute, value)
    try:
        value.encode()
    except UnicodeEncodeError:
        error = InvalidInput(field=attribute.name, message="contains an unpaired surrogate, which cannot be encoded.")
    else:
        return
    raise error


def check_text(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a non-empty string or None."""
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise InvalidInput(field=attribute.name, message="must be a non-empty string or None.")
    _check_length(attribute, value or "")


def _check_length(attribute: attrs.Attribute[Any], text: str) -> None:
    if len(text) > _MAX_TEXT_CHARS:
        message = f"must have at most {_MAX_TEXT_CHARS} characters, not {len(text)}."
        raise InvalidInput(field=attribute.name, message=message)


def check_user_id(value: object) -> None:
    """Check the mark of an end user.

    Raises:
        InvalidInput: it is neither None nor 1-256 printable characters.
    """
    if value is not None and not (isinstance(value, str) and 1 <= len(value) <= 256 and value.isprintable()):
        raise InvalidInput(field="user_id", message="must be 1-256 printable characters, or None.")


def check_user(_: object, __: attrs.Attribute[Any], value: object) -> None:
    """Accept the mark of an end user, or None."""
    check_user_id(value)


def check_ratio(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a ratio such as 16:9."""
    if not isinstance(value, str) or not _RATIO_PATTERN.fullmatch(value):
        raise InvalidInput(field=attribute.name, message='must have the form "16:9".')


def check_flag(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a boolean or None."""
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(field=attribute.name, message="must be True, False or None (the service's default).")


def check_source(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept the id of a generation."""
    check_id(value, attribute.name)


def check_integer(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept an integer of 0 or more, or None."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise InvalidInput(field=attribute.name, message="must be an integer >= 0.")


def check_frame(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept the number of a frame."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidInput(field=attribute.name, message="must be the number of a frame, an integer >= 0.")


def check_choice(*choices: str, optional: bool = True) -> Any:
    """Build a validator that accepts these words, and None if `optional`."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not (optional and value is None) and (not isinstance(value, str) or value not in choices):
            raise InvalidInput(field=attribute.name, message=f"must be one of {', '.join(choices)}.")

    return check


def check_instance(example: str, kind: type[Any]) -> Any:
    """Build a validator that accepts an instance of a class, or None."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is not None and not isinstance(value, kind):
            raise InvalidInput(field=attribute.name, message=f"must be {example}.")

    return check


def check_between(least: float, most: float, *, exclusive: bool = False) -> Any:
    """Build a validator that accepts numbers from `least` (or above it, if `exclusive`) to `most`."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        if not least <= number <= most or (exclusive and number == least):
            bound = "above" if exclusive else "from"
            raise InvalidInput(field=attribute.name, message=f"must be a number {bound} {least:g} to {most:g}.")

    return check


def matches(pattern: re.Pattern[str], message: str) -> Any:
    """Build a validator that takes a string of this form."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise InvalidInput(field=attribute.name, message=message)

    return check


def as_number(value: float | Any) -> Any:
    """Convert integers to floats, so that equal requests have equal forms. The validator refuses other types."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def check_weight(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a number from 0 to 1, or None."""
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1):
        raise InvalidInput(field=attribute.name, message="must be a number from 0 to 1.")


def is_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """Whether it is a tuple, of any items."""
    return isinstance(value, tuple)


def _is_iterable(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, Iterable)


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def as_tuple(value: Any) -> Any:
    """Convert an iterable to a tuple, but not a string. The validator refuses other types."""
    return tuple(value) if _is_iterable(value) and not isinstance(value, str) else value


def check_texts(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a tuple of non-empty strings."""
    if not is_tuple(value) or not all(isinstance(text, str) and text.strip() for text in value):
        raise InvalidInput(field=attribute.name, message='must be a list of names, such as ("dolly_zoom",).')


def as_mapping(value: Any) -> Any:
    """Copy a mapping, so that later changes of the original have no effect. The validator refuses other types."""
    return dict(value) if _is_mapping(value) else value


def check_json_mapping(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a mapping of field names to JSON values."""
    if not _is_mapping(value) or not all(isinstance(name, str) and name for name in value):
        raise InvalidInput(field=attribute.name, message="must map field names to JSON values.")
    if not value:
        return
    try:
        json.dumps(value, allow_nan=False)
        bad_name = _non_string_name(value)
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)
    else:
        if bad_name is None:
            return
        reason = f"the name {bad_name} is not a string"
    raise InvalidInput(field=attribute.name, message=f"must contain JSON values only ({reason}).")


def _non_string_name(value: object) -> str | None:
    """Return the first name at any depth that is not a string, which JSON would convert; None if there is none."""
    containers: list[object] = [value]
    # The list grows while it is read.
    for container in containers:
        if _is_mapping(container):
            for name in container:
                if not isinstance(name, str):
                    return repr(name)
            containers.extend(container.values())
        elif _is_iterable(container) and not isinstance(container, str):
            containers.extend(container)
    return None


def check_image_url(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept an http(s) address or an inline image."""
    if not isinstance(value, str) or not value.startswith("data:"):
        _require_web_url(value, attribute.name)
    elif not _DATA_URI_PATTERN.match(value) or value.endswith(","):
        raise InvalidInput(field=attribute.name, message="an inline image must have the form `data:image/…;base64,…`.")
    else:
        _check_base64(value, attribute.name)


def _check_base64(value: str, field: str) -> None:
    try:
        base64.b64decode(value.partition(",")[2], validate=True)
        valid = True
    except (binascii.Error, ValueError):
        valid = False
    if not valid:
        raise InvalidInput(field=field, message="the inline image is not valid Base64; use ImageKeyframe.from_bytes().")


def as_characters(value: Any) -> Any:
    """Convert the addresses of each identity to a tuple; a single string becomes a tuple of one item."""
    if not _is_mapping(value):
        return value
    return {name: (urls,) if isinstance(urls, str) else as_tuple(urls) for name, urls in value.items()}


def check_character_urls(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept http(s) addresses by identity."""
    if not _is_mapping(value):
        raise InvalidInput(field=attribute.name, message='must have the form {"identity0": ["https://…"]}.')
    for name, urls in value.items():
        if not isinstance(name, str) or not is_tuple(urls) or not urls:
            raise InvalidInput(
                field=f"{attribute.name}.{name}", message='must be a list of addresses, such as ["https://…"].'
            )
        for url in urls:
            _require_web_url(url, f"{attribute.name}.{name}")


def check_media_kind(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept the two kinds of media that can be reframed."""
    if not isinstance(value, str) or value not in {"video", "image"}:
        raise InvalidInput(field=attribute.name, message='must be "video" or "image".')


def check_kind(kind: type[Any]) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """Return a validator of a session's setting that accepts instances of a class."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(message=f"{attribute.name} must be a {kind.__name__}, not {value!r}.")

    return check


def check_ssl(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
    """Accept an `ssl.SSLContext` or None."""
    if value is not None and not hasattr(value, "wrap_bio"):
        raise ConfigurationError(
            message=f"ssl must be an ssl.SSLContext, such as ssl.create_default_context(), not {value!r}."
        )


def check_switch(_: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept a boolean as a session's setting."""
    check_setting(attribute.name, value)


def check_setting(name: str, value: object) -> None:
    """Check a session's setting that is a boolean.

    Raises:
        ConfigurationError: it is not a boolean: the string "no" would switch it on.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(message=f"{name} must be True or False, not {shown(value)}.")


def check_callback(name: str, value: object) -> None:
    """Check a function of a session's settings, which is called and not awaited.

    Raises:
        ConfigurationError: it cannot be called, or is a coroutine function, which would never run.
    """
    if value is None:
        return
    if not callable(value):
        raise ConfigurationError(message=f"{name} must be a function, not {shown(value)}.")
    if inspect.iscoroutinefunction(value):
        raise ConfigurationError(message=f"{name} must be a plain function: it is not awaited.")


def check_journal(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
    """Accept a path, a journal or None."""
    if value is None:
        return
    if isinstance(value, str | os.PathLike):
        try:
            check_path(value, "journal")
        except InvalidInput as error:
            message = str(error)
        else:
            return
        raise ConfigurationError(message=message)
    if isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in _JOURNAL_METHODS):
        raise ConfigurationError(
            message=f"journal must be a path or a journal, or None to keep the entries in memory, not {shown(value)}."
        )


def check_trace_configs(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Accept a sequence of aiohttp's trace configurations; aiohttp is not loaded for that."""
    if not isinstance(value, list | tuple) or not all(
        hasattr(each, "trace_config_ctx") and not isinstance(each, type) for each in cast("list[object]", value)
    ):
        message = f"{attribute.name} must be a list of aiohttp.TraceConfig(…), not {shown(value)}."
        raise ConfigurationError(message=message)
