"""Whether the GitHub App works: credentials, permissions, events, webhook, clock. Asked of GitHub itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from github_app import github_site, manifest
from github_app.config import Settings
from github_app.credentials import CredentialsError
from github_app.finding import Finding, Grade
from github_app.github import ForbiddenError, GitHub, GitHubError, NotFoundError
from github_app.github_site import AppFacts, DeliveryFacts
from github_app.moves import utc_now

SKEW_ODD = timedelta(seconds=10)
SKEW_BAD = timedelta(seconds=60)
"""An App's JWT is dated back a minute: a clock that is further ahead is refused by GitHub."""
RECENT = timedelta(days=3)
"""GitHub keeps deliveries for so long."""
_LEVELS = {"read": 1, "write": 2, "admin": 3}


def examine(settings: Settings, github: GitHub) -> Iterator[Finding]:
    """Everything about the App; stops where the rest could not be told."""
    try:
        problem = _incomplete(settings)
    except CredentialsError as error:
        problem = str(error)
    if problem is not None:
        yield Finding("GitHub App", Grade.BAD, problem)
        return
    yield from _clock(github)
    try:
        app = github_site.app(github)
    except GitHubError as error:
        yield Finding("GitHub App", Grade.BAD, _refused(settings, error))
        return
    text = f"{app.name} ({app.id}) at {settings.github_api_url}"
    yield Finding("GitHub App", Grade.GOOD, text)
    yield permissions(app)
    yield events(app)
    yield from _webhook(settings, github, app)
    yield _sign_in(settings)


def _incomplete(settings: Settings) -> str | None:
    needed = {
        "RAAS_GITHUB_APP_ID": settings.github_app_id,
        "RAAS_GITHUB_PRIVATE_KEY": settings.github_private_key,
        "RAAS_GITHUB_WEBHOOK_SECRET": settings.github_webhook_secret,
    }
    missing = [name for name, value in needed.items() if value is None]
    if len(missing) == len(needed):
        return "there is none yet; `raas-server setup` prints the address where it is made in a browser"
    if missing:
        return f"{', '.join(missing)} not set; take the values from the App's page on GitHub"
    if not _key_usable(settings):
        return "RAAS_GITHUB_PRIVATE_KEY is no usable RSA key; make a new one on the App's page"
    return None


def _key_usable(settings: Settings) -> bool:
    key = settings.github_private_key
    try:
        load_pem_private_key((key.reveal() if key else "").encode(), password=None)
    except (ValueError, TypeError):
        return False
    return True


def _refused(settings: Settings, error: GitHubError) -> str:
    if isinstance(error, NotFoundError):
        return (
            f"{settings.github_api_url} knows no App {settings.github_app_id}; correct RAAS_GITHUB_APP_ID,"
            " or RAAS_GITHUB_API_URL where it is on an Enterprise Server"
        )
    if isinstance(error, ForbiddenError):
        return f"GitHub refuses the private key ({error}); make a new one on the App's page"
    return f"{settings.github_api_url} could not be asked ({error}); check that address and the network"


def _clock(github: GitHub) -> Iterator[Finding]:
    try:
        skew = utc_now() - github.clock()
    except GitHubError:
        return  # the App's own line will say that GitHub cannot be asked
    seconds = skew.total_seconds()
    words = f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} GitHub's"
    if abs(skew) > SKEW_BAD:
        text = f"{words}: GitHub will refuse the App's tokens; set it, and switch on NTP (`timedatectl`)"
        yield Finding("clock", Grade.BAD, text)
    elif abs(skew) > SKEW_ODD:
        yield Finding("clock", Grade.ODD, f"{words}; switch on NTP (`timedatectl set-ntp true`)")
    else:
        yield Finding("clock", Grade.GOOD, "agrees with GitHub's")


def permissions(app: AppFacts) -> Finding:
    """Whether the App has what `app.yml` declares."""
    lacking = [
        f"{name}: {level}"
        for name, level in manifest.declared().default_permissions.items()
        if _LEVELS.get(app.permissions.get(name, ""), 0) < _LEVELS[level]
    ]
    if lacking:
        text = (
            f"lacks {', '.join(lacking)}; add them on {app.html_url} (App settings, Permissions & events),"
            " then accept them at each installation"
        )
        return Finding("permissions", Grade.BAD, text)
    return Finding("permissions", Grade.GOOD, "as in app.yml")


def events(app: AppFacts) -> Finding:
    """Whether the App is told what `app.yml` declares."""
    lacking = [name for name in manifest.declared().default_events if name not in app.events]
    if lacking:
        text = (
            f"is not told of {', '.join(lacking)}; tick them on {app.html_url}"
            " (App settings, Permissions & events, Subscribe to events)"
        )
        return Finding("events", Grade.BAD, text)
    return Finding("events", Grade.GOOD, "as in app.yml")


def _webhook(settings: Settings, github: GitHub, app: AppFacts) -> Iterator[Finding]:
    wanted = manifest.webhook_url(settings.public_url)
    try:
        url = github_site.hook(github).url
        latest = github_site.deliveries(github)
    except GitHubError as error:
        yield Finding("webhook", Grade.ODD, f"could not be looked at ({error}); try again")
        return
    if url != wanted:
        text = f"goes to {url or 'nowhere'}; set it to {wanted} on {app.html_url} (App settings, Webhook)"
        yield Finding("webhook", Grade.BAD, text)
    else:
        yield Finding("webhook", Grade.GOOD, f"goes to {wanted}")
    yield received(latest)


def received(latest: list[DeliveryFacts]) -> Finding:
    """What became of the latest deliveries, by what we answered; a redelivery makes up for its first try."""
    recent = [it for it in latest if utc_now() - it.delivered_at < RECENT]
    if not recent:
        text = "GitHub has sent nothing in three days; push to a repository that has the App to see one"
        return Finding("deliveries", Grade.ODD, text)
    arrived = {it.guid for it in recent if 200 <= it.status_code < 300}
    lost = [it for it in recent if it.guid not in arrived]
    if not lost:
        return Finding("deliveries", Grade.GOOD, f"the latest {len(recent)} arrived")
    worst = lost[0]
    grade = Grade.BAD if worst is recent[0] else Grade.ODD
    text = f"{len(lost)} of the latest {len(recent)} did not arrive, last with {_answer(worst)}"
    return Finding("deliveries", grade, text)


def _answer(delivery: DeliveryFacts) -> str:
    if delivery.status_code == 401:
        return "401: the webhook secret here is not the App's; correct RAAS_GITHUB_WEBHOOK_SECRET"
    if delivery.status_code == 0:
        return f"no answer ({delivery.status}); GitHub must reach RAAS_PUBLIC_URL from the internet"
    if delivery.status_code == 404:
        return "404: something else answers at RAAS_PUBLIC_URL; look at the proxy"
    return f"{delivery.status_code}; look at the proxy and at the server's log"


def _sign_in(settings: Settings) -> Finding:
    if settings.github_client_id is None or settings.github_client_secret is None:
        text = (
            "is off: RAAS_GITHUB_CLIENT_ID and RAAS_GITHUB_CLIENT_SECRET are not set; take them from the"
            f" App's page, and name {manifest.callback_url(settings.public_url)} as its callback URL there"
        )
        return Finding("sign-in", Grade.ODD, text)
    if urlsplit(settings.public_url).scheme != "https":
        return Finding("sign-in", Grade.ODD, "works, but cookies travel unencrypted without https")
    return Finding("sign-in", Grade.GOOD, "with GitHub")
