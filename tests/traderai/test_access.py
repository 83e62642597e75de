"""Who gets in where. Every address of the site, every API operation and every socket is walked: one that is on no list fails here."""

import json
import re
from typing import Any, NamedTuple

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.admindocs.views import simplify_regex
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from accounts.consumers import NOT_SIGNED_IN
from accounts.models import User
from traderai.api import api
from traderai.routing import websocket_urlpatterns

# Pages for everybody: the front door, the ways in, and the API's documents.
PUBLIC = {
    "home",
    "theme",
    "demo_mail",
    "redoc",
    "api:api-root",
    "api:openapi-json",
    "api:openapi-view",
    "account_login",
    "account_logout",
    "account_signup",
    "account_inactive",
    "account_email_verification_sent",
    "account_confirm_login_code",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "mfa_authenticate",
}
# Pages for whoever has a link to one report; without it there is nothing to see.
BY_LINK = {"backtests:shared", "backtests:shared_chart", "backtests:shared_csv"}
# Pages for whoever is signed in. What they show is the caller's own: each app's tests hold that.
SIGNED_IN = {
    "dashboard",
    "settings",
    "security",
    "session_end",
    "account_email",
    "account_change_password",
    "account_set_password",
    "account_reauthenticate",
    "mfa_index",
    "mfa_reauthenticate",
    "mfa_activate_totp",
    "mfa_deactivate_totp",
    "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes",
    "mfa_download_recovery_codes",
    "usersessions_list",
    *(f"signals:{name}" for name in ("list", "rejected", "export", "rejected_export", "of_market", "detail")),
    *(f"models:{name}" for name in ("list", "detail", "drift")),
    *(f"strategies:{name}" for name in ("list", "features", "new", "edit", "start", "stop")),
    *(f"markets:{name}" for name in ("list", "by_id", "detail", "candles_csv", "candles_parquet")),
    *(f"positions:{name}" for name in ("list", "history", "export", "stop_all", "resume", "detail", "close")),
    *(
        f"backtests:{name}"
        for name in (
            "list",
            "new",
            "detail",
            "rerun",
            "repeat",
            "delete",
            "chart",
            "compare",
            "parity",
            "parity_csv",
            "share",
            "share_revoke",
            "trades_csv",
            "trades_parquet",
            "lookahead",
            "lookahead_start",
        )
    ),
    *(
        f"backtests:{name}"
        for name in (
            "searches",
            "search_new",
            "search_count",
            "search",
            "search_csv",
            "search_cancel",
            "search_resume",
            "search_run",
            "rule_new",
        )
    ),
}
PUBLIC_OPERATIONS = {"get_health"}
SIGNED_IN_OPERATIONS = {
    "list_signals",
    "get_signal",
    "get_signal_candles",
    "get_regimes",
    "list_markets",
    "get_market_candles",
    "list_strategies",
    "start_auto_trade",
    "stop_auto_trade",
    "get_auto_trade_status",
    "run_backtest",
    "get_backtest",
    "get_backtest_equity",
    "get_backtest_trades",
    "start_parameter_search",
    "get_parameter_search",
    "cancel_parameter_search",
}
STAFF_OPERATIONS = {
    "start_training",
    "get_training",
    "list_trainings",
    "cancel_training",
    "restart_training",
    "start_backfill",
    "get_backfill",
    "list_backfills",
    "pause_backfill",
    "resume_backfill",
    "cancel_backfill",
}
SOCKETS = {"ws/positions/<int:user_id>/", "ws/market/<path:symbol>/", "ws/markets/", "ws/signals/"}
SAFE = {"get", "head", "options"}


class Page(NamedTuple):
    name: str
    path: str


class Operation(NamedTuple):
    id: str
    method: str
    path: str
    body: dict[str, Any] | None


def walk(patterns: list[Any], route: str = "/", namespace: str = "") -> list[Page]:
    """Every address below `patterns`, with values in its place-holders."""
    pages = []
    for entry in patterns:
        here = route + simplify_regex(str(entry.pattern)).lstrip("/") if str(entry.pattern).startswith("^") else route + str(entry.pattern)
        if isinstance(entry, URLPattern):
            pages.append(Page(f"{namespace}{entry.name or entry.lookup_str}", filled(here)))
        else:
            pages += walk(entry.url_patterns, here, f"{namespace}{entry.namespace}:" if entry.namespace else namespace)
    return pages


