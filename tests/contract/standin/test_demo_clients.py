"""Two independent clients, written for GitHub, work with the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import github
import pytest
from githubkit import AppAuthStrategy, GitHub
from githubkit.exception import RequestFailed
from standin import Site


@contextmanager
def _pygithub(hosted: Site, auth: github.Auth.Auth) -> Iterator[github.Github]:
    client = github.Github(base_url=hosted.github.api_url, auth=auth, retry=None)
    with client:
        yield client


def test_pygithub_as_a_person(hosted: Site) -> None:
    name = hosted.repository()
    hosted.world.push(name, {"a": "1"}, user="alice", branch="topic")
    with _pygithub(hosted, github.Auth.Token(hosted.world.user("alice").token)) as client:
        assert client.get_user().login == "alice"
        repository = client.get_repo(name)
        assert repository.permissions.admin
        assert repository.get_contents("run.py").decoded_content == b"print('hello')\n"
        pull = repository.create_pull(base="main", head="topic", title="Try", body="please")
        assert pull.mergeable
        comment = pull.create_issue_comment("/raas run")
        comment.create_reaction("eyes")
        assert [it.content for it in comment.get_reactions()] == ["eyes"]
        assert [it.number for it in repository.get_pulls(state="open")] == [pull.number]
        assert repository.get_collaborator_permission("alice") == "admin"
        assert repository.get_git_ref(f"pull/{pull.number}/head").object.sha == pull.head.sha
        pull.edit(state="closed")
        assert repository.get_pull(pull.number).state == "closed"


def test_pygithub_as_the_app(hosted: Site) -> None:
    name = hosted.repository(private=True)
    sha = hosted.world.push(name, {"a": "1"}, user="alice")
    auth = github.Auth.AppAuth(hosted.app.id, hosted.app.private_key)
    with github.GithubIntegration(auth=auth, base_url=hosted.github.api_url) as integration:
        assert integration.get_app().slug == "raas"
        installation = integration.get_repo_installation(*name.split("/"))
        token = integration.get_access_token(installation.id, {"checks": "write", "contents": "read"}).token
    with _pygithub(hosted, github.Auth.Token(token)) as client:
        repository = client.get_repo(name)
        run = repository.create_check_run("RaaS", sha, status="in_progress", external_id="job-7")
        note = {
            "path": "run.py",
            "start_line": 1,
            "end_line": 1,
            "annotation_level": "warning",
            "message": "slow",
        }
        run.edit(
            conclusion="success", output={"title": "Done", "summary": "All of it", "annotations": [note]}
        )
        found = repository.get_commit(sha).get_check_runs(check_name="RaaS")
        assert [(it.id, it.conclusion, it.external_id) for it in found] == [(run.id, "success", "job-7")]
        assert [it.message for it in repository.get_check_run(run.id).get_annotations()] == ["slow"]
        with pytest.raises(github.GithubException, match="403"):
            repository.get_pulls().totalCount  # noqa: B018  -- asking is what fails


def test_githubkit_as_the_app(hosted: Site) -> None:
    name = hosted.repository(private=True)
    owner, repo = name.split("/")
    sha = hosted.world.push(name, {"a": "1"}, user="alice")
    app = GitHub(
        AppAuthStrategy(str(hosted.app.id), hosted.app.private_key),
        base_url=hosted.github.api_url,
        auto_retry=False,
    )
    assert app.rest.apps.get_authenticated().parsed_data.slug == "raas"
    found = app.rest.apps.get_repo_installation(owner, repo).parsed_data
    client = app.with_auth(app.auth.as_installation(found.id))
    made = client.rest.checks.create(owner, repo, name="RaaS", head_sha=sha, status="queued")
    assert made.parsed_data.status == "queued"
    done = client.rest.checks.update(owner, repo, made.parsed_data.id, conclusion="neutral")
    assert done.parsed_data.conclusion == "neutral"
    listed = client.rest.checks.list_for_ref(owner, repo, sha, app_id=hosted.app.id).parsed_data
    assert [it.id for it in listed.check_runs] == [made.parsed_data.id]
    assert client.rest.repos.get_commit(owner, repo, sha).parsed_data.sha == sha
    archive = client.rest.repos.download_tarball_archive(owner, repo, sha)
    assert archive.content[:2] == b"\x1f\x8b"
    with pytest.raises(RequestFailed) as failure:
        client.rest.checks.create(owner, repo, name="RaaS", head_sha="0" * 40)
    assert failure.value.response.status_code == 422
