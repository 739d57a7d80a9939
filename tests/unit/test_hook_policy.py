"""Who may move a robot, and who may see a job."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app.buttons import Press, offered, shown
from github_app.jobs import Status
from github_app.models import Job, Repository
from github_app.policy import (
    STRANGER,
    Denied,
    Granted,
    PressVerdict,
    PullRequestFacts,
    PullVerdict,
    Viewer,
    decide_press,
    decide_pull,
    decide_run,
    visible,
)
from runner.protocol import Conclusion

HEAD = "0123456789abcdef0123456789abcdef01234567"
OWN = PullRequestFacts(
    open=True,
    head_sha=HEAD,
    head_repository_id=1,
    head_repository="a/r",
    base_repository_id=1,
    base_branch="main",
)
FORK = replace(OWN, head_repository_id=2, head_repository="b/r")

hexadecimal = st.text(alphabet="0123456789abcdef", min_size=7, max_size=40)
pulls = st.sampled_from([OWN, FORK, replace(FORK, head_repository_id=None, head_repository=None)])


def decide(
    pull: PullRequestFacts = OWN, permission: str = "write", sha: str | None = None
) -> Granted | Denied:
    return decide_run(login="carol", permission=permission, pull=pull, sha=sha)


def test_a_writer_runs_the_head() -> None:
    assert decide() == Granted(HEAD)
    assert decide(permission="admin", sha=HEAD[:7]) == Granted(HEAD)


@pytest.mark.parametrize("permission", ["read", "none", "triage", "", "WRITE", "owner"])
def test_nobody_else_does(permission: str) -> None:
    decision = decide(permission=permission, sha=HEAD)
    assert isinstance(decision, Denied)
    assert "write permission" in decision.reason


def test_a_fork_runs_by_its_whole_head_only() -> None:
    assert decide(FORK, sha=HEAD) == Granted(HEAD, "b/r")
    assert isinstance(decide(FORK), Denied)
    for length in range(7, 40):
        decision = decide(FORK, sha=HEAD[:length])
        assert isinstance(decision, Denied)
        assert f"/raas run {HEAD}" in decision.reason


def test_a_deleted_fork_counts_as_a_fork() -> None:
    gone = replace(FORK, head_repository_id=None, head_repository=None)
    assert isinstance(decide(gone), Denied)
    assert decide(gone, sha=HEAD) == Granted(HEAD)


def test_a_commit_that_is_not_the_head_is_refused() -> None:
    other = "f" * 40
    for pull in (OWN, FORK):
        decision = decide(pull, sha=other)
        assert isinstance(decision, Denied)
        assert HEAD in decision.reason


def test_a_closed_pull_request_is_refused() -> None:
    assert isinstance(decide(replace(OWN, open=False)), Denied)


@given(
    pull=pulls,
    is_open=st.booleans(),
    permission=st.sampled_from(["admin", "write", "read", "none"]),
    sha=st.none() | hexadecimal | st.integers(7, 40).map(lambda n: HEAD[:n]),
)
def test_whatever_is_granted_keeps_every_rule(
    pull: PullRequestFacts, is_open: bool, permission: str, sha: str | None
) -> None:
    pull = replace(pull, open=is_open)
    decision = decide(pull, permission, sha)
    if isinstance(decision, Granted):
        assert permission in {"admin", "write"}
        assert is_open
        assert decision.sha == pull.head_sha
        assert sha is None or pull.head_sha.startswith(sha)
        assert not pull.from_elsewhere or sha == pull.head_sha
    else:
        assert decision.reason.endswith((".", "`."))


def test_a_named_branch_is_the_repository_s_own() -> None:
    there = "f" * 40
    for pull in (OWN, FORK):
        granted = decide_run(login="c", permission="write", pull=pull, sha=None, ref_head=there)
        assert granted == Granted(there)
        other = decide_run(login="c", permission="write", pull=pull, sha=HEAD, ref_head=there)
        assert isinstance(other, Denied)
        stranger = decide_run(login="c", permission="read", pull=pull, sha=None, ref_head=there)
        assert isinstance(stranger, Denied)


permissions = st.sampled_from(["admin", "write", "read", "none", "triage", "maintain", "", "ADMIN"])
senders = st.sampled_from(["User", "Bot", "Organization", "Mannequin", ""])
actions = st.sampled_from(["opened", "synchronize", "reopened", "closed", "edited", "labeled", ""])
identifiers = st.none() | st.sampled_from([*(press.value for press in Press), "APPROVE", "", "x"])
states = st.one_of(
    st.tuples(st.sampled_from([Status.QUEUED, Status.CLAIMED, Status.RUNNING]), st.none()),
    st.tuples(st.just(Status.COMPLETED), st.sampled_from(list(Conclusion))),
)


@given(actions, st.booleans(), senders, permissions)
def test_no_pull_request_of_a_stranger_or_a_fork_runs_by_itself(
    action: str, elsewhere: bool, sender: str, permission: str
) -> None:
    verdict = decide_pull(action=action, from_elsewhere=elsewhere, sender_type=sender, permission=permission)
    if verdict is PullVerdict.RUN:
        assert not elsewhere
        assert sender == "User"
        assert permission in {"admin", "write"}
    if verdict is not PullVerdict.LEAVE:
        assert action in {"opened", "synchronize", "reopened"}


@given(identifiers, senders, permissions, states)
def test_no_press_moves_what_it_must_not(
    identifier: str | None, sender: str, permission: str, state: tuple[Status, Conclusion | None]
) -> None:
    status, conclusion = state
    verdict = decide_press(
        identifier=identifier,
        sender_type=sender,
        login="carol",
        permission=permission,
        status=status,
        conclusion=conclusion,
    )
    held = conclusion is Conclusion.ACTION_REQUIRED
    if isinstance(verdict, Denied):
        assert verdict.reason.endswith(".")
        return
    assert sender == "User"
    assert permission in {"admin", "write"}
    if verdict is PressVerdict.APPROVE:
        assert held
        assert identifier == "approve"
    if verdict is PressVerdict.AGAIN:
        assert status is Status.COMPLETED
        assert not held, "a re-run is no approval"
    if verdict is PressVerdict.CANCEL:
        assert status is not Status.COMPLETED


@given(states)
def test_the_buttons_keep_github_s_limits(state: tuple[Status, Conclusion | None]) -> None:
    buttons = shown(*state)
    assert 1 <= len(buttons) == len(offered(*state)) <= 3
    for button in buttons:
        assert 0 < len(button.label) <= 20
        assert 0 < len(button.description) <= 40
        assert 0 < len(button.identifier) <= 20


@pytest.mark.parametrize(
    ("private", "viewer", "expected"),
    [
        (False, STRANGER, True),
        (True, STRANGER, False),
        (True, Viewer("carol"), False),
        (True, Viewer("carol", frozenset({8})), False),
        (True, Viewer("carol", frozenset({7})), True),
    ],
)
def test_private_jobs_are_for_readers(private: bool, viewer: Viewer, expected: bool) -> None:
    repository = Repository(
        id=7, installation_id=1, owner="a", name="r", private=private, default_branch="main"
    )
    assert visible(Job(repository=repository, repository_id=7), viewer) is expected