def filled(route: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>|\(\?P<\w+>.*?\)", lambda match: "auth" if match[1] == "app_label" else "1", route)


def pages() -> list[Page]:
    return walk(get_resolver().url_patterns)


def is_staff_page(page: Page) -> bool:
    return page.name.startswith("admin:") or page.path.startswith("/admin/")


def operations() -> list[Operation]:
    """Every operation of the OpenAPI document, with a body that its schema accepts."""
    document = api.get_openapi_schema()
    found = []
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            content = told.get("requestBody", {}).get("content", {}).get("application/json")
            body = sample(content["schema"], document) if content else None
            found.append(Operation(told["operationId"], method, re.sub(r"\{\w+\}", "1", path), body))
    return found


def sample(schema: dict[str, Any], document: dict[str, Any]) -> Any:
    """A value that fits a JSON schema."""
    if "$ref" in schema:
        return sample(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    for key in ("examples", "enum"):
        if key in schema:
            return schema[key][0]
    if "default" in schema:
        return schema["default"]
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], document)
    kind = schema["type"]
    if kind == "object":
        return {name: sample(schema["properties"][name], document) for name in schema.get("required", [])}
    if kind == "array":
        return [sample(schema["items"], document)] * schema.get("minItems", 0)
    return {"string": "x", "integer": 1, "number": 1.0, "boolean": True}[kind]


def call(client: Client, operation: Operation, **headers: str) -> Any:
    body = "" if operation.body is None else json.dumps(operation.body)
    return client.generic(operation.method.upper(), operation.path, body, content_type="application/json", headers=headers)


def without_second_factor(staff: User, why: str) -> Client:
    """Signed in with the password alone, by somebody who has no second factor, or who has one and was not asked for it."""
    if why == "none":
        staff.authenticator_set.all().delete()
    client = Client()
    client.force_login(staff)
    return client


def asks_to_sign_in(response: Any) -> bool:
    return response.status_code in (401, 403) or (
        response.status_code == 302 and response["Location"].partition("?")[0] == reverse("account_login")
    )


def test_it_knows_every_address():
    unlisted = (
        {page.name for page in pages() if not is_staff_page(page)} - PUBLIC - BY_LINK - SIGNED_IN - {"api:" + o.id for o in operations()}
    )
    assert unlisted == set(), "say in this module who may open these"
    assert (PUBLIC | BY_LINK | SIGNED_IN) - {page.name for page in pages()} == set(), "these are gone"
    assert PUBLIC.isdisjoint(SIGNED_IN)


def test_it_knows_every_operation():
    lists = [PUBLIC_OPERATIONS, SIGNED_IN_OPERATIONS, STAFF_OPERATIONS]
    assert {operation.id for operation in operations()} == set().union(*lists), "say in this module who may call these"
    assert sum(map(len, lists)) == len(operations())


@pytest.mark.parametrize("method", ["get", "post"])
def test_it_asks_strangers_to_sign_in(client, db, method):
    let_in = [page for page in pages() if page.name in SIGNED_IN and not asks_to_sign_in(getattr(client, method)(page.path))]
    assert let_in == []


def test_it_shows_strangers_what_is_public(client, db):
    broken = [page for page in pages() if page.name in PUBLIC and client.get(page.path).status_code not in (200, 302, 405)]
    # The root is Django Ninja's own 404.
    assert {page.name for page in broken} <= {"api:api-root"}


def test_it_shows_nothing_without_the_link(client, sam, client_for):
    found = {
        page.name: (client.get(page.path).status_code, client_for(sam).get(page.path).status_code)
        for page in pages()
        if page.name in BY_LINK
    }
    assert found == dict.fromkeys(BY_LINK, (404, 404))


def test_it_shows_a_trader_no_broken_page(alice, client_for):
    client = client_for(alice)
    allowed = {200, 302, 403, 404, 405}
    broken = {page: client.get(page.path).status_code for page in pages() if page.name in PUBLIC | SIGNED_IN}
    assert {page: status for page, status in broken.items() if status not in allowed} == {}


def test_it_brings_strangers_from_every_staff_page_to_the_sign_in(client, db):
    for page in filter(is_staff_page, pages()):
        response = client.get(page.path, follow=True)
        assert response.request["PATH_INFO"] == reverse("account_login"), page


