"""What the staff's pages of jobs share: who may look or act, and what becomes of a start form."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from traderai.lib.errors import UserError

P = ParamSpec("P")
Job = TypeVar("Job")


class StartForm(Protocol):
    """A Django form that knows what to ask its service for."""

    fields: dict[str, Any]

    def is_valid(self) -> bool: ...

    def add_error(self, field: str | None, error: Any) -> None: ...

    def order(self) -> dict[str, Any]: ...


def permitted(
    permission: str,
) -> Callable[[Callable[Concatenate[HttpRequest, P], HttpResponse]], Callable[Concatenate[HttpRequest, P], HttpResponse]]:
    """A view for those who hold the permission, such as "signals.view_trainingrun"; 403 for everybody else."""

    def guard(view: Callable[Concatenate[HttpRequest, P], HttpResponse]) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return guard


def ask(form: StartForm, service: Callable[..., Job], *, requested_by: Any) -> Job | None:
    """The job that `service` makes of `form.order()`. None when the form is wrong or the service refuses (UserError): then the form says so,
    beside the field that the refusal names.
    """
    if not form.is_valid():
        return None
    try:
        return service(**form.order(), requested_by=requested_by)
    except UserError as error:
        form.add_error(error.field if error.field in form.fields else None, error.message)
        return None
