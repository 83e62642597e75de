"""The fixed cast: alice owns, bob is a stranger, sam is staff with a second factor."""

import time
from collections.abc import Callable
from importlib import import_module

import django_otp
import pytest
from allauth.account.internal.flows.login import record_authentication
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from asgiref.sync import SyncToAsync
from django.apps import apps
from django.conf import settings as site
from django.core.cache import cache
from django.db import connection, connections
from django.db.backends.base.operations import BaseDatabaseOperations
from django.http import HttpRequest
from django.test import Client
from hypothesis import HealthCheck, settings

from accounts import totp as totp_codes
from accounts.models import AllauthDevice, UsedTotpCode, User
from tests.on_servers import *  # noqa: F403 - its hooks

PASSWORD = "correct horse battery"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

# How long an example takes says something about the machine and its neighbours, and nothing about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _between_transactional_tests():
    """There Django deletes every row: the triggers that guard the audit trail step aside for that alone, and the catalogue of markets comes back."""
    guard = import_module("accounts.migrations.0002_audit_append_only")
    catalogues = [import_module(f"exchanges.migrations.{name}") for name in ("0002_catalogue", "0005_shares")]
    undo, redo = {"sqlite": (guard.SQLITE_UNDO, guard.SQLITE), "postgresql": (guard.POSTGRESQL_UNDO, guard.POSTGRESQL)}[connection.vendor]
    original = BaseDatabaseOperations.execute_sql_flush

    def empty(self, statements):
        original(self, [*undo, *statements, *redo])
        for catalogue in catalogues:
            catalogue.fill(apps, None)

    BaseDatabaseOperations.execute_sql_flush = empty
    yield
    BaseDatabaseOperations.execute_sql_flush = original


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup):
    """In the end the thread that serves async code lets go of its connection: PostgreSQL drops no database that somebody uses."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture(autouse=True)
def _empty_cache():
    """Rate limits and the cached banner of one test are none of the next one's business."""
    cache.clear()


@pytest.fixture(autouse=True)
def _no_budget_was_used():
    """A venue that refused a test is left alone for a minute at its address, which another test's venue may be given next. Redis forgets with
    the cache; without it a file remembers."""
    for file in site.RUN_DIR.glob("budget-*.json"):
        file.unlink(missing_ok=True)


def make_user(email: str, **extra: object) -> User:
    """A user whose e-mail address is confirmed."""
    user = User.objects.create_user(email, PASSWORD, **extra)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


@pytest.fixture
def alice(db) -> User:
    return make_user("alice@example.com")


@pytest.fixture
def bob(db) -> User:
    return make_user("bob@example.com")


@pytest.fixture
def sam(db) -> User:
    user = make_user("sam@example.com", is_staff=True, is_superuser=True)
    TOTP.activate(user, SECRET)
    return user


@pytest.fixture
def client_for() -> Callable[[User], Client]:
    """client_for(user): a client that is signed in; with a second factor shown a moment ago, for a user who has one."""

    def build(user: User) -> Client:
        client = Client()
        client.force_login(user)
        request = HttpRequest()
        request.session, request.user = client.session, user
        record_authentication(request, user, "password", email=user.email)
        device = AllauthDevice.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
        if device:
            record_authentication(request, user, "mfa", id=device.pk, type="totp")
            django_otp.login(request, device)
        request.session.save()
        return client

    return build


@pytest.fixture
def totp_code() -> Callable[[User], str]:
    """totp_code(user): a code that is right now and was neither used nor handed out before. There are three a test."""
    handed_out: set[str] = set()

    def code(user: User) -> str:
        secret = decrypt(Authenticator.objects.get(user=user, type=Authenticator.Type.TOTP).data["secret"])
        used = set(UsedTotpCode.objects.filter(user=user).values_list("code_hash", flat=True))
        for candidate in codes_of(secret):
            if totp_codes.digest(user, candidate) not in used | handed_out:
                handed_out.add(totp_codes.digest(user, candidate))
                return candidate
        raise AssertionError("All codes that are right at this time have been used: a test has three.")

    return code


def codes_of(secret: str) -> list[str]:
    """The codes of the running period, the next one and the last one. The last is about to end, so it comes last."""
    counter = int(time.time()) // 30
    return [format_hotp_value(hotp_value(secret, counter + step)) for step in (0, 1, -1)]
