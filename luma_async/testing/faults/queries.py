"""Faults for requests that ask for many generations: the kinds "tasks" and "list". None of them concerns a charge."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from luma_async.testing.answers import is_list
from luma_async.testing.faults.requests import reshapes

if TYPE_CHECKING:
    from collections.abc import Callable

    from luma_async.testing.faults.plan import Fault

_Rows: TypeAlias = list[Any]


def drops_rows(count: int = 1) -> Fault:
    """Leave out the first `count` rows."""
    return _on_rows("drops_rows", lambda rows: rows[count:])


def repeats_rows() -> Fault:
    """Send every row twice."""
    return _on_rows("repeats_rows", lambda rows: [*rows, *rows])


def adds_foreign_row() -> Fault:
    """Put a row that was not asked for in front: a copy of the first row with another id."""
    return _on_rows("adds_foreign_row", lambda rows: [_renamed(rows[0]), *rows] if rows else rows)


def shuffles_rows(seed: int = 0) -> Fault:
    """Send the rows in random order."""

    def shuffled(rows: _Rows) -> _Rows:
        return random.Random(seed).sample(rows, len(rows))

    return _on_rows("shuffles_rows", shuffled)


def nulls_data() -> Fault:
    """Send the first row with `data: null`, or as null where rows have no data."""
    return _on_rows("nulls_data", lambda rows: [_without_data(rows[0]), *rows[1:]] if rows else rows)


def garbles_row() -> Fault:
    """Send a string in place of the first row."""
    return _on_rows("garbles_row", lambda rows: ["<garbled>", *rows[1:]])


def _on_rows(name: str, change: Callable[[_Rows], _Rows]) -> Fault:
    """Change the rows, whichever form the answer has."""

    def changed(document: Any) -> Any:
        if is_list(document):
            return change(document)
        rows = "data" if "data" in document else "generations"
        return {**document, rows: change(document[rows])}

    return attrs.evolve(reshapes(changed), name=name, charged=False)


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with an id that does not exist."""
    unknown_id = str(uuid.uuid4())
    if "task_id" not in row:
        return {**row, "id": unknown_id}
    return {**row, "task_id": unknown_id, "data": {**row["data"], "id": unknown_id}}


def _without_data(row: dict[str, Any]) -> dict[str, Any] | None:
    """The row of an envelope without its generation; None for a row that has no envelope."""
    return {**row, "data": None} if "task_id" in row else None
