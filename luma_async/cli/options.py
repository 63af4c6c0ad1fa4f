"""The flags that several commands share, and the session that they describe."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from luma_async import LumaSession, PollPolicy
from luma_async._http.address import RELAY_KEY, check_base_url, key_variable, unquoted, usable_address, without_quotes
from luma_async._journal.protocol import is_address
from luma_async._wire import registry
from luma_async.cli.budget import budgets_of
from luma_async.cli.config import config_path, configured, configured_path
from luma_async.cli.headers import header, headers_for
from luma_async.cli.numbers import seconds
from luma_async.cli.output import print_status
from luma_async.cli.places import Address, Place, place
from luma_async.values.errors import ConfigurationError, JournalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from luma_async import Event, Journal
    from luma_async._wire.dialect import Dialect


DIALECTS = tuple(registry.DIALECTS)
EDITIONS: dict[str, Literal["2025", "2024"] | None] = {"auto": None, "2025": "2025", "2024": "2024"}
POLL = PollPolicy.adaptive()
"""How every command polls."""
_DEFAULT_JOURNAL = Path()
"""Stands for a journal that was not typed, until `set_default_journal()`; no journal is a folder."""


def add_service(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Add the flags that select the service; if `inherited`, the parent command's values are the defaults."""
    default = argparse.SUPPRESS if inherited else None
    parser.add_argument(
        "--base-url", metavar="URL", default=default, help="the service's address (default: $LUMA_BASE_URL)"
    )
    parser.add_argument(
        "--dialect",
        choices=DIALECTS,
        default=default,
        help="the format that the service speaks (default: $LUMA_DIALECT, or by the address)",
    )
    parser.add_argument(
        "--edition",
        choices=tuple(EDITIONS),
        default=default,
        help="the edition of the relay's format (default: $LUMA_EDITION, or auto: as the video's options need)",
    )
    parser.add_argument(
        "--header",
        action="append",
        type=header,
        metavar="NAME:VALUE",
        default=argparse.SUPPRESS if inherited else None,
        help="a further header for the service (may be repeated); for passwords use $LUMA_HEADERS, a header on a line",
    )


def add_journal(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Add the flag that names the journal."""
    parser.add_argument(
        "--journal",
        metavar="FILE",
        type=place,
        default=argparse.SUPPRESS if inherited else _DEFAULT_JOURNAL,
        help="the file that records paid generations, or the address postgresql://… of a database "
        "(default: $LUMA_JOURNAL, or ~/.local/state/luma-async/jobs.db)",
    )


def add_json(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Add the flag for machine-readable output."""
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS if inherited else False,
        help="print JSON, one document per line",
    )


