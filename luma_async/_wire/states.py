"""The words for the state of a generation, in all formats.

The table is open: gateways pass on the words of other makers, so it has the words of all that are known. A word that is
missing here is `UNKNOWN`, which is not final.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from luma_async.values.models import State

# Source: Luma's and the relays' documentation, and the published sources of new-api, and of clients for Kling, Runway,
# Replicate, fal, Black Forest Labs, MiniMax and Volcengine, whose words gateways pass on.
_WORDS = {
    State.PENDING: (
        "pending queued queueing queuing in_queue submitted not_start not_started waiting created accepted scheduled "
        "preparing starting init initializing 排队中 等待中"
    ),
    State.PROCESSING: (
        "processing dreaming in_progress inprogress running generating working executing started active 处理中 生成中"
    ),
    State.COMPLETED: "success succeeded succeed successful done complete completed finish finished 成功",
    State.FAILED: (
        "error errored fail failed failure cancel canceled cancelled cancelling rejected refused denied expired "
        "timeout timed_out timedout aborted abort revoked deleted terminated killed moderated blocked banned invalid "
        "nsfw content_moderated request_moderated task_not_found 失败 已取消 超时"
    ),
}
_STATES = {word: state for state, words in _WORDS.items() for word in words.split()}
_GAPS = re.compile(r"[\s_-]+")


def read_state(word: Any) -> State | None:
    """Return the state that a word stands for: `UNKNOWN` for an unknown word, None for an empty or non-string value."""
    return _state_of(word) if isinstance(word, str) else None


@lru_cache(maxsize=64)
def _state_of(word: str) -> State | None:
    bare = _GAPS.sub("_", word.strip().lower()).removeprefix("task_status_")
    return _STATES.get(bare, State.UNKNOWN) if bare else None
