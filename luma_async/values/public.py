"""The module that public classes show in tracebacks, reprs and pickles: the one that users import them from."""

from __future__ import annotations

import inspect
import sys
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

import attrs

_T = TypeVar("_T")


def public(thing: _T) -> _T:
    """Set `__module__` of a public class or function to `luma_async`."""
    cls: object = thing
    if inspect.isclass(cls) and attrs.has(cls):
        _resolve_annotations(cls)
    thing.__module__ = "luma_async"
    return thing


def refuses(message: str) -> Any:
    """Return a special method that raises `TypeError`: for a mistake about which Python's own message is no help.

    Type checkers should not see it, so that they find the mistake too.
    """

    def refuse(*_: object) -> NoReturn:
        raise TypeError(message)

    return refuse


def _resolve_annotations(cls: type[Any]) -> None:
    """Replace string annotations by types, since `__module__` no longer leads to the names in them."""
    names = vars(sys.modules[cls.__module__]) | {cls.__name__: cls}
    # A name that is imported for type checkers only stays a string; it could not be resolved before either.
    with suppress(NameError):
        attrs.resolve_types(cls, globalns=names)
        cls.__annotations__ = inspect.get_annotations(cls, globals=names, eval_str=True)
