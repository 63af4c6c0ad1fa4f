"""`luma-async doctor`: whether everything is set up, and what to do about what is not."""

from __future__ import annotations

import asyncio
import http.client
import os
import urllib.error
import urllib.request
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from luma_async import Polled
from luma_async._http.address import is_loopback
from luma_async.cli.config import config_path, configured
from luma_async.cli.console import printable, put_json
from luma_async.cli.options import add_journal, add_json, add_service, address_of, dialect_of, open_session
from luma_async.cli.running import exit_code
from luma_async.values.errors import ConfigurationError, GenerationNotFound, JournalError, LumaError, NotSent

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from luma_async import Event, LumaSession

Finding: TypeAlias = tuple[str, str, Exception | None]
"""What was checked, what was found, and what is wrong with it."""

_NOBODY = "luma-async-doctor"
"""An id that no service has given out: asking for it costs nothing and tells whether the key is taken."""
_MOST_SKEW_S = 60.0
"""Presigned links live for an hour, and a minute's difference does no harm."""
_PATIENCE_S = 10.0


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Check the settings, the journal and the service, with calls that cost nothing."
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Check one thing after the other; the first that is wrong decides the exit code."""
    code = 0
    async for what, found, error in _checks(arguments):
        if arguments.json:
            put_json({"check": what, "ok": error is None, "finding": found if error is None else str(error)})
        else:
            print(printable(f"{'ok ' if error is None else 'BAD'} {what}: {found if error is None else error}"))
        if error is not None:
            code = code or exit_code(error)
    return code


async def _checks(arguments: argparse.Namespace) -> AsyncIterator[Finding]:
    yield "versions", f"luma-async {version('luma-async')}, aiohttp {version('aiohttp')}", None
    looked: list[Event] = []
    try:
        dialect = dialect_of(arguments)
        address = address_of(arguments.base_url, dialect)[0] or dialect.default_base_url
        luma = open_session(arguments, on_event=looked.append)
        await luma.open()
    except LumaError as error:
        yield "journal" if isinstance(error, JournalError) else "settings", "", error
        return
    assert address is not None
    try:
        yield "settings", f"{dialect.name} at {address} ({_source(arguments)})", None
        yield "journal", f"{arguments.journal} can be written", None
        clock = await _check_clock(address)
        yield clock
        if isinstance(clock[2], NotSent):
            return
        finding = await _check_key(luma)
        yield finding
        if finding[2] is None and luma.supports("query_many"):
            yield await _check_many(luma, looked)
    finally:
        await luma.aclose()


def _source(arguments: argparse.Namespace) -> str:
    """Say where the address comes from."""
    if arguments.base_url:
        return "--base-url"
    if os.environ.get("LUMA_BASE_URL"):
        return "LUMA_BASE_URL"
    return str(config_path()) if configured("base_url") else "the format's own"


async def _check_key(luma: LumaSession) -> Finding:
    try:
        await luma.get(_NOBODY)
    except GenerationNotFound:
        return "API key", "the service takes it", None
    except LumaError as error:
        return "API key", "", error
    return "API key", "the service takes it, and knows every id", None


async def _check_many(luma: LumaSession, looked: list[Event]) -> Finding:
    """Ask for two at once; without that call everything works, with more requests."""
    try:
        await luma.get_many([_NOBODY, f"{_NOBODY}-2"])
    except LumaError as error:
        return "looking at many", "", error
    shared = [event for event in looked if isinstance(event, Polled) and len(event.ids) > 1]
    if shared and shared[0].error is None:
        return "looking at many", "one request looks at many", None
    return "looking at many", "the service has no call for many; each is looked at by itself", None


async def _check_clock(address: str) -> Finding:
    """Compare the service's clock with ours, with a request that carries no key."""
    try:
        date = await asyncio.to_thread(_date_of, address)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return "reaching it", "", NotSent(message=f"{address} cannot be reached: {reason}.")
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return "clock", "the service does not tell the time", None
    apart_s = abs((theirs.replace(tzinfo=theirs.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    if apart_s > _MOST_SKEW_S:
        wrong = ConfigurationError(
            message=f"it is {apart_s:.0f} s off the service's: set this machine's clock, or links seem to expire early "
            "or late."
        )
        return "clock", "", wrong
    return "clock", f"within {apart_s:.0f} s of the service's", None


def _date_of(address: str) -> str | None:
    """Ask the way the session does: through the proxies of the environment, but on this machine."""
    here = is_loopback(urlsplit(address).hostname or "")
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({} if here else None)).open
    question = urllib.request.Request(address, method="HEAD")  # noqa: S310 - base_url is checked to be http(s)
    try:
        with ask(question, timeout=_PATIENCE_S) as answer:
            return str(answer.headers["Date"]) if answer.headers["Date"] else None
    except urllib.error.HTTPError as answer:
        # A service that has nothing there answers all the same.
        with answer:
            return answer.headers["Date"]
