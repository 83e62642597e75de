import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import path, reverse

from accounts import totp
from accounts.models import AllauthDevice, AuditEvent, UsedTotpCode
from accounts.stepup import step_up_required
from tests.accounts.test_login import sign_in
from tests.conftest import codes_of

pytestmark = pytest.mark.django_db


def is_verified(client) -> bool:
    return client.get("/admin/", follow=False).status_code == 200


def enrol(client) -> str:
    """Enrol through the pages; the secret that was shown."""
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    secret = re.search(r"data-totp-secret>([A-Z2-7]+)<", page).group(1)
    answer = client.post(reverse("mfa_activate_totp"), {"code": codes_of(secret)[0]})
    assert answer.status_code == 302, answer.content.decode()
    return secret


@pytest.mark.django_db(transaction=True)
def test_enrolment_shows_qr_and_secret_and_gives_recovery_codes(client, alice, mailoutbox):
    sign_in(client, alice.email)
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    assert 'src="data:image/svg+xml;base64,' in page
    enrol(client)
    codes = client.get(reverse("mfa_view_recovery_codes")).content.decode()
    assert codes.count("<li>") >= 10
    assert {"second_factor_added", "second_factor_used"} <= set(AuditEvent.objects.for_user(alice).values_list("action", flat=True))
    assert any("authenticator" in mail.body.lower() for mail in mailoutbox)


@pytest.mark.django_db(transaction=True)
def test_enrolling_counts_as_showing_the_second_factor(client, alice):
    alice.is_staff = alice.is_superuser = True
    alice.save()
    sign_in(client, alice.email)
    enrol(client)
    assert is_verified(client)


def test_a_wrong_code_enrols_nothing(client_for, alice):
    client = client_for(alice)
    client.get(reverse("mfa_activate_totp"))
    page = client.post(reverse("mfa_activate_totp"), {"code": "000000x"})
    assert "Incorrect code" in page.content.decode()
    assert not Authenticator.objects.exists()


def test_the_secret_is_not_in_the_database_in_clear(client_for, alice):
    secret = enrol(client_for(alice))
    with connection.cursor() as cursor:
        cursor.execute("SELECT data FROM mfa_authenticator")
        stored = str(cursor.fetchall())
        cursor.execute("SELECT session_data FROM django_session")
        sessions = str(cursor.fetchall())
    assert stored.count('"v1.test.') == 2 or stored.count("v1.test.") == 2
    assert secret not in stored + sessions
    assert Authenticator.objects.get(type="totp").wrap().validate_code(codes_of(secret)[1])


def test_a_password_alone_is_nobody(client, sam):
    answer = sign_in(client, sam.email)
    assert answer["Location"] == reverse("mfa_authenticate")
    assert "_auth_user_id" not in client.session
    assert client.get("/admin/").status_code == 302


def test_the_code_completes_the_login_and_opens_the_staff_site(client, sam, totp_code):
    sign_in(client, sam.email)
    client.post(reverse("mfa_authenticate"), {"code": totp_code(sam)})
    assert client.session["_auth_user_id"] == str(sam.pk)
    assert is_verified(client)
    assert AuditEvent.objects.for_user(sam).get(action="signed_in").detail == {"second_factor": True}


def test_a_code_works_once_also_in_another_client(client, sam, totp_code):
    code = totp_code(sam)
    sign_in(client, sam.email)
    client.post(reverse("mfa_authenticate"), {"code": code})
    from django.core.cache import cache

    cache.clear()  # another process has another memory; the row is what both share
    second = Client()
    sign_in(second, sam.email)
    page = second.post(reverse("mfa_authenticate"), {"code": f"{code[:3]} {code[3:]}"})
    assert "Incorrect code" in page.content.decode()
    assert "_auth_user_id" not in second.session
    again = client.post(reverse("mfa_reauthenticate"), {"code": code})
    assert "Incorrect code" in again.content.decode()


def test_the_code_of_the_enrolment_does_not_sign_in(client_for, alice):
    secret = enrol(client_for(alice))
    client = Client()
    sign_in(client, alice.email)
    page = client.post(reverse("mfa_authenticate"), {"code": codes_of(secret)[0]})
    assert "Incorrect code" in page.content.decode()


def test_of_repeated_claims_the_first_wins(sam):
    assert [totp.claim(sam, "123456") for _ in range(5)] == [True, False, False, False, False]


