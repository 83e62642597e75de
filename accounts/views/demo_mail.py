"""The demo's mailbox: mails that were written to files, shown to whoever sits at the machine."""

import email
import email.policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

MAILS_SHOWN = 20
SEPARATOR = b"-" * 79 + b"\n"


class Mail(NamedTuple):
    to: str
    subject: str
    date: str
    body: str


@require_safe
def demo_mail(request: HttpRequest) -> HttpResponse:
    if not is_offered(request):
        raise Http404
    return render(request, "accounts/demo_mail.html", {"mails": _newest(Path(settings.EMAIL_FILE_PATH))})


def is_offered(request: HttpRequest) -> bool:
    """Only in a demo, and only to this machine: behind a proxy every caller seems local, so a forwarded request is refused."""
    if not settings.DEMO or "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _newest(folder: Path) -> list[Mail]:
    """The newest mails of Django's file backend, which appends each message and a line of dashes to the file of its connection."""
    files = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True) if folder.is_dir() else []
    mails: list[Mail] = []
    for path in files[:MAILS_SHOWN]:
        parts = [part for part in path.read_bytes().split(SEPARATOR) if part.strip()]
        mails += [_read(part) for part in reversed(parts)]
    return mails[:MAILS_SHOWN]


def _read(raw: bytes) -> Mail:
    message = email.message_from_bytes(raw, EmailMessage, policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    return Mail(message["To"] or "", message["Subject"] or "", message["Date"] or "", body.get_content().strip() if body else "")
