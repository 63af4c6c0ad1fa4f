"""Sessions that buy, crash, return and decide in any order within budgets: no window ever has more than its limit."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from luma_async import Budget, Entry, LumaError, MemoryJournal, Phase, SqliteJournal
from luma_async._journal import lifecycle
from luma_async._journal.lifecycle import Step
from luma_async._submit.spending import Spending

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
SERVICE = "rixapi https://relay.example"
BUDGETS = [
    Budget(purchases=3, per="hour"),
    Budget(amount="0.5", per="day"),
    Budget(purchases=6),
    Budget(purchases=2, per="session"),
]
PRICES = {f"key-{number}": Decimal(number % 3) / 10 for number in range(12)}
NAMES = st.sampled_from(["first", "second"])
KEYS = st.sampled_from(sorted(PRICES))
SKEWS = st.sampled_from([timedelta(0), timedelta(seconds=-70), timedelta(seconds=70)])
"""How far the clock of a machine may be off."""


@attrs.define
class Session:
    """One session: its own journal object, its counts, and its POSTs without an answer."""

    journal: SqliteJournal | MemoryJournal
    spending: Spending
    owner: str
    under_way: dict[str, str | None] = attrs.field(factory=dict)
    """By key: the generation that the POST started, or None where it started none."""


@attrs.frozen
class Charge:
    """What the service charged."""

    at: datetime
    price: Decimal
    session: Session = attrs.field(eq=False)


class PurchasesInBudget(RuleBasedStateMachine):
    """The service's charges are the truth; what the journal counts may only be more."""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.sessions, self.charges, self.now = {}, [], BEGIN

    def new_journal(self):
        raise NotImplementedError

    def run(self, call):
        return self.runner.run(call)

    @initialize()
    def begin(self):
        self.open("first")

    @rule(name=NAMES)
    def open(self, name):
        """Open a session, possibly after another was closed or crashed."""
        if name not in self.sessions:
            journal = self.new_journal()
            spending = Spending(BUDGETS, journal=journal, service=SERVICE)
            self.sessions[name] = Session(journal, spending, self.run(journal.enter()))

    @rule(minutes=st.sampled_from([1, 59, 61, 25 * 60]))
    def wait(self, minutes):
        """Let time pass."""
        self.now += timedelta(minutes=minutes)

    @rule(name=NAMES, key=KEYS, charged=st.booleans(), skew=SKEWS, end=st.sampled_from(["answered", "lost", "open"]))
    def submit(self, name, key, charged, skew, end):
        """Claim, then POST if the claim succeeded. A doubt is sent another time, as if a person had decided so."""
        session = self.sessions.get(name)
        if session is None or key in session.under_way:
            return
        at, price = self.now + skew, PRICES[key]
        standing = self.run(session.journal.get(key))
        entry = Entry(key=key, phase=Phase.SENDING, service=SERVICE, digest=key, owner=session.owner, price=price)
        in_doubt = standing is not None and standing.phase in lifecycle.UNDECIDED
        step = lifecycle.resubmit(standing, entry, at=at) if in_doubt else lifecycle.claim(entry, at=at)
        if any(key in other.under_way for other in self.sessions.values()):
            return
        try:
            self.run(session.spending.claim(key, step, price=price, at=at))
        except LumaError:
            # A refusal changes nothing.
            assert self.run(session.journal.get(key)) == standing
        else:
            session.under_way[key] = f"{key}-{len(self.charges)}" if charged else None
            if charged:
                self.charges.append(Charge(at, price, session))
            if end != "open":
                self.answer(name, key, answered=end == "answered")

    @rule(name=NAMES, key=KEYS, answered=st.booleans())
    def answer(self, name, key, answered):
        """Answer a POST, or lose the answer."""
        session = self.sessions.get(name)
        if session is None or key not in session.under_way:
            return
        generation_id = session.under_way.pop(key)
        entry = self.run(session.journal.get(key))
        if not answered:
            step = lifecycle.end_without_generation(Step.DOUBT, "no answer", at=self.now)
        elif generation_id is not None:
            step = lifecycle.accept(generation_id, at=self.now)
        elif entry.charges == 1:
            step = lifecycle.end_without_generation(Step.REFUSE, "no", at=self.now)
        else:
            step = lifecycle.end_without_generation(Step.DOUBT, "sent again, and refused", at=self.now)
        self.run(session.journal.change(key, step))
        if answered and generation_id is None and entry.charges == 1:
            session.spending.release(PRICES[key])

    @rule(key=KEYS)
    def abandon(self, key):
        """A person closes a doubt."""
        for session in self.sessions.values():
            entry = self.run(session.journal.get(key))
            if entry is not None and entry.phase is Phase.IN_DOUBT:
                self.run(session.journal.change(key, lifecycle.abandon(entry, "closed", at=self.now)))
            break

    @rule(name=NAMES)
    def crash(self, name):
        """End a process without a word; its claims stay, and its POSTs are never answered."""
        session = self.sessions.pop(name, None)
        if session is not None:
            self.run(session.journal.leave(session.owner))

    @invariant()
    def every_window_within_budget(self):
        """No window that ends at any moment has more charges than its limit, and the journal counts at least those."""
        for budget in BUDGETS:
            for end in {charge.at for charge in self.charges}:
                since = budget.since(end)
                window = [
                    charge for charge in self.charges if charge.at <= end and (since is None or charge.at > since)
                ]
                groups = defaultdict(list)
                for charge in window:
                    groups[charge.session.owner if budget.per == "session" else ""].append(charge.price)
                for prices in groups.values():
                    assert budget.purchases is None or len(prices) <= budget.purchases, (budget, self.charges)
                    assert budget.amount is None or sum(prices) <= budget.amount, (budget, self.charges)

    @invariant()
    def charges_are_counted(self):
        """What the journal counts is never less than what the service charged."""
        for session in list(self.sessions.values())[:1]:
            moments = [BEGIN - timedelta(days=1), self.now - timedelta(hours=1)]
            spent = self.run(session.journal.spent(SERVICE, moments))
            for moment, counted in zip(moments, spent, strict=True):
                charged = [charge.price for charge in self.charges if charge.at > moment]
                assert counted.purchases >= len(charged)
                assert counted.amount >= sum(charged)

    def teardown(self):
        for session in self.sessions.values():
            self.run(session.journal.aclose())
        self.runner.close()


class PurchasesOverFile(PurchasesInBudget):
    """Each session has its own journal over one file, as in processes of their own."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())

    def new_journal(self):
        return SqliteJournal(self.folder / "jobs.db")

    def teardown(self):
        super().teardown()
        shutil.rmtree(self.folder)


class PurchasesInMemory(PurchasesInBudget):
    """All sessions share one journal in memory."""

    def __init__(self):
        super().__init__()
        self.journal = MemoryJournal()

    def new_journal(self):
        return self.journal


TestOverFile = PurchasesOverFile.TestCase
TestOverFile.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestInMemory = PurchasesInMemory.TestCase
TestInMemory.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
