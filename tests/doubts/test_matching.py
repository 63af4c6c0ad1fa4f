"""Which doubts adopt which listed generations: only unambiguous matches, and no generation twice."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async._doubts.matching import (
    MAX_CLOCK_SKEW,
    MAX_DELAY,
    RIVAL_CLOCK_SKEW,
    Adopt,
    Candidate,
    Claim,
    ListOrder,
    Match,
    Undecided,
    compare_prompts,
    decide,
    oldest_relevant,
)

EXACT, POSSIBLE, NONE = Match.EXACT, Match.POSSIBLE, Match.NONE
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CAT = Claim(key="cat", sent_at=NOON)
TWIN = Claim(key="twin", sent_at=NOON + SECOND)


def found(name="g1", after=SECOND):
    return Candidate(id=name, created_at=None if after is None else NOON + after)


def first_decision(claims, candidates, matches):
    """The decision about the first claim."""
    return decide(claims, candidates, matches)[claims[0].key]


TIMES = {
    "at once": (timedelta(0), True),
    "within the clock skew": (-MAX_CLOCK_SKEW, True),
    "too early": (-MAX_CLOCK_SKEW - SECOND, False),
    "at the latest": (MAX_DELAY, True),
    "too late": (MAX_DELAY + SECOND, False),
    "long before": (-RIVAL_CLOCK_SKEW - SECOND, False),
    "unknown": (None, False),
}


@pytest.mark.parametrize(("after", "is_adopted"), TIMES.values(), ids=TIMES.keys())
def test_adoption_by_creation_time(after, is_adopted):
    """A generation is adopted only if it was made within minutes after the submit was sent."""
    decision = first_decision([CAT], [found(after=after)], {("cat", "g1"): EXACT})
    assert decision == Adopt("g1") if is_adopted else isinstance(decision, Undecided)


def test_doubt_without_send_time():
    """A doubt whose time of sending is unknown adopts nothing."""
    lost = attrs.evolve(CAT, sent_at=None)
    assert isinstance(first_decision([lost], [found()], {("cat", "g1"): EXACT}), Undecided)


TWO_EXACT = {("cat", "g1"): EXACT, ("cat", "g2"): EXACT}
BOTH_EXACT = {("cat", "g1"): EXACT, ("twin", "g1"): EXACT}
NO_MATCH = "lists no generation that matches"
UNDECIDED = {
    "empty list": ([CAT], [], {}, NO_MATCH),
    "no match": ([CAT], [found()], {("cat", "g1"): NONE}, NO_MATCH),
    "other generation": ([CAT], [found("g2")], {("cat", "g1"): EXACT}, NO_MATCH),
    "two exact": ([CAT], [found(), found("g2")], TWO_EXACT, "2 generations .* g1, g2"),
    "one exact, one possible": ([CAT], [found(), found("g2")], TWO_EXACT | {("cat", "g2"): POSSIBLE}, "2 generations"),
    "second a little too old": ([CAT], [found(), found("g2", -RIVAL_CLOCK_SKEW)], TWO_EXACT, "2 generations"),
    "second of unknown age": ([CAT], [found(), found("g2", None)], TWO_EXACT, "2 generations"),
    "second much later": ([CAT], [found(), found("g2", timedelta(days=2))], TWO_EXACT, "2 generations"),
    "nine": (
        [CAT],
        [found(f"g{number}") for number in range(9)],
        {("cat", f"g{number}"): EXACT for number in range(9)},
        r"9 generations .*: g0, g1, g2, g3, g4\.$",
    ),
    "possible": ([CAT], [found()], {("cat", "g1"): POSSIBLE}, "too little of g1"),
    "same doubt twice": ([CAT, TWIN], [found()], BOTH_EXACT, "another submit"),
    "similar doubt": ([CAT, TWIN], [found()], BOTH_EXACT | {("twin", "g1"): POSSIBLE}, "another submit"),
    "same request being sent": ([CAT, attrs.evolve(TWIN, open=False)], [found()], BOTH_EXACT, "another submit"),
    "same request, unknown time": ([CAT, attrs.evolve(TWIN, sent_at=None)], [found()], BOTH_EXACT, "another submit"),
    "an hour later": ([CAT], [found(after=timedelta(hours=1))], {("cat", "g1"): EXACT}, "at 2025-06-01 13:00:00"),
    "unknown creation time": ([CAT], [found(after=None)], {("cat", "g1"): EXACT}, "is unknown whether g1 was made"),
}


@pytest.mark.parametrize(("claims", "candidates", "matches", "reason"), UNDECIDED.values(), ids=UNDECIDED.keys())
def test_undecided_reason(claims, candidates, matches, reason):
    """An ambiguous match leaves the submit in doubt, and the reason names the generations to check."""
    decision = first_decision(claims, candidates, matches)
    assert isinstance(decision, Undecided)
    assert re.search(reason, decision.reason)


def test_later_submit_is_no_rival():
    """A submit that was sent long after a generation was made cannot have made it."""
    later = Claim(key="later", sent_at=NOON + SECOND + RIVAL_CLOCK_SKEW + SECOND)
    decisions = decide([CAT, later], [found()], {("cat", "g1"): EXACT, ("later", "g1"): EXACT})
    assert decisions["cat"] == Adopt("g1")
    assert isinstance(decisions["later"], Undecided)


def test_two_different_doubts():
    """Two doubts with different requests each adopt their own generation."""
    matches = {("cat", "g1"): EXACT, ("cat", "g2"): NONE, ("twin", "g1"): NONE, ("twin", "g2"): EXACT}
    decisions = decide([CAT, TWIN], [found(), found("g2", 2 * SECOND)], matches)
    assert decisions == {"cat": Adopt("g1"), "twin": Adopt("g2")}


def test_closed_claim_has_no_decision():
    """A claim that is not open has no decision."""
    assert decide([attrs.evolve(CAT, open=False)], [found()], {("cat", "g1"): EXACT}) == {}


moments = st.one_of(st.none(), st.integers(-1200, 1200).map(lambda seconds: NOON + seconds * SECOND))


@st.composite
def situations(draw):
    claims = [
        Claim(key=f"k{number}", sent_at=draw(moments), open=draw(st.booleans()))
        for number in range(draw(st.integers(0, 4)))
    ]
    candidates = [Candidate(id=f"g{number}", created_at=draw(moments)) for number in range(draw(st.integers(0, 4)))]
    pairs = [(claim.key, each.id) for claim in claims for each in candidates]
    return claims, candidates, {pair: draw(st.sampled_from(Match)) for pair in pairs}


def adopted(decisions):
    return {key: decision.generation_id for key, decision in decisions.items() if isinstance(decision, Adopt)}


@given(situations())
def test_no_double_adoption(situation):
    """Each generation is adopted at most once, and each open claim has a decision."""
    claims, candidates, matches = situation
    decisions = decide(claims, candidates, matches)
    taken = list(adopted(decisions).values())
    assert len(set(taken)) == len(taken)
    assert set(decisions) == {claim.key for claim in claims if claim.open}


@given(situations())
def test_adoption_is_unambiguous(situation):
    """An adopted generation matches exactly, has the right age, and has no rival; its claim has no rival either."""
    claims, candidates, matches = situation
    by_key = {claim.key: claim for claim in claims}
    by_id = {each.id: each for each in candidates}

    def possible(claim, each):
        young = None in {claim.sent_at, each.created_at} or each.created_at >= claim.sent_at - RIVAL_CLOCK_SKEW
        return young and matches[claim.key, each.id] is not NONE

    for key, generation_id in adopted(decide(claims, candidates, matches)).items():
        claim, each = by_key[key], by_id[generation_id]
        assert matches[key, generation_id] is EXACT
        assert -MAX_CLOCK_SKEW <= each.created_at - claim.sent_at <= MAX_DELAY
        assert [other.id for other in candidates if possible(claim, other)] == [generation_id]
        assert [other.key for other in claims if possible(other, each)] == [key]


@given(situations(), st.sampled_from([EXACT, POSSIBLE]), moments)
def test_rival_prevents_adoption(situation, match, created_at):
    """A further candidate prevents an adoption, unless it is too old."""
    claims, candidates, matches = situation
    rival = Candidate(id="rival", created_at=created_at)
    with_rival = {**matches, **{(claim.key, "rival"): match for claim in claims}}
    before, after = (
        adopted(decide(claims, candidates, matches)),
        adopted(decide(claims, [*candidates, rival], with_rival)),
    )
    for claim in claims:
        too_old = None not in {claim.sent_at, created_at} and created_at < claim.sent_at - RIVAL_CLOCK_SKEW
        if claim.key in before and not too_old:
            assert claim.key not in after


@given(situations())
def test_order_is_irrelevant(situation):
    """The order of the claims and of the list does not change what is adopted."""
    claims, candidates, matches = situation
    assert adopted(decide(claims, candidates, matches)) == adopted(decide(claims[::-1], candidates[::-1], matches))


@given(situations())
def test_decide_is_idempotent(situation):
    """Without the adopted generations and their claims, a second run adopts nothing."""
    claims, candidates, matches = situation
    taken = adopted(decide(claims, candidates, matches))
    rest = [claim for claim in claims if claim.key not in taken]
    left = [each for each in candidates if each.id not in taken.values()]
    assert adopted(decide(rest, left, matches)) == {}


def test_oldest_relevant():
    """The list is read back to the oldest open claim less the clock skew; to its end if a time is unknown."""
    older = Claim(key="older", sent_at=NOON - timedelta(days=1))
    assert oldest_relevant([CAT, older]) == older.sent_at - RIVAL_CLOCK_SKEW
    assert oldest_relevant([CAT, attrs.evolve(older, open=False)]) == NOON - RIVAL_CLOCK_SKEW
    assert oldest_relevant([CAT, attrs.evolve(older, sent_at=None)]) is None
    assert oldest_relevant([]) is None


def list_order(*minutes):
    order = ListOrder()
    for minute in minutes:
        order = order.after(None if minute is None else NOON + timedelta(minutes=minute))
    return order


ORDERS = {
    "nothing": ((), False),
    "not yet": ((9, 5, 1), False),
    "beyond": ((9, 5, -1), True),
    "beyond, with equal candidates": ((9, 9, -1, -1), True),
    "beyond, with unknown candidates": ((9, None, -1, None), True),
    "only unknown candidates": ((None, None), False),
    "not in order": ((-5, 9, -6), False),
    "exactly there": ((9, 0), False),
}


@pytest.mark.parametrize(("minutes", "below"), ORDERS.values(), ids=ORDERS.keys())
def test_list_order_below(minutes, below):
    """Reading stops at the first generation that is too old, but only while the list is ordered."""
    assert list_order(*minutes).below(NOON) is below


def test_list_order_without_bound():
    """Without a known time, the list is read to its end."""
    assert not list_order(9, -9).below(None)


@pytest.mark.parametrize(
    ("ours", "theirs", "match"),
    [("a cat", "a cat ", POSSIBLE), ("a cat", "a dog", NONE), ("a cat", None, POSSIBLE), (None, "a cat", POSSIBLE)],
)
def test_compare_prompts(ours, theirs, match):
    """Equal or unknown prompts are a possible match, never an exact match; different prompts are no match."""
    assert compare_prompts(ours, theirs) is match
