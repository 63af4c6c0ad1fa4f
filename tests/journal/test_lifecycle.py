"""The life of a paid intent, as a table: complete, without dead ends, and without a way to buy twice."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

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
    """Return an entry in a phase; None for a key that is not in the journal."""
    if phase is None:
        return None
    return entry(phase, generation_id="gen-1" if phase in PAID else None)


def reachable(start, *, without=()):
    """Return every phase that steps lead to."""
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
    def test_transitions_total(self, phase, step):
        """Every step from every phase leads to a phase, or raises an error that says why it does not."""
        standing = standing_in(phase)
        if (phase, step) in TRANSITIONS:
            assert lifecycle.next_phase(standing, step) is TRANSITIONS[phase, step]
        else:
            with pytest.raises(JournalError if phase is None else KeyConflict):
                lifecycle.next_phase(standing, step)

    @pytest.mark.parametrize("phase", [None, *Phase])
    def test_transitions_end(self, phase):
        """From every phase there is a way to a finished generation; finished generations stay finished."""
        ends = {Phase.COMPLETED, Phase.FAILED}
        assert ends & reachable(phase) or phase in ends
        assert not any(before in ends for before, _ in TRANSITIONS)

    def test_ways_to_sending(self):
        """Only a claim after provably nothing was paid, or the decision of a person, leads to *sending*."""
        into = {edge for edge, after in TRANSITIONS.items() if after is Phase.SENDING}
        assert into == {
            (None, Step.CLAIM),
            (Phase.NOT_SENT, Step.CLAIM),
            (Phase.REFUSED, Step.CLAIM),
            (Phase.SENDING, Step.RESUBMIT),
            (Phase.IN_DOUBT, Step.RESUBMIT),
        }

    @pytest.mark.parametrize("phase", sorted(PAID))
    def test_paid_never_sent_again(self, phase):
        """No path leads from a paid phase back to *sending*, not even with the decision of a person."""
        assert Phase.SENDING not in reachable(phase)
        assert reachable(phase) <= PAID

    @pytest.mark.parametrize("phase", [Phase.IN_DOUBT, Phase.ABANDONED])
    def test_doubt_never_sent_again(self, phase):
        """Without a resubmit no path leads from a doubt to *sending*; from *abandoned* there is no path at all."""
        assert Phase.SENDING not in reachable(phase, without={Step.RESUBMIT})
        assert Phase.SENDING not in reachable(Phase.ABANDONED)

    def test_late_answer_in_a_doubt(self):
        """From every phase in which something may have been paid, the generation can be recorded."""
        for phase in (Phase.SENDING, Phase.IN_DOUBT, Phase.ABANDONED):
            for step in (Step.ACCEPT, Step.RESOLVE):
                assert TRANSITIONS[phase, step] is Phase.ACCEPTED

    def test_phase_sets(self):
        """Each phase is in exactly one of the sets paid, unpaid, undecided and abandoned."""
        assert PAID | UNPAID | UNDECIDED | {Phase.ABANDONED} == set(Phase)
        assert len(PAID) + len(UNPAID) + len(UNDECIDED) + 1 == len(Phase)

    @given(st.lists(st.sampled_from(Step), max_size=30))
    def test_no_history_pays_twice(self, steps):
        """In any order of events, a second send follows proof that the first cost nothing, or a person's decision."""
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
    def test_admit_by_phase(self, phase, alive):
        """An unpaid entry is sent, a paid entry returned, a living claim waited for; all else is refused."""
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
    def test_admit_other_purchase(self, phase, other):
        """Another service or another request under the same key is refused in every phase."""
        with pytest.raises(KeyConflict) as caught:
            lifecycle.admit(standing_in(phase), attrs.evolve(INTENT, **other), owner_alive=True)
        assert caught.value.entry.phase is phase

    def test_doubt_error(self):
        """The error has the key, the time and the reason, also for the claim of a dead owner."""
        error = lifecycle.in_doubt(entry(Phase.IN_DOUBT, reason="the answer was cut off"))
        assert (error.key, error.sent_at, error.reason) == ("cat", THEN, "the answer was cut off")
        assert "ended before the answer came" in lifecycle.in_doubt(entry()).reason


