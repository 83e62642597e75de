"""The staff site, walked: the list, the add page and a change page of every registered model."""

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Profile, User
from exchanges.models import KillSwitch, Market, Position
from tests.exchanges.trading import OPENED, make_position

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
# What the database demands beyond types: a plan whose prices are in order, a switch that belongs to somebody.
FACTS: dict[str, dict[str, Any]] = {
    "signals.Signal": {
        "side": "long",
        "stop": 9.0,
        "entry": 10.0,
        "tp1": 11.0,
        "tp2": 12.0,
        "tp3": 13.0,
        "probability": 0.6,
        "confidence": 0.6,
        "status": "expired",
    },
    "signals.ModelVersion": {"features": ["rsi_14"], "symbols": ["BTC/USDT:USDT"], "params": {}, "metrics": {}},
    "mfa.Authenticator": {"type": "totp", "data": {}},
}
numbers = count(1)


def make_row(model: type[models.Model]) -> models.Model:
    """A row of any model, made from the types of its fields; rows that it points to are taken where they exist."""
    if model is Position:
        return make_position(make_row(User), status="closed", qty=0, closed_at=OPENED)
    if model is Profile:
        return make_row(User).profile
    facts = FACTS.get(model._meta.label, {})
    if model in (KillSwitch, Authenticator):  # one a user
        facts = {**facts, "user": make_row(User)}
    required = [field for field in model._meta.concrete_fields if not (field.primary_key or field.has_default() or field.null)]
    values = {field.name: value_for(field) for field in required if field.name not in facts and not getattr(field, "auto_now_add", False)}
    return model.objects.create(**values, **facts)


def value_for(field: models.Field) -> Any:
    if isinstance(field, models.ForeignKey):
        return (not field.unique and field.related_model.objects.first()) or make_row(field.related_model)
    if isinstance(field, models.EmailField):
        return f"person{next(numbers)}@example.com"
    if field.choices:
        return field.choices[0][0]
    if isinstance(field, models.CharField):  # a slug, too
        return str(next(numbers))
    if isinstance(field, models.DateTimeField):
        return OPENED
    if isinstance(field, models.DateField):
        return OPENED.date() + timedelta(days=next(numbers))
    values = {models.TextField: "text", models.JSONField: [], models.BooleanField: False, models.GenericIPAddressField: "127.0.0.1"}
    return next((value for kind, value in values.items() if isinstance(field, kind)), next(numbers))


def address(model: type[models.Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as seen:
        assert client.get(path).status_code == 200
    return len(seen)


@pytest.fixture
def staff(sam, client_for) -> Client:
    return client_for(sam)


def test_it_registers_what_staff_look_after():
    labels = {model._meta.label for model in MODELS}
    assert {"accounts.User", "exchanges.KillSwitch", "exchanges.Position", "signals.ModelVersion", "backtesting.BacktestRun"} <= labels


def test_it_shows_staff_the_index(staff):
    page = staff.get(reverse("admin:index")).content.decode()
    assert [model._meta.label for model in MODELS if address(model, "changelist") not in page] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_it_shows_staff_every_list_and_row(staff, sam, model):
    row = make_row(model)
    page = staff.get(address(model, "changelist"), {"q": "x"} if admin.site._registry[model].search_fields else {})
    assert page.status_code == 200
    page = staff.get(address(model, "changelist"))
    assert address(model, "change", row.pk) in page.content.decode()
    assert staff.get(address(model, "change", row.pk)).status_code == 200
    assert staff.get(address(model, "history", row.pk)).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_it_lets_staff_add_only_what_no_service_writes(staff, sam, rf, model):
    request = rf.get("/")
    request.user = sam
    may_add = admin.site._registry[model].has_add_permission(request)
    assert staff.get(address(model, "add")).status_code == (200 if may_add else 403)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_it_lists_many_rows_in_as_many_queries_as_one(staff, model):
    make_row(model)
    few = queries(staff, address(model, "changelist"))
    for _ in range(3):
        make_row(model)
    assert queries(staff, address(model, "changelist")) <= few


def test_it_shows_no_list_to_a_trader_or_to_staff_who_have_not_shown_their_second_factor(alice, sam, client_for):
    trader, half = client_for(alice), Client()
    half.force_login(sam)
    for model in MODELS:
        for client in (trader, half):
            response = client.get(address(model, "changelist"))
            assert (response.status_code, response["Location"].partition("?")[0]) == (302, reverse("admin:login")), model


def test_it_changes_nothing_for_a_trader_who_posts_to_the_staff_site(alice, client_for):
    market = Market.objects.first()
    before = market.is_active
    response = client_for(alice).post(address(Market, "change", market.pk), {"is_active": "", "_save": "Save"})
    market.refresh_from_db()
    assert (response.status_code, market.is_active) == (302, before)
