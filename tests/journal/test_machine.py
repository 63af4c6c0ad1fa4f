"""Sessions that buy, crash, return and decide in any order, over one journal: no key is paid twice by itself."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from luma_async import Entry, Generation, KeyConflict, Phase, PostgresJournal, SqliteJournal, State, SubmitInDoubt
from luma_async._journal import lifecycle
from luma_async._journal.lifecycle import Step

NOW = datetime(2025, 1, 1, tzinfo=UTC)
SERVICE = "rixapi https://relay.example"
NAMES = st.sampled_from(["first", "second"])
KEYS = st.sampled_from(["cat", "dog", "bird"])


@attrs.define
class Session:
    """One session: its own journal object, an owner, and its POSTs without an answer."""

    journal: SqliteJournal | PostgresJournal
    owner: str
    under_way: dict[str, str | None] = attrs.field(factory=dict)
    """By key: the generation that the POST started, or None where it started none."""


class Purchases(RuleBasedStateMachine):
    """The service's charges are the truth. The journal may know less, but must never cause another charge."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.sessions = {}
        self.charges, self.risks_taken = Counter(), Counter()
        self.generations = {}
        self.order = []

    def run(self, call):
        return self.runner.run(call)

    def new_journal(self):
        """Return a journal over the file of this run."""
        return SqliteJournal(self.folder / "jobs.db")

    async def kill(self, journal):
        """Release the locks of a journal as the death of its process does."""
        journal._locks.abandon()
        await journal.aclose()

    async def _changed(self, session, key, step):
        """Change an entry, and remember the order in which keys first appear."""
        entry = await session.journal.change(key, step)
        if key not in self.order:
            self.order.append(key)
        return entry

    @initialize()
    def begin(self):
        self.open("first")

    @rule(name=NAMES)
    def open(self, name):
        """Open a session, possibly after another was closed or crashed."""
        if name not in self.sessions:
            journal = self.new_journal()
            self.sessions[name] = Session(journal, self.run(journal.enter()))

    @precondition(lambda self: self.sessions)
    @rule(name=NAMES, key=KEYS, charged=st.booleans())
    def submit(self, name, key, charged):
        """Submit as the submitter does: claim, then POST if the claim succeeded."""
        session = self.sessions.get(name)
        if session is None:
            return
        try:
            self.run(self._changed(session, key, lifecycle.claim(self._intent(key, session), at=NOW)))
        except (KeyConflict, SubmitInDoubt):
            return
        self._post(session, key, charged=charged)

    def _intent(self, key, session):
        return Entry(key=key, phase=Phase.SENDING, service=SERVICE, digest=key, owner=session.owner)

    def _post(self, session, key, *, charged):
        generation_id = None
        if charged:
            self.charges[key] += 1
            generation_id = f"{key}-{self.charges[key]}"
            self.generations[generation_id] = key
        session.under_way[key] = generation_id

    @precondition(lambda self: any(session.under_way for session in self.sessions.values()))
    @rule(name=NAMES, lost=st.booleans(), data=st.data())
    def answer(self, name, lost, data):
        """Receive an answer or lose it. A service that charged does not reject."""
        session = self.sessions.get(name)
        if session is None or not session.under_way:
            return
        key = data.draw(st.sampled_from(sorted(session.under_way)))
        generation_id = session.under_way.pop(key)
        if lost:
            step = lifecycle.end_without_generation(Step.DOUBT, "no answer came", at=NOW)
        elif generation_id is not None:
            step = lifecycle.accept(generation_id, at=NOW)
        else:
            step = data.draw(
                st.sampled_from(
                    [
                        lifecycle.end_without_generation(Step.REFUSE, "no", at=NOW),
                        lifecycle.withdraw(session.owner, at=NOW),
                    ]
                )
            )
        self.run(self._changed(session, key, step))

    @precondition(lambda self: self.sessions)
    @rule(name=NAMES)
    def crash(self, name):
        """Kill a process: its locks are released, its answers are lost, and nothing is written."""
        session = self.sessions.pop(name, None)
        if session is not None:
            self.run(self.kill(session.journal))

    @precondition(lambda self: self.sessions)
    @rule(name=NAMES)
    def close(self, name):
        """Close a session without waiting for its outstanding answers."""
        session = self.sessions.pop(name, None)
        if session is not None:
            self.run(session.journal.leave(session.owner))

    @precondition(lambda self: self.sessions)
    @rule(key=KEYS, decision=st.sampled_from(["resolve", "resubmit", "abandon"]), charged=st.booleans())
    def decide(self, key, decision, charged):
        """Settle a doubt as a person does, by what the service shows; a claim of a living session cannot be settled."""
        session = next(iter(self.sessions.values()))
        doubt = self.run(session.journal.get(key))
        if doubt is None or (doubt.phase is Phase.SENDING and self.run(session.journal.alive(doubt.owner))):
            return
        bought = [generation_id for generation_id, owner in self.generations.items() if owner == key]
        if decision == "resolve" and not bought:
            return
        change = {
            "resolve": lambda: lifecycle.resolve(doubt, bought[-1], at=NOW),
            "resubmit": lambda: lifecycle.resubmit(doubt, self._intent(key, session), at=NOW),
            "abandon": lambda: lifecycle.abandon(doubt, "abandoned", at=NOW),
        }[decision]()
        try:
            self.run(self._changed(session, key, change))
        except KeyConflict:
            return
        if decision == "resubmit":
            self.risks_taken[key] += 1
            self._post(session, key, charged=charged)

    @precondition(lambda self: self.sessions)
    @rule(key=KEYS, failed=st.booleans(), lost=st.booleans())
    def look(self, key, failed, lost):
        """See that a generation has ended, or that the service has lost it."""
        session = next(iter(self.sessions.values()))
        entry = self.run(session.journal.get(key))
        if entry is None or entry.generation_id is None:
            return
        state = State.FAILED if failed else State.COMPLETED
        ended = Generation(id=entry.generation_id, state=state, raw={"id": entry.generation_id})
        self.run(self._changed(session, key, lifecycle.lose(at=NOW) if lost else lifecycle.finish(ended, at=NOW)))

    @invariant()
    def nothing_is_paid_twice_by_itself(self):
        """Each key is charged at most once, plus once for each risk that a person accepted."""
        for key, charges in self.charges.items():
            assert charges <= 1 + self.risks_taken[key], f"{key} was paid {charges} times"

    @invariant()
    def nothing_paid_is_forgotten(self):
        """Each charge is recorded as accepted or as possible, no purchase is invented, and the order is kept."""
        if not self.sessions:
            return
        journal = next(iter(self.sessions.values())).journal
        entries = self.run(journal.entries())
        assert [entry.key for entry in entries] == self.order
        for entry in entries:
            if self.charges[entry.key]:
                assert entry.phase not in lifecycle.UNPAID or self.risks_taken[entry.key]
            if entry.generation_id is not None:
                assert self.generations[entry.generation_id] == entry.key
            assert (entry.phase in lifecycle.PAID) == (entry.generation_id is not None)

    def teardown(self):
        for session in self.sessions.values():
            self.run(session.journal.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)


class PurchasesInPostgres(Purchases):
    """The same over a schema of PostgreSQL."""

    server = None

    def __init__(self):
        super().__init__()
        self.dsn = self.server.new_schema()

    def new_journal(self):
        return PostgresJournal(self.dsn)

    async def kill(self, journal):
        link = journal._links.here()
        link.abandon()
        await link._keeper.cancel()


SIZE = settings(max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.timeout(120)
def test_purchases_over_a_file():
    """Over a file, no order of purchases, crashes and decisions pays twice or forgets what was paid."""
    run_state_machine_as_test(Purchases, settings=SIZE)


@pytest.mark.timeout(120)
def test_purchases_over_postgres(postgres_server):
    """Over PostgreSQL, no order of purchases, crashes and decisions pays twice or forgets what was paid."""
    PurchasesInPostgres.server = postgres_server
    # Each example opens connections of its own, which takes longer than a file.
    run_state_machine_as_test(PurchasesInPostgres, settings=settings(SIZE, max_examples=20))
