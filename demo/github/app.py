"""The stand-in as a WSGI program."""

from flask import Flask, Response, jsonify

from demo.github import admin, git_http, rest
from demo.github.errors import not_found
from demo.github.hub import Hub
from demo.github.rest import api as rest_api
from demo.github.rest import repositories
from demo.github.web import actions, oauth, pages, registration


def create_app(hub: Hub) -> Flask:
    """Return the Flask app over a hub: API, git, archives, pages and the admin interface."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = None  # git_http and the API bound what they read
    app.url_map.strict_slashes = False
    api = rest_api.Api(hub)
    for add in rest.CHAPTERS:
        add(api)
    app.register_blueprint(api.routes, url_prefix=hub.settings.api_prefix or None)
    app.register_blueprint(admin.blueprint(hub))
    app.register_blueprint(repositories.codeload(hub))
    app.register_blueprint(git_http.blueprint(hub))
    app.register_blueprint(pages.blueprint(hub))
    app.register_blueprint(actions.blueprint(hub))
    app.register_blueprint(registration.blueprint(hub))
    app.register_blueprint(oauth.blueprint(hub))
    _answer_unknown_api_paths(app, hub.settings.api_prefix)
    return app


def _answer_unknown_api_paths(app: Flask, prefix: str) -> None:
    if not prefix:
        return

    def unknown(path: str) -> tuple[Response, int]:
        return jsonify(not_found().body()), 404

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app.add_url_rule(f"{prefix}/<path:path>", "unknown_api_path", unknown, methods=methods)
