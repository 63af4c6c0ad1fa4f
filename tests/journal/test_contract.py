"""What every journal promises: the journals in memory, in a file and in PostgreSQL pass the same tests."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from luma_async import (
    Budget,
    BudgetExceeded,
    ConfigurationError,
    Entry,
    Generation,
    HintJournal,
    Image,
    Journal,
    JournalError,
    KeyConflict,
    Layer,
    LumaSession,
    MemoryJournal,
    OtherOutput,
    Phase,
    PostgresJournal,
    SpendingJournal,
    Spent,
    SqliteJournal,
    State,
    Video,
)
from luma_async._journal import lifecycle
from luma_async._submit.spending import Spending

NOW = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SERVICE, ELSEWHERE = "rixapi https://relay.example", "rixapi https://elsewhere.example"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def new_journal(request, tmp_path):
    """A function that makes journals over the same entries; the one in memory has none to share."""
    if request.param == "memory":
        return MemoryJournal
    if request.param == "sqlite":
        return lambda: SqliteJournal(tmp_path / "jobs.db")
    dsn = request.getfixturevalue("postgres_dsn")
    return lambda: PostgresJournal(dsn)


@pytest.fixture
async def journal(new_journal):
    made = new_journal()
    yield made
    await made.aclose()


def intent(key="cat", owner="0" * 16, **fields):
    fields = {"phase": Phase.SENDING, "service": SERVICE, **fields}
    return Entry(key=key, digest="d", owner=owner, **fields)


def put(entry):
    """Return a step that replaces the present entry."""
    return lambda _: entry


async def bought(journal, key, generation_id, service=SERVICE):
    """Claim a key and record its generation."""
    await journal.change(key, lifecycle.claim(intent(key, service=service), at=NOW))
    return await journal.change(key, lifecycle.accept(generation_id, at=NOW))


def test_journals_match_protocol(tmp_path):
    """All are what the protocols say, without being opened."""
    for made in (MemoryJournal(), SqliteJournal(tmp_path / "jobs.db"), PostgresJournal("postgresql://nowhere/x")):
        assert isinstance(made, Journal)
        assert isinstance(made, SpendingJournal)
        assert isinstance(made, HintJournal)
    assert list(tmp_path.iterdir()) == []


class OwnJournal:
    """A journal of a user, which holds its entries in memory and has nothing to do with our classes."""

    def __init__(self):
        self._memory = MemoryJournal()

    def __getattr__(self, name):
        if name == "lasting":
            raise AttributeError(name)
        return getattr(self._memory, name)


class OwnVolatileJournal(OwnJournal):
    lasting = False


@pytest.mark.looptime
async def test_batch_name_by_lasting(gateway):
    """A journal with `lasting = False` needs no batch name; one that does not say is taken for lasting."""
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=OwnVolatileJournal()) as luma:
        assert len(await luma.batch(["cat dance"]).results()) == 1
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=OwnJournal()) as luma:
        with pytest.raises(ConfigurationError, match="name"):
            luma.batch(["cat dance"])


async def test_entry_found(journal):
    """An entry is found by its key and by its generation of the same service."""
    assert await journal.get("cat") is None
    entry = await bought(journal, "cat", "gen-1")
    assert entry.phase is Phase.ACCEPTED
    assert await journal.get("cat") == entry
    assert await journal.find(SERVICE, "gen-1") == entry
    assert await journal.find(ELSEWHERE, "gen-1") is None
    assert await journal.find(SERVICE, "gen-2") is None
    assert await journal.get("dog") is None


async def test_change_step(journal):
    """The step gets the present entry, None at first; its result is the next entry and is returned."""
    seen = []

    def step(standing):
        seen.append(standing)
        return intent(attempts=len(seen))

    first = await journal.change("cat", step)
    second = await journal.change("cat", step)
    assert seen == [None, first]
    assert await journal.get("cat") == second == intent(attempts=2)


async def test_change_without_change(journal):
    """A step that returns its argument changes nothing."""
    assert await journal.change("cat", lambda standing: standing) is None
    assert await journal.entries() == []
    entry = await bought(journal, "cat", "gen-1")
    assert await journal.change("cat", lambda standing: standing) == entry
    assert await journal.change("cat", attrs.evolve) == entry


async def test_change_step_raises(journal):
    """The exception of a step reaches the caller unchanged, and the entry stays."""
    entry = await bought(journal, "cat", "gen-1")

    def step(_):
        raise ZeroDivisionError("a step's own trouble")

    with pytest.raises(ZeroDivisionError, match="own trouble"):
        await journal.change("cat", step)
    with pytest.raises(JournalError):
        await journal.change("dog", lifecycle.accept("gen-2", at=NOW))
    assert await journal.entries() == [entry]


async def test_change_one_step_fails(journal):
    """Of many concurrent changes a failing step fails its own caller only."""

    def step_of(number):
        def step(_):
            if number % 3 == 0:
                raise ZeroDivisionError(number)
            return intent(f"key-{number}", generation_id="the same" if number % 3 == 1 else f"gen-{number}")

        return step

    numbers = range(30)
    calls = [asyncio.ensure_future(journal.change(f"key-{number}", step_of(number))) for number in numbers]
    await asyncio.wait(calls)
    kinds = [type(call.exception()) for call in calls]
    assert kinds.count(ZeroDivisionError) == 10
    assert kinds.count(KeyConflict) == 9
    assert len(await journal.entries()) == 11


async def test_generation_of_another_key(journal):
    """A second key with the same generation of the same service is a conflict that names the holder."""
    holder = await bought(journal, "cat", "gen-1")
    await journal.change("dog", lifecycle.claim(intent("dog"), at=NOW))
    with pytest.raises(KeyConflict, match="holds generation gen-1") as caught:
        await journal.change("dog", lifecycle.accept("gen-1", at=NOW))
    assert caught.value.entry == holder
    assert caught.value.__context__ is None
    assert (await journal.get("dog")).phase is Phase.SENDING
    assert (await bought(journal, "bird", "gen-1", service=ELSEWHERE)).generation_id == "gen-1"


async def test_concurrent_claims(journal):
    """Of many concurrent claims of a key exactly one succeeds."""
    calls = [
        asyncio.ensure_future(journal.change("cat", lifecycle.claim(intent(owner=f"{number:016x}"), at=NOW)))
        for number in range(50)
    ]
    await asyncio.wait(calls)
    winners = [call.result() for call in calls if call.exception() is None]
    assert [await journal.get("cat")] == winners
    assert all(isinstance(call.exception(), KeyConflict) for call in calls if call.exception() is not None)


async def test_entries_order(journal):
    """Entries are in the order of their first claims, with and without filters, however they change."""
    for number in range(5):
        await journal.change(f"key-{number}", lifecycle.claim(intent(f"key-{number}"), at=NOW))
    for number in (3, 1):
        await journal.change(f"key-{number}", lifecycle.accept(f"gen-{number}", at=NOW))
    await bought(journal, "other", "gen-1", service=ELSEWHERE)

    async def keys(**wanted):
        return [entry.key for entry in await journal.entries(**wanted)]

    assert await keys() == ["key-0", "key-1", "key-2", "key-3", "key-4", "other"]
    assert await keys(phases={Phase.ACCEPTED}) == ["key-1", "key-3", "other"]
    assert await keys(service=SERVICE, phases={Phase.ACCEPTED}) == ["key-1", "key-3"]
    assert await keys(service=ELSEWHERE) == ["other"]
    assert await keys(phases=lifecycle.PAID | lifecycle.UNDECIDED, service=SERVICE) == [f"key-{n}" for n in range(5)]
    assert await keys(phases=()) == []


async def test_owner_alive(journal):
    """An owner is alive until it leaves; unknown names are dead, whatever they look like."""
    first, second = await journal.enter(), await journal.enter()
    assert first != second
    assert await journal.alive(first)
    assert await journal.alive(second)
    await journal.leave(first)
    assert not await journal.alive(first)
    assert await journal.alive(second)
    for name in ("", "0" * 16, "../jobs.db", "\0", "ü" * 16):
        assert not await journal.alive(name)
    await journal.leave(second)
    await journal.leave(second)


async def test_journal_reopened(journal):
    """Closing twice is fine. A reopened journal has its entries, and the earlier owners are dead."""
    before = await journal.enter()
    entry = await bought(journal, "cat", "gen-1")
    await journal.leave(before)
    await journal.aclose()
    await journal.aclose()
    owner = await journal.enter()
    assert await journal.entries() == [entry]
    assert await journal.alive(owner)
    assert not await journal.alive(before)
    await journal.leave(owner)


def test_journal_in_two_event_loops(new_journal):
    """A journal that was used in one event loop can be used in the next."""
    journal = new_journal()

    async def buy(number):
        owner = await journal.enter()
        await bought(journal, f"key-{number}", f"gen-{number}")
        await journal.leave(owner)
        return len(await journal.entries())

    assert [asyncio.run(buy(number)) for number in range(3)] == [1, 2, 3]
    asyncio.run(journal.aclose())


async def test_change_cancelled(journal):
    """Cancelled at any moment, a change is made completely or not at all, and other calls are not affected."""
    for number in range(30):
        calls = [
            asyncio.ensure_future(bought(journal, f"{name}-{number}", f"{name}-{number}")) for name in ("gone", "stays")
        ]
        for _ in range(number):
            await asyncio.sleep(0)
        calls[0].cancel()
        assert (await calls[1]).phase is Phase.ACCEPTED
        await asyncio.wait(calls)
        gone = await journal.get(f"gone-{number}")
        assert gone is None or gone.phase in {Phase.SENDING, Phase.ACCEPTED}


async def test_spent_by_phase(journal):
    """Every phase but *not sent* and *refused* counts as spent, *sending* and *abandoned* included."""
    for phase in Phase:
        await journal.change(phase, put(intent(phase, sent_at=NOW, price=Decimal("0.1"), phase=phase)))
    unspent = {Phase.NOT_SENT, Phase.REFUSED}
    number = len(set(Phase) - unspent)
    spent = Spent(purchases=number, amount=Decimal("0.1") * number)
    assert await journal.spent(SERVICE, [None]) == [spent]
    assert await journal.spent(ELSEWHERE, [None]) == [Spent()]
    assert await journal.spent(SERVICE, []) == []


async def test_spent_since_moment(journal):
    """What counts was claimed later than the moment; a moment with no microseconds is in order with the others."""
    begin = NOW.replace(microsecond=0)
    for number in range(4):
        at = begin + timedelta(microseconds=number * 500_000)
        price = None if number == 3 else Decimal(number)
        await journal.change(f"key-{number}", put(intent(f"key-{number}", sent_at=at, price=price, charges=number + 1)))
    since = [begin + timedelta(microseconds=micros) for micros in (-1, 0, 500_000, 999_999, 1_500_000)]
    assert await journal.spent(SERVICE, since) == [
        Spent(purchases=10, amount=Decimal(3), unpriced=4),
        Spent(purchases=9, amount=Decimal(3), unpriced=4),
        Spent(purchases=7, amount=Decimal(2), unpriced=4),
        Spent(purchases=7, amount=Decimal(2), unpriced=4),
        Spent(),
    ]


async def test_change_within_step(journal):
    """The step gets the present entry and what is spent; when it raises, nothing changes."""
    seen = []

    def step(standing, spent):
        seen.append((standing, *spent))
        if len(seen) == 3:
            raise ZeroDivisionError
        return intent(sent_at=NOW, attempts=len(seen))

    for _ in range(2):
        entry = await journal.change_within("cat", step, service=SERVICE, since=[None, NOW])
    with pytest.raises(ZeroDivisionError):
        await journal.change_within("dog", step, service=SERVICE, since=[None])
    one = Spent(purchases=1, unpriced=1)
    assert seen == [(None, Spent(), Spent()), (intent(sent_at=NOW), one, Spent()), (None, one)]
    assert await journal.entries() == [entry]


async def claim_within(spending, key, *, at=NOW, price=None):
    """Claim a key as a submit does."""
    await spending.claim(key, lifecycle.claim(intent(key, price=price), at=at), price=price, at=at)


async def test_concurrent_claims_in_budget(journal):
    """Of many concurrent claims as many succeed as the budgets have room for, and the others change nothing."""
    budgets = [Budget(purchases=7, per="day"), Budget(amount=2)]
    sessions = [Spending(budgets, journal=journal, service=SERVICE) for _ in range(4)]
    calls = [
        asyncio.ensure_future(claim_within(sessions[number % 4], f"key-{number}", price=Decimal("0.3")))
        for number in range(40)
    ]
    await asyncio.wait(calls)
    assert sum(call.exception() is None for call in calls) == len(await journal.entries()) == 6
    assert {type(call.exception()) for call in calls} == {type(None), BudgetExceeded}
    assert await journal.spent(SERVICE, [None]) == [Spent(purchases=6, amount=Decimal("1.8"))]


async def test_room_after_span(journal):
    """The error names the moment from which the claim succeeds, to two seconds, and no earlier moment works."""
    spending = Spending([Budget(purchases=2, per="hour")], journal=journal, service=SERVICE)
    for minute in (0, 10):
        await claim_within(spending, f"key-{minute}", at=NOW + timedelta(minutes=minute))
    with pytest.raises(BudgetExceeded) as caught:
        await claim_within(spending, "late", at=NOW + timedelta(minutes=20))
    room_at = caught.value.room_at
    assert timedelta() <= room_at - (NOW + timedelta(hours=1)) <= timedelta(seconds=2)
    with pytest.raises(BudgetExceeded):
        await claim_within(spending, "late", at=NOW + timedelta(minutes=59))
    await claim_within(spending, "late", at=room_at)


@pytest.mark.parametrize(
    "end", [lifecycle.withdraw("0" * 16, at=NOW), lifecycle.end_without_generation(lifecycle.Step.REFUSE, "", at=NOW)]
)
async def test_spent_after_release(journal, end):
    """A claim that is withdrawn or refused counts no longer, and counts once when it is claimed again."""
    spending = Spending([Budget(purchases=9)], journal=journal, service=SERVICE)
    for _ in range(2):
        await claim_within(spending, "cat", price=Decimal(1))
        assert await journal.spent(SERVICE, [None]) == [Spent(purchases=1, amount=Decimal(1))]
        await journal.change("cat", end)
        assert await journal.spent(SERVICE, [None]) == [Spent()]


async def test_spent_after_resubmit(journal):
    """A doubt that is sent again counts twice, with both prices, until it is proven that the second bought nothing."""
    spending = Spending([Budget(purchases=9)], journal=journal, service=SERVICE)
    again = intent("cat", price=Decimal(2))

    async def resubmit(doubt):
        await spending.claim("cat", lifecycle.resubmit(doubt, again, at=NOW), price=again.price, at=NOW)
        return (await journal.spent(SERVICE, [None]))[0]

    await claim_within(spending, "cat", price=Decimal(1))
    doubt = await journal.change("cat", lifecycle.end_without_generation(lifecycle.Step.DOUBT, "", at=NOW))
    assert await resubmit(doubt) == Spent(purchases=2, amount=Decimal(3))
    doubt = await journal.change("cat", lifecycle.back_to_doubt(doubt, again.owner, "not sent", at=NOW))
    assert await journal.spent(SERVICE, [None]) == [Spent(purchases=1, amount=Decimal(1))]
    await resubmit(doubt)
    await journal.change("cat", lifecycle.accept("gen-1", at=NOW))
    assert await journal.spent(SERVICE, [None]) == [Spent(purchases=2, amount=Decimal(3))]


MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.none()
WORDS = st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=4)
NUMBERS = st.integers(0, 10_000) | st.none()
TEXTS = WORDS | st.none()
IMAGES = st.builds(Image, url=TEXTS, width=NUMBERS, height=NUMBERS)
VIDEOS = st.builds(Video, url=TEXTS, download_url=TEXTS, width=NUMBERS, duration_s=st.floats(0, 60) | st.none())
RESULTS = (
    Video(url="https://x.example/v.mp4"),
    Image(url="https://x.example/i.png"),
    Layer(url="https://x.example/l.png", index=1, label="boat"),
    OtherOutput(type="exr", url="https://x.example/e.zip"),
)
OUTPUTS = st.lists(st.sampled_from(RESULTS)).map(tuple)
GENERATION_FIELDS = {
    "outputs": OUTPUTS,
    "id": WORDS,
    "state": st.sampled_from(State),
    "raw_state": WORDS,
    "prompt": TEXTS,
    "created_at": MOMENTS,
    "video": VIDEOS | st.none(),
    "video_raw": VIDEOS | st.none(),
    "image": IMAGES | st.none(),
    "thumbnail": IMAGES | st.none(),
    "last_frame": IMAGES | st.none(),
    "failure_reason": TEXTS,
    "failure_code": TEXTS,
    "progress": st.floats(0, 1) | st.none(),
    "estimate_wait_s": st.floats(0, 1000) | st.none(),
    "server_id": TEXTS,
    "model": TEXTS,
    "siblings": st.lists(WORDS, max_size=2).map(tuple),
    "raw": OBJECTS,
    "raw_row": OBJECTS,
}
ENTRY_FIELDS = {
    "key": st.just("cat"),
    "phase": st.sampled_from(Phase),
    "service": st.just(SERVICE),
    "digest": st.just("d"),
    "request": OBJECTS,
    "owner": st.just("0" * 16),
    "attempts": st.integers(1, 1_000_000),
    "sent_at": MOMENTS,
    "updated_at": MOMENTS,
    "generation_id": st.sampled_from(["gen-1", "gen-2"]) | st.none(),
    "reason": WORDS,
    "generation": st.builds(Generation, **GENERATION_FIELDS) | st.none(),
    "path": TEXTS,
    "price": st.decimals(0, 1000, places=3) | st.none(),
    "charges": st.integers(1, 5),
}


@pytest.mark.parametrize(("cls", "fields"), [(Entry, ENTRY_FIELDS), (Generation, GENERATION_FIELDS)])
def test_entry_strategy_complete(cls, fields):
    """The strategy below makes every field of an entry, so that no journal can drop a field unnoticed."""
    assert set(fields) == set(attrs.fields_dict(cls))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([intent(reason="half a surrogate \udcff", path="clips/\udcff.mp4", request={"\ud800": "\udfff"})])
@example([intent(reason='zero \0 and \\u0000 and "', path="\0", request={"\0": "\0"})])
@given(st.lists(st.builds(Entry, **ENTRY_FIELDS), min_size=1, max_size=3))
async def test_entry_round_trip(new_journal, entries):
    """Any text, time, request and result is read back as it was written, raw JSON included."""
    journal = new_journal()
    for entry in entries:
        assert await journal.change("cat", put(entry)) == entry
        assert await journal.get("cat") == entry
    await journal.aclose()
    if getattr(journal, "lasting", True):
        journal = new_journal()
    assert await journal.get("cat") == entries[-1]
    await journal.aclose()


async def test_hints(journal):
    """Hints are kept by service and name; the newest text of a name counts."""
    if not isinstance(journal, HintJournal):
        pytest.skip("this journal keeps no hints")
    await journal.keep_hints(SERVICE, {"running": "4", "duration": "60"})
    await journal.keep_hints(SERVICE, {"running": "9"})
    await journal.keep_hints(ELSEWHERE, {"running": "2"})
    assert await journal.hints(SERVICE) == {"running": "9", "duration": "60"}
    assert await journal.hints(ELSEWHERE) == {"running": "2"}
    assert await journal.hints("rixapi https://new.example") == {}
