"""The OpenAPI document, made from the messages themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from github_app import live, public, replay_data, services
from raas_gym.version import __version__
from runner import protocol

RUNNER = protocol.PREFIX
REFS = "#/components/schemas/{model}"

Model = type[BaseModel]


@dataclass(frozen=True)
class Operation:
    """One call: what goes in, what comes out, and which errors are part of the contract."""

    method: str
    path: str
    summary: str
    body: Model | None = None
    answer: Model | None = None
    status: int = 200
    errors: tuple[int, ...] = ()
    query: Model | None = None
    media_type: str = "application/json"

    @property
    def for_runners(self) -> bool:
        """Whether it belongs to the JOB CONTRACT."""
        return self.path.startswith(RUNNER)


blueprint = Blueprint("openapi", __name__, url_prefix="/api/v1")


@blueprint.get("/openapi.json")
def serve() -> Response:
    """What the API is, in OpenAPI 3.1."""
    return jsonify(document(services.current().settings.public_url))


_FENCED = (401, 404, 409, 413, 422, 426)


def operations() -> tuple[Operation, ...]:
    """Everything under `/api/v1`."""
    p, jobs = protocol, f"{RUNNER}/jobs/{{job_id}}"
    return (
        Operation("post", f"{RUNNER}/register", "Register", p.Register, p.Registered, errors=(401, 422, 426)),
        Operation(
            "post",
            f"{RUNNER}/claim",
            "Wait for a job; 204 when none came",
            p.Claim,
            p.ClaimedJob,
            errors=(401, 409, 413, 422, 426, 503),
        ),
        Operation(
            "get",
            f"{jobs}/source",
            "The commit as a gzipped tarball",
            errors=(*_FENCED, 503),
            media_type="application/gzip",
        ),
        Operation("post", f"{jobs}/running", "The robot is to move", p.Fenced, status=204, errors=_FENCED),
        Operation(
            "post", f"{jobs}/heartbeat", "Renew the lease", p.Heartbeat, p.HeartbeatAnswer, errors=_FENCED
        ),
        Operation("post", f"{jobs}/telemetry", "Latest ticks", p.Telemetry, status=204, errors=_FENCED),
        Operation(
            "post", f"{jobs}/artifacts", "Offer files", p.ArtifactsOffer, p.ArtifactsGrant, errors=_FENCED
        ),
        Operation(
            "post",
            f"{jobs}/artifacts/{{artifact_id}}/stored",
            "A file is uploaded",
            p.Fenced,
            status=204,
            errors=(*_FENCED, 503),
        ),
        Operation("post", f"{jobs}/finish", "The job is over", p.Finish, status=204, errors=_FENCED),
        Operation("post", f"{jobs}/release", "Back into the queue", p.Fenced, status=204, errors=_FENCED),
        Operation(
            "get",
            "/api/v1/jobs",
            "Jobs, newest first",
            answer=public.JobPage,
            errors=(422,),
            query=public.JobQuery,
        ),
        Operation("get", "/api/v1/jobs/{job_id}", "One job", answer=public.JobView, errors=(404,)),
        Operation(
            "get",
            "/api/v1/jobs/{job_id}/trajectory",
            "What was recorded in one session, thinned out for a replay, with the simulation's ghost",
            answer=replay_data.Replay,
            errors=(404, 422),
            query=replay_data.ReplayQuery,
        ),
        Operation(
            "get",
            "/api/v1/jobs/{job_id}/events",
            "One job as it happens, as server-sent events; 204 when the reader has everything",
            errors=(404, 422, 429, 503),
            query=live.EventsQuery,
            media_type="text/event-stream",
        ),
        Operation(
            "get",
            "/api/v1/jobs/{job_id}/lines",
            "The lines of a log before an offset",
            answer=live.Lines,
            errors=(404, 422),
            query=live.LinesQuery,
        ),
        Operation(
            "get",
            "/api/v1/events",
            "The queue as it happens, as server-sent events",
            errors=(429, 503),
            media_type="text/event-stream",
        ),
        Operation("get", "/api/v1/openapi.json", "This document"),
    )


def document(server_url: str) -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    all_of_them = operations()
    models: set[Model] = {protocol.ErrorAnswer}
    for operation in all_of_them:
        models.update(model for model in (operation.body, operation.answer) if model is not None)
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=REFS)
    paths: dict[str, dict[str, Any]] = {}
    for operation in all_of_them:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Reality as a Service",
            "version": __version__,
            "description": protocol.__doc__ or "",
        },
        "servers": [{"url": server_url}],
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"runner": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.body)}
    if operation.for_runners and not operation.path.endswith("/register"):
        described["security"] = [{"runner": []}]
    return described


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in ("job_id", "artifact_id"):
        if f"{{{name}}}" in operation.path:
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
    if operation.for_runners:
        yield _header(protocol.PROTOCOL_HEADER, {"type": "string", "const": str(protocol.PROTOCOL_VERSION)})
    if operation.path.endswith("/source"):
        yield _header(protocol.FENCE_HEADER, {"type": "string"})
    if operation.query is not None:
        for name, schema in operation.query.model_json_schema()["properties"].items():
            yield {"name": name, "in": "query", "required": False, "schema": schema}


def _header(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "schema": schema}


def _responses(operation: Operation) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done"}
    if operation.answer is not None:
        done["content"] = _content(operation.answer)
    elif operation.status != 204:
        done["content"] = {operation.media_type: {"schema": {}}}
    responses: dict[str, Any] = {str(operation.status): done}
    if operation.path.endswith("/claim"):
        responses["204"] = {"description": "No job came"}
        told = {"description": "The server's identity", "required": True, "schema": {"type": "string"}}
        done["headers"] = {protocol.SERVER_HEADER: told}
    error = {"description": "Refused; the body says why", "content": _content(protocol.ErrorAnswer)}
    return {**responses, **{str(status): error for status in operation.errors}}


def _content(model: Model) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REFS.format(model=model.__name__)}}}