@pytest.mark.django_db(transaction=True)
def test_of_claims_at_the_same_moment_one_wins(sam):
    start = threading.Barrier(6)

    def claim(_: int) -> bool:
        try:
            start.wait(10)
            return totp.claim(sam, "123456")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(claim, range(6)))
    assert sorted(outcomes) == [False] * 5 + [True]


def test_used_codes_are_forgotten_when_they_could_not_be_right_any_more(sam, alice):
    totp.claim(alice, "123456")
    UsedTotpCode.objects.update(used_at="2020-01-01T00:00Z")
    totp.claim(sam, "654321")
    assert UsedTotpCode.objects.get().user == sam


def test_stored_codes_do_not_tell_the_code(sam):
    totp.claim(sam, "123456")
    assert "123456" not in str(UsedTotpCode.objects.values().get())


def test_a_recovery_code_signs_in_verified_and_works_once(client, sam):
    code = RecoveryCodes.activate(sam).get_unused_codes()[0]
    sign_in(client, sam.email)
    client.post(reverse("mfa_authenticate"), {"code": code})
    assert is_verified(client)
    second = Client()
    sign_in(second, sam.email)
    assert "Incorrect code" in second.post(reverse("mfa_authenticate"), {"code": code}).content.decode()


def test_removing_the_factor_unverifies_live_sessions(client_for, sam):
    client = client_for(sam)
    assert is_verified(client)
    Authenticator.objects.filter(user=sam).delete()
    assert not is_verified(client)


def test_django_otp_takes_no_codes_of_its_own(sam, totp_code):
    assert AllauthDevice.objects.get(user=sam).verify_token(totp_code(sam)) is False


def test_confirming_by_password_is_closed_to_who_has_a_second_factor(client_for, sam):
    answer = client_for(sam).post(reverse("account_reauthenticate"), {"password": "correct horse battery"})
    assert answer["Location"].startswith(reverse("mfa_reauthenticate"))


def test_turning_the_factor_off_needs_a_fresh_code(client_for, sam, totp_code):
    client = client_for(sam)
    make_stale(client)
    answer = client.post(reverse("mfa_deactivate_totp"))
    assert answer["Location"].startswith(reverse("mfa_reauthenticate"))
    assert Authenticator.objects.filter(user=sam).exists()
    client.post(answer["Location"], {"code": totp_code(sam), "next": reverse("mfa_deactivate_totp")})
    assert not Authenticator.objects.filter(user=sam).exists()
    assert "second_factor_removed" in AuditEvent.objects.for_user(sam).values_list("action", flat=True)


def make_stale(client) -> None:
    session = client.session
    session["account_authentication_methods"] = [
        {**record, "at": time.time() - 3600} for record in session["account_authentication_methods"]
    ]
    session.save()


# --- step-up


@login_required
@step_up_required
def risky(request):
    return HttpResponse(f"done {request.POST.get('amount')}")


from django.conf import settings as conf  # noqa: E402
from django.urls import include  # noqa: E402

urlpatterns = [path("risky/", risky), path("", include(conf.ROOT_URLCONF))]


@pytest.fixture
def risky_site(settings):
    settings.ROOT_URLCONF = __name__


def test_a_fresh_second_factor_passes(risky_site, client_for, sam):
    assert client_for(sam).post("/risky/", {"amount": "5"}).content == b"done 5"


def test_a_stale_one_is_asked_for_and_the_post_resumes_with_its_body(risky_site, client_for, sam, totp_code):
    client = client_for(sam)
    make_stale(client)
    held_up = client.post("/risky/", {"amount": "5"})
    assert held_up["Location"] == f"{reverse('mfa_reauthenticate')}?next=%2Frisky%2F"
    assert client.post(held_up["Location"], {"code": totp_code(sam), "next": "/risky/"}).content == b"done 5"


def test_an_htmx_call_is_sent_to_the_challenge_as_a_whole_page(risky_site, client_for, sam):
    client = client_for(sam)
    make_stale(client)
    answer = client.post("/risky/", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/positions/"})
    assert answer["HX-Redirect"] == f"{reverse('mfa_reauthenticate')}?next=%2Fpositions%2F"


def test_without_a_factor_one_is_enrolled_first(risky_site, client_for, alice):
    assert client_for(alice).post("/risky/")["Location"] == reverse("mfa_activate_totp")


def test_the_guard_can_be_found_on_the_view():
    assert risky.requires_step_up
