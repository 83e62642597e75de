"""django-otp's view of the second factors that allauth.mfa enrols: one table, one enrolment, both libraries."""

from typing import Any

from django.conf import settings
from django.db import models
from django_otp.models import Device, DeviceManager


class AllauthDeviceManager(DeviceManager):
    def devices_for_user(self, user: Any, confirmed: bool | None = None) -> models.QuerySet["AllauthDevice"]:
        return self.filter(user=user)


class AllauthDevice(Device):
    """A row of allauth's authenticator table; it exists only once enrolment was confirmed."""

    name = None
    confirmed = True
    type = models.CharField(max_length=20)

    objects = AllauthDeviceManager()

    class Meta:
        managed = False
        db_table = "mfa_authenticator"

    def verify_token(self, token: str) -> bool:
        """Codes are taken by allauth's pages alone: they limit attempts and accept a code once."""
        return False


class UsedTotpCode(models.Model):
    """A TOTP code that was accepted. Unique, so no process accepts it a second time."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    code_hash = models.CharField(max_length=64)
    used_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "code_hash"], name="totp_code_used_once")]

    def __str__(self) -> str:
        return f"code of {self.user_id} used at {self.used_at}"
