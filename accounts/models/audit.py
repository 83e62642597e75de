from typing import Any, NoReturn

from django.conf import settings
from django.db import models

SECOND_FACTORS = {"totp": "authenticator app", "recovery_codes": "recovery codes"}


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def for_user(self, user: object) -> "AuditEventQuerySet":
        return self.filter(user=user)


class AuditEvent(models.Model):
    """Append-only record of security and money events (requirement A5)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="audit_events")
    action = models.CharField(max_length=60)
    detail = models.JSONField(default=dict)
    ip = models.GenericIPAddressField(null=True, blank=True)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    objects = AuditEventQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("an audit event is never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("an audit event is never deleted")

    @property
    def title(self) -> str:
        """The event for people: "second_factor_added" of type "totp" reads "Second factor added: authenticator app"."""
        words = self.action.replace("_", " ").capitalize()
        kind = SECOND_FACTORS.get(self.detail.get("type", ""))
        return f"{words}: {kind}" if kind else words
