"""The REST API's root: every router, and the one table from failures to replies."""

import json
from typing import Any

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from ninja import NinjaAPI, Schema, Status
from ninja.errors import ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from ninja.security import django_auth
from redis.exceptions import RedisError

from backtesting.api import router as backtesting
from backtesting.api_search import router as parameter_searches
from exchanges.api import router as exchanges
from exchanges.api_markets import router as markets
from signals.api import router as signals
from signals.api_training import router as training
from traderai import health
from traderai.lib import refusals
from traderai.lib.errors import UserError
from traderai.lib.room import OutOfRoom, is_out_of_room

# Swagger UI and ReDoc write style attributes; scripts stay under the site's policy.
docs_policy = csp_replace({"style-src": [SELF, UNSAFE_INLINE], "worker-src": [SELF, "blob:"]})


REFUSALS = {
    "400": "The body is not JSON.",
    "401": "Nobody is signed in.",
    "403": "Not for this user, or the CSRF token is missing.",
    "404": "There is no such thing, or it is somebody else's.",
    "413": "The body is too large.",
    "422": "A value cannot be used: `detail` says why, `field` which.",
}


class Refusal(Schema):
    """What every operation answers when it refuses; nothing has changed then."""

    detail: str
    field: str | None = None


class Api(NinjaAPI):
    def get_openapi_schema(self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None) -> OpenAPISchema:
        """ninja's document, and in it what every operation behind the sign-in may refuse with."""
        document = super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        document["components"]["schemas"]["Refusal"] = Refusal.model_json_schema()
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
        for operation in (operation for path in document["paths"].values() for operation in path.values() if "security" in operation):
            for status, description in REFUSALS.items():
                operation["responses"].setdefault(status, {"description": description, "content": content})
        return document

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """A verb and a noun, as the function is called: clients are generated with these names."""
        return operation.view_func.__name__


api = Api(
    title="TraderAI",
    version="1",
    description=(
        "Signals, backtests, data and training. Sign in on the site first: calls carry its session cookie, and unsafe "
        "methods its CSRF token in the X-CSRFToken header. Times are UTC, milliseconds where a name ends in _ms."
    ),
    auth=django_auth,
    docs_decorator=docs_policy,
    urls_namespace="api",
)
api.add_router("", signals)
api.add_router("", training)
api.add_router("", backtesting)
api.add_router("", parameter_searches)
api.add_router("", exchanges)
api.add_router("", markets)


@api.get("/health", auth=None, response={200: health.Health, 503: health.Health}, tags=["operations"])
def get_health(request: HttpRequest) -> Status[health.Health]:
    """Whether database and Redis answer."""
    state = health.look()
    return Status(200 if state.status == "ok" else 503, state)


@api.exception_handler(UserError)
def user_error(request: HttpRequest, error: UserError) -> HttpResponse:
    return api.create_response(request, {"detail": error.message, "field": error.field}, status=422)


@api.exception_handler(ValidationError)
def schema_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """A value that the operation's schema does not take, said as a service would say it. Places begin with their source; a body's go on with its parameter."""
    source = error.errors[0]["loc"][0]
    sent: Any = request.GET.dict()
    if source == "body":
        sent = json.loads(request.body) if request.body else None
    start = 2 if source == "body" else 1
    refused = refusals.told([{**found, "loc": found["loc"][start:]} for found in error.errors if found["loc"][0] == source], sent)
    return api.create_response(request, {"detail": refused.sentence, "field": refused.field or source}, status=422)


@api.exception_handler(RequestDataTooBig)
def too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return api.create_response(request, {"detail": "The body is too large; no request needs more than 1 MB."}, status=413)


@api.exception_handler(RedisError)
def redis_away(request: HttpRequest, error: RedisError) -> HttpResponse:
    return api.create_response(request, {"detail": "Redis does not answer; try again in a moment."}, status=503)


@api.exception_handler(DatabaseError)
def database_full(request: HttpRequest, error: DatabaseError) -> HttpResponse:
    if not is_out_of_room(error):
        raise error
    return api.create_response(request, {"detail": OutOfRoom().message}, status=503)


@docs_policy
def redoc(request: HttpRequest) -> HttpResponse:
    """The same document in ReDoc."""
    return render(request, "traderai/redoc.html", {"openapi_url": reverse("api:openapi-json")})
