"""The SQL of the journal. Each statement takes many rows as one JSON document, so that a batch is a few statements."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from luma_async._journal.protocol import Notice
from luma_async._journal.rows import COLUMNS, RowFormat
from luma_async.values.budget import Spent
from luma_async.values.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from luma_async._journal.protocol import NoticeKind
    from luma_async.values.entries import Entry

_TYPES = {"attempts": "integer", "charges": "integer", "sent_at": "timestamptz", "updated_at": "timestamptz"}
"""The types of the columns that are no text."""


def _typed(columns: Iterable[str]) -> str:
    return ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in columns)


_COLUMNS = ", ".join(COLUMNS)
_SELECTED = ", ".join(f"e.{name}" for name in COLUMNS)

# Only the names of our columns are inserted; all values are bound. The numbers are taken in the order of asking, and
# the rows are inserted in the order of their keys, so that two processes with the same keys cannot block each other.
INSERT = f"""
INSERT INTO luma_entries (number, {_COLUMNS})
SELECT * FROM (
    SELECT nextval('luma_entries_number_seq') AS number, asked.*
    FROM json_to_recordset(%s) AS asked({_typed(COLUMNS)})
) AS numbered ORDER BY key
ON CONFLICT (key) DO NOTHING RETURNING key
"""  # noqa: S608
"""Add the entries of keys that have none. Returns the keys that were added."""

BY_KEY = f"""
SELECT asked.n, {_SELECTED}, e.version
FROM json_to_recordset(%s) AS asked(n integer, key text) JOIN luma_entries e USING (key)
"""  # noqa: S608
BY_GENERATION = f"""
SELECT asked.n, {_SELECTED}, e.version
FROM json_to_recordset(%s) AS asked(n integer, service text, generation_id text)
JOIN luma_entries e USING (service, generation_id)
"""  # noqa: S608
PAGE = f"""
SELECT asked.n, page.* FROM json_to_recordset(%s) AS asked(n integer, service text, phases json, after bigint)
CROSS JOIN LATERAL (
    SELECT e.number, {_SELECTED} FROM luma_entries e
    WHERE e.number > asked.after AND (asked.service IS NULL OR e.service = asked.service)
    AND (asked.phases IS NULL OR e.phase IN (SELECT json_array_elements_text(asked.phases)))
    ORDER BY e.number LIMIT 1000
) AS page
"""  # noqa: S608
"""The next entries, in the order in which they were added."""

_HELD = """
SELECT (classid::bigint << 32) | objid::bigint AS id FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
ALIVE = f"""
SELECT asked.n FROM json_to_recordset(%s) AS asked(n integer, id bigint) WHERE asked.id IN ({_HELD})
"""  # noqa: S608
"""Owners whose lock is held by any connection."""

SPENT = """
SELECT asked.n, e.price, count(*), sum(e.charges)
FROM json_to_recordset(%s) AS asked(n integer, service text, since timestamptz) JOIN luma_entries e USING (service)
WHERE e.phase NOT IN ('not_sent', 'refused') AND (asked.since IS NULL OR e.sent_at > asked.since)
GROUP BY asked.n, e.price
"""
"""What is spent at a service after a moment, by price."""
LOCK_SPENT = """
SELECT pg_advisory_xact_lock(hashtextextended('luma_async spent ' || current_schema() || ' ' || service, 0))
FROM json_to_recordset(%s) AS asked(service text)
"""
"""Wait for other transactions that count what is spent at a service."""

HINTS = """
SELECT asked.n, h.name, h.value
FROM json_to_recordset(%s) AS asked(n integer, service text) JOIN luma_hints h USING (service)
"""
KEEP_HINT = """
INSERT INTO luma_hints (service, name, value)
SELECT DISTINCT ON (service, name) service, name, value
FROM json_to_recordset(%s) AS asked(n integer, service text, name text, value text) ORDER BY service, name, n DESC
ON CONFLICT (service, name) DO UPDATE SET value = excluded.value, number = excluded.number
"""
DROP_HINTS = """
DELETE FROM luma_hints USING json_to_recordset(%s) AS asked(n integer, service text), LATERAL (
    SELECT number FROM luma_hints h WHERE h.service = asked.service ORDER BY number DESC OFFSET 64
    FOR UPDATE SKIP LOCKED
) AS old WHERE luma_hints.number = old.number
"""
"""Keep the newest hints of a service only."""

