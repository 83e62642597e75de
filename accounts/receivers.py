"""What follows from sign-ups, logins and second factors."""

from typing import Any

import django_otp
from allauth.account import signals as account_signals
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa import signals as mfa_signals
from allauth.mfa.base.internal.flows import post_authentication
from allauth.mfa.models import Authenticator
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.contrib.sessions.models import Session
from django.db.models.signals import post_delete, post_init, post_save
from django.dispatch import receiver
from django.http import HttpRequest

from accounts import audit, events, sealing, stepup
from accounts.models import AllauthDevice, AuditEvent, Profile, User
from traderai.lib import groups
from traderai.lib.events import send_after_commit


@receiver(post_save, sender=User)
def create_profile(instance: User, created: bool, raw: bool = False, **_: Any) -> None:
    if created and not raw:
        Profile.objects.get_or_create(user=instance)


@receiver(post_init, sender=Authenticator)
def seal_for_owner(instance: Authenticator, **_: Any) -> None:
    sealing.adopt(instance)


@receiver(post_delete, sender=Session)
def note_ended_session(instance: Session, **_: Any) -> None:
    """Signed out, ended from the security page, cycled at a sign-in, or cleared away."""
    if user_id := instance.get_decoded().get(SESSION_KEY):
        send_after_commit(events.sessions_changed, user_id=int(user_id))


@receiver(post_save, sender=User)
@receiver(post_delete, sender=User)
def note_changed_user(instance: User, created: bool = False, update_fields: Any = None, **_: Any) -> None:
    """A new password, or a blocked or removed account, ends sessions whose rows stay."""
    if not created and (not update_fields or {"password", "is_active"} & set(update_fields)):
        send_after_commit(events.sessions_changed, user_id=instance.pk)


@receiver(events.sessions_changed)
def check_sockets(*, user_id: int, **_: Any) -> None:
    async_to_sync(get_channel_layer().group_send)(groups.person(user_id), {"type": "session.check"})


@receiver(account_signals.user_logged_in)
@receiver(mfa_signals.authenticator_used)
def tell_django_otp(request: HttpRequest, user: User, **_: Any) -> None:
    """The proof that allauth recorded makes the session verified in django-otp's eyes. Does nothing until the login is complete."""
    record = stepup.mfa_record(request, user)
    device = AllauthDevice.objects.filter(pk=record["id"], user=user).first() if record else None
    if device:
        django_otp.login(request, device)


@receiver(account_signals.user_logged_in)
def count_signup_as_proof(request: HttpRequest, user: User, **_: Any) -> None:
    """Whoever has just chosen a password and confirmed the address is not asked for the password again a minute later."""
    if not get_authentication_records(request, user):
        record_authentication(request, user, "signup", email=user.email)


@receiver(mfa_signals.authenticator_added)
def count_enrolment_as_proof(request: HttpRequest, authenticator: Authenticator, **_: Any) -> None:
    """Enrolling took a valid code: asking for the next one at once would only make people wait for it."""
    if authenticator.type == Authenticator.Type.TOTP:
        post_authentication(request, authenticator, reauthenticated=True)


@receiver(account_signals.email_confirmed)
def welcome(request: HttpRequest, email_address: Any, **_: Any) -> None:
    user = email_address.user
    audit.record(user, "email_confirmed", request)
    if not AuditEvent.objects.for_user(user).filter(action="joined").exists():
        audit.record(user, "joined", request)
        send_after_commit(events.user_joined, user_id=user.pk)


@receiver(user_logged_in)
def note_login(request: HttpRequest, user: User, **_: Any) -> None:
    audit.record(user, "signed_in", request, second_factor=stepup.mfa_record(request, user) is not None)


@receiver(user_logged_out)
def note_logout(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        audit.record(user, "signed_out", request)


@receiver(user_login_failed)
def note_failed_login(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """The owner sees failed attempts. An address that nobody has is not stored: people type passwords into the wrong field."""
    user = User.objects.filter(email__iexact=credentials.get("email") or "").first()
    audit.record(user, "sign_in_failed", request)


@receiver(mfa_signals.authentication_failed)
def note_wrong_code(request: HttpRequest, user: User, **_: Any) -> None:
    audit.record(user, "second_factor_failed", request)


def _note(signal: Any, action: str) -> None:
    """Write `action` to the audit trail whenever allauth sends `signal`."""

    def note(request: HttpRequest, user: User, **extra: Any) -> None:
        authenticator = extra.get("authenticator")
        detail = {"type": authenticator.type} if authenticator else {}
        audit.record(user, action, request, **detail)

    signal.connect(note, weak=False, dispatch_uid=f"accounts.audit.{action}")


for _signal, _action in (
    (account_signals.user_signed_up, "signed_up"),
    (account_signals.password_changed, "password_changed"),
    (account_signals.password_set, "password_set"),
    (account_signals.password_reset, "password_reset"),
    (account_signals.email_added, "email_added"),
    (account_signals.email_changed, "email_changed"),
    (account_signals.email_removed, "email_removed"),
    (mfa_signals.authenticator_added, "second_factor_added"),
    (mfa_signals.authenticator_removed, "second_factor_removed"),
    (mfa_signals.authenticator_reset, "recovery_codes_renewed"),
    (mfa_signals.authenticator_used, "second_factor_used"),
):
    _note(_signal, _action)
