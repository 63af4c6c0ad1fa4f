"""Options that several commands share, and the session they describe."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_async import LumaSession, RixAPI

if TYPE_CHECKING:
    from collections.abc import Callable

    from luma_async import Event


def add_service(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Add what says where the service is; `inherited`, what is not given is left to the command above."""
    parser.add_argument(
        "--base-url",
        metavar="URL",
        default=_default(None, inherited=inherited),
        help="the relay's address (default: $LUMA_BASE_URL)",
    )
    parser.add_argument(
        "--edition",
        choices=("2025", "2024"),
        default=_default("2025", inherited=inherited),
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
    if named := os.environ.get("LUMA_JOURNAL"):
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "luma-async" / "jobs.db"


def open_session(
    arguments: argparse.Namespace, *, base_url: str | None = None, on_event: Callable[[Event], None] | None = None
) -> LumaSession:
    """Describe the session of a command; the journal's folder is made if need be."""
    journal: Path = arguments.journal
    journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return LumaSession(
        base_url=arguments.base_url or base_url,
        dialect=RixAPI(edition=arguments.edition),
        journal=journal,
        on_event=on_event,
    )
