"""`luma-async account`: what is left, as far as the service tells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs

from luma_async.cli.console import print_status, printable, put_json
from luma_async.cli.options import add_journal, add_json, add_service, open_session
from luma_async.cli.shapes import plain

if TYPE_CHECKING:
    import argparse

    from luma_async import LumaSession


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Print the balance: of the key at a relay, of the account at Luma. Relays show the account only to the system "
        "access token of their website: LUMA_ACCESS_TOKEN and LUMA_USER_ID."
    )
    add_service(parser)
    add_journal(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Ask for what there is."""
    async with open_session(arguments) as luma:
        balances = await _balances(luma)
    if arguments.json:
        put_json(balances)
        return 0
    if not balances:
        print_status("Nothing can be asked here: a relay's account needs LUMA_ACCESS_TOKEN and LUMA_USER_ID.")
    for what, fields in balances.items():
        for name, value in fields.items():
            print(printable(f"{what} {name.replace('_', ' ')}: {'-' if value is None else value}"))
    return 0


async def _balances(luma: LumaSession) -> dict[str, dict[str, Any]]:
    asked: dict[str, Any] = {}
    if luma.supports("credits"):
        asked["account"] = await luma.account.credits()
    if luma.supports("key"):
        asked["key"] = await luma.account.key()
    if luma.supports("user") and os.environ.get("LUMA_ACCESS_TOKEN"):
        asked["account"] = await luma.account.user()
    return {
        what: plain(attrs.asdict(value, filter=lambda field, _: field.name != "raw")) for what, value in asked.items()
    }
