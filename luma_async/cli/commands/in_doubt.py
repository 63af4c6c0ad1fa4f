"""`luma-async in-doubt`: list submits that may have been charged, and settle them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async._journal.lifecycle import in_doubt
from luma_async.cli.budget import add_budget
from luma_async.cli.errors import error_text, exit_code, in_flags
from luma_async.cli.journal import abandon, read_doubts, read_entries, shared_service
from luma_async.cli.options import add_common, open_session, resume_command
from luma_async.cli.output import print_entry, print_error, print_json, print_line, print_status, print_table, shorten
from luma_async.values.errors import ConfigurationError, InvalidInput, LumaError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from luma_async import Entry, Reconciled

_KEY = "the key of the submit, as `in-doubt` lists it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "List the submits that may have been charged. Look for each of them at the service, then settle it."
    )
    add_common(parser)
    add_budget(parser)
    parser.set_defaults(run=run, decision=None)
    decisions = parser.add_subparsers(metavar="[DECISION]")
    resolve = decisions.add_parser("resolve", help="the submit made this generation")
    resolve.add_argument("key", metavar="KEY", help=_KEY)
    resolve.add_argument("generation_id", metavar="GENERATION", help="the id that the service shows for it")
    resubmit = decisions.add_parser("resubmit", help="submit again; this may charge twice")
    resubmit.add_argument("key", metavar="KEY", help=_KEY)
    resubmit.add_argument(
        "--accept-duplicate-risk", action="store_true", help="required, because this may charge twice"
    )
    close = decisions.add_parser("abandon", help="close it; its key is never submitted again")
    close.add_argument("key", metavar="KEY", help=_KEY)
    reconcile = decisions.add_parser("reconcile", help="look for all of them in the list that Luma keeps")
    for name, decision in (
        ("resolve", resolve),
        ("resubmit", resubmit),
        ("abandon", close),
        ("reconcile", reconcile),
    ):
        # These flags may be typed before or after the decision.
        add_common(decision, inherited=True)
        add_budget(decision, inherited=True)
        decision.set_defaults(run=run, decision=name)


async def run(arguments: argparse.Namespace) -> int:
    """List the doubts, or carry out a decision. Only the decisions that ask the service need its address and key."""
    if arguments.decision == "resubmit" and not arguments.accept_duplicate_risk:
        message = "is required: the submit may have been charged, and this may charge for it again."
        raise InvalidInput(field="--accept-duplicate-risk", message=message)
    if arguments.decision is None:
        _print_doubts(await read_doubts(arguments), arguments)
    elif arguments.decision == "reconcile":
        return await _reconcile(arguments)
    elif arguments.decision == "abandon":
        _print_closed(await abandon(arguments.key, arguments), arguments)
    else:
        return await _decide(arguments)
    return 0


def _print_doubts(doubts: Sequence[Entry], arguments: argparse.Namespace) -> None:
    """Print the doubts, with their service if there are several."""
    if arguments.json:
        for doubt in doubts:
            print_entry(doubt)
    elif doubts:
        several = shared_service(doubts) is None
        head = ("KEY", "SENT", *(("SERVICE",) if several else ()), "PROMPT", "WHY")
        print_table(head, (_row(doubt, several=several) for doubt in doubts))
        decide = resume_command(arguments, "in-doubt")
        print_status(
            f"Look for each at the service. If it is there: {decide} resolve KEY GENERATION\n"
            f"If it is not: {decide} abandon KEY, or {decide} resubmit KEY --accept-duplicate-risk"
        )
    elif arguments.journal.exists():
        print_status("Nothing is in doubt.")


def _row(doubt: Entry, *, several: bool) -> tuple[str, ...]:
    sent = f"{doubt.sent_at:%Y-%m-%d %H:%M}" if doubt.sent_at else ""
    prompt = shorten(str(doubt.request.get("prompt", "")))
    return doubt.key, sent, *((doubt.service,) if several else ()), prompt, in_flags(in_doubt(doubt).reason)


async def _reconcile(arguments: argparse.Namespace) -> int:
    """Look for the doubts in the list of their service."""
    services = {doubt.service for doubt in await read_doubts(arguments)}
    if len(services) > 1:
        raise ConfigurationError(
            message=f"Submits are in doubt at {len(services)} services. Use --base-url and --dialect to choose one: "
            f"{', '.join(sorted(services))}."
        )
    if not services:
        print_status("Nothing is in doubt.")
        return 0
    async with open_session(arguments, service=services.pop()) as luma:
        _print_reconciled(await luma.doubts.reconcile(), arguments)
    return 0


def _print_reconciled(reconciled: Reconciled, arguments: argparse.Namespace) -> None:
    """Print which generations were found, and why the other submits stay in doubt."""
    for handle in reconciled.adopted:
        if arguments.json:
            print_json({"key": handle.key, "id": handle.id, "reason": None})
        else:
            print_line(f"{handle.key} is generation {handle.id}")
    for doubt in reconciled.unresolved:
        if arguments.json:
            print_json({"key": doubt.entry.key, "id": None, "reason": doubt.reason})
        else:
            print_status(f"{doubt.entry.key} stays in doubt: {doubt.reason}")
    print_status(f"{len(reconciled.adopted)} found, {len(reconciled.unresolved)} still in doubt.")


def _print_closed(entry: Entry, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_entry(entry)
    print_status(f"Closed: the key {entry.key} is never submitted again.")


async def _decide(arguments: argparse.Namespace) -> int:
    """Ask the service about a doubt; if that fails, say that it is still in doubt."""
    entries = await read_entries(arguments)
    service = next((entry.service for entry in entries if entry.key == arguments.key), None)
    try:
        async with open_session(arguments, service=service) as luma:
            if arguments.decision == "resolve":
                handle = await luma.doubts.resolve(arguments.key, generation_id=arguments.generation_id)
            else:
                handle = await luma.doubts.resubmit(arguments.key, accept_duplicate_risk=True)
    except LumaError as error:
        in_doubt_still = any(doubt.key == arguments.key for doubt in await read_doubts(arguments))
        still = f" {arguments.key} is still in doubt." if in_doubt_still else ""
        print_error(f"{error_text(error, arguments)}{still}")
        return exit_code(error)
    if arguments.json:
        print_json({"id": handle.id, "key": handle.key})
    print_status(f"{handle.key} is generation {handle.id}. To download it: {resume_command(arguments, 'resume')}")
    return 0
