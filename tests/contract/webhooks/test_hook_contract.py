"""What `POST /webhooks/github` owes its caller, delivery by delivery."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from github_app import services
from github_app.models import Delivery
from github_app.webhooks import BODY_MAX, FRONT_MAX, signed

Deliver = Callable[..., TestResponse]
Stored = Callable[[], list[Delivery]]

PUSH = {
    "ref": "refs/heads/main",
    "deleted": False,
    "head_commit": {"id": "a" * 40, "message": "swing up"},
    "repository": {"id": 1, "name": "spoon", "owner": {"login": "alice"}, "private": False},
    "installation": {"id": 2},
    "sender": {"login": "alice", "type": "User"},
}
shared = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_delivery_is_stored_as_it_came(deliver: Deliver, stored: Stored) -> None:
    body = json.dumps(PUSH, indent=3).encode()
    answer = deliver(body, "push", X_GitHub_Delivery="72d3162e-cc78-11e3-81ab-4c9367dc0958")
    assert answer.status_code == 202
    assert answer.get_json() == {"delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958", "stored": True}
    (row,) = stored()
    assert (row.payload, row.event, row.processed_at, row.tries) == (body, "push", None, 0)


def test_a_repeated_guid_is_accepted_and_stored_once(deliver: Deliver, stored: Stored) -> None:
    first = deliver(PUSH, "push", X_GitHub_Delivery="one")
    again = deliver(PUSH, "push", X_GitHub_Delivery="one")
    assert (first.status_code, again.status_code) == (202, 202)
    assert (first.get_json()["stored"], again.get_json()["stored"]) == (True, False)
    assert len(stored()) == 1


def test_github_s_own_example_of_a_signature() -> None:
    """From GitHub's documentation, "Validating webhook deliveries"."""
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signed(b"Hello, World!", expected, "It's a Secret to Everybody")


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "sha1=" + "0" * 40,
        "sha256=ü",
        "SHA256=" + "0" * 64,
    ],
)
def test_without_the_right_signature_nothing_is_stored(
    deliver: Deliver, stored: Stored, signature: str | None
) -> None:
    answer = deliver(PUSH, "push", X_Hub_Signature_256=signature)
    assert answer.status_code == 401
    assert answer.get_json()["error"] == "bad_signature"
    assert stored() == []


def test_sha1_signatures_do_not_count(deliver: Deliver, stored: Stored) -> None:
    body = json.dumps(PUSH).encode()
    old = hmac.new(b"It's a Secret to Everybody", body, hashlib.sha1).hexdigest()
    answer = deliver(body, "push", X_Hub_Signature_256=None, X_Hub_Signature=f"sha1={old}")
    assert answer.status_code == 401
    assert stored() == []


@shared
@given(st.binary(max_size=200), st.binary(max_size=200), st.text(max_size=20))
def test_a_signature_fits_one_body_and_one_secret(body: bytes, other: bytes, secret: str) -> None:
    mac = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    assert signed(body, mac, secret)
    assert signed(other, mac, secret) == (other == body)
    assert not signed(body, mac, secret + "x")
    assert not signed(body, mac[:-1], secret)


@shared
@given(st.binary(max_size=300))
def test_an_unsigned_body_is_not_even_parsed(deliver: Deliver, body: bytes) -> None:
    assert deliver(body, "push", X_Hub_Signature_256="sha256=" + "0" * 64).status_code == 401


@shared
@given(st.binary(max_size=300), st.sampled_from(["push", "issue_comment", "installation", "ping"]))
def test_signed_rubbish_is_refused_with_a_reason(deliver: Deliver, body: bytes, event: str) -> None:
    answer = deliver(body, event)
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "malformed"
    assert answer.get_json()["message"].endswith(".")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@shared
@given(st.sampled_from(sorted(PUSH)), json_values)
def test_a_push_with_one_field_gone_wrong_never_breaks_the_server(
    deliver: Deliver, field: str, value: object
) -> None:
    answer = deliver({**PUSH, field: value}, "push")
    assert answer.status_code in (202, 400)