class TestClaims:
    @pytest.mark.parametrize("phase", [None, *sorted(UNPAID)])
    def test_claim_of_unpaid(self, phase):
        """A claim of an unpaid entry belongs to the new owner and counts another attempt."""
        claimed = lifecycle.claim(INTENT, at=NOW)(standing_in(phase))
        assert (claimed.phase, claimed.owner, claimed.sent_at, claimed.updated_at) == (Phase.SENDING, MINE, NOW, NOW)
        assert claimed.attempts == (1 if phase is None else 2)

    @pytest.mark.parametrize("phase", [*sorted(PAID), Phase.SENDING, Phase.ABANDONED])
    def test_claim_of_held_key(self, phase):
        """If another session claimed the key in the meantime, a claim is a conflict and nothing is sent."""
        with pytest.raises(KeyConflict):
            lifecycle.claim(INTENT, at=NOW)(standing_in(phase))

    def test_claim_of_a_doubt(self):
        """A claim of a doubt raises the doubt."""
        with pytest.raises(SubmitInDoubt):
            lifecycle.claim(INTENT, at=NOW)(standing_in(Phase.IN_DOUBT))

    def test_withdraw_own_claim_only(self):
        """Withdrawing leaves entries alone that are missing, decided, or claimed by another owner."""
        withdraw = lifecycle.withdraw(MINE, at=NOW)
        assert withdraw(entry(owner=MINE)).phase is Phase.NOT_SENT
        for other in (None, entry(), entry(Phase.ACCEPTED, owner=MINE)):
            assert withdraw(other) is other


class TestOutcomes:
    @pytest.mark.parametrize("phase", [Phase.SENDING, Phase.IN_DOUBT, Phase.ABANDONED])
    def test_accept_late(self, phase):
        """An id that comes while sending, in doubt or abandoned is recorded, and the doubt's reason is removed."""
        accepted = lifecycle.accept("gen-1", at=NOW)(entry(phase, reason="no answer"))
        assert (accepted.phase, accepted.generation_id, accepted.reason) == (Phase.ACCEPTED, "gen-1", "")
        assert accepted.updated_at == NOW
        assert accepted.sent_at == THEN

    @pytest.mark.parametrize("phase", sorted(PAID))
    def test_accept_twice(self, phase):
        """The same id again changes nothing; another id under a paid key is a conflict."""
        standing = standing_in(phase)
        assert lifecycle.accept("gen-1", at=NOW)(standing) is standing
        with pytest.raises(KeyConflict):
            lifecycle.accept("gen-2", at=NOW)(standing)

    @pytest.mark.parametrize(("step", "phase"), [(Step.REFUSE, Phase.REFUSED), (Step.DOUBT, Phase.IN_DOUBT)])
    def test_refusal_and_doubt_reason(self, step, phase):
        """A refusal and a doubt keep their reason."""
        settled = lifecycle.end_without_generation(step, "HTTP 403", at=NOW)(entry())
        assert (settled.phase, settled.reason, settled.updated_at) == (phase, "HTTP 403", NOW)

    @pytest.mark.parametrize(("state", "phase"), [(State.COMPLETED, Phase.COMPLETED), (State.FAILED, Phase.FAILED)])
    @pytest.mark.parametrize("before", [Phase.ACCEPTED, Phase.LOST])
    def test_finish(self, state, phase, before):
        """The generation and the reason of its failure are recorded, also after the service had lost the id."""
        ended = Generation(id="gen-1", state=state, failure_reason="moderated")
        finished = lifecycle.finish(ended, at=NOW)(standing_in(before))
        assert (finished.phase, finished.generation, finished.reason) == (phase, ended, "moderated")

    @pytest.mark.parametrize("before", [Phase.COMPLETED, Phase.FAILED])
    def test_finish_is_final(self, before):
        """Late and repeated answers change nothing, nor does a service that loses the id."""
        standing = standing_in(before)
        assert lifecycle.finish(Generation(id="gen-1", state=State.FAILED), at=NOW)(standing) is standing
        assert lifecycle.lose(at=NOW)(standing) is standing

    def test_lose(self):
        """An id that the service no longer knows is *lost* with a reason, and its key cannot be claimed."""
        lost = lifecycle.lose(at=NOW)(standing_in(Phase.ACCEPTED))
        assert (lost.phase, lost.generation_id) == (Phase.LOST, "gen-1")
        assert "no longer knows" in lost.reason
        with pytest.raises(KeyConflict):
            lifecycle.claim(INTENT, at=NOW)(lost)

    def test_steps_keep_other_fields(self):
        """Every field that a step does not name stays, including fields of later versions."""
        whole = attrs.evolve(
            entry(Phase.SENDING, owner=MINE),
            request={"class": "VideoRequest"},
            attempts=3,
            generation_id="gen-1",
            reason="none",
            generation=Generation(id="gen-1", state=State.PENDING),
            path="/videos/1.mp4",
            price=Decimal("0.15"),
            charges=2,
        )
        assert all(getattr(whole, field.name) != field.default for field in attrs.fields(Entry))
        moved = lifecycle.withdraw(MINE, at=NOW)(whole)
        assert moved == attrs.evolve(whole, phase=Phase.NOT_SENT, updated_at=NOW)

    def test_keep_file(self):
        """The path of the file is recorded in any phase, and changes no phase."""
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
    def test_step_without_entry(self, change):
        """A step on an entry that is missing raises JournalError: the file was replaced."""
        with pytest.raises(JournalError):
            change(None)