LEAD = """
SELECT asked.n, luma_lead(asked.service)
FROM (SELECT DISTINCT ON (service) * FROM json_to_recordset(%s) AS asked(n integer, service text)) AS asked
"""
RESIGN = """
SELECT asked.n, pg_advisory_unlock(luma_leader(asked.service))
FROM json_to_recordset(%s) AS asked(n integer, service text)
"""
TAKE_TURN = """
SELECT asked.n, luma_take_turn(
    asked.service, asked.key, asked.owner, asked.interval_s, asked.burst, asked.per_minute, asked.room
) FROM (
    SELECT * FROM json_to_recordset(%s) AS asked(
        n integer, service text, key text, owner bigint,
        interval_s double precision, burst double precision, per_minute integer, room integer
    ) ORDER BY service, n
) AS asked
"""
"""Take turns, in the same order of services everywhere, so that two programs cannot block each other."""
GIVE_BACK = """
WITH gone AS (
    DELETE FROM luma_slots s USING json_to_recordset(%s) AS asked(n integer, key text, owner bigint)
    WHERE s.key = asked.key AND s.owner = asked.owner RETURNING asked.n, s.service
) SELECT n, luma_tell(service, 'not_sent', NULL, 0) FROM gone
"""
PAUSE = """
WITH asked AS (
    SELECT * FROM json_to_recordset(%s) AS asked(n integer, service text, delay_s double precision)
), paused AS (
    INSERT INTO luma_limits (service, paused_until)
    SELECT service, extract(epoch FROM clock_timestamp()) + max(delay_s) FROM asked GROUP BY service ORDER BY service
    ON CONFLICT (service) DO UPDATE SET paused_until = greatest(luma_limits.paused_until, excluded.paused_until)
) SELECT n, luma_tell(service, 'paused', NULL, delay_s) FROM asked
"""
LISTEN = """DO $$ BEGIN EXECUTE 'LISTEN luma_' || 'luma_entries'::regclass::oid; END $$"""

LOCK = "SELECT pg_advisory_lock_shared(id) FROM json_to_recordset(%s) AS asked(id bigint)"
UNLOCK = "SELECT pg_advisory_unlock_shared(id) FROM json_to_recordset(%s) AS asked(id bigint)"
NOTHING = "SELECT asked.n FROM json_to_recordset(%s) AS asked(n integer)"
"""Shows that the connection works."""


@cache
def update(columns: tuple[str, ...]) -> str:
    """Return the statement that changes these columns of entries that have not changed since they were read.

    It returns the keys of the entries that were changed.
    """
    values = ", ".join(f"{name} = asked.{name}" for name in columns)
    return (
        f"UPDATE luma_entries e SET {values}, version = e.version + 1 "  # noqa: S608
        f"FROM json_to_recordset(%s) AS asked(key text, version integer, {_typed(columns)}) "
        "WHERE e.key = asked.key AND e.version = asked.version RETURNING e.key"
    )


def lock_id(owner: str) -> int:
    """Return the number of an owner's lock: its 64 bits as PostgreSQL counts, with a sign."""
    return int.from_bytes(bytes.fromhex(owner), signed=True)


def many(rows: Iterable[dict[str, Any]]) -> str:
    """Encode the rows of a statement."""
    return json.dumps(list(rows))


def spent_row(service: str, since: datetime | None) -> dict[str, Any]:
    """Encode a row of `SPENT`."""
    return {"service": service, "since": _moment(since)}


def read_spent(rows: Iterable[Sequence[Any]]) -> Spent:
    """Add up the rows that `SPENT` returned for one row, without their number."""
    spent = Spent()
    for price, entries, charges in rows:
        spent = spent.plus(None if price is None else Decimal(price) * entries, charges)
    return spent


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _text(text: str | None) -> str | None:
    """Escape a text as in JSON: PostgreSQL can store neither a zero byte nor half a surrogate."""
    if text is None:
        return None
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    try:
        escaped.encode()
    except UnicodeEncodeError:
        return json.dumps(text)[1:-1]
    return escaped


def _read_text(text: str | None) -> str | None:
    # Most texts contain nothing that was escaped.
    return json.loads(f'"{text}"') if text is not None and "\\" in text else text


ROWS = RowFormat(
    encoders={"sent_at": _moment, "updated_at": _moment, "reason": _text, "path": _text},
    decoders={"reason": _read_text, "path": _read_text},
)


def read_entry(row: Sequence[Any]) -> Entry:
    """Decode the columns of an entry.

    Raises:
        JournalError: the row is damaged.
    """
    try:
        return ROWS.from_row(row)
    except (ValueError, KeyError, TypeError) as error:
        damage = f"the entry {row[0]!r} is damaged ({error}); restore the table from a copy."
    raise JournalError(message=damage)


def read_notice(what: str, value: str | None, delay_s: float) -> Notice:
    """Decode what the server told: *leading*, *paused*, *connected*, or the phase that an entry has got."""
    if what in {"leading", "paused", "connected"}:
        return Notice(cast("NoticeKind", what), delay_s=delay_s)
    return Notice("changed", phase=what, generation_id=value)
