"""Who may call, for API operations."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from ninja.errors import HttpError


def staff_only(operation: Callable[..., Any]) -> Callable[..., Any]:
    """403 unless the caller is staff and has shown a second factor in this session."""

    @wraps(operation)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        user = request.user
        if not (user.is_authenticated and user.is_staff):
            raise HttpError(403, "Staff only.")
        if not user.is_verified():
            raise HttpError(403, "Confirm your second factor first: sign in again with a code.")
        return operation(request, *args, **kwargs)

    return guarded
