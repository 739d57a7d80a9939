"""What a check run shows: the verdict in words, and GitHub's limits whatever a job left behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from github_app.checks import payload
from github_app.comparison import Column, Comparison, Spread
from github_app.job_page import timeline
from github_app.job_view import FileError, JobView, Link
from github_app.jobs import Status
from github_app.outlook import Robot, Waiting
from github_app.summary import TEXT_MAX, output
from github_app.verdict import TITLE_MAX, duration, title
from runner.protocol import Annotation, Conclusion, Finish, SessionResult

NOW = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)
SCORES = {
    "episode_return": -312.4,
    "upright_time": 14.2,
    "upright": 0.71,
    "swing_up_time": 3.1,
    "composite": 0.8,
}
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


def session(**changes: Any) -> SessionResult:
    fields: dict[str, Any] = {
        "number": 0,
        "reason": "client_left",
        "message": "",
        "steps": 400,
        "ticks": 400,
        "episodes": 1,
        "late": 0,
        "duration_s": 20.0,
        "scores": SCORES,
        "robot": "goose",
        "passport": "2026-11-20",
    }
    return SessionResult.model_validate({**fields, **changes})


def finish(**changes: Any) -> Finish:
    fields: dict[str, Any] = {
        "fence": "",
        "conclusion": "success",
        "reason": "The program ended with exit status 0.",
        "sessions": [session()],
    }
    return Finish.model_validate({**fields, **changes})


QUEUED = JobView(
    id=7,
    url="https://raas.example/jobs/7",
    repository="alice/spoon",
    commit_url="https://github.example/alice/spoon/commit/0",
    private=False,
    sha="0" * 40,
    ref="main",
    pull_request=None,
    trigger="push",
    requested_by="alice",
    robot=("pendulum",),
    timeout_s=120.0,
    status=Status.QUEUED,
    conclusion=None,
    lost=False,
    reason="",
    cancel_reason="",
    config_error=None,
    attempt=0,
    phase="",
    runner=None,
    created_at=NOW,
    claimed_at=None,
    started_at=None,
    completed_at=None,
    waiting=Waiting(1, (), None),
    finish=None,
    log="",
    artifacts=(),
    steps=(),
)
RUNNING = replace(
    QUEUED, status=Status.RUNNING, waiting=None, runner="goose", claimed_at=NOW, started_at=NOW, attempt=1
)


def done(conclusion: Conclusion = Conclusion.SUCCESS, **changes: Any) -> JobView:
    ended = replace(
        RUNNING,
        status=Status.COMPLETED,
        conclusion=conclusion,
        completed_at=NOW + timedelta(seconds=30),
        finish=finish(),
    )
    return replace(ended, **changes)


GOOSE = Robot("goose", online=True, busy=False, healthy=True, message="", seen_at=NOW)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (done(), "Balanced 14.2 s of 20 s: return -312"),
        (
            done(finish=finish(sessions=[session(scores={**SCORES, "upright": 0.0, "upright_time": 0.0})])),
            "Never upright: return -312",
        ),
        (
            done(finish=finish(sessions=[session(scores={"episode_return": -3.14159})])),
            "Ran 400 steps: return -3.14",
        ),
        (
            done(Conclusion.FAILURE, reason="The program ended with exit status 1."),
            "The program ended with exit status 1 (balanced 14.2 s of 20 s: return -312)",
        ),
        (
            done(
                Conclusion.TIMED_OUT,
                reason="The time limit of 120 s was reached.",
                finish=finish(sessions=[]),
            ),
            "The time limit of 120 s was reached",
        ),
        (done(Conclusion.NEUTRAL, lost=True, finish=None, reason="Lost: our fault."), "Lost: our fault"),
        (
            done(Conclusion.FAILURE, finish=None, config_error=FileError("no such key", ".raas.yml", 3)),
            ".raas.yml line 3: no such key",
        ),
        (replace(QUEUED, status=Status.CLAIMED, waiting=None, runner="goose"), "Preparing on goose"),
        (RUNNING, "Running on goose"),
        (QUEUED, "Queued: next, but no robot with the labels pendulum has joined yet"),
        (replace(QUEUED, waiting=Waiting(1, (GOOSE,), 0.0)), "Queued: next for pendulum"),
        (
            replace(QUEUED, waiting=Waiting(3, (replace(GOOSE, busy=True),), 360.0)),
            "Queued: number 3 in line for pendulum, about 6 min",
        ),
        (
            replace(QUEUED, waiting=Waiting(1, (replace(GOOSE, online=False),), None)),
            "Queued: next; goose is offline since 20 Nov 14:02 UTC",
        ),
        (
            replace(QUEUED, waiting=Waiting(1, (replace(GOOSE, healthy=False, message="hot"),), None)),
            "Queued: next; goose is not fit to run: hot",
        ),
    ],
)
def test_the_verdict_comes_first_and_in_words(view: JobView, words: str) -> None:
    assert title(view) == words
    assert output(view).title == words


def test_a_finished_run_shows_scores_links_and_log() -> None:
    view = done(
        log="line one\n" * 50 + "last line\n",
        artifacts=(Link("trajectory.csv", 10, "https://raas.example/jobs/7/artifacts/trajectory.csv"),),
    )
    shown = output(view)
    assert "| return | \\-312 |" in shown.summary
    assert "goose" in shown.summary
    assert "(https://raas.example/jobs/7/artifacts/trajectory.csv)" in shown.summary
    assert "Last 40 log lines" in shown.text
    assert "last line" in shown.text
    rendered = MARKDOWN.render(shown.summary)
    assert "<td>-312</td>" in rendered
    assert "<h3>Balanced 14.2 s of 20 s: return -312</h3>" in rendered


BASE = Column(5, {"episode_return": Spread(-845.0, 60.0, 5), "upright_time": Spread(3.0, 0.5, 5)})


def test_a_run_stands_beside_the_base_branch_and_simulation() -> None:
    simulated = Column(1, {"episode_return": Spread(-290.0, None, 1)})
    beside = Comparison("main", BASE, simulated)
    assert title(done(), beside) == "Balanced 14.2 s of 20 s: return -312 (main -845 ± 60)"
    rendered = MARKDOWN.render(output(done(), beside).summary)
    assert "<th>main (same robot, 5 runs)</th>" in rendered
    assert "<th>simulation (1 run)</th>" in rendered
    cells = ("return", "-312", "-845 ± 60", "-290")
    assert "".join(f"<td>{cell}</td>\n" for cell in cells) in rendered
    assert "<td>swing-up time</td>\n<td>3.1 s</td>\n<td>—</td>" in rendered


def test_nothing_comparable_shows_nothing() -> None:
    assert title(done(), Comparison("main")) == "Balanced 14.2 s of 20 s: return -312"
    assert "main" not in output(done(), Comparison("main")).summary


def test_several_sessions_show_mean_spread_and_best() -> None:
    several = [
        session(number=number, scores={**SCORES, "episode_return": value})
        for number, value in enumerate((-300.0, -340.0, -320.0))
    ]
    view = done(finish=finish(sessions=several))
    assert title(view) == "3 sessions: return -320 ± 20, best -300"
    rendered = MARKDOWN.render(output(view).summary)
    assert "<th>mean of 3 sessions</th>\n<th>best, session 1</th>" in rendered
    assert "<td>return</td>\n<td>-320 ± 20</td>\n<td>-300</td>" in rendered
    assert "<td>return</td>\n<td>-300</td>\n<td>-340</td>\n<td>-320</td>" in rendered


def test_the_picture_is_shown_for_public_repositories_and_linked_for_private_ones() -> None:
    recorded = (Link("trajectory.npz", 10, "https://raas.example/jobs/7/artifacts/trajectory.npz"),)
    shown = output(done(artifacts=recorded)).summary
    assert "](https://raas.example/jobs/7/plot.svg)" in shown
    assert "![" in shown
    assert "[Replay from first upright](https://raas.example/jobs/7#t=3.10)" in shown
    hidden = output(done(artifacts=recorded, private=True)).summary
    assert "[plot](https://raas.example/jobs/7/plot.svg)" in hidden
    assert "![" not in hidden
    assert "plot.svg" not in output(done()).summary


def test_a_wrong_file_is_annotated_on_its_line() -> None:
    view = done(Conclusion.FAILURE, finish=None, config_error=FileError("no such key", ".raas.yml", 3))
    (annotation,) = output(view).annotations
    assert (annotation["path"], annotation["start_line"], annotation["end_line"]) == (".raas.yml", 3, 3)
    assert annotation["message"] == "no such key"


@pytest.mark.parametrize("path", ["/etc/passwd", "../run.py", "a/../../run.py", "run\u202e.py", "a\nb"])
def test_annotations_stay_within_the_repository(path: str) -> None:
    found = [Annotation(path=path, line=1, title="x", message="y")]
    assert output(done(finish=finish(annotations=found))).annotations == ()


MARKS = "`<>@#|[](){}\n\r\x1b\x00\u202e\U0001f600/-&"
hostile = st.text(alphabet=st.one_of(st.sampled_from(MARKS), st.characters(exclude_categories=("Cs",))))


def long(limit: int) -> st.SearchStrategy[str]:
    """Hostile text, now and then as long as the contract allows."""
    return st.tuples(hostile, st.sampled_from([1, 1, 1, 100, 100_000])).map(
        lambda it: (it[0] * it[1])[:limit]
    )


links = st.builds(
    Link, long(255), st.just(1), st.integers(1, 3000).map(lambda n: "https://raas.example/" + "x" * n)
)
sessions = st.builds(
    session,
    robot=st.just("goose"),
    passport=long(100),
    interventions=st.lists(long(4000), max_size=20),
    scores=st.dictionaries(
        long(2000), st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=40
    ),
)
views = st.builds(
    done,
    st.sampled_from(list(Conclusion)),
    reason=long(4000),
    phase=long(200),
    log=long(200_000),
    finish=st.none()
    | st.builds(
        finish,
        sessions=st.lists(sessions, max_size=3),
        annotations=st.lists(
            st.builds(
                Annotation,
                path=long(500) | st.just("run.py"),
                line=st.integers(1, 1 << 31),
                title=long(255),
                message=long(4000),
            ),
            max_size=50,
        ),
    ),
    config_error=st.none() | st.builds(FileError, long(9000), st.just(".raas.yml"), st.integers(1, 9999)),
    artifacts=st.lists(links, max_size=60).map(tuple),
)


spreads = st.builds(
    Spread,
    st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.floats(0, 1e300),
    st.integers(1, 5),
)
columns = st.builds(Column, st.integers(1, 5), st.dictionaries(long(2000), spreads, max_size=40))
comparisons = st.builds(Comparison, long(255), st.none() | columns, st.none() | columns)


@settings(max_examples=60)
@given(views, st.none() | comparisons)
def test_every_limit_holds_whatever_a_job_left(view: JobView, comparison: Comparison | None) -> None:
    body = payload(view, comparison)
    shown = body["output"]
    assert 0 < len(shown["title"]) <= TITLE_MAX
    assert "\n" not in shown["title"]
    assert 0 < len(shown["summary"].encode()) <= TEXT_MAX
    assert len(shown.get("text", "").encode()) <= TEXT_MAX
    assert len(shown.get("annotations", [])) <= 50
    for annotation in shown.get("annotations", []):
        assert 0 < len(annotation["message"].encode()) <= 64 * 1024
        assert 0 < len(annotation["title"]) <= 255
        assert annotation["annotation_level"] in {"notice", "warning", "failure"}
    if text := shown.get("text"):
        kinds = [token.type for token in MARKDOWN.parse(text)]
        assert kinds == ["html_block", "fence", "html_block"]
    html = [token.content for token in MARKDOWN.parse(shown["summary"]) if token.type == "html_block"]
    assert html in ([], ["<details><summary>Every session</summary>\n", "</details>"])
    assert body["status"] == "completed"
    assert body["conclusion"] == view.conclusion.value  # type: ignore[union-attr]


@given(st.floats(0, 1e6))
def test_durations_read_well(seconds: float) -> None:
    assert duration(seconds).split()[1] in {"s", "min", "h"}


def test_the_timeline_tells_an_outage_from_the_run() -> None:
    began = NOW - timedelta(days=1)  # the robot's host has a clock of its own
    ran = finish(started_at=began, ended_at=began + timedelta(seconds=31))
    late = done(finish=ran, completed_at=NOW + timedelta(minutes=52))
    parts = [(part.name, part.note) for part in timeline(late)]
    assert parts[2:4] == [("Ran", "31 s"), ("Delivered", "51 min")]
    prompt = done(finish=ran, completed_at=NOW + timedelta(seconds=33))
    assert [part.name for part in timeline(prompt)] == ["Queued", "Prepared", "Ran", "Success"]
