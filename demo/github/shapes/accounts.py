"""Users, organizations, Apps and installations as JSON."""

import base64
from typing import Any

from sqlalchemy import func, select

from demo.github.models import Account, App, Installation
from demo.github.scope import Scope, iso, maybe_iso

Json = dict[str, Any]

_USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}


def node_id(kind: str, identity: int | str) -> str:
    """Return the id of a thing in GitHub's graph: opaque, but stable."""
    return base64.b64encode(f"{len(kind):03}:{kind}{identity}".encode()).decode()


def account(scope: Scope, row: Account) -> Json:
    """Return the `simple-user` document."""
    api = f"{scope.settings.api_url}/users/{row.login}"
    return {
        "login": row.login,
        "id": row.id,
        "node_id": node_id(row.kind, row.id),
        "avatar_url": f"{scope.settings.public_url}/_avatar/{row.id}.svg",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{scope.settings.public_url}/{row.login}",
        **{name: api + suffix for name, suffix in _USER_LINKS.items()},
        "type": row.kind,
        "user_view_type": "public",
        "site_admin": False,
    }


def profile(scope: Scope, row: Account) -> Json:
    """Return the `public-user` document."""
    unknown = ("company", "location", "email", "hireable", "bio")
    return {
        **account(scope, row),
        "name": row.login,
        "blog": "",
        **dict.fromkeys(unknown),
        "public_repos": 0,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.created_at),
    }


def organization(scope: Scope, row: Account) -> Json:
    """Return the `organization` that webhooks of its repositories carry."""
    api = f"{scope.settings.api_url}/orgs/{row.login}"
    return {
        "login": row.login,
        "id": row.id,
        "node_id": node_id(row.kind, row.id),
        "url": api,
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events",
        "hooks_url": f"{api}/hooks",
        "issues_url": f"{api}/issues",
        "members_url": f"{api}/members{{/member}}",
        "public_members_url": f"{api}/public_members{{/member}}",
        "avatar_url": f"{scope.settings.public_url}/_avatar/{row.id}.svg",
        "description": None,
    }


def app(scope: Scope, row: App) -> Json:
    """Return the `integration` document."""
    return {
        "id": row.id,
        "client_id": row.client_id,
        "slug": row.slug,
        "node_id": node_id("Integration", row.id),
        "owner": account(scope, row.owner),
        "name": row.name,
        "description": "",
        "external_url": row.external_url,
        "html_url": f"{scope.settings.public_url}/apps/{row.slug}",
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "permissions": row.permissions,
        "events": row.events,
    }


def app_with_count(scope: Scope, row: App) -> Json:
    """Return the `integration` document as the App itself sees it."""
    query = select(func.count()).select_from(Installation).where(Installation.app_id == row.id)
    return {**app(scope, row), "installations_count": scope.session.scalar(query)}


def installation(scope: Scope, row: Installation) -> Json:
    """Return the `installation` document."""
    settings = scope.settings
    return {
        "id": row.id,
        "client_id": row.app.client_id,
        "account": account(scope, row.account),
        "repository_selection": row.selection,
        "access_tokens_url": f"{settings.api_url}/app/installations/{row.id}/access_tokens",
        "repositories_url": f"{settings.api_url}/installation/repositories",
        "html_url": f"{settings.public_url}/settings/installations/{row.id}",
        "app_id": row.app_id,
        "app_slug": row.app.slug,
        "target_id": row.account_id,
        "target_type": row.account.kind,
        "permissions": row.permissions,
        "events": row.events,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": account(scope, row.account) if row.suspended_at else None,
        "suspended_at": maybe_iso(row.suspended_at),
    }


def simple_installation(row: Installation) -> Json:
    """Return the two fields by which a webhook names the installation."""
    return {"id": row.id, "node_id": node_id("IntegrationInstallation", row.id)}
