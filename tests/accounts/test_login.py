import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def sign_in(client, email, password=PASSWORD):
    return client.post(reverse("account_login"), {"login": email, "password": password})


def test_it_opens_the_dashboard_and_leaves_a_trace(client, alice):
    answer = sign_in(client, alice.email)
    assert answer["Location"] == reverse("dashboard")
    event = AuditEvent.objects.for_user(alice).get()
    assert (event.action, event.ip, event.detail) == ("signed_in", "127.0.0.1", {"second_factor": False})


def test_wrong_password_and_unknown_address_get_the_same_answer(client, alice):
    wrong = sign_in(client, alice.email, "not the password")
    unknown = sign_in(client, "nobody@example.com", "not the password")

    def normal(page):
        return [
            line
            for line in page.content.decode().replace("nobody@", "alice@").splitlines()
            if "csrf" not in line.lower() and "nonce" not in line
        ]

    assert normal(wrong) == normal(unknown)
    assert "not correct" in wrong.content.decode()
    assert "_auth_user_id" not in client.session


def test_the_owner_sees_failed_attempts_and_unknown_addresses_are_not_kept(client, alice):
    sign_in(client, alice.email, "not the password")
    sign_in(client, "hunter2-typed-in-the-wrong-field@example.com", "x")
    assert AuditEvent.objects.for_user(alice).get().action == "sign_in_failed"
    assert "hunter2" not in str(list(AuditEvent.objects.values()))


def test_the_sixth_attempt_is_refused_even_with_the_right_password(client, alice):
    for _ in range(5):
        sign_in(client, alice.email, "not the password")
    page = sign_in(client, alice.email)
    assert "Too many failed login attempts" in page.content.decode()
    assert "_auth_user_id" not in client.session


def test_a_reset_answers_the_same_for_known_and_unknown_addresses(client, alice, mailoutbox):
    known = client.post(reverse("account_reset_password"), {"email": alice.email})
    unknown = client.post(reverse("account_reset_password"), {"email": "nobody@example.com"})
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert [mail.to for mail in mailoutbox] == [[alice.email], ["nobody@example.com"]]


def test_signing_out_takes_a_post_and_leaves_a_trace(client_for, alice):
    client = client_for(alice)
    client.get(reverse("account_logout"))
    assert "_auth_user_id" in client.session
    client.post(reverse("account_logout"))
    assert "_auth_user_id" not in client.session
    assert AuditEvent.objects.for_user(alice).order_by("id").last().action == "signed_out"


def test_a_new_password_signs_other_sessions_out(client_for, alice):
    here, elsewhere = client_for(alice), client_for(alice)
    new = "another fine passphrase"
    here.post(reverse("account_change_password"), {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert elsewhere.get(reverse("security")).status_code == 302
    assert "password_changed" in AuditEvent.objects.for_user(alice).values_list("action", flat=True)


def test_a_foreign_next_is_ignored(client, alice):
    answer = client.post(
        reverse("account_login") + "?next=https://evil.example/",
        {"login": alice.email, "password": PASSWORD, "next": "https://evil.example/"},
    )
    assert "evil" not in answer["Location"]
