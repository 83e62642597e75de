"""The state of one's own account: second factor, sessions, and what happened lately."""

from allauth.mfa.models import Authenticator
from allauth.usersessions.internal.flows.sessions import end_sessions
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts import audit
from accounts.models import AuditEvent
from accounts.views import SignedInRequest

EVENTS_SHOWN = 20


@login_required
@require_safe
def security(request: SignedInRequest) -> HttpResponse:
    sessions = sorted(UserSession.objects.purge_and_list(request.user), key=lambda session: session.last_seen_at, reverse=True)
    factors = {factor.type: factor for factor in Authenticator.objects.filter(user=request.user)}
    recovery = factors.get(Authenticator.Type.RECOVERY_CODES)
    return render(
        request,
        "accounts/security.html",
        {
            "totp": factors.get(Authenticator.Type.TOTP),
            "recovery_left": len(recovery.wrap().get_unused_codes()) if recovery else None,
            "sessions": sessions,
            "audit_events": AuditEvent.objects.for_user(request.user).order_by("-at", "-id")[:EVENTS_SHOWN],
        },
    )


@login_required
@require_POST
def end_session(request: SignedInRequest, pk: int) -> HttpResponse:
    """Sign one of the caller's own sessions out."""
    session = get_object_or_404(UserSession, pk=pk, user=request.user)
    end_sessions(request, [session])
    audit.record(request.user, "session_ended", request)
    messages.success(request, "The session is signed out.")
    return redirect("security")
