"""People: users, their profile, their audit trail, and django-otp's view of their second factor."""

from accounts.models.audit import AuditEvent
from accounts.models.device import AllauthDevice, UsedTotpCode
from accounts.models.user import Profile, User

__all__ = ["AllauthDevice", "AuditEvent", "Profile", "UsedTotpCode", "User"]
