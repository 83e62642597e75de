"""The append-only record of security and money events. The database refuses changes and deletions too (migration 0002)."""

from typing import Any

from allauth.account.adapter import get_adapter
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.models import AuditEvent, User


def record(user: User | None, action: str, request: HttpRequest | None = None, **detail: Any) -> AuditEvent:
    """Write one event. `action` is a short snake_case verb ("signed_in"); `detail` is JSON without secrets."""
    return AuditEvent.objects.create(user=user, action=action, ip=_address(request), detail=detail)


def _address(request: HttpRequest | None) -> str | None:
    """Who called, past as many proxies as settings trust; None for a caller without an address (a unix socket, a command)."""
    if request is None:
        return None
    try:
        return get_adapter().get_client_ip(request)
    except PermissionDenied:
        return None
