"""The life of a paid intent, as a table: complete, without dead ends, and without a way to buy twice."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import Entry, Generation, JournalError, KeyConflict, Phase, State, SubmitInDoubt
from luma_async._journal import lifecycle
from luma_async._journal.lifecycle import PAID, TRANSITIONS, UNDECIDED, UNPAID, AwaitOwner, Existing, Send, Step

THEN = datetime(2025, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 1, 2, tzinfo=UTC)
MINE, OTHERS = "1" * 16, "2" * 16


def entry(phase=Phase.SENDING, **fields):
    fields = {"owner": OTHERS, "sent_at": THEN, "updated_at": THEN, **fields}
    return Entry(key="cat", phase=phase, service="rixapi https://relay.example", digest="d", **fields)


INTENT = entry(owner=MINE, sent_at=None, updated_at=None)


def standing_in(phase):
    """An entry as it stands in a phase; None for a key that nobody has used."""
    if phase is None:
        return None
    return entry(phase, generation_id="gen-1" if phase in PAID else None)


def reachable(start, *, without=()):
    """Every phase that steps lead to."""
    found, todo = set(), [start]
    while todo:
        here = todo.pop()
        for (before, step), after in TRANSITIONS.items():
            if before == here and step not in without and after not in found:
                found.add(after)
                todo.append(after)
    return found


class TestTheTable:
    @pytest.mark.parametrize("phase", [None, *Phase])
    @pytest.mark.parametrize("step", Step)
    def test_it_is_total(self, phase, step):
        """Every step from everywhere leads somewhere, or is refused by an error that says why; nothing is undefined."""
        standing = standing_in(phase)
        if (phase, step) in TRANSITIONS:
            assert lifecycle.next_phase(standing, step) is TRANSITIONS[phase, step]
        else:
            with pytest.raises(JournalError if phase is None else KeyConflict):
                lifecycle.next_phase(standing, step)

    @pytest.mark.parametrize("phase", [None, *Phase])
    def test_every_phase_reaches_an_end(self, phase):
        """From everywhere a way leads to a finished generation; finished ones stay as they are."""
        ends = {Phase.COMPLETED, Phase.FAILED}
        assert ends & reachable(phase) or phase in ends
        assert not any(before in ends for before, _ in TRANSITIONS)

    def test_only_a_claim_or_a_person_leads_to_sending(self):
        """Sending begins where provably nothing was paid, or where a person takes the risk: there is no other way."""
        into = {edge for edge, after in TRANSITIONS.items() if after is Phase.SENDING}
        assert into == {
            (None, Step.CLAIM),
            (Phase.NOT_SENT, Step.CLAIM),
            (Phase.REFUSED, Step.CLAIM),
            (Phase.SENDING, Step.RESUBMIT),
            (Phase.IN_DOUBT, Step.RESUBMIT),
        }

    @pytest.mark.parametrize("phase", sorted(PAID))
    def test_what_is_paid_is_never_sent_again(self, phase):
        """No path leads from a paid phase back to sending, not even with a person's help."""
        assert Phase.SENDING not in reachable(phase)
        assert reachable(phase) <= PAID

    @pytest.mark.parametrize("phase", [Phase.IN_DOUBT, Phase.ABANDONED])
    def test_a_doubt_is_never_sent_again_by_itself(self, phase):
        """Without a person's resubmit no path leads from a doubt to sending; an abandoned one has none at all."""
        assert Phase.SENDING not in reachable(phase, without={Step.RESUBMIT})
        assert Phase.SENDING not in reachable(Phase.ABANDONED)

    def test_a_late_answer_turns_every_doubt_into_knowledge(self):
        """Knowing that something was paid is possible from wherever it may have been."""
        for phase in (Phase.SENDING, Phase.IN_DOUBT, Phase.ABANDONED):
            for step in (Step.ACCEPT, Step.RESOLVE):
                assert TRANSITIONS[phase, step] is Phase.ACCEPTED

    def test_every_phase_is_paid_unpaid_undecided_or_abandoned(self):
        """The sets that decide about money leave no phase out, and no phase is in two."""
        assert PAID | UNPAID | UNDECIDED | {Phase.ABANDONED} == set(Phase)
        assert len(PAID) + len(UNPAID) + len(UNDECIDED) + 1 == len(Phase)

    @given(st.lists(st.sampled_from(Step), max_size=30))
    def test_no_history_pays_twice(self, steps):
        """In any order of events, a second send follows a proof that the first cost nothing, or a person's word."""
        phase, maybe_paid = None, False
        for step in steps:
            after = TRANSITIONS.get((phase, step))
            if after is None:
                continue
            if after is Phase.SENDING:
                assert not maybe_paid or step is Step.RESUBMIT
                maybe_paid = True
            elif after in UNPAID:
                maybe_paid = False
            phase = after


