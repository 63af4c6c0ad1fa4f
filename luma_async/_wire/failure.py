"""Why a generation failed: the reason and the code, wherever an answer holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async._wire.answer import is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Source: Luma (failure_reason), new-api (fail_reason), Luma Agents (failure_code), Kling (task_status_msg), MiniMax
# (base_resp.status_msg), and gateways that pass on an error object.
_REASONS = ("failure_reason", "fail_reason", "error", "error_message", "errorMessage", "error_msg", "err_msg")
_LAST_REASONS = ("task_status_msg", "status_msg", "failed_reason", "failMsg", "msg", "message", "detail", "reason")
_CODES = ("failure_code", "fail_code", "error_code", "errorCode", "err_code", "code")
_HOLDERS = ("failure_reason", "fail_reason", "error", "errors", "failure", "data", "detail", "base_resp")
_EMPTY_WORDS = frozenset({"", "0", "200", "ok", "success", "succeed", "none", "null", "true", "failed", "failure"})


def failure_reason(*holders: Mapping[str, Any]) -> str | None:
    """Find the reason of a failure, in the service's words; the first of these holders that has it counts."""
    named = next(_values(holders, _REASONS, texts_only=True), None)
    return named or next(_values(holders, _LAST_REASONS, texts_only=True), None)


def failure_code(*holders: Mapping[str, Any]) -> str | None:
    """Find the code of a failure; an envelope's code of success is none."""
    return next(_values(holders, _CODES, texts_only=False), None)


def _values(holders: tuple[Mapping[str, Any], ...], names: tuple[str, ...], *, texts_only: bool) -> Iterator[str]:
    """Yield what stands under these names, in each holder and then in the objects inside of it."""
    for holder in holders:
        for place in (holder, *_inner(holder)):
            for name in names:
                value = place.get(name)
                if type(value) is int and not texts_only:
                    value = str(value)
                if isinstance(value, str) and value.strip().lower() not in _EMPTY_WORDS:
                    yield value


def _inner(holder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects in a holder that may tell of a failure; some services send a list of them."""
    for name in _HOLDERS:
        value = holder.get(name)
        yield from filter(is_object, value if is_list(value) else [value])
