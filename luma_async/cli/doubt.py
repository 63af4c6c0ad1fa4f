"""`luma-async in-doubt`: what may have been paid, a person's decisions, and what the service's own list settles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async._journal.lifecycle import UNDECIDED, in_doubt
from luma_async.cli.console import print_status, put_json, put_table, shorten
from luma_async.cli.options import add_journal, add_json, add_service, again, open_session
from luma_async.cli.services import only_service, others_of, shared_service
from luma_async.cli.shapes import entry_json
from luma_async.cli.status import read_entries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from luma_async import Entry, LumaSession, Reconciled

_WHICH = "its key, as `in-doubt` lists it"


def fill(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "List the submits that may have been paid. Look for each at the service, then decide."
    _add_shared(parser)
    parser.set_defaults(run=run, decision=None)
    decisions = parser.add_subparsers(metavar="[DECISION]")
    resolve = decisions.add_parser("resolve", help="it did buy this generation")
    resolve.add_argument("key", metavar="KEY", help=_WHICH)
    resolve.add_argument(
        "generation_id", metavar="GENERATION", help="the id of what it bought, as the service shows it"
    )
    resubmit = decisions.add_parser("resubmit", help="send it again; it may be paid twice")
    resubmit.add_argument("key", metavar="KEY", help=_WHICH)
    resubmit.add_argument("--accept-duplicate-risk", action="store_true", help="required: yes, it may be paid twice")
    abandon = decisions.add_parser("abandon", help="close it; its key never buys again")
    abandon.add_argument("key", metavar="KEY", help=_WHICH)
    reconcile = decisions.add_parser("reconcile", help="look for all of them in the service's own list (Luma)")
    for name, decision in (
        ("resolve", resolve),
        ("resubmit", resubmit),
        ("abandon", abandon),
        ("reconcile", reconcile),
    ):
        # What is said before the decision holds for it too.
        _add_shared(decision, inherited=True)
        decision.set_defaults(run=run, decision=name)


def _add_shared(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    add_service(parser, inherited=inherited)
    add_journal(parser, inherited=inherited)
    add_json(parser, inherited=inherited)


async def run(arguments: argparse.Namespace) -> int:
    """List the doubts, or carry out a decision."""
    if arguments.decision is None:
        noted = await read_entries(arguments)
        service = shared_service(noted)
        if service is None and arguments.base_url is None and not arguments.journal.exists():
            return 0
        async with open_session(arguments, service=service) as luma:
            doubts = await luma.doubts.list()
        elsewhere = others_of(noted, UNDECIDED, {doubt.key for doubt in doubts})
        _put_doubts(doubts, arguments, more=bool(elsewhere))
        for where, number in elsewhere.items():
            print_status(f"{number} undecided at another service: {again(arguments, 'in-doubt', asks=False)} {where}")
        return 0
    if arguments.decision == "reconcile":
        async with open_session(arguments, service=await only_service(arguments)) as luma:
            _tell(await luma.doubts.reconcile(), arguments)
        return 0
    entries = {entry.key: entry for entry in await read_entries(arguments)}
    known = entries.get(arguments.key)
    async with open_session(arguments, service=known.service if known else None) as luma:
        await _decide(luma, arguments)
    return 0


def _put_doubts(doubts: Sequence[Entry], arguments: argparse.Namespace, *, more: bool) -> None:
    """Print each doubt with its reason, and what can be decided."""
    if arguments.json:
        for doubt in doubts:
            put_json(entry_json(doubt))
        return
    if doubts:
        put_table(("KEY", "SENT", "PROMPT", "WHY"), map(_row, doubts))
        decide = again(arguments, "in-doubt")
        print_status(
            f"Look for each at the service. If it is there: {decide} resolve KEY GENERATION\n"
            f"Else: {decide} abandon KEY, or {decide} resubmit KEY --accept-duplicate-risk"
        )
    elif not more:
        print_status("Nothing is in doubt.")


def _row(doubt: Entry) -> tuple[str, ...]:
    sent = f"{doubt.sent_at:%Y-%m-%d %H:%M}" if doubt.sent_at else ""
    prompt = shorten(str(doubt.request.get("prompt", "")))
    return doubt.key, sent, prompt, in_doubt(doubt).reason


def _tell(came: Reconciled, arguments: argparse.Namespace) -> None:
    """Print what was found; what was not is for a person to look at."""
    for handle in came.adopted:
        if arguments.json:
            put_json({"key": handle.key, "id": handle.id, "reason": None})
        else:
            print(f"{handle.key} is generation {handle.id}")
    for one in came.unresolved:
        if arguments.json:
            put_json({"key": one.entry.key, "id": None, "reason": one.reason})
        else:
            print_status(f"{one.entry.key} stays in doubt: {one.reason}")
    print_status(f"{len(came.adopted)} found, {len(came.unresolved)} left in doubt.")


async def _decide(luma: LumaSession, arguments: argparse.Namespace) -> None:
    if arguments.decision == "abandon":
        entry = await luma.doubts.abandon(arguments.key)
        if arguments.json:
            put_json(entry_json(entry))
        print_status(f"Closed: {entry.key} never buys again.")
        return
    if arguments.decision == "resolve":
        handle = await luma.doubts.resolve(arguments.key, generation_id=arguments.generation_id)
    else:
        handle = await luma.doubts.resubmit(arguments.key, accept_duplicate_risk=arguments.accept_duplicate_risk)
    if arguments.json:
        put_json({"id": handle.id, "key": handle.key})
    print_status(f"{handle.key} is generation {handle.id}. To fetch it: {again(arguments, 'resume')}")
