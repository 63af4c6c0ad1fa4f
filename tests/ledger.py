"""Compares what the gateway charged with what the journal has recorded."""

from __future__ import annotations

from collections import Counter

from luma_async import Phase

PAID = {Phase.ACCEPTED, Phase.COMPLETED, Phase.FAILED, Phase.LOST}
MAYBE = {Phase.SENDING, Phase.IN_DOUBT, Phase.ABANDONED}


async def balance(gateway, journal):
    """Check that each prompt was charged at most once, and that accepted ≤ charges ≤ accepted + in doubt.

    A test uses a prompt for one key only, because the gateway does not see keys.

    Returns:
        How many charges, accepted entries and entries in doubt there are.
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


async def phase_of(journal, key="cat"):
    """Return the phase of a key; None if the journal does not have it."""
    entry = await journal.get(key)
    return entry.phase if entry is not None else None
