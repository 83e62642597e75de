import pytest
from allauth.usersessions.models import UserSession
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent
from tests.accounts.test_login import sign_in

pytestmark = pytest.mark.django_db


def signed_in(user, agent="Firefox") -> Client:
    client = Client(HTTP_USER_AGENT=agent)
    sign_in(client, user.email)
    return client


def test_the_owner_sees_his_sessions_and_the_current_one(alice):
    client, _ = signed_in(alice, "Firefox"), signed_in(alice, "Safari on a phone")
    page = client.get(reverse("security")).content.decode()
    assert "Safari on a phone" in page
    assert page.count("this one") == 1


def test_another_session_can_be_ended(alice):
    client, phone = signed_in(alice), signed_in(alice, "Safari on a phone")
    row = UserSession.objects.get(user_agent="Safari on a phone")
    client.post(reverse("session_end", args=[row.pk]))
    assert phone.get(reverse("security")).status_code == 302
    assert client.get(reverse("security")).status_code == 200
    assert "session_ended" in AuditEvent.objects.for_user(alice).values_list("action", flat=True)


def test_all_others_can_be_ended(alice):
    client, phone = signed_in(alice), signed_in(alice, "Safari on a phone")
    client.post(reverse("usersessions_list"))
    assert phone.get(reverse("security")).status_code == 302
    assert client.get(reverse("security")).status_code == 200


def test_a_stranger_neither_sees_nor_ends_them(alice, bob):
    victim, stranger = signed_in(alice, "Alices own browser"), signed_in(bob)
    row = UserSession.objects.get(user=alice)
    assert "Alices own browser" not in stranger.get(reverse("security")).content.decode()
    assert stranger.post(reverse("session_end", args=[row.pk])).status_code == 404
    assert stranger.get(reverse("session_end", args=[row.pk])).status_code == 405
    assert victim.get(reverse("security")).status_code == 200


def test_a_stranger_does_not_see_others_events(alice, bob):
    AuditEvent.objects.create(user=alice, action="private_matter")
    assert "Private matter" in signed_in(alice).get(reverse("security")).content.decode()
    assert "Private matter" not in signed_in(bob).get(reverse("security")).content.decode()
