"""What a check run may say: GitHub's documented limits at their edges."""

from __future__ import annotations

from typing import Any

import pytest

from demo.github.errors import ApiError
from demo.github.rest import check_input

NOTE = {"path": "a.py", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
ACTION = {"label": "l", "description": "d", "identifier": "i"}


def _output(**fields: Any) -> dict[str, Any]:
    return {"output": {"title": "t", "summary": "s", **fields}}


def _refusal(body: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as failure:
        check_input.changes(body)
    assert failure.value.status == 422
    return failure.value.message


@pytest.mark.parametrize(
    "body",
    [
        _output(summary="x" * 65535, text="ü" * 32767),
        _output(annotations=[NOTE] * 50),
        _output(
            annotations=[{**NOTE, "title": "t" * 255, "message": "m" * 65536, "raw_details": "r" * 65536}]
        ),
        _output(annotations=[{**NOTE, "start_column": 1, "end_column": 4}]),
        {"actions": [{"label": "l" * 20, "description": "d" * 40, "identifier": "i" * 20}] * 3},
        {"status": "in_progress", "started_at": "2026-01-31T12:00:00+01:00"},
        {"details_url": "https://raas.example/jobs/1", "external_id": "1"},
    ],
)
def test_what_just_fits(body: dict[str, Any]) -> None:
    assert check_input.changes(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (_output(summary="x" * 65536), "65535"),
        (_output(text="ü" * 32768), "65535"),
        (_output(summary=""), "summary"),
        (_output(annotations=[NOTE] * 51), "50"),
        (_output(annotations=[{**NOTE, "message": "m" * 65537}]), "65536"),
        (_output(annotations=[{**NOTE, "title": "t" * 256}]), "255"),
        (_output(annotations=[{**NOTE, "annotation_level": "error"}]), "error"),
        (_output(annotations=[{**NOTE, "annotation_level": None}]), "annotation_level"),
        (_output(annotations=[{**NOTE, "path": ""}]), "path"),
        (_output(annotations=[{**NOTE, "start_line": "1"}]), "start_line"),
        (_output(annotations=[{**NOTE, "start_line": True}]), "start_line"),
        (_output(annotations=[{**NOTE, "end_line": None}]), "end_line"),
        (_output(annotations=[{**NOTE, "start_line": 2}]), "before"),
        (_output(annotations=[{**NOTE, "end_line": 2, "start_column": 1}]), "differ"),
        (_output(annotations={}), "not an array"),
        ({"output": []}, "not an object"),
        ({"actions": [ACTION] * 4}, "3"),
        ({"actions": [{**ACTION, "label": "l" * 21}]}, "20"),
        ({"actions": [{**ACTION, "description": "d" * 41}]}, "40"),
        ({"actions": [{**ACTION, "identifier": "i" * 21}]}, "20"),
        ({"actions": [{"label": "l"}]}, "description"),
        ({"status": "done"}, "done"),
        ({"conclusion": "stale"}, "stale"),
        ({"conclusion": "passed"}, "passed"),
        ({"status": "completed"}, "conclusion"),
        ({"completed_at": "2026-01-31T12:00:00Z"}, "conclusion"),
        ({"started_at": "yesterday"}, "date-time"),
        ({"started_at": "2026-01-31T12:00:00"}, "date-time"),
        ({"details_url": "javascript:alert(1)"}, "Validation Failed"),
        ({"name": 7}, "not a string"),
    ],
)
def test_what_does_not(body: dict[str, Any], reason: str) -> None:
    assert reason in _refusal(body)


def test_a_conclusion_completes_and_a_new_status_reopens() -> None:
    assert check_input.changes({"conclusion": "success"}) == {"status": "completed", "conclusion": "success"}
    assert check_input.changes({"status": "queued"}) == {"status": "queued", "conclusion": None}
    assert check_input.changes({"status": "completed"}, has_conclusion=True) == {"status": "completed"}
    assert check_input.changes({}) == {}


@pytest.mark.parametrize("sha", ["", "abc", "g" * 40, "A" * 40, "a" * 41])
def test_shas_are_written_out(sha: str) -> None:
    with pytest.raises(ApiError):
        check_input.head_sha({"head_sha": sha})