class TestAdmission:
    @pytest.mark.parametrize("alive", [True, False])
    @pytest.mark.parametrize("phase", [None, *Phase])
    def test_a_key_is_admitted_by_where_its_entry_stands(self, phase, alive):
        """Unpaid is sent, paid is returned, a living claim is waited for, everything else is refused."""
        standing = standing_in(phase)
        expected = {
            None: Send(),
            **dict.fromkeys(UNPAID, Send()),
            **dict.fromkeys(PAID, Existing(entry=standing)),
            Phase.ABANDONED: KeyConflict,
            Phase.IN_DOUBT: SubmitInDoubt,
            Phase.SENDING: AwaitOwner(entry=standing) if alive else SubmitInDoubt,
        }[phase]
        if isinstance(expected, type):
            with pytest.raises(expected) as caught:
                lifecycle.admit(standing, INTENT, owner_alive=alive)
            assert "cat" in str(caught.value)
        else:
            assert lifecycle.admit(standing, INTENT, owner_alive=alive) == expected

    @pytest.mark.parametrize("phase", list(Phase))
    @pytest.mark.parametrize("other", [{"service": "rixapi https://elsewhere.example"}, {"digest": "e"}])
    def test_a_key_of_another_purchase_is_a_conflict(self, phase, other):
        """Another service or another request under the same key is refused, whatever became of the first."""
        with pytest.raises(KeyConflict) as caught:
            lifecycle.admit(standing_in(phase), attrs.evolve(INTENT, **other), owner_alive=True)
        assert caught.value.entry.phase is phase

    def test_a_doubt_says_why_and_since_when(self):
        """The error carries the key, the moment, and the reason; a dead owner's claim has one too."""
        error = lifecycle.in_doubt(entry(Phase.IN_DOUBT, reason="the answer was cut off"))
        assert (error.key, error.sent_at, error.reason) == ("cat", THEN, "the answer was cut off")
        assert "ended before the answer came" in lifecycle.in_doubt(entry()).reason


class TestClaims:
    @pytest.mark.parametrize("phase", [None, *sorted(UNPAID)])
    def test_a_claim_is_the_callers_and_counted(self, phase):
        """What was unpaid becomes a claim of the new owner, one attempt further."""
        claimed = lifecycle.claim(INTENT, at=NOW)(standing_in(phase))
        assert (claimed.phase, claimed.owner, claimed.sent_at, claimed.updated_at) == (Phase.SENDING, MINE, NOW, NOW)
        assert claimed.attempts == (1 if phase is None else 2)

    @pytest.mark.parametrize("phase", [*sorted(PAID), Phase.SENDING, Phase.ABANDONED])
    def test_a_claim_of_what_is_held_is_a_conflict(self, phase):
        """Between looking and claiming another session may have come first: then nothing is sent."""
        with pytest.raises(KeyConflict):
            lifecycle.claim(INTENT, at=NOW)(standing_in(phase))

    def test_a_claim_of_a_doubt_is_a_doubt(self):
        """A doubt stays one, however it is asked for."""
        with pytest.raises(SubmitInDoubt):
            lifecycle.claim(INTENT, at=NOW)(standing_in(Phase.IN_DOUBT))

    def test_only_ones_own_claim_is_withdrawn(self):
        """Taking back leaves alone what is gone, is another's, or has been decided."""
        withdraw = lifecycle.withdraw(MINE, at=NOW)
        assert withdraw(entry(owner=MINE)).phase is Phase.NOT_SENT
        for other in (None, entry(), entry(Phase.ACCEPTED, owner=MINE)):
            assert withdraw(other) is other