@pytest.mark.parametrize("field", sorted(PUSH))
def test_the_reason_names_the_missing_field(deliver: Deliver, stored: Stored, field: str) -> None:
    answer = deliver({key: value for key, value in PUSH.items() if key != field}, "push")
    assert answer.status_code == 400
    assert field in answer.get_json()["message"]
    assert stored() == []


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null", b"{", b"[" * 100_000, b'{"a":' * 50_000])
def test_a_body_that_is_no_object_is_refused(deliver: Deliver, stored: Stored, body: bytes) -> None:
    for event in ("ping", "push"):
        assert deliver(body, event).status_code == 400
    assert stored() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"X_GitHub_Event": None},
        {"X_GitHub_Event": "Not An Event"},
        {"X_GitHub_Event": "x" * 200},
        {"X_GitHub_Delivery": None},
        {"X_GitHub_Delivery": "a b"},
        {"X_GitHub_Delivery": "a" * 200},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": None},
    ],
)
def test_a_missing_or_wrong_header_is_named(
    deliver: Deliver, stored: Stored, headers: dict[str, str | None]
) -> None:
    answer = deliver(PUSH, "push", **headers)
    assert answer.status_code == 400
    wrong = next(iter(headers)).replace("_", "-").lower().replace("content-type", "content type")
    assert wrong in answer.get_json()["message"].lower()
    assert stored() == []


def test_too_long_is_refused_before_it_is_read(deliver: Deliver, stored: Stored) -> None:
    assert deliver(b" " * (BODY_MAX + 1), "push").status_code == 413
    assert stored() == []


def test_github_s_largest_payload_is_accepted(deliver: Deliver, stored: Stored) -> None:
    body = json.dumps({**PUSH, "padding": ""}).encode()
    padded = body.replace(b'"padding": ""', b'"padding": "%s"' % (b"x" * (BODY_MAX - len(body))))
    assert len(padded) == BODY_MAX
    assert deliver(padded, "push").status_code == 202
    assert len(stored()[0].payload) == BODY_MAX


def test_events_nobody_acts_upon_are_kept_but_not_queued(deliver: Deliver, stored: Stored) -> None:
    assert deliver({"zen": "Keep it logically awesome."}, "ping").status_code == 202
    (row,) = stored()
    assert row.processed_at is not None
    assert row.outcome == "not acted upon"


def test_storing_wakes_the_trigger_loop(app: Flask, deliver: Deliver) -> None:
    with services.of(app).wakeups.listen("deliveries") as ear:
        deliver(PUSH, "push")
        assert ear.wait(5.0)


def test_what_is_in_order_never_enters_flask(app: Flask, deliver: Deliver, stored: Stored) -> None:
    entered: list[str] = []
    app.before_request(lambda: entered.append("a request"))
    assert deliver(PUSH, "push").status_code == 202
    assert deliver(PUSH, "push", Content_Type="application/json; charset=utf-8").status_code == 202
    assert (len(stored()), entered) == (2, [])
    assert deliver(PUSH, "push", X_Hub_Signature_256="sha256=" + "0" * 64).status_code == 401
    assert deliver(b"[]", "push").status_code == 400
    assert len(entered) == 2


def test_both_ways_say_the_same(app: Flask, deliver: Deliver, stored: Stored) -> None:
    body = json.dumps(PUSH).encode()
    long = body[:-1] + b', "padding": "%s"}' % (b"x" * FRONT_MAX)  # goes through Flask
    here, there = (deliver(said, "push", X_GitHub_Delivery="one") for said in (body, long))
    assert (here.status, here.mimetype) == (there.status, there.mimetype)
    assert (here.get_json(), there.get_json()) == (
        {"delivery": "one", "stored": True},
        {"delivery": "one", "stored": False},
    )
    assert here.headers["X-Request-Id"]
    counted = app.test_client().get("/metrics").get_data(as_text=True)
    assert (
        'raas_http_request_seconds_count{method="POST",route="/webhooks/github",status="202"} 2.0' in counted
    )
    assert len(stored()) == 1


@pytest.mark.parametrize("length", ["", "-1", "many", "１２", "99999999999999999999"])
def test_a_length_that_is_none_is_left_to_flask(app: Flask, stored: Stored, length: str) -> None:
    body = json.dumps(PUSH).encode()
    headers = {"X-Hub-Signature-256": "sha256=" + "0" * 64, "Content-Length": length}
    answer = app.test_client().post("/webhooks/github", data=body, headers=headers)
    assert answer.status_code in (400, 401, 413)
    assert stored() == []


def test_a_store_that_fails_is_said_in_flask_s_words(app: Flask, deliver: Deliver) -> None:
    services.of(app).db.downgrade("base")
    answer = deliver(PUSH, "push")
    assert answer.status_code == 503
    assert answer.get_json()["error"] == "database_unavailable"


def test_only_post(app: Flask) -> None:
    assert app.test_client().get("/webhooks/github").status_code == 405


def test_answers_tell_nothing_about_the_secret(deliver: Deliver) -> None:
    answer = deliver(PUSH, "push", X_Hub_Signature_256="sha256=" + "0" * 64)
    assert b"Everybody" not in answer.data