def add_common(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Add the flags of every command that calls the service: service, journal, JSON."""
    add_service(parser, inherited=inherited)
    add_journal(parser, inherited=inherited)
    add_json(parser, inherited=inherited)


def add_private_hosts(parser: argparse.ArgumentParser) -> None:
    """Add the flag that allows downloads from private networks."""
    parser.add_argument(
        "--allow-private-hosts",
        action="store_true",
        help="download from hosts in private networks even if the service is not in one",
    )


def add_timeout(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the flag that ends a wait; `what` says what happens then."""
    parser.add_argument("--timeout", type=seconds, default=86_400, metavar="SECONDS", help=f"{what} (default: one day)")


def set_default_journal(arguments: argparse.Namespace) -> None:
    """Fill in the journal if none was typed; only before a command runs, so that `--help` works with bad settings.

    Raises:
        ConfigurationError: the settings file is wrong.
    """
    if vars(arguments).get("journal") == _DEFAULT_JOURNAL:
        arguments.journal = default_journal()


def default_journal() -> Place:
    """Return the journal to use when none is typed; it does not depend on the working directory."""
    if from_environment := os.environ.get("LUMA_JOURNAL"):
        return place(unquoted(from_environment))
    if is_address(address := configured("journal")):
        return Address(address)
    if from_file := configured_path("journal"):
        return from_file
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "luma-async" / "jobs.db"


def dialect_of(arguments: argparse.Namespace, recorded: str | None = None) -> Dialect:
    """Return the format that the service speaks.

    Args:
        arguments: what was typed, which comes first.
        recorded: the format that the journal records; it comes before the environment.

    Raises:
        ConfigurationError: the environment or the settings file names an unknown format.
    """
    address = arguments.base_url or os.environ.get("LUMA_BASE_URL") or configured("base_url")
    by_host = registry.HOSTS.get(registry.host_of(unquoted(address or "")), DIALECTS[0])
    name = _choose("dialect", arguments.dialect or recorded, "LUMA_DIALECT", DIALECTS, by_host)
    edition = EDITIONS[_choose("edition", arguments.edition, "LUMA_EDITION", tuple(EDITIONS), "auto")]
    kind = registry.load(name)
    values: dict[str, str | None] = {name: os.environ.get(variable) for name, variable in kind.settings.items()}
    if "edition" in values:
        # A flag or the settings file may set it as well.
        values["edition"] = edition
    dialect: Dialect = kind(**values)
    return dialect


def _choose(setting: str, flag: str | None, variable: str, choices: tuple[str, ...], default: str) -> str:
    name: str = flag or unquoted(os.environ.get(variable) or "") or configured(setting) or default
    if name not in choices:
        raise ConfigurationError(message=f"{setting} must be one of {', '.join(choices)}, not {name!r}.")
    return name


def open_session(
    arguments: argparse.Namespace,
    *,
    service: str | None = None,
    journal: Journal | Path | str | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> LumaSession:
    """Return the session of a command, not yet open; create the folder of the command's journal.

    Args:
        arguments: what was typed.
        service: the service that the journal records for what the command is about; flags come first.
        journal: a journal to use instead of the command's own.
        on_event: called with each event of the session.
    """
    recorded_dialect, _, recorded_url = (service or "").partition(" ") if arguments.base_url is None else ("", "", "")
    dialect = dialect_of(arguments, recorded_dialect or None)
    if recorded_url:
        _check_key_owner(recorded_url)
    address, key = address_of(arguments.base_url or recorded_url, dialect)
    headers = headers_for(_target(address, dialect), arguments.header or ())
    if journal is None:
        journal = _usable(arguments.journal)
    return LumaSession(
        key,
        base_url=address,
        dialect=dialect,
        journal=journal,
        budget=budgets_of(arguments),
        poll=POLL,
        on_event=on_event,
        headers=headers,
        trust_env=True,
        allow_private_hosts=getattr(arguments, "allow_private_hosts", False),
    )


def _usable(journal: Place) -> Path | str:
    """Return the journal of a command as a session takes it, and create the folder of a file."""
    if isinstance(journal, Address):
        return journal.dsn
    try:
        journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        why = error.strerror or str(error)
    else:
        return journal
    raise JournalError(
        path=str(journal), message=f"cannot create its folder ({why}). Use --journal to name another file."
    )


def address_of(base_url: str | None, dialect: Dialect) -> tuple[str | None, str | None]:
    """Return the base URL and the API key, each None if the session is to read it from the environment.

    The settings file's key is only ever sent to the settings file's address.

    Args:
        base_url: what was typed or recorded, which comes first.
        dialect: has a default address if all its users share one service.

    Raises:
        ConfigurationError: an address is invalid.
    """
    settings = {"LUMA_BASE_URL": os.environ.get("LUMA_BASE_URL"), str(config_path()): configured("base_url")}
    source = next((name for name, value in settings.items() if value), "")
    address = base_url or usable_address(settings.get(source), dialect, source, warn=print_status)
    target = address or dialect.default_base_url
    return address, _key_for(_normalize(target)) if target else None


def _target(address: str | None, dialect: Dialect) -> str | None:
    target = address or dialect.default_base_url
    return _normalize(target) if target else None


def _key_for(target: str) -> str | None:
    """Return the environment's key if it has quotes around it, which are removed, or that of the settings file."""
    variable = key_variable(target)
    value = os.environ.get(variable) or ""
    if unquoted(value) != value.strip():
        return without_quotes(value, variable, warn=print_status)
    return _key_from_file(target)


def _key_from_file(target: str) -> str | None:
    """Return the settings file's key if it belongs to this address and the environment has none for it."""
    name = configured("dialect")
    official = registry.load(name)().default_base_url if name in DIALECTS else None
    owner = configured("base_url") or official
    if owner is None or _normalize(owner) != target or os.environ.get(key_variable(target), "").strip():
        return None
    return configured("api_key")


def _check_key_owner(base_url: str) -> None:
    """Refuse to send the key of one relay to another relay that the journal records.

    Raises:
        ConfigurationError: the environment has a key, and the settings name another address for it.
    """
    owner, source = os.environ.get("LUMA_BASE_URL"), "LUMA_BASE_URL"
    if not owner:
        owner, source = configured("base_url"), str(config_path())
    variable = key_variable(base_url)
    if owner and variable == RELAY_KEY and os.environ.get(variable) and _normalize(owner) != base_url:
        raise ConfigurationError(
            message=f"The journal's generations were made at {base_url}, but {variable} belongs to {owner} "
            f"({source}). Set {variable} to the key for {base_url} and add --base-url {base_url}"
        )


def _normalize(base_url: str) -> str:
    return check_base_url(unquoted(base_url), allow_insecure=False)


def resume_command(arguments: argparse.Namespace, *words: str, with_service: bool = True) -> str:
    """Return a command line to paste: these words with the typed journal and, if `with_service`, the typed service."""
    names = ("base_url", "dialect", "edition") if with_service else ()
    typed = {f"--{name.replace('_', '-')}": vars(arguments).get(name) for name in names}
    if arguments.journal != default_journal():
        typed["--journal"] = str(arguments.journal)
    flags = [part for name, value in typed.items() if value for part in (name, value)]
    for name, _ in (vars(arguments).get("header") or ()) if with_service else ():
        flags += ["--header", f"{name}:VALUE"]
    return shlex.join(["luma-async", *words, *flags])
