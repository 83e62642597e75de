"""The demo's trader and staff member, with second factors. Their random passwords are kept beside the database, readable by its owner only."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.db import transaction

from accounts.models import User


@dataclass(frozen=True)
class Login:
    """What the demo prints."""

    role: str
    email: str
    password: str
    totp_secret: str


def ensure() -> list[Login]:
    """The demo's logins, creating whoever is missing. A login whose row was removed by hand is created again."""
    path = Path(settings.DATA_DIR) / "demo" / "logins.json"
    logins = _read(path) or [_new("trader", "trader@demo.example"), _new("staff", "staff@demo.example")]
    for login in logins:
        _ensure_user(login)
    _write(path, logins)
    return logins


def _new(role: str, email: str) -> Login:
    return Login(role, email, f"demo-{secrets.token_urlsafe(9)}", generate_totp_secret())


@transaction.atomic
def _ensure_user(login: Login) -> None:
    if User.objects.filter(email=login.email).exists():
        return
    staff = login.role == "staff"
    user = User.objects.create_user(login.email, login.password, is_staff=staff, is_superuser=staff)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    TOTP.activate(user, login.totp_secret)
    RecoveryCodes.activate(user)
    assert Authenticator.objects.filter(user=user).count() == 2


def _read(path: Path) -> list[Login]:
    if not path.is_file():
        return []
    return [Login(**row) for row in json.loads(path.read_text())]


def _write(path: Path, logins: list[Login]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump([asdict(login) for login in logins], file, indent=1)
