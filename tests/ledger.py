"""The one sum that every story ends with: what the gateway charged, against what the journal knows."""

from __future__ import annotations

from collections import Counter

from luma_async import Phase

PAID = {Phase.ACCEPTED, Phase.COMPLETED, Phase.FAILED, Phase.LOST}
MAYBE = {Phase.SENDING, Phase.IN_DOUBT, Phase.ABANDONED}


async def balance(gateway, journal):
    """Compare charges with entries: per prompt at most one charge, and accepted ≤ charges ≤ accepted + in doubt.

    Every story uses a prompt for one key only, since the gateway does not see keys.
    """
    entries = await journal.entries()
    accepted = [entry for entry in entries if entry.phase in PAID]
    doubtful = [entry for entry in entries if entry.phase in MAYBE]
    per_prompt = Counter(charge.prompt for charge in gateway.charges)
    assert all(number == 1 for number in per_prompt.values()), f"paid twice: {per_prompt}"
    charges = len(gateway.charges)
    assert len(accepted) <= charges <= len(accepted) + len(doubtful), (
        f"{len(accepted)} accepted, {charges} charges, {len(doubtful)} in doubt"
    )
    known = {entry.generation_id for entry in accepted}
    assert known <= set(gateway.generations)
    return charges, len(accepted), len(doubtful)
