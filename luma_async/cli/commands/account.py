"""`luma-async account`: print the balances that the service reports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from luma_async.cli.budget import add_budget, as_document, describe
from luma_async.cli.options import add_common, open_session
from luma_async.cli.output import as_json, print_json, print_line, print_status

if TYPE_CHECKING:
    import argparse

    from luma_async import LumaSession


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Print the balance: the key's at a relay, the account's at Luma. For the account at a relay, set "
        "LUMA_ACCESS_TOKEN to the system access token that its website shows, and LUMA_USER_ID. If there are spending "
        "limits, print what is left of them, too."
    )
    add_common(parser)
    add_budget(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Fetch and print."""
    async with open_session(arguments) as luma:
        balances = await _fetch_balances(luma)
        budgets = await luma.account.budgets()
    if arguments.json:
        print_json(balances | ({"budgets": [as_document(status) for status in budgets]} if budgets else {}))
        return 0
    if not balances:
        print_status("This service reports no balance without LUMA_ACCESS_TOKEN and LUMA_USER_ID.")
    for owner, fields in balances.items():
        for name, value in fields.items():
            print_line(f"{owner} {name.replace('_', ' ')}: {'-' if value is None else value}")
    for status in budgets:
        print_line(f"budget of {describe(status)}")
    return 0


async def _fetch_balances(luma: LumaSession) -> dict[str, dict[str, Any]]:
    fetched: dict[str, Any] = {}
    if luma.supports("credits"):
        fetched["account"] = await luma.account.credits()
    if luma.supports("key"):
        fetched["key"] = await luma.account.key()
    if luma.supports("user") and os.environ.get("LUMA_ACCESS_TOKEN"):
        fetched["account"] = await luma.account.user()
    return {owner: as_json(value, without={"raw"}) for owner, value in fetched.items()}