class TestDecisions:
    DECISIONS = (
        lambda doubt: lifecycle.resubmit(doubt, INTENT, at=NOW),
        lambda doubt: lifecycle.resolve(doubt, "gen-1", at=NOW),
        lambda doubt: lifecycle.abandon(doubt, "abandoned by the user", at=NOW),
    )

    @pytest.mark.parametrize("phase", [Phase.SENDING, Phase.IN_DOUBT])
    def test_decisions_on_a_doubt(self, phase):
        """A doubt, written or left by a dead owner, is sent again, resolved or abandoned."""
        doubt = entry(phase)
        again, resolved, abandoned = (decide(doubt)(doubt) for decide in self.DECISIONS)
        assert (again.phase, again.owner, again.attempts) == (Phase.SENDING, MINE, 2)
        assert (resolved.phase, resolved.generation_id) == (Phase.ACCEPTED, "gen-1")
        assert (abandoned.phase, abandoned.reason) == (Phase.ABANDONED, "abandoned by the user")

    @pytest.mark.parametrize("decide", DECISIONS, ids=["resubmit", "resolve", "abandon"])
    @pytest.mark.parametrize(
        "standing",
        [None, entry(attempts=2), standing_in(Phase.ACCEPTED), entry(Phase.ABANDONED), entry(Phase.NOT_SENT)],
        ids=["gone", "sent again", "accepted", "abandoned", "withdrawn"],
    )
    def test_decision_on_a_changed_doubt(self, decide, standing):
        """A decision about a doubt that was settled in the meantime is a conflict."""
        with pytest.raises(KeyConflict, match="Look at it again"):
            decide(entry())(standing)

    def test_abandoned_doubt_resolved(self):
        """An abandoned doubt can be resolved, but its key never buys again."""
        doubt = entry(Phase.ABANDONED)
        again, resolve, abandon = (decide(doubt) for decide in self.DECISIONS)
        assert resolve(doubt).phase is Phase.ACCEPTED
        for change in (again, abandon):
            with pytest.raises(KeyConflict):
                change(doubt)