class TestOutcomes:
    @pytest.mark.parametrize("phase", [Phase.SENDING, Phase.IN_DOUBT, Phase.ABANDONED])
    def test_an_answer_is_noted_however_late(self, phase):
        """An id that comes while sending, in doubt or after abandoning is kept, and the doubt's reason goes."""
        accepted = lifecycle.accept("gen-1", at=NOW)(entry(phase, reason="no answer"))
        assert (accepted.phase, accepted.generation_id, accepted.reason) == (Phase.ACCEPTED, "gen-1", "")
        assert accepted.updated_at == NOW
        assert accepted.sent_at == THEN

    @pytest.mark.parametrize("phase", sorted(PAID))
    def test_an_answer_that_comes_twice_changes_nothing(self, phase):
        """The same id again is no news; another id under a paid key is a conflict."""
        standing = standing_in(phase)
        assert lifecycle.accept("gen-1", at=NOW)(standing) is standing
        with pytest.raises(KeyConflict):
            lifecycle.accept("gen-2", at=NOW)(standing)

    @pytest.mark.parametrize(("step", "phase"), [(Step.REFUSE, Phase.REFUSED), (Step.DOUBT, Phase.IN_DOUBT)])
    def test_an_end_without_a_generation_says_why(self, step, phase):
        """A refusal and a doubt keep their reason."""
        settled = lifecycle.end_without_generation(step, "HTTP 403", at=NOW)(entry())
        assert (settled.phase, settled.reason, settled.updated_at) == (phase, "HTTP 403", NOW)

    @pytest.mark.parametrize(("state", "phase"), [(State.COMPLETED, Phase.COMPLETED), (State.FAILED, Phase.FAILED)])
    @pytest.mark.parametrize("before", [Phase.ACCEPTED, Phase.LOST])
    def test_a_finished_generation_is_kept(self, state, phase, before):
        """How it ended and why stand in the entry, also when the service had lost it for a while."""
        ended = Generation(id="gen-1", state=state, failure_reason="moderated")
        finished = lifecycle.finish(ended, at=NOW)(standing_in(before))
        assert (finished.phase, finished.generation, finished.reason) == (phase, ended, "moderated")

    @pytest.mark.parametrize("before", [Phase.COMPLETED, Phase.FAILED])
    def test_a_final_look_is_final(self, before):
        """Late and repeated looks change nothing, nor does a service that forgets."""
        standing = standing_in(before)
        assert lifecycle.finish(Generation(id="gen-1", state=State.FAILED), at=NOW)(standing) is standing
        assert lifecycle.lose(at=NOW)(standing) is standing

    def test_a_lost_id_is_closed_and_stays_paid(self):
        """What the service no longer knows is lost, says so, and cannot be claimed."""
        lost = lifecycle.lose(at=NOW)(standing_in(Phase.ACCEPTED))
        assert (lost.phase, lost.generation_id) == (Phase.LOST, "gen-1")
        assert "no longer knows" in lost.reason
        with pytest.raises(KeyConflict):
            lifecycle.claim(INTENT, at=NOW)(lost)

    def test_a_step_keeps_what_it_does_not_name(self):
        """Every field of an entry goes through a step, the ones that are added tomorrow too."""
        whole = attrs.evolve(
            entry(Phase.SENDING, owner=MINE),
            request={"class": "VideoRequest"},
            attempts=3,
            generation_id="gen-1",
            reason="none",
            generation=Generation(id="gen-1", state=State.PENDING),
            path="/videos/1.mp4",
        )
        assert all(getattr(whole, field.name) != field.default for field in attrs.fields(Entry))
        moved = lifecycle.withdraw(MINE, at=NOW)(whole)
        assert moved == attrs.evolve(whole, phase=Phase.NOT_SENT, updated_at=NOW)

    def test_a_file_is_noted_in_any_phase(self):
        """Where the file is does not move the entry."""
        kept = lifecycle.keep_file("clips/cat.mp4", at=NOW)(standing_in(Phase.ACCEPTED))
        assert (kept.path, kept.phase) == ("clips/cat.mp4", Phase.ACCEPTED)

    @pytest.mark.parametrize(
        "change",
        [
            lifecycle.accept("gen-1", at=NOW),
            lifecycle.end_without_generation(Step.DOUBT, "", at=NOW),
            lifecycle.finish(Generation(id="gen-1", state=State.COMPLETED), at=NOW),
            lifecycle.lose(at=NOW),
            lifecycle.keep_file("x", at=NOW),
        ],
        ids=["accept", "settle", "finish", "lose", "keep_file"],
    )
    def test_an_entry_that_is_gone_is_an_error(self, change):
        """A journal whose file was replaced under a running program is not written to as if nothing had happened."""
        with pytest.raises(JournalError):
            change(None)


class TestDecisions:
    DECISIONS = (
        lambda doubt: lifecycle.resubmit(doubt, INTENT, at=NOW),
        lambda doubt: lifecycle.resolve(doubt, "gen-1", at=NOW),
        lambda doubt: lifecycle.abandon(doubt, "abandoned by a person", at=NOW),
    )

    @pytest.mark.parametrize("phase", [Phase.SENDING, Phase.IN_DOUBT])
    def test_a_person_decides(self, phase):
        """A doubt, written down or left by a dead owner, is sent again, resolved or abandoned."""
        doubt = entry(phase)
        again, resolved, abandoned = (decide(doubt)(doubt) for decide in self.DECISIONS)
        assert (again.phase, again.owner, again.attempts) == (Phase.SENDING, MINE, 2)
        assert (resolved.phase, resolved.generation_id) == (Phase.ACCEPTED, "gen-1")
        assert (abandoned.phase, abandoned.reason) == (Phase.ABANDONED, "abandoned by a person")

    @pytest.mark.parametrize("decide", DECISIONS, ids=["resubmit", "resolve", "abandon"])
    @pytest.mark.parametrize(
        "standing",
        [None, entry(attempts=2), standing_in(Phase.ACCEPTED), entry(Phase.ABANDONED), entry(Phase.NOT_SENT)],
        ids=["gone", "sent again", "accepted", "abandoned", "withdrawn"],
    )
    def test_two_people_do_not_decide_at_once(self, decide, standing):
        """A decision holds for the doubt that was looked at: once somebody else has settled it, it is a conflict."""
        with pytest.raises(KeyConflict, match="Look at it again"):
            decide(entry())(standing)

    def test_an_abandoned_doubt_may_still_be_resolved_and_nothing_else(self):
        """The generation may turn up after all; buying again under that key stays impossible."""
        doubt = entry(Phase.ABANDONED)
        again, resolve, abandon = (decide(doubt) for decide in self.DECISIONS)
        assert resolve(doubt).phase is Phase.ACCEPTED
        for change in (again, abandon):
            with pytest.raises(KeyConflict):
                change(doubt)
