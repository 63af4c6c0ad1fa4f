"""Faults of a query for many, in both forms of its answer."""

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
    """Three ids, and a function that asks for them with a fault and returns the ids of the rows, and the rows."""
    gateway.behaviour.batch = request.param
    ids = [await client.submit_id(prompt) for prompt in "abc"]

    async def ask(fault):
        gateway.inject(fault, on="tasks")
        body = (await client.tasks(*ids)).body
        rows = body if request.param == "list" else body["data"]
        names = [row and isinstance(row, dict) and (row.get("task_id") or row.get("id")) for row in rows]
        return names, rows

    return ids, ask


async def test_drops_rows(three):
    """The first rows are missing."""
    ids, ask = three
    assert (await ask(drops_rows(2)))[0] == ids[2:]


async def test_repeats_rows(three):
    """Every row is sent twice."""
    ids, ask = three
    assert (await ask(repeats_rows()))[0] == ids * 2


async def test_adds_foreign_row(three, gateway):
    """The first row has an id that was not asked for."""
    ids, ask = three
    names, _ = await ask(adds_foreign_row())
    assert names[1:] == ids
    assert names[0] not in gateway.generations


async def test_shuffles_rows(three):
    """All rows are sent, in another order."""
    ids, ask = three
    names, _ = await ask(shuffles_rows())
    assert names != ids
    assert sorted(names) == sorted(ids)


async def test_nulls_data(three):
    """The first row has no data; the other rows do."""
    ids, ask = three
    names, rows = await ask(nulls_data())
    assert names[1:] == ids[1:]
    assert rows[0] is None or rows[0]["data"] is None


async def test_garbles_row(three):
    """The first row is a string; the other rows are objects."""
    ids, ask = three
    names, rows = await ask(garbles_row())
    assert isinstance(rows[0], str)
    assert names[1:] == ids[1:]
