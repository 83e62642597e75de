"""Who asked, and how: what API operations and pages of every app share."""

from typing import Any

from django.http import HttpRequest
from ninja import Schema
from ninja.errors import HttpError
from ninja.security import SessionAuth

from traderai.lib.errors import UserError


class StaffAuth(SessionAuth):
    """The session of staff that has shown a second factor; 403 for other people. As `auth=` it speaks before the body is looked at."""

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        user = request.user
        if not user.is_authenticated:
            return None
        if not user.is_staff:
            raise HttpError(403, "Staff only.")
        if not user.is_verified():
            raise HttpError(403, "Confirm your second factor first: sign in again with a code.")
        return user


staff_only = StaffAuth()


def wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of the page; after Back it wants the whole again."""
    htmx = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.history_restore_request


def refuse_unknown(request: HttpRequest, schema: type[Schema]) -> None:
    """A misspelt filter is refused: left out, it would answer another question. Raises UserError."""
    for name in request.GET:
        if name not in schema.model_fields:
            raise UserError(f"{name} is no filter: use {', '.join(schema.model_fields)}", field=name)
