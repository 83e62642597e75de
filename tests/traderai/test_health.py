"""The health reply, and the API's own documents."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest
from django.urls import reverse

from tests.traderai.test_project import complaints
from traderai.api import api

ROOT = Path(__file__).resolve().parents[2]
ASK = """
import json, django
django.setup()
from django.test import Client
reply = Client().get("/api/v1/health", headers={"host": "localhost"})
print(json.dumps([reply.status_code, reply.json()]))
"""


def health_with(**environment: str) -> tuple[int, dict[str, str]]:
    """Status and body as a process with these servers answers; at most 20 seconds."""
    variables = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": "", "REDIS_URL": "", **environment}
    result = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr[-2000:]
    status, body = json.loads(result.stdout.splitlines()[-1])
    return status, body


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that refuses connections: it is bound, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_it_is_well(client, db):
    reply = client.get("/api/v1/health")
    assert reply.status_code == 200
    assert reply.json()["status"] == reply.json()["database"] == "ok"
    assert reply.json()["redis"] in ("ok", "in process")


def test_it_names_redis_when_it_refuses(closed_port):
    status, body = health_with(REDIS_URL=f"redis://127.0.0.1:{closed_port}/0")
    assert (status, body) == (503, {"status": "degraded", "database": "ok", "redis": "failed"})


def test_it_names_redis_when_it_hangs(silent_port):
    status, body = health_with(REDIS_URL=f"redis://127.0.0.1:{silent_port}/0")
    assert (status, body["database"], body["redis"]) == (503, "ok", "failed")


def test_it_names_the_database_when_it_refuses(closed_port):
    status, body = health_with(DATABASE_URL=f"postgres://nobody@127.0.0.1:{closed_port}/none")
    assert (status, body) == (503, {"status": "degraded", "database": "failed", "redis": "in process"})


def test_it_tells_strangers_no_more_than_which_part_failed(client, db):
    assert set(client.get("/api/v1/health").json()) == {"status", "database", "redis"}


# --- the documents


def test_its_openapi_document_is_complete(client, db):
    document = client.get(reverse("api:openapi-json")).json()
    assert document["openapi"].startswith("3.1")
    ids = [told["operationId"] for methods in document["paths"].values() for told in methods.values()]
    assert len(ids) == len(set(ids)) >= 10
    verbs = {"get", "list", "start", "restart", "stop", "run", "pause", "resume", "cancel"}
    assert {name for name in ids if name.partition("_")[0] not in verbs or not name.partition("_")[2]} == set()
    missing = [ref for ref in references(document) if resolve(document, ref) is None]
    assert missing == []


def test_its_openapi_schemas_are_valid_json_schemas():
    document = json.loads(json.dumps(api.get_openapi_schema()))
    schemas = document["components"]["schemas"]
    assert schemas
    for name in schemas:
        validator = jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", "components": document["components"]})
        assert not validator.is_valid("x"), name  # none of them takes any string


def test_every_operation_says_who_may_call_it_and_what_it_answers():
    for path, methods in api.get_openapi_schema()["paths"].items():
        for method, told in methods.items():
            assert told.get("summary"), path
            assert any(str(status).startswith("2") for status in told["responses"]), path
            assert told.get("security") or path.endswith("/health"), (method, path)


@pytest.mark.parametrize("name", ["api:openapi-view", "redoc"])
def test_its_documents_are_pages_that_load_from_this_site_alone(client, db, name):
    reply = client.get(reverse(name))
    assert reply.status_code == 200
    page = reply.content.decode()
    assert reverse("api:openapi-json") in page
    assert complaints(page) == []
    assert "'unsafe-eval'" not in reply.headers["Content-Security-Policy"]


def references(node: object) -> Iterator[str]:
    """Every $ref below `node`."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: dict, ref: str) -> object | None:
    here: object = document
    for step in ref.removeprefix("#/").split("/"):
        here = here.get(step) if isinstance(here, dict) else None
    return here


def test_it_refuses_as_its_document_says(client, alice):
    document = api.get_openapi_schema()
    refusal = jsonschema_rs.validator_for({"$ref": "#/components/schemas/Refusal", "components": document["components"]})
    start = reverse("api:run_backtest")

    def call(body: bytes, status: int) -> None:
        reply = client.post(start, body, content_type="application/json")
        assert reply.status_code == status
        assert refusal.is_valid(reply.json()), reply.content
        assert str(status) in document["paths"][start]["post"]["responses"]

    call(b"{}", 401)
    client.force_login(alice)
    call(b"{", 400)
    call(b"{}", 422)
    call(b'{"symbols": ["NOPE/USDT"]}', 422)
    assert client.get(reverse("api:get_backtest", args=[10**6])).status_code == 404
