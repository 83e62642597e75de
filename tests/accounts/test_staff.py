import pytest
from django.contrib import admin
from django.urls import reverse

from accounts.models import AuditEvent, Profile, User
from tests.accounts.test_design import make_market
from tests.conftest import make_user

pytestmark = pytest.mark.django_db


def test_a_stranger_is_sent_to_sign_in_and_back(client):
    assert client.get("/admin/")["Location"].startswith("/admin/login/")
    assert client.get("/admin/login/?next=/admin/")["Location"].startswith(reverse("account_login"))


def test_a_trader_is_refused(client_for, alice):
    client = client_for(alice)
    assert client.get("/admin/").status_code == 302
    assert client.get("/admin/login/").status_code == 403


def test_staff_without_a_second_factor_are_sent_to_enrolment(client_for):
    client = client_for(make_user("tom@example.com", is_staff=True, is_superuser=True))
    assert client.get("/admin/").status_code == 302
    assert client.get("/admin/login/")["Location"] == reverse("mfa_activate_totp")


def test_staff_who_only_gave_a_password_must_give_a_code(client, sam):
    client.force_login(sam)
    assert client.get("/admin/").status_code == 302
    assert client.get("/admin/login/?next=/admin/")["Location"].startswith(reverse("mfa_reauthenticate"))


def test_a_foreign_next_is_ignored(client_for, sam):
    assert client_for(sam).get("/admin/login/?next=https://evil.example/")["Location"] == reverse("admin:index")


@pytest.mark.parametrize("model", [User, Profile, AuditEvent])
def test_every_page_of_people_opens(client_for, sam, alice, rf, model):
    client = client_for(sam)
    AuditEvent.objects.create(user=alice, action="tested")
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert client.get(reverse(f"{name}_changelist")).status_code == 200
    assert client.get(reverse(f"{name}_changelist"), {"q": "alice"}).status_code == 200
    row = model.objects.filter(**({} if model is User else {"user": alice})).first()
    assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200
    request = rf.get("/")
    request.user = sam
    expected = 200 if admin.site._registry[model].has_add_permission(request) else 403
    assert client.get(reverse(f"{name}_add")).status_code == expected


def test_a_user_can_be_added(client_for, sam):
    form = {"email": "made@example.com", "usable_password": "true", "password1": "a fine passphrase", "password2": "a fine passphrase"}
    answer = client_for(sam).post(reverse("admin:accounts_user_add"), form)
    assert answer.status_code == 302
    assert Profile.objects.filter(user__email="made@example.com").exists()


def test_the_audit_trail_is_read_only_for_staff(client_for, sam, alice):
    event = AuditEvent.objects.create(user=alice, action="tested")
    client = client_for(sam)
    assert client.get(reverse("admin:accounts_auditevent_add")).status_code == 403
    assert client.post(reverse("admin:accounts_auditevent_delete", args=[event.pk]), {"post": "yes"}).status_code == 403


def test_the_staff_site_says_what_the_figures_are(client_for, sam):
    make_market("simulated")
    page = client_for(sam).get(reverse("admin:index")).content.decode()
    assert "SIMULATED MARKET" in page.partition('id="content"')[2]
    assert "TraderAI staff" in page
    assert "css/staff.css" in page
