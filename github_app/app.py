"""The web application, put together from its parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response
from werkzeug.routing import IntegerConverter, Map

from github_app import (
    answers,
    api,
    api_docs,
    auth,
    badge,
    browser_headers,
    csrf,
    job_actions,
    leaderboard,
    limits,
    live,
    logs,
    metrics,
    openapi,
    pages,
    plot_page,
    policy_pages,
    public,
    readiness,
    replay,
    robots,
    schema,
    services,
    setup,
    submit,
    transfers,
    webhooks,
)
from github_app.config import Settings
from github_app.db import Database
from github_app.dispatch import Dispatcher
from github_app.github import GitHub
from github_app.identity import Identity
from github_app.rate_limits import RateLimits
from github_app.services import Services
from github_app.stores import open_store
from github_app.telemetry import LatestTelemetry
from github_app.wakeups import Wakeups
from runner.protocol import MAX_BODY

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class RowNumber(IntegerConverter):
    """`<int:…>` in a route: a number a database can hold; larger ones are not found."""

    def __init__(self, map_: Map, fixed_digits: int = 0) -> None:
        super().__init__(map_, fixed_digits, max=(1 << 63) - 1)


_NUL_INSTEAD = "\N{REPLACEMENT CHARACTER}".encode().decode("latin-1")
"""As WSGI writes a path's bytes."""


class Storable:
    """The application around Flask's: no address holds the one character that PostgreSQL does not take.

    Args:
        inner: Asked with U+FFFD in the place of each NUL, as bodies are read (`answers.body`).
    """

    def __init__(self, inner: WSGIApplication) -> None:
        self._inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hand on."""
        if "\0" in environ["PATH_INFO"]:
            environ["PATH_INFO"] = environ["PATH_INFO"].replace("\0", _NUL_INSTEAD)
        if "%00" in environ["QUERY_STRING"]:
            environ["QUERY_STRING"] = environ["QUERY_STRING"].replace("%00", "%EF%BF%BD")
        return self._inner(environ, start_response)


def create_app(settings: Settings) -> Flask:
    """The application, without its background loops (`background.Background`), which a server starts once.

    The database has to be up to date (`Database.upgrade`).
    """
    app = Flask(__name__)
    app.url_map.converters["int"] = RowNumber
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    wakeups = Wakeups()
    database = Database(settings.database_url, wakeups.notify)
    rate_limits = RateLimits(database, settings.github_writes_per_minute, settings.github_writes_per_hour)
    app.extensions[services.EXTENSION] = Services(
        settings=settings,
        db=database,
        wakeups=wakeups,
        dispatcher=Dispatcher(),
        telemetry=LatestTelemetry(wakeups.notify_here),
        store=open_store(settings),
        github=GitHub(settings, rate_limits),
        limits=rate_limits,
        identity=Identity(database),
    )
    logs.install(app)
    metrics.install(app)
    answers.register(app)
    limits.install(
        app,
        programs=(webhooks.blueprint, api.blueprint, transfers.uploads),
        forms=(setup.blueprint, auth.blueprint, robots.blueprint, submit.blueprint, job_actions.blueprint),
    )
    for blueprint in (
        webhooks.blueprint,
        api.blueprint,
        openapi.blueprint,
        public.blueprint,
        live.blueprint,
        transfers.blueprint,
        transfers.uploads,
        plot_page.blueprint,
        replay.blueprint,
        pages.blueprint,
        policy_pages.blueprint,
        robots.blueprint,
        leaderboard.blueprint,
        badge.blueprint,
        api_docs.blueprint,
        setup.blueprint,
        auth.blueprint,
        submit.blueprint,
        job_actions.blueprint,
        schema.blueprint,
    ):
        app.register_blueprint(blueprint)
    app.before_request(csrf.check)
    app.add_template_global(csrf.token, "csrf_token")
    app.add_template_global(auth.login_name, "signed_in_as")
    readiness.install(app)
    _headers(app)
    app.wsgi_app = Storable(app.wsgi_app)  # type: ignore[method-assign]  # Flask's own way to wrap an app
    app.wsgi_app = webhooks.Front(app)  # type: ignore[method-assign]  # Flask's own way to wrap an app
    return app


def close(app: Flask) -> None:
    """Give up what the application holds."""
    here = services.of(app)
    here.github.close()
    here.db.close()


def _headers(app: Flask) -> None:
    said = browser_headers.fixed(services.of(app).settings)

    @app.after_request
    def secure(response: Response) -> Response:
        for name, value in said.items():
            response.headers.setdefault(name, value)
        return response
