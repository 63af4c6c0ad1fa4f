"""The error that an unwelcome answer stands for."""

from __future__ import annotations

import pytest

from luma_async._wire.answer import Document, Shape
from luma_async._wire.refusal import (
    CHECK_BASE_URL,
    IN_TROUBLE,
    KNOWN_REFUSALS,
    NOT_FOLLOWED,
    ErrorBody,
    ErrorKind,
    known_refusal,
    refusal,
)
from luma_async.values.errors import (
    InvalidRequest,
    OutOfCredit,
    RateLimited,
    Refused,
    ServiceUnavailable,
    Unauthorized,
)

SAID = ErrorBody(message="it said so")


def refuse(status, error=None, **fields):
    return refusal(Document(status=status, shape=Shape.JSON, **fields), error)


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_kind_before_status(status):
    """A code whose meaning is known decides the class, whatever the status."""
    assert type(refuse(status, ErrorBody(kind=ErrorKind.OUT_OF_CREDIT))) is OutOfCredit


def test_every_kind_has_a_class():
    """Each kind of error has its own class."""
    classes = {type(refuse(400, ErrorBody(kind=kind))) for kind in ErrorKind}
    assert len(classes) == len(ErrorKind)
    assert all(issubclass(cls, Refused) for cls in classes)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Refused),
        (302, Refused),
        (400, InvalidRequest),
        (401, Unauthorized),
        (402, OutOfCredit),
        (403, Refused),
        (404, Refused),
        (408, ServiceUnavailable),
        (409, Refused),
        (413, InvalidRequest),
        (425, ServiceUnavailable),
        (429, RateLimited),
        (500, ServiceUnavailable),
        (599, ServiceUnavailable),
    ],
)
def test_status_without_known_code(status, expected):
    """Where the dialect does not know the code, the HTTP status decides the class."""
    assert type(refuse(status, SAID)) is expected


def test_5xx_page_hint():
    """A page with 5xx says that the service is in trouble; it is no sign of a wrong base_url."""
    error = refusal(Document(status=502, shape=Shape.HTML), None)
    assert type(error) is ServiceUnavailable
    assert error.hint == IN_TROUBLE
    assert "base_url" not in str(error)


NO_CHANNEL = {
    "当前分组 default 下对于模型 luma 无可用渠道": True,
    "当前分组 default 下对于模型 luma 无可用渠道 (request id: 2025)": True,
    "分组 default 下模型 luma 无可用渠道\uff08distributor\uff09": True,
    "No available channel for model luma under group default (distributor)": True,
    "channel 3 timed out; no available channel for model luma": False,
    "无可用渠道\uff1a渠道 3 超时": False,
    "no available channel for model luma, the first one timed out": False,
    "": False,
}


@pytest.mark.parametrize(("message", "known"), NO_CHANNEL.items())
def test_no_channel_message(message, known):
    """The relay's whole message that no service was chosen is a known refusal; a part of another message is not."""
    assert bool(known_refusal("", message, 503)) is known
    assert known_refusal("upstream_error", message, 503) is None


def test_model_not_found_status():
    """The code for a missing model proves something with 503 only, where the relay itself sends it."""
    assert known_refusal("model_not_found", "", 503).kind is ErrorKind.UNAVAILABLE
    assert known_refusal("model_not_found", "", 500) is None


def test_known_refusals_have_sources():
    """Each known refusal has a source, and stands in the list once."""
    assert all(known.source for known in KNOWN_REFUSALS)
    assert len({(known.code, known.status) for known in KNOWN_REFUSALS}) == len(KNOWN_REFUSALS)


@pytest.mark.parametrize(
    ("status", "error", "hint"),
    [
        (404, None, CHECK_BASE_URL),
        (405, SAID, CHECK_BASE_URL),
        (404, ErrorBody(message="Invalid URL (POST /x)", wrong_path=True), CHECK_BASE_URL),
        (404, ErrorBody(kind=ErrorKind.UNAVAILABLE, wrong_path=True), CHECK_BASE_URL),
        (404, ErrorBody(kind=ErrorKind.NOT_FOUND), ""),
        (301, None, NOT_FOLLOWED),
        (400, None, ""),
    ],
)
def test_hint_about_base_url(status, error, hint):
    """A missing path and a redirect point at base_url; an unknown generation does not."""
    refused = refuse(status, error)
    assert refused.hint == hint
    assert ("base_url" in str(refused)) is bool(hint)


def test_refusal_fields():
    """Status, code, message, request id, Retry-After and excerpt are carried over."""
    error = refuse(
        429,
        ErrorBody(code="busy", message="slow down"),
        retry_after_s=7.0,
        request_id="r-1",
        head="{…}".encode(),
    )
    assert (error.status, error.code, error.message) == (429, "busy", "slow down")
    assert (error.retry_after_s, error.request_id, error.body_excerpt) == (7.0, "r-1", "{…}")
    assert "r-1" in str(error)


def test_long_texts_are_clipped():
    """An error keeps 200 characters of each text of a service."""
    error = refuse(400, ErrorBody(code="c" * 1000, message="m" * 1000), head=b"b" * 1000)
    assert {len(error.message), len(error.code), len(error.body_excerpt)} == {200}
