"""A refusal keeps the server's code and becomes an error of the right kind."""

import json

import pytest

from deployments.contracts.errors import (
    BadInput,
    DukatError,
    NotAllowed,
    NotFound,
    StageBusy,
    StageFailed,
    StageTimeout,
)
from serve_app.caller.signalling import CallServer, refusal


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadInput),
        (401, NotAllowed),
        (403, NotAllowed),
        (404, NotFound),
        (429, BadInput),
        (500, StageFailed),
        (503, StageBusy),
        (504, StageTimeout),
    ],
)
def test_a_problem_keeps_its_code_detail_and_status(status: int, kind: type[DukatError]) -> None:
    error = refusal(status, json.dumps({"code": "tenant_unknown", "detail": "no such tenant"}))

    assert type(error) is kind
    assert (error.code, error.detail, error.status) == ("tenant_unknown", "no such tenant", status)


@pytest.mark.parametrize(("body", "detail"), [("Bad Gateway", "Bad Gateway"), ("", "no explanation"), ("[1]", "[1]")])
def test_an_answer_that_is_no_problem_object_is_an_error_all_the_same(body: str, detail: str) -> None:
    error = refusal(502, body)

    assert error.code == "http_502"
    assert detail in error.detail


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://[", "http://h:99999"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        CallServer(url, None, 1.0)

    assert refused.value.code == "url_unusable"
