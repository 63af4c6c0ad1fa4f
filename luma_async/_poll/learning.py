"""What a session has learned of how long each kind of generation takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async._poll.durations import DurationModel, FittedModel, Observed

if TYPE_CHECKING:
    from collections.abc import Collection

    from luma_async._poll.tracked import Tracked


class DurationLearner:
    """The laws of durations, by their names.

    Args:
        prior: what is believed before any generation has finished.
    """

    def __init__(self, prior: DurationModel) -> None:
        self._prior = prior
        self._learned: dict[str, FittedModel] = {}

    def law(self, name: str) -> DurationModel:
        """Return what is believed of the durations of one kind."""
        learned = self._learned.get(name)
        return learned.law if learned is not None else self._prior

    def finished(self, target: Tracked, now_s: float, watched: Collection[Tracked]) -> None:
        """Learn from one that was just seen finished, where both ends of the interval are known.

        Args:
            target: which.
            now_s: the time on the loop's clock.
            watched: all that are waited for: those that still run tell that they take longer.
        """
        submitted_at_s, unfinished_at_s = target.submitted_at_s, target.unfinished_at_s
        if submitted_at_s is None or not (target.fresh or unfinished_at_s):
            return
        after_s = max(0.0, unfinished_at_s - submitted_at_s) if unfinished_at_s is not None else 0.0
        finish = Observed(after_s=after_s, until_s=max(after_s, now_s - submitted_at_s))
        learned = self._learned.get(target.law, FittedModel.nothing(self._prior)).after(finish)
        if learned.stale:
            ages_s = [one.age_s(now_s) for one in watched if one.law == target.law and one.fresh and not one.settled]
            learned = learned.fitted(ages_s)
        self._learned[target.law] = learned
