"""The module that public classes show in tracebacks, reprs and pickles: the one that users import them from."""

from __future__ import annotations

import inspect
import sys
from contextlib import suppress
from typing import Any, TypeVar

import attrs

_T = TypeVar("_T")


def public(thing: _T) -> _T:
    """Set `__module__` of a public class or function to `luma_async`."""
    if inspect.isclass(thing) and attrs.has(thing):
        _resolve_annotations(thing)
    thing.__module__ = "luma_async"
    return thing


def _resolve_annotations(cls: type[Any]) -> None:
    """Replace annotations that are strings by types, since `__module__` will no longer lead to their names."""
    names = vars(sys.modules[cls.__module__]) | {cls.__name__: cls}
    # A name that only type checkers import stays a string, which nothing could resolve before either.
    with suppress(NameError):
        attrs.resolve_types(cls, globalns=names)
        cls.__annotations__ = inspect.get_annotations(cls, globals=names, eval_str=True)
