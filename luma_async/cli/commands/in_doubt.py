"""`luma-async in-doubt`: list submits that may have been charged, and settle them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async._journal.lifecycle import UNDECIDED, in_doubt
from luma_async.cli.journal import count_elsewhere, read_entries, shared_service
from luma_async.cli.options import add_common, open_session, resume_command
from luma_async.cli.output import print_entry, print_json, print_line, print_status, print_table, shorten
from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from luma_async import Entry, LumaSession, Reconciled

_KEY = "the key of the submit, as `in-doubt` lists it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "List the submits that may have been charged. Look for each of them at the service, then settle it."
    )
    add_common(parser)
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
    abandon = decisions.add_parser("abandon", help="close it; its key is never submitted again")
    abandon.add_argument("key", metavar="KEY", help=_KEY)
    reconcile = decisions.add_parser("reconcile", help="look for all of them in the list that Luma keeps")
    for name, decision in (
        ("resolve", resolve),
        ("resubmit", resubmit),
        ("abandon", abandon),
        ("reconcile", reconcile),
    ):
        # These flags may be typed before or after the decision.
        add_common(decision, inherited=True)
        decision.set_defaults(run=run, decision=name)


async def run(arguments: argparse.Namespace) -> int:
    """List the doubts, or carry out a decision."""
    if arguments.decision == "resubmit" and not arguments.accept_duplicate_risk:
        message = "is required: the submit may have been charged, and this may charge for it again."
        raise InvalidInput(field="--accept-duplicate-risk", message=message)
    entries = await read_entries(arguments)
    if arguments.decision is None:
        await _list(entries, arguments)
    elif arguments.decision == "reconcile":
        async with open_session(arguments, service=shared_service(entries)) as luma:
            _print_reconciled(await luma.doubts.reconcile(), arguments)
    else:
        service = next((entry.service for entry in entries if entry.key == arguments.key), None)
        async with open_session(arguments, service=service) as luma:
            await _decide(luma, arguments)
    return 0


async def _list(entries: Sequence[Entry], arguments: argparse.Namespace) -> None:
    """Print the doubts at the service, and how many there are at others."""
    service = shared_service(entries)
    if service is None and arguments.base_url is None and not arguments.journal.exists():
        return
    async with open_session(arguments, service=service) as luma:
        doubts = await luma.doubts.list()
    elsewhere = count_elsewhere(entries, UNDECIDED, {doubt.key for doubt in doubts})
    if arguments.json:
        for doubt in doubts:
            print_entry(doubt)
    elif doubts:
        print_table(("KEY", "SENT", "PROMPT", "WHY"), map(_row, doubts))
        decide = resume_command(arguments, "in-doubt")
        print_status(
            f"Look for each at the service. If it is there: {decide} resolve KEY GENERATION\n"
            f"If it is not: {decide} abandon KEY, or {decide} resubmit KEY --accept-duplicate-risk"
        )
    elif not elsewhere:
        print_status("Nothing is in doubt.")
    for flags, number in elsewhere.items():
        command = resume_command(arguments, "in-doubt", with_service=False)
        print_status(f"{number} in doubt at another service. To list them: {command} {flags}")


def _row(doubt: Entry) -> tuple[str, ...]:
    sent = f"{doubt.sent_at:%Y-%m-%d %H:%M}" if doubt.sent_at else ""
    prompt = shorten(str(doubt.request.get("prompt", "")))
    return doubt.key, sent, prompt, in_doubt(doubt).reason


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


async def _decide(luma: LumaSession, arguments: argparse.Namespace) -> None:
    if arguments.decision == "abandon":
        entry = await luma.doubts.abandon(arguments.key)
        if arguments.json:
            print_entry(entry)
        print_status(f"Closed: the key {entry.key} is never submitted again.")
        return
    if arguments.decision == "resolve":
        handle = await luma.doubts.resolve(arguments.key, generation_id=arguments.generation_id)
    else:
        handle = await luma.doubts.resubmit(arguments.key, accept_duplicate_risk=True)
    if arguments.json:
        print_json({"id": handle.id, "key": handle.key})
    print_status(f"{handle.key} is generation {handle.id}. To download it: {resume_command(arguments, 'resume')}")