@pytest.mark.parametrize("second_factor", ["none", "not shown"])
def test_it_opens_no_staff_page_without_a_second_factor(sam, second_factor):
    client = without_second_factor(sam, second_factor)
    step = {"none": reverse("account_reauthenticate"), "not shown": reverse("mfa_reauthenticate")}[second_factor]
    for page in filter(is_staff_page, pages()):
        response = client.get(page.path, follow=True)
        assert response.request["PATH_INFO"] == step, (page, response.redirect_chain)


def test_it_opens_no_staff_page_for_a_trader(alice, client_for):
    client = client_for(alice)
    statuses = {page: client.get(page.path, follow=True).status_code for page in filter(is_staff_page, pages())}
    assert set(statuses.values()) == {403}, {page: status for page, status in statuses.items() if status != 403}


def test_it_answers_strangers_401(client, db):
    statuses = {operation.id: call(client, operation).status_code for operation in operations()}
    assert {name for name, status in statuses.items() if status != 401} == PUBLIC_OPERATIONS


def test_it_refuses_a_trader_the_staffs_operations_alone(alice, client_for):
    client = client_for(alice)
    statuses = {operation.id: call(client, operation).status_code for operation in operations()}
    assert {name for name, status in statuses.items() if status == 403} == STAFF_OPERATIONS
    assert [name for name, status in statuses.items() if status == 401 or status >= 500] == []


def test_it_looks_at_the_caller_before_the_body(client, alice, client_for):
    """A stranger learns nothing about what a body should hold."""
    for operation in operations():
        if operation.id in STAFF_OPERATIONS:
            empty = operation._replace(body=None)
            assert call(client, empty).status_code == 401, operation
            assert call(client_for(alice), empty).status_code == 403, operation


@pytest.mark.parametrize("second_factor", ["none", "not shown"])
def test_it_refuses_staff_without_a_second_factor(sam, second_factor):
    client = without_second_factor(sam, second_factor)
    statuses = {operation.id: call(client, operation).status_code for operation in operations()}
    assert {name for name, status in statuses.items() if status == 403} == STAFF_OPERATIONS


def test_it_lets_staff_with_a_second_factor_call_everything(sam, client_for):
    client = client_for(sam)
    statuses = {operation.id: call(client, operation).status_code for operation in operations()}
    assert [name for name, status in statuses.items() if status in (401, 403) or status >= 500] == []


def test_it_refuses_unsafe_operations_without_a_csrf_token(sam, client_for):
    client = client_for(sam)
    client.handler.enforce_csrf_checks = True
    client.get("/settings/")
    token = client.cookies["csrf"].value
    unsafe = [operation for operation in operations() if operation.method not in SAFE]
    assert unsafe
    for operation in unsafe:
        assert call(client, operation).status_code == 403, operation
        assert call(client, operation, **{"X-CSRFToken": token}).status_code != 403, operation


def test_it_refuses_forms_without_a_csrf_token(sam, client_for):
    client = client_for(sam)
    client.handler.enforce_csrf_checks = True
    of_the_api = {reverse("api:api-root"), *(operation.path for operation in operations())}
    taken = [page for page in pages() if page.path not in of_the_api and client.post(page.path).status_code != 403]
    assert taken == []


def test_it_knows_every_socket():
    assert {str(route.pattern) for route in websocket_urlpatterns} == SOCKETS


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("route", sorted(SOCKETS))
async def test_it_opens_no_socket_for_strangers(route):
    from traderai.asgi import application  # keeps the hosts allowed at import; the test's own is among them by now

    socket = WebsocketCommunicator(application, "/" + filled(route), headers=[(b"origin", b"http://testserver"), (b"host", b"testserver")])
    connected, code = await socket.connect()
    if connected:  # browsers learn the reason only from a socket that was opened
        closed = await socket.receive_output(timeout=3)
        assert closed["type"] == "websocket.close"
        code = closed["code"]
    assert code == NOT_SIGNED_IN


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/backtest/run", {"symbols": ["NOPE/USDT:USDT"]}),
        ("/api/v1/backfill/start", {"symbols": ["NOPE/USDT:USDT"], "since": "2024-01-01"}),
        ("/api/v1/train/start", {"symbols": ["NOPE/USDT:USDT"]}),
    ],
)
def test_it_names_an_unknown_symbols_field_as_the_body_does(sam, client_for, path, body):
    reply = client_for(sam).post(path, body, content_type="application/json")
    assert (reply.status_code, reply.json()["field"]) == (422, "symbols"), reply.content
    assert reply.json()["detail"].startswith("symbols: 'NOPE/USDT:USDT' is not listed")
