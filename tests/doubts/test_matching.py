"""Which doubts take which listed generations for their own: only what is certain, and never one twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async._doubts.matching import (
    CLOCKS_DIFFER,
    EARLIEST,
    LATEST,
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


def one(claims, ones, likenesses):
    """The decision about the first claim."""
    return decide(claims, ones, likenesses)[claims[0].key]


def test_the_only_one_that_fits_is_adopted():
    """A generation made from the same request just after the submit was sent is what it bought."""
    assert decide([CAT], [found()], {("cat", "g1"): EXACT}) == {"cat": Adopt("g1")}


TIMES = {
    "at once": (timedelta(0), True),
    "a little early, by clocks that differ": (-EARLIEST, True),
    "too early": (-EARLIEST - SECOND, False),
    "at the last moment": (LATEST, True),
    "too late": (LATEST + SECOND, False),
    "long before": (-CLOCKS_DIFFER - SECOND, False),
    "nobody knows when": (None, False),
}


@pytest.mark.parametrize(("after", "adopted"), TIMES.values(), ids=TIMES.keys())
def test_it_must_have_been_made_after_it_was_sent(after, adopted):
    """What was made before, long after, or nobody knows when, is not adopted."""
    decision = one([CAT], [found(after=after)], {("cat", "g1"): EXACT})
    assert decision == Adopt("g1") if adopted else isinstance(decision, Undecided)


def test_a_doubt_of_an_unknown_moment_stays_one():
    """Without the moment of sending, nothing can be shown to have been made after it."""
    lost = attrs.evolve(CAT, sent_at=None)
    assert isinstance(one([lost], [found()], {("cat", "g1"): EXACT}), Undecided)


LEFT = {
    "nothing at all": ([CAT], [], {}, "lists nothing like it"),
    "nothing like it": ([CAT], [found()], {("cat", "g1"): NONE}, "lists nothing like it"),
    "something else": ([CAT], [found("g2")], {("cat", "g1"): EXACT}, "lists nothing like it"),
    "two the same": ([CAT], [found(), found("g2")], {("cat", "g1"): EXACT, ("cat", "g2"): EXACT}, "lists 2 .* g1, g2"),
    "one the same and one alike": (
        [CAT],
        [found(), found("g2")],
        {("cat", "g1"): EXACT, ("cat", "g2"): POSSIBLE},
        "lists 2",
    ),
    "one the same and one that seems a little too old": (
        [CAT],
        [found(), found("g2", -CLOCKS_DIFFER)],
        {("cat", "g1"): EXACT, ("cat", "g2"): EXACT},
        "lists 2",
    ),
    "one the same and one of an unknown age": (
        [CAT],
        [found(), found("g2", None)],
        {("cat", "g1"): EXACT, ("cat", "g2"): EXACT},
        "lists 2",
    ),
    "one the same and one much later": (
        [CAT],
        [found(), found("g2", timedelta(days=2))],
        {("cat", "g1"): EXACT, ("cat", "g2"): EXACT},
        "lists 2",
    ),
    "many": (
        [CAT],
        [found(f"g{number}") for number in range(9)],
        {("cat", f"g{number}"): EXACT for number in range(9)},
        r"lists 9 .*: g0, g1, g2, g3, g4\.$",
    ),
    "one alike": ([CAT], [found()], {("cat", "g1"): POSSIBLE}, "not tell enough about g1"),
    "another doubt of the same": (
        [CAT, TWIN],
        [found()],
        {("cat", "g1"): EXACT, ("twin", "g1"): EXACT},
        "another submit",
    ),
    "another doubt like it": (
        [CAT, TWIN],
        [found()],
        {("cat", "g1"): EXACT, ("twin", "g1"): POSSIBLE},
        "another submit",
    ),
    "one of the same that is being sent": (
        [CAT, attrs.evolve(TWIN, open=False)],
        [found()],
        {("cat", "g1"): EXACT, ("twin", "g1"): EXACT},
        "another submit",
    ),
    "one of the same whose moment nobody knows": (
        [CAT, attrs.evolve(TWIN, sent_at=None)],
        [found()],
        {("cat", "g1"): EXACT, ("twin", "g1"): EXACT},
        "another submit",
    ),
    "made at another time": (
        [CAT],
        [found(after=timedelta(hours=1))],
        {("cat", "g1"): EXACT},
        "at 2025-06-01 13:00:00",
    ),
}


@pytest.mark.parametrize(("claims", "ones", "likenesses", "reason"), LEFT.values(), ids=LEFT.keys())
def test_what_is_not_certain_is_left(claims, ones, likenesses, reason):
    """Any rival, known or only possible, leaves the doubt where it is, and the reason names what to look at."""
    decision = one(claims, ones, likenesses)
    assert isinstance(decision, Undecided)
    with pytest.raises(ValueError, match=reason):
        raise ValueError(decision.reason)


def test_what_was_sent_much_later_is_no_rival():
    """A submit that was sent long after a generation was made cannot have made it."""
    later = Claim(key="later", sent_at=NOON + SECOND + CLOCKS_DIFFER + SECOND)
    decisions = decide([CAT, later], [found()], {("cat", "g1"): EXACT, ("later", "g1"): EXACT})
    assert decisions["cat"] == Adopt("g1")
    assert isinstance(decisions["later"], Undecided)


def test_two_doubts_of_different_requests_settle_together():
    """Each takes its own, and is no rival of the other."""
    likenesses = {("cat", "g1"): EXACT, ("cat", "g2"): NONE, ("twin", "g1"): NONE, ("twin", "g2"): EXACT}
    decisions = decide([CAT, TWIN], [found(), found("g2", 2 * SECOND)], likenesses)
    assert decisions == {"cat": Adopt("g1"), "twin": Adopt("g2")}


def test_what_is_being_sent_is_not_decided():
    """A claim that is not open has no decision."""
    assert decide([attrs.evolve(CAT, open=False)], [found()], {("cat", "g1"): EXACT}) == {}


moments = st.one_of(st.none(), st.integers(-1200, 1200).map(lambda seconds: NOON + seconds * SECOND))


@st.composite
def situations(draw):
    claims = [
        Claim(key=f"k{number}", sent_at=draw(moments), open=draw(st.booleans()))
        for number in range(draw(st.integers(0, 4)))
    ]
    ones = [Candidate(id=f"g{number}", created_at=draw(moments)) for number in range(draw(st.integers(0, 4)))]
    pairs = [(claim.key, each.id) for claim in claims for each in ones]
    return claims, ones, {pair: draw(st.sampled_from(Match)) for pair in pairs}


def adopted(decisions):
    return {key: decision.generation_id for key, decision in decisions.items() if isinstance(decision, Adopt)}


@given(situations())
def test_no_generation_is_adopted_for_two_doubts(situation):
    """Whatever the situation, each generation is adopted once at most, and each open claim has one decision."""
    claims, ones, likenesses = situation
    decisions = decide(claims, ones, likenesses)
    taken = list(adopted(decisions).values())
    assert len(set(taken)) == len(taken)
    assert set(decisions) == {claim.key for claim in claims if claim.open}


@given(situations())
def test_an_adoption_is_certain_in_every_way(situation):
    """What is adopted is the same, of the right age, the only one for its doubt, and its doubt the only one for it."""
    claims, ones, likenesses = situation
    by_key = {claim.key: claim for claim in claims}
    by_id = {each.id: each for each in ones}

    def possible(claim, each):
        young = None in {claim.sent_at, each.created_at} or each.created_at >= claim.sent_at - CLOCKS_DIFFER
        return young and likenesses[claim.key, each.id] is not NONE

    for key, generation_id in adopted(decide(claims, ones, likenesses)).items():
        claim, each = by_key[key], by_id[generation_id]
        assert likenesses[key, generation_id] is EXACT
        assert -EARLIEST <= each.created_at - claim.sent_at <= LATEST
        assert [other.id for other in ones if possible(claim, other)] == [generation_id]
        assert [other.key for other in claims if possible(other, each)] == [key]


@given(situations(), st.sampled_from([EXACT, POSSIBLE]), moments)
def test_a_second_candidate_forbids_to_adopt(situation, likeness, created_at):
    """Whatever was adopted is left once another generation comes into question, unless that is too old to be it."""
    claims, ones, likenesses = situation
    rival = Candidate(id="rival", created_at=created_at)
    with_rival = {**likenesses, **{(claim.key, "rival"): likeness for claim in claims}}
    before, after = adopted(decide(claims, ones, likenesses)), adopted(decide(claims, [*ones, rival], with_rival))
    for claim in claims:
        too_old = None not in {claim.sent_at, created_at} and created_at < claim.sent_at - CLOCKS_DIFFER
        if claim.key in before and not too_old:
            assert claim.key not in after


@given(situations())
def test_the_order_does_not_matter(situation):
    """Neither the order of the claims nor that of the list changes what is adopted."""
    claims, ones, likenesses = situation
    assert adopted(decide(claims, ones, likenesses)) == adopted(decide(claims[::-1], ones[::-1], likenesses))


@given(situations())
def test_deciding_again_adopts_nothing_that_was_left(situation):
    """What was adopted stood in nobody's way: without it, the rest is left as before."""
    claims, ones, likenesses = situation
    taken = adopted(decide(claims, ones, likenesses))
    rest = [claim for claim in claims if claim.key not in taken]
    left = [each for each in ones if each.id not in taken.values()]
    assert adopted(decide(rest, left, likenesses)) == {}


