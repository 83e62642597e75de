"""Pages of people."""

from django.http import HttpRequest

from accounts.models import User


class SignedInRequest(HttpRequest):
    """The request as login_required lets it through."""

    user: User
