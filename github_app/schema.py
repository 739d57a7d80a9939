"""`/schema/raas.yml.json`: the JSON Schema of `.raas.yml`, at an address that stays, for editors."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from github_app import services
from runner.repo_config import json_schema

blueprint = Blueprint("schema", __name__)


@blueprint.get("/schema/raas.yml.json")
def raas_yml() -> Response:
    """The schema that this server's reading of the file is made from."""
    address = f"{services.current().settings.public_url}/schema/raas.yml.json"
    answer = jsonify({"$id": address, **json_schema()})
    answer.mimetype = "application/schema+json"
    answer.headers["Access-Control-Allow-Origin"] = "*"  # editors in a browser
    answer.headers["Cache-Control"] = "public, max-age=3600"
    return answer
