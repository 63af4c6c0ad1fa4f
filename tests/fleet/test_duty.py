"""What a program polls while several share a journal."""

from __future__ import annotations

import pytest

from luma_async._fleet.duty import SILENT_S, Duty, duty


@pytest.mark.parametrize(
    ("leads", "connected", "heard_s_ago", "wanted"),
    [
        (True, True, 0, Duty.LEAD),
        (True, True, SILENT_S, Duty.LEAD),
        (False, True, 0, Duty.FOLLOW),
        (False, True, SILENT_S - 1, Duty.FOLLOW),
        (False, True, SILENT_S, Duty.ALONE),
        (False, False, 0, Duty.ALONE),
        (True, False, 0, Duty.ALONE),
    ],
)
def test_duty_of_a_program(leads, connected, heard_s_ago, wanted):
    """A leader polls for all; the others do not, as long as they hear it and the journal answers."""
    assert duty(leads=leads, connected=connected, heard_at_s=100, now_s=100 + heard_s_ago) is wanted
