"""The API document of the app: Swagger 2.0, OpenAPI 3.0 or 3.1, made from the schemas that decorators declare.

Paths, operation ids and the names of schemas are those of SDK v1's documents, so that generated clients stay the same.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Mapping
from pathlib import Path

from . import schema_link
from .plain_json import to_json
from .result import Result
from .run_function import RunFunction
from .settings import Settings

Json = dict[str, object]
_HEALTHY = "The service runs; the body is the word Healthy."
_SCORED = "The prediction."
_DOCUMENT = "The API document."
_FAILED = "The input could not be scored."
_ERROR: Json = {"type": "object", "properties": {"message": {"type": "string"}}}
VERSIONS = {"2": "2.0", "2.0": "2.0", "3": "3.0", "3.0": "3.0", "3.1": "3.1"}
_FILES = {"2.0": ("swagger.json", "swagger2.json"), "3.0": ("swagger3.json",), "3.1": ("swagger3.1.json",)}
_KEYS: Json = {
    "Bearer": {
        "type": "apiKey", "name": "Authorization", "in": "header", "description": "The word Bearer, a space, the key.",
    },
    "FunctionsKey": {"type": "apiKey", "name": "x-functions-key", "in": "header"},
}  # fmt: skip


def document(
    version: str, run: RunFunction, settings: Settings, folders: tuple[Path, ...], *, has_keys: bool
) -> Result:
    """The document of a version (`2`, `2.0`, `3`, `3.0`, `3.1`), or the answer 404 where there is none.

    A file of the app in one of `folders` wins over what is made here: swagger.json or swagger2.json, swagger3.json,
    swagger3.1.json.
    """
    wanted = VERSIONS.get(version)
    if wanted is None:
        return _missing(f"there is no version {version!r} of the API document; there are 2, 3 and 3.1")
    for path in (folder / name for name in _FILES[wanted] for folder in folders):
        if path.is_file():
            return Result(path.read_bytes())
    util = schema_link.util() if run.has_schema else None
    if util is not None and wanted not in util.get_supported_versions(run.function):
        return _missing(
            f"the schema of this app has no form in version {wanted}; there are "
            f"{', '.join(sorted(util.get_supported_versions(run.function)))}"
        )
    given, returned = _schemas(run)
    if wanted == "2.0":
        content = _swagger_2(settings, given, returned, has_keys=has_keys)
    else:
        content = _openapi_3(wanted, settings, given, returned, has_keys=has_keys)
    text, _ = to_json(content)
    return Result(text.encode())


def _missing(text: str) -> Result:
    return Result(json.dumps({"message": text}).encode(), status=404)


def _schemas(run: RunFunction) -> tuple[Json, Json]:
    util = schema_link.util()
    if not run.has_schema or util is None:
        return {"type": "object", "example": {}}, {"type": "object", "example": {}}
    given, returned = (
        copy.deepcopy(get(run.function)) for get in (util.get_input_schema, util.get_output_schema)
    )
    for part in ("properties", "example"):
        values = given.get(part)
        if isinstance(values, dict):
            values.pop("request_headers", None)  # filled in by the server
    required = [p.name for p in run.inputs if p.default is inspect.Parameter.empty]
    return {**given, **({"required": required} if required else {})}, returned


def _info(settings: Settings) -> Json:
    return {
        "title": settings.service_name,
        "version": settings.service_version,
        "description": f"Scores data with {settings.service_name}.",
    }


def _swagger_2(settings: Settings, given: Json, returned: Json, *, has_keys: bool) -> Json:
    def answers(what: str, schema: Json) -> Json:
        failure = {"description": _FAILED, "schema": {"$ref": "#/definitions/ErrorResponse"}}
        return {"200": {"description": what, "schema": schema}, "default": failure}

    body = {
        "name": "serviceInputPayload", "in": "body", "required": True, "description": "What to score.",
        "schema": {"$ref": "#/definitions/ServiceInput"},
    }  # fmt: skip
    version = {"name": "version", "in": "query", "required": False, "type": "string", "enum": list(VERSIONS)}
    operations: dict[str, Json] = {
        "ServiceHealthCheck": {
            "produces": ["text/plain"],
            "responses": answers(_HEALTHY, {"type": "string"}),
        },
        "RunMLService": {
            "parameters": [body],
            "responses": answers(_SCORED, {"$ref": "#/definitions/ServiceOutput"}),
        },
        "GetSwaggerSpec": {"parameters": [version], "responses": answers(_DOCUMENT, {"type": "object"})},
    }
    return {
        "swagger": "2.0",
        "info": _info(settings),
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "paths": _paths(operations, settings, has_keys=has_keys),
        "definitions": {"ServiceInput": given, "ServiceOutput": returned, "ErrorResponse": _ERROR},
        **({"securityDefinitions": _KEYS} if has_keys else {}),
    }


def _openapi_3(version: str, settings: Settings, given: Json, returned: Json, *, has_keys: bool) -> Json:
    def answers(what: str, schema: Json, content_type: str = "application/json") -> Json:
        failure = {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}
        return {
            "200": {"description": what, "content": {content_type: {"schema": schema}}},
            "default": {"description": _FAILED, "content": {"application/json": failure}},
        }

    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ServiceInput"}}}
    choice = {
        "name": "version", "in": "query", "required": False, "schema": {"type": "string", "enum": list(VERSIONS)},
    }  # fmt: skip
    operations: dict[str, Json] = {
        "ServiceHealthCheck": {"responses": answers(_HEALTHY, {"type": "string"}, "text/plain")},
        "RunMLService": {
            "requestBody": {"description": "What to score.", "required": True, "content": content},
            "responses": answers(_SCORED, {"$ref": "#/components/schemas/ServiceOutput"}),
        },
        "GetSwaggerSpec": {"parameters": [choice], "responses": answers(_DOCUMENT, {"type": "object"})},
    }
    schemas = {"ServiceInput": given, "ServiceOutput": returned, "ErrorResponse": _ERROR}
    return {
        "openapi": f"{version}.0" if version == "3.1" else f"{version}.3",
        "info": _info(settings),
        "paths": _paths(operations, settings, has_keys=has_keys),
        "components": {"schemas": schemas, **({"securitySchemes": _KEYS} if has_keys else {})},
    }


def _paths(operations: Mapping[str, Json], settings: Settings, *, has_keys: bool) -> Json:
    places = {
        "RunMLService": ("/score", "post", "Scores the input."),
        "ServiceHealthCheck": ("/", "get", "Says whether the service runs."),
        "GetSwaggerSpec": ("/swagger.json", "get", "Gives this document."),
    }
    paths: Json = {}
    for name, (path, method, summary) in places.items():
        guard: Json = {"security": [{key: []} for key in _KEYS]} if has_keys and path != "/" else {}
        paths[settings.path_prefix + path] = {
            method: {"operationId": name, "summary": summary, **guard, **operations[name]}
        }
    return paths
