"""`luma-async doctor`: check the settings, the journal and the service."""

from __future__ import annotations

import asyncio
import http.client
import os
import ssl
import urllib.error
import urllib.request
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from yarl import URL

from luma_async import OutOfCredit, Polled, Unauthorized
from luma_async._http.address import is_loopback
from luma_async._http.proxies import Proxies
from luma_async._wire.registry import is_own_host
from luma_async.cli.config import config_path, configured
from luma_async.cli.errors import error_text, exit_code, in_flags
from luma_async.cli.options import add_common, address_of, dialect_of, open_session
from luma_async.cli.output import print_json, print_line
from luma_async.values.errors import ConfigurationError, GenerationNotFound, JournalError, LumaError, NotSent

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from luma_async import Event, LumaSession

Finding: TypeAlias = tuple[str, str, Exception | None]
"""What was checked, what was found, and the error if it is bad."""

_UNKNOWN_ID = "luma-async-doctor"
"""An id that no service has given out. Asking for it costs nothing and shows whether the key is accepted."""
_MAX_CLOCK_SKEW_S = 60.0
"""Presigned URLs are valid for an hour, so that a minute does no harm."""
_CLOCK_TIMEOUT_S = 10.0
_CERTIFICATES = "If it is from a CA of your own, set SSL_CERT_FILE to a file with that CA."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Check the settings, the journal, the clock and the key, with requests that cost nothing."
    add_common(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print each finding; the first bad one decides the exit code."""
    code = 0
    async for check, found, error in _checks(arguments):
        finding = found if error is None else error_text(error, arguments)
        if arguments.json:
            print_json({"check": check, "ok": error is None, "finding": finding})
        else:
            print_line(f"{'ok ' if error is None else 'BAD'} {check}: {finding}")
        if error is not None:
            code = code or exit_code(error)
    return code


async def _checks(arguments: argparse.Namespace) -> AsyncIterator[Finding]:
    yield "versions", f"luma-async {version('luma-async')}, aiohttp {version('aiohttp')}", None
    events: list[Event] = []
    try:
        dialect = dialect_of(arguments)
        address = address_of(arguments.base_url, dialect)[0] or dialect.default_base_url
        luma = open_session(arguments, on_event=events.append)
        await luma.open()
    except LumaError as error:
        yield "journal" if isinstance(error, JournalError) else "settings", "", error
        return
    assert address is not None
    if dialect.retirement and is_own_host(address):
        yield "service", in_flags(dialect.retirement), None
    try:
        yield "settings", f"{dialect.name} at {address} ({_source(arguments)})", None
        yield "journal", f"{arguments.journal} can be written", None
        await Proxies(trust_env=True).before(URL(address))
        clock = await _check_clock(address)
        yield clock
        if isinstance(clock[2], NotSent):
            return
        finding = await _check_key(luma)
        yield finding
        if finding[2] is None and luma.supports("query_many"):
            yield await _check_shared_polling(luma, events)
    except ConfigurationError as error:
        yield "connection", "", error
    finally:
        await luma.aclose()


def _source(arguments: argparse.Namespace) -> str:
    """Return where the address was set."""
    if arguments.base_url:
        return "--base-url"
    if os.environ.get("LUMA_BASE_URL"):
        return "LUMA_BASE_URL"
    return str(config_path()) if configured("base_url") else "the default address"


async def _check_key(luma: LumaSession) -> Finding:
    try:
        await luma.get(_UNKNOWN_ID)
    except GenerationNotFound:
        return "API key", "accepted", None
    except (Unauthorized, OutOfCredit) as error:
        return "API key", "", error
    except LumaError as error:
        return "service", "", error
    return "API key", "accepted; the service knows every id", None


async def _check_shared_polling(luma: LumaSession, events: list[Event]) -> Finding:
    """Ask for two generations at once. A service without that call works too, with more requests."""
    try:
        await luma.get_many([_UNKNOWN_ID, f"{_UNKNOWN_ID}-2"])
    except LumaError as error:
        return "polling", "", error
    shared = [event for event in events if isinstance(event, Polled) and len(event.ids) > 1]
    if shared and isinstance(shared[0].error, Unauthorized | OutOfCredit):
        return "polling", "", shared[0].error
    if shared and shared[0].error is None:
        return "polling", "one request polls many generations", None
    return "polling", "one request for each generation; the service has no call for many", None


async def _check_clock(address: str) -> Finding:
    """Compare the service's clock with this machine's, with a request that carries no key."""
    try:
        date = await asyncio.to_thread(_fetch_date, address)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            message = f"The certificate of {address} is not trusted: {reason.verify_message}. {_CERTIFICATES}"
            return "connection", "", NotSent(message=message, permanent=True)
        return "connection", "", NotSent(message=f"Cannot reach {address}: {reason}.")
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return "clock", "not checked; the service sends no date", None
    skew_s = abs((theirs.replace(tzinfo=theirs.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    if skew_s > _MAX_CLOCK_SKEW_S:
        wrong = ConfigurationError(
            message=f"differs from the service's by {skew_s:.0f} s. Set this machine's clock, or URLs seem to "
            "expire at the wrong time."
        )
        return "clock", "", wrong
    return "clock", f"differs from the service's by {skew_s:.0f} s", None


def _fetch_date(address: str) -> str | None:
    """Fetch the Date header, as the session connects: through the environment's proxies except to this machine."""
    is_local = is_loopback(urlsplit(address).hostname or "")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({} if is_local else None))
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - base_url is checked to be http(s)
    try:
        with opener.open(request, timeout=_CLOCK_TIMEOUT_S) as response:
            return str(response.headers["Date"]) if response.headers["Date"] else None
    except urllib.error.HTTPError as response:
        # An error response has a date too.
        with response:
            return response.headers["Date"]
