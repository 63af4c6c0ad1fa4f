"""Lies of the query for many, in both of its forms."""

from __future__ import annotations

import pytest

from luma_async.testing import (
    adds_foreign_row,
    drops_rows,
    garbles_row,
    nulls_data,
    repeats_rows,
    shuffles_rows,
)


@pytest.fixture(params=["envelope", "list"])
async def three(request, client, gateway):
    """Three ids, and a function that asks for them under a fault and returns the ids of the rows, and the rows."""
    gateway.behaviour.batch = request.param
    ids = [await client.buy(prompt) for prompt in "abc"]

    async def ask(fault):
        gateway.inject(fault, on="tasks")
        body = (await client.tasks(*ids)).body
        rows = body if request.param == "list" else body["data"]
        names = [row and isinstance(row, dict) and (row.get("task_id") or row.get("id")) for row in rows]
        return names, rows

    return ids, ask


async def test_rows_can_be_missing(three):
    """The first rows are left out."""
    ids, ask = three
    assert (await ask(drops_rows(2)))[0] == ids[2:]


async def test_rows_can_come_twice(three):
    """Every row is repeated."""
    ids, ask = three
    assert (await ask(repeats_rows()))[0] == ids * 2


async def test_a_stranger_can_come_first(three, gateway):
    """The first row is nobody's."""
    ids, ask = three
    names, _ = await ask(adds_foreign_row())
    assert names[1:] == ids
    assert names[0] not in gateway.generations


async def test_rows_can_change_places(three):
    """All rows come, in another order."""
    ids, ask = three
    names, _ = await ask(shuffles_rows())
    assert names != ids
    assert sorted(names) == sorted(ids)


async def test_a_row_can_be_hollow(three):
    """The first row has no data; the others have."""
    ids, ask = three
    names, rows = await ask(nulls_data())
    assert names[1:] == ids[1:]
    assert rows[0] is None or rows[0]["data"] is None


async def test_a_row_can_be_garbage(three):
    """The first row is no object; the others are."""
    ids, ask = three
    names, rows = await ask(garbles_row())
    assert isinstance(rows[0], str)
    assert names[1:] == ids[1:]
