"""The staff's pages of models, trainings and signals."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.test import RequestFactory

from accounts.models import AuditEvent
from signals import registry
from signals.admin import ModelVersionAdmin
from signals.models import ModelStatus, ModelVersion, Rejection, ScanRun, Signal, StrategyConfig, TrainingRun
from tests.signals.markets import make_ensemble, make_facts

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_dir")]


@pytest.fixture
def staff(django_user_model: Any) -> Any:
    return django_user_model.objects.create_superuser(email="chief@example.com")


def make_model(status: str = ModelStatus.CANDIDATE) -> ModelVersion:
    return registry.register(ensemble=make_ensemble(), scope="default", manifest={}, facts=make_facts(), status=status)


def act(action: str, chosen: list[ModelVersion], user: Any, reason: str = "measured better") -> str:
    """Run an admin action and return what the staff is told."""
    page = ModelVersionAdmin(ModelVersion, admin.site)
    request = RequestFactory().post("/admin/signals/modelversion/", {"action": action, "reason": reason})
    request.user = user
    request.session = {}  # type: ignore[assignment]
    request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
    getattr(page, action)(request, ModelVersion.objects.filter(pk__in=[model.pk for model in chosen]))
    return " ".join(str(message) for message in get_messages(request))


def test_promote_and_roll_back_ask_for_a_reason_and_leave_a_trace(staff: Any) -> None:
    old, new = make_model(ModelStatus.CHAMPION), make_model()
    assert "needs a reason" in act("promote", [new], staff, reason=" ")
    assert "decides from now on" in act("promote", [new], staff)
    assert registry.champion() == new
    assert registry.champion().reason == "measured better (chief@example.com)"
    assert "is not candidate" in act("promote", [old], staff)
    assert "decides from now on" in act("roll_back", [old], staff, reason="it lost")
    assert registry.champion() == old
    assert LogEntry.objects.filter(user=staff).count() == 2
    told = AuditEvent.objects.filter(user=staff).order_by("pk")
    assert [(event.action, event.detail["model"], event.detail["reason"]) for event in told] == [
        ("model_promoted", new.pk, "measured better"),
        ("model_rolled_back", old.pk, "it lost"),
    ]


def test_one_model_at_a_time(staff: Any) -> None:
    first, second = make_model(), make_model()
    assert "exactly one" in act("promote", [first, second], staff)
    assert registry.champion() is None


def test_a_damaged_model_is_not_promoted(staff: Any, model_dir: Path) -> None:
    model = make_model()
    (model_dir / model.artefact / "manifest.json").write_text("{}")
    assert "manifest.json has changed" in act("promote", [model], staff)
    assert registry.champion() is None


@pytest.mark.parametrize("model", [ModelVersion, TrainingRun, Signal, Rejection, ScanRun, StrategyConfig])
def test_rows_of_services_can_be_read_but_not_edited(model: Any, staff: Any) -> None:
    page = admin.site._registry[model]
    request = RequestFactory().get("/")
    request.user = staff
    assert page.has_view_permission(request)
    assert not page.has_add_permission(request)
    assert not page.has_change_permission(request)
    assert not page.has_delete_permission(request)
    assert page.get_changelist_instance(request).get_queryset(request).count() == 0


def test_only_those_who_may_change_models_see_the_actions(django_user_model: Any, staff: Any) -> None:
    page = admin.site._registry[ModelVersion]
    request = RequestFactory().get("/")
    request.user = staff
    assert {"promote", "roll_back"} <= set(page.get_actions(request))
    request.user = django_user_model.objects.create_user(email="reader@example.com", is_staff=True)
    assert not {"promote", "roll_back"} & set(page.get_actions(request))
