"""Lies of a query for many: faults for requests of the kinds "tasks" and "list". None concerns a charge."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, Any, TypeAlias

from luma_async.testing.faults import Fault, reshapes
from luma_async.testing.json_shapes import is_list

if TYPE_CHECKING:
    from collections.abc import Callable

_Rows: TypeAlias = list[Any]


def drops_rows(count: int = 1) -> Fault:
    """Leave out the first rows."""
    return _on_rows("drops_rows", lambda rows: rows[count:])


def repeats_rows() -> Fault:
    """Send every row twice."""
    return _on_rows("repeats_rows", lambda rows: [*rows, *rows])


def adds_foreign_row() -> Fault:
    """Put a generation that nobody asked for before the rows: a copy of the first one under another id."""
    return _on_rows("adds_foreign_row", lambda rows: [_renamed(rows[0]), *rows] if rows else rows)


def shuffles_rows(seed: int = 0) -> Fault:
    """Send the rows in an order of its own."""

    def shuffled(rows: _Rows) -> _Rows:
        return random.Random(seed).sample(rows, len(rows))

    return _on_rows("shuffles_rows", shuffled)


def nulls_data() -> Fault:
    """Send the first row with `data: null`, or as null where rows have no data."""
    return _on_rows("nulls_data", lambda rows: [_without_data(rows[0]), *rows[1:]] if rows else rows)


def garbles_row() -> Fault:
    """Send something that is no row in the place of the first one."""
    return _on_rows("garbles_row", lambda rows: ["<garbled>", *rows[1:]])


def _on_rows(name: str, change: Callable[[_Rows], _Rows]) -> Fault:
    """Change the rows of any form of the answer."""

    def changed(document: Any) -> Any:
        if is_list(document):
            return change(document)
        rows = "data" if "data" in document else "generations"
        return {**document, rows: change(document[rows])}

    return reshapes(changed, name=name)


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    """The same row under an id that was never given out."""
    stranger = str(uuid.uuid4())
    if "task_id" not in row:
        return {**row, "id": stranger}
    return {**row, "task_id": stranger, "data": {**row["data"], "id": stranger}}


def _without_data(row: dict[str, Any]) -> dict[str, Any] | None:
    """The row of an envelope without the generation inside."""
    return {**row, "data": None} if "task_id" in row else None
