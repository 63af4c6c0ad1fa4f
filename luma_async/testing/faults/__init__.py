"""What can go wrong between a client and the fake gateway: planned with `FakeGateway.inject`."""

from __future__ import annotations

from luma_async.testing.faults import files, queries, requests

__all__ = ["ALL_FAULTS"]

ALL_FAULTS = (
    requests.drop_before_reading(),
    requests.drop_before_reading("rst"),
    requests.drop_after_reading(),
    requests.drop_after_reading("rst"),
    requests.hang(),
    requests.hang(charged=True),
    requests.late(1),
    requests.cut_body(),
    requests.garbage(),
    requests.answer(418),
    requests.rate_limited(),
    requests.rate_limited(3),
    requests.out_of_credit(),
    requests.server_error(),
    requests.server_error(500, charged=True),
    requests.server_error(503),
    requests.server_error(502, html=True),
    requests.server_error(502, html=True, charged=True),
    requests.server_error(504, charged=True),
    requests.two_documents(),
    requests.two_documents(201, charged=True),
    requests.html_page(),
    requests.html_page(charged=True),
    requests.redirect(307, "/elsewhere"),
    requests.redirect(302, "/elsewhere", charged=True),
    requests.nested_json(),
    requests.huge_body(),
    requests.gzip_bomb(),
    requests.no_id(),
    requests.id_and_error(),
    requests.reshapes(lambda body: body),
    queries.drops_rows(),
    queries.repeats_rows(),
    queries.adds_foreign_row(),
    queries.shuffles_rows(),
    queries.nulls_data(),
    queries.garbles_row(),
    files.cut_after(1000),
    files.stall_after(1000),
    files.wrong_length(),
    files.wrong_length(-100),
    files.ignores_range(),
    files.changes_object(),
    files.html_instead(),
    files.forbidden_until_refreshed(),
    files.redirects_to("/elsewhere"),
    files.endless(),
)
"""Each fault with its usual arguments, to test a program against all of them; `charged` and `loses_answer` tell apart
what they mean for a submit."""
