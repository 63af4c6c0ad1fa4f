"""Options that several commands share, and the session they describe."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_async import DreamMachine, LumaSession, RixAPI
from luma_async.cli.config import configured
from luma_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from luma_async import Event, Journal


DIALECTS = ("rixapi", "dream-machine")
EDITIONS = ("2025", "2024")


def add_service(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Add what says where the service is; `inherited`, what is not given is left to the command above."""
    parser.add_argument(
        "--base-url",
        metavar="URL",
        default=_default(None, inherited=inherited),
        help="the relay's address (default: $LUMA_BASE_URL)",
    )
    parser.add_argument(
        "--dialect",
        choices=DIALECTS,
        default=_default(None, inherited=inherited),
        help="the format that the service speaks (default: $LUMA_DIALECT, else rixapi)",
    )
    parser.add_argument(
        "--edition",
        choices=EDITIONS,
        default=_default(None, inherited=inherited),
        help="the edition of the relay's format (default: 2025)",
    )


def add_journal(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Add where paid jobs are remembered."""
    usual = default_journal()
    parser.add_argument(
        "--journal",
        metavar="FILE",
        type=Path,
        default=_default(usual, inherited=inherited),
        help=f"where paid generations are remembered (default: $LUMA_JOURNAL, else {usual})".replace("%", "%%"),
    )


def add_json(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Add the switch to machine-readable output."""
    parser.add_argument(
        "--json",
        action="store_true",
        default=_default(False, inherited=inherited),
        help="print JSON, one document a line",
    )


def _default(value: object, *, inherited: bool) -> Any:
    return argparse.SUPPRESS if inherited else value


def default_journal() -> Path:
    """Return where the command line remembers paid generations, from whatever folder it is called."""
    if named := os.environ.get("LUMA_JOURNAL") or configured("journal"):
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "luma-async" / "jobs.db"


def dialect_of(arguments: argparse.Namespace, known: str | None = None) -> RixAPI | DreamMachine:
    """Return the format that the service speaks.

    Args:
        arguments: what was typed; it comes first.
        known: the name of the format that something was bought in; it comes before the environment.

    Raises:
        ConfigurationError: the environment or the file names none that there is.
    """
    name = _chosen("dialect", arguments.dialect or known, "LUMA_DIALECT", DIALECTS)
    if name == "dream-machine":
        return DreamMachine()
    edition = _chosen("edition", arguments.edition, "LUMA_EDITION", EDITIONS)
    token, user = os.environ.get("LUMA_ACCESS_TOKEN"), os.environ.get("LUMA_USER_ID")
    return RixAPI(edition="2024" if edition == "2024" else "2025", access_token=token, user_id=user)


def _chosen(setting: str, flag: str | None, variable: str, choices: tuple[str, ...]) -> str:
    name: str = flag or os.environ.get(variable) or configured(setting) or choices[0]
    if name not in choices:
        raise ConfigurationError(message=f"{setting} must be one of {', '.join(choices)}, not {name!r}.")
    return name


def open_session(
    arguments: argparse.Namespace,
    *,
    service: str | None = None,
    journal: Journal | Path | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> LumaSession:
    """Describe the session of a command; the folder of its own journal is made if need be.

    Args:
        arguments: what was typed.
        service: where something was bought, as a journal names it; what was typed comes first.
        journal: another one than the command's own.
        on_event: is told what happens.
    """
    format_name, _, base_url = (service or "").partition(" ") if arguments.base_url is None else ("", "", "")
    if journal is None:
        journal = arguments.journal
        arguments.journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    address, key = address_of(arguments.base_url or base_url)
    dialect = dialect_of(arguments, format_name or None)
    return LumaSession(key, base_url=address, dialect=dialect, journal=journal, on_event=on_event)


def address_of(base_url: str | None) -> tuple[str | None, str | None]:
    """Return the base URL and the API key that do not come from the environment; None leaves them to it.

    The file's key goes to the file's address, and to no other.
    """
    filed = configured("base_url")
    address = base_url or os.environ.get("LUMA_BASE_URL") or filed
    in_environment = os.environ.get("LUMA_API_KEY") or os.environ.get("LUMAAI_API_KEY")
    key = None if in_environment or address != filed else configured("api_key")
    return address, key
