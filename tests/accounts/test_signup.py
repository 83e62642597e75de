import re

import pytest
from allauth.account.models import EmailAddress
from django.urls import reverse

from accounts import events
from accounts.models import AuditEvent, Profile, User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

FORM = {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD}


def code_in(mail) -> str:
    return re.search(r"^[A-Z0-9]{4}-[A-Z0-9]{4}$", mail.body, re.MULTILINE).group()


def test_it_creates_a_user_with_a_profile_and_asks_for_the_code_of_the_mail(client, mailoutbox):
    page = client.post(reverse("account_signup"), FORM, follow=True)
    assert page.redirect_chain[-1][0] == reverse("account_email_verification_sent")
    assert "Confirm your e-mail" in page.content.decode()
    user = User.objects.get(email="new@example.com")
    assert Profile.objects.get(user=user).simulation_capital == 100
    assert (mailoutbox[0].to, mailoutbox[0].subject) == (["new@example.com"], "TraderAI: Confirm your e-mail address")
    assert "_auth_user_id" not in client.session


def test_the_code_confirms_the_address_signs_in_and_says_so_once(client, mailoutbox, django_capture_on_commit_callbacks):
    joined = []
    events.user_joined.connect(lambda user_id, **_: joined.append(user_id), weak=False, dispatch_uid="test")
    client.post(reverse("account_signup"), FORM)
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(reverse("account_email_verification_sent"), {"code": code_in(mailoutbox[0])})
    events.user_joined.disconnect(dispatch_uid="test")
    user = User.objects.get(email="new@example.com")
    assert answer.status_code == 302
    assert EmailAddress.objects.get(user=user).verified
    assert client.session["_auth_user_id"] == str(user.pk)
    assert joined == [user.pk]
    assert client.get(reverse("mfa_activate_totp")).status_code == 200, "asks for the password that was just chosen"
    assert list(AuditEvent.objects.for_user(user).order_by("id").values_list("action", flat=True)) == [
        "signed_up",
        "email_confirmed",
        "joined",
        "signed_in",
    ]


def test_a_wrong_code_confirms_nothing(client, mailoutbox):
    client.post(reverse("account_signup"), FORM)
    page = client.post(reverse("account_email_verification_sent"), {"code": "WRONG1"})
    assert "ncorrect code" in page.content.decode()
    assert not EmailAddress.objects.get(email="new@example.com").verified


def test_a_known_address_gets_the_same_answer_and_a_mail_instead(client, alice, mailoutbox):
    fresh = client.post(reverse("account_signup"), FORM)
    client.cookies.clear()
    known = client.post(reverse("account_signup"), {**FORM, "email": alice.email})
    assert (known.status_code, known["Location"]) == (fresh.status_code, fresh["Location"])
    assert User.objects.filter(email=alice.email).count() == 1
    assert "already" in mailoutbox[1].body


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"email": "nonsense"}, "valid email address"),
        ({"password1": "short", "password2": "short"}, "at least 12 characters"),
        ({"password2": "another fine passphrase"}, "same password"),
        ({"password1": "password1234", "password2": "password1234"}, "too common"),
        ({"email": ""}, "required"),
    ],
)
def test_bad_input_is_refused_with_its_reason(client, change, complaint):
    page = client.post(reverse("account_signup"), {**FORM, **change})
    assert complaint in page.content.decode()
    assert not User.objects.exists()


def test_the_demo_mailbox_shows_the_mail_to_this_machine_only(client, settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    client.post(reverse("account_signup"), FORM)
    page = client.get(reverse("demo_mail")).content.decode()
    assert "new@example.com" in page
    assert "Nothing was sent" in page
    assert client.get(reverse("demo_mail"), REMOTE_ADDR="203.0.113.7").status_code == 404
    assert client.get(reverse("demo_mail"), headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 404


def test_the_confirm_page_links_the_demo_mailbox(client):
    page = client.post(reverse("account_signup"), FORM, follow=True)
    assert reverse("demo_mail") in page.content.decode()
