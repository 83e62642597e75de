"""Who can write the database cannot give one person's second factor to another."""

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.utils import decrypt, encrypt
from django.urls import reverse

from tests.conftest import SECRET, codes_of
from traderai.lib.vault import Unopenable

pytestmark = pytest.mark.django_db


def stored(user, kind: str) -> dict:
    return Authenticator.objects.values_list("data", flat=True).get(user=user, type=kind)


def overwrite(user, kind: str, data: dict) -> None:
    Authenticator.objects.filter(user=user, type=kind).update(data=data)


def test_a_secret_opens_in_its_owners_row(sam):
    assert TOTP(Authenticator.objects.get(user=sam)).validate_code(codes_of(SECRET)[0])


def test_a_secret_opens_in_the_instance_that_was_just_made(alice):
    assert TOTP.activate(alice, SECRET).validate_code(codes_of(SECRET)[0])


@pytest.mark.parametrize("kind", ["totp", "recovery_codes"])
def test_a_secret_moved_to_another_users_row_does_not_open(alice, bob, kind):
    for user in (alice, bob):
        TOTP.activate(user, SECRET)
        RecoveryCodes.activate(user)
    mine, yours = stored(alice, kind), stored(bob, kind)
    overwrite(alice, kind, yours)
    overwrite(bob, kind, mine)
    for user in (alice, bob):
        row = Authenticator.objects.get(user=user, type=kind)
        with pytest.raises(Unopenable):
            decrypt(row.data["secret" if kind == "totp" else "seed"])


def test_a_recovery_seed_does_not_pass_for_a_totp_secret(alice):
    TOTP.activate(alice, SECRET)
    RecoveryCodes.activate(alice)
    overwrite(alice, "totp", {"secret": stored(alice, "recovery_codes")["seed"]})
    with pytest.raises(Unopenable):
        decrypt(Authenticator.objects.get(user=alice, type="totp").data["secret"])


def test_a_secret_outside_any_row_does_not_open():
    with pytest.raises(Unopenable):
        decrypt(encrypt(SECRET))


def test_using_and_saving_a_row_keeps_its_secret(alice):
    codes = RecoveryCodes.activate(alice)
    first, second, *_ = codes.get_unused_codes()
    assert codes.validate_code(first)
    row = Authenticator.objects.get(user=alice)
    row.record_usage()
    row.refresh_from_db()
    assert row.wrap().validate_code(second)


def test_the_staff_site_shows_no_secret(sam, client_for):
    row = Authenticator.objects.get(user=sam)
    page = client_for(sam).get(reverse("admin:mfa_authenticator_change", args=[row.pk])).content.decode()
    assert sam.email in page
    assert row.data["secret"] not in page
    assert "secret" not in page.partition("<main")[2]