def test_the_horizon_is_that_of_the_oldest_open_doubt():
    """The list is read back to where clocks that differ leave no doubt; without a known moment, to its end."""
    older = Claim(key="older", sent_at=NOON - timedelta(days=1))
    assert oldest_relevant([CAT, older]) == older.sent_at - CLOCKS_DIFFER
    assert oldest_relevant([CAT, attrs.evolve(older, open=False)]) == NOON - CLOCKS_DIFFER
    assert oldest_relevant([CAT, attrs.evolve(older, sent_at=None)]) is None
    assert oldest_relevant([]) is None


def descend(*minutes):
    descent = ListOrder()
    for minute in minutes:
        descent = descent.after(None if minute is None else NOON + timedelta(minutes=minute))
    return descent


DESCENTS = {
    "nothing": ((), False),
    "not yet": ((9, 5, 1), False),
    "beyond": ((9, 5, -1), True),
    "beyond, with equal ones": ((9, 9, -1, -1), True),
    "beyond, with unknown ones": ((9, None, -1, None), True),
    "only unknown ones": ((None, None), False),
    "not in order": ((-5, 9, -6), False),
    "exactly there": ((9, 0), False),
}


@pytest.mark.parametrize(("minutes", "below"), DESCENTS.values(), ids=DESCENTS.keys())
def test_a_list_is_left_early_only_if_it_runs_from_new_to_old(minutes, below):
    """Once it is older than the horizon nothing newer can follow, unless it has shown itself out of order."""
    assert descend(*minutes).below(NOON) is below


def test_without_a_horizon_a_list_is_read_to_its_end():
    """Nothing is older than what nobody knows."""
    assert not descend(9, -9).below(None)


@pytest.mark.parametrize(
    ("ours", "theirs", "likeness"),
    [("a cat", "a cat ", POSSIBLE), ("a cat", "a dog", NONE), ("a cat", None, POSSIBLE), (None, "a cat", POSSIBLE)],
)
def test_prompts_alone_prove_nothing(ours, theirs, likeness):
    """Equal or unknown prompts make a rival, never the same; different ones make none."""
    assert compare_prompts(ours, theirs) is likeness
