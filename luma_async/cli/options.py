"""Options that several commands share, and the session they describe."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from luma_async import DreamMachine, LumaSession, RixAPI
from luma_async._http.address import OFFICIAL_HOST, check_base_url
from luma_async.cli.config import config_path, configured, configured_path
from luma_async.values.errors import ConfigurationError, JournalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from luma_async import Event, Journal


DIALECTS = ("rixapi", "dream-machine")
EDITIONS = ("2025", "2024")
_USUAL = Path()
"""Stands for the journal that is used when none is typed; no journal is a folder."""


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
    parser.add_argument(
        "--journal",
        metavar="FILE",
        type=Path,
        default=_default(_USUAL, inherited=inherited),
        help="where paid generations are remembered (default: $LUMA_JOURNAL, else ~/.local/state/luma-async/jobs.db)",
    )


def settle_journal(arguments: argparse.Namespace) -> None:
    """Fill in the journal that was not typed; before a command runs, so that --help needs no good settings.

    Raises:
        ConfigurationError: the file of settings is wrong.
    """
    if vars(arguments).get("journal") == _USUAL:
        arguments.journal = default_journal()


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
    if filed := configured_path("journal"):
        return filed
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
    dialect = dialect_of(arguments, format_name or None)
    if base_url:
        _check_owner(base_url)
    address, key = address_of(arguments.base_url or base_url, dialect)
    if journal is None:
        journal = arguments.journal
        _make_folder(arguments.journal)
    return LumaSession(key, base_url=address, dialect=dialect, journal=journal, on_event=on_event, trust_env=True)


def _make_folder(journal: Path) -> None:
    try:
        journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        why = error.strerror or str(error)
    else:
        return
    raise JournalError(
        path=str(journal), message=f"its folder cannot be made ({why}): name another file with --journal."
    )


def address_of(base_url: str | None, dialect: RixAPI | DreamMachine) -> tuple[str | None, str | None]:
    """Return the base URL and the API key that do not come from the environment; None leaves them to it.

    The file's key goes to the file's address, and to no other.

    Args:
        base_url: what was typed, or is known; it comes first.
        dialect: knows where its service is, when there is only one.

    Raises:
        ConfigurationError: an address cannot be right.
    """
    address = base_url or os.environ.get("LUMA_BASE_URL") or configured("base_url")
    where = address or dialect.default_base_url
    return address, _filed_key(_one_form(where)) if where else None


def _filed_key(where: str) -> str | None:
    """Return the file's key if it belongs there and the environment has none for it."""
    official = DreamMachine().default_base_url if configured("dialect") == "dream-machine" else None
    home = configured("base_url") or official
    if home is None or _one_form(home) != where or os.environ.get(_key_variable(where), "").strip():
        return None
    return configured("api_key")


def _check_owner(base_url: str) -> None:
    """Refuse to send the key of one relay to another one, because a journal says that something was bought there.

    Raises:
        ConfigurationError: the environment has a key, and names another address for it.
    """
    named, source = os.environ.get("LUMA_BASE_URL"), "LUMA_BASE_URL"
    if not named:
        named, source = configured("base_url"), str(config_path())
    variable = _key_variable(base_url)
    if named and variable == "LUMA_API_KEY" and os.environ.get(variable) and _one_form(named) != base_url:
        raise ConfigurationError(
            message=f"The journal's generations were bought at {base_url}, and {variable} belongs to {named} "
            f"({source}). Set the other key, and pass --base-url {base_url}"
        )


def _key_variable(base_url: str) -> str:
    return "LUMAAI_API_KEY" if urlsplit(base_url).hostname == OFFICIAL_HOST else "LUMA_API_KEY"


def _one_form(base_url: str) -> str:
    return check_base_url(base_url.strip(), allow_insecure=False)


def again(arguments: argparse.Namespace, *words: str, asks: bool = True) -> str:
    """Spell a command that goes on from here: with the same journal and, if it `asks`, at the same service."""
    typed = {"--journal": None if arguments.journal == default_journal() else str(arguments.journal)}
    if asks:
        typed |= {
            f"--{name.replace('_', '-')}": getattr(arguments, name) for name in ("base_url", "dialect", "edition")
        }
    options = [part for name, value in typed.items() if value for part in (name, value)]
    return shlex.join(["luma-async", *words, *options])
