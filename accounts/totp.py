"""Codes that work once. allauth remembers a used code in the cache for one period; with a tolerance a code lives for three.
A row that is unique per user and code holds for every process and outlives a restart."""

from datetime import timedelta

from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa import app_settings
from django.db import IntegrityError, transaction
from django.utils.crypto import salted_hmac

from accounts.models import UsedTotpCode, User
from traderai.lib import clock


def claim(user: User, code: str) -> bool:
    """Use up a code that was found right; False when it has been used before. Of callers in a race one gets True."""
    UsedTotpCode.objects.filter(used_at__lt=clock.now() - _lifetime()).delete()
    try:
        with transaction.atomic():
            UsedTotpCode.objects.create(user=user, code_hash=digest(user, code))
    except IntegrityError:
        return False
    return True


def digest(user: User, code: str) -> str:
    """What is stored instead of the code: keyed, so a copy of the table does not give six digits away by trying all of them."""
    return salted_hmac("accounts.totp", f"{user.pk}:{normalize_user_code(code)}", algorithm="sha256").hexdigest()


def _lifetime() -> timedelta:
    """For how long a code can be right, twice over."""
    return timedelta(seconds=2 * app_settings.TOTP_PERIOD * (2 * app_settings.TOTP_TOLERANCE + 1))
