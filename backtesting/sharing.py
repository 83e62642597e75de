"""Links under which a run's report is read without signing in: unguessable, and gone the moment they are revoked."""

import hashlib
import secrets
from datetime import timedelta
from typing import NamedTuple

from backtesting.models import BacktestRun, SharedLink
from exchanges.models import JobStatus
from traderai.lib import clock
from traderai.lib.errors import UserError

TOKEN_BYTES = 32
MOST_LINKS = 10
DAYS = (7, 30, 90)


class NotShared(UserError):
    """The report cannot be shared."""


class Made(NamedTuple):
    """A new link and what its address ends with, which is known now and never again."""

    link: SharedLink
    token: str


def create(run: BacktestRun, *, days: int | None = None) -> Made:
    """A link to a finished run, for so many days or until it is revoked. Raises NotShared."""
    if run.status != JobStatus.DONE:
        raise NotShared(f"run {run.pk} has no report yet; share it when it is done")
    if days is not None and days not in DAYS:
        raise NotShared(f"days: choose one of {', '.join(map(str, DAYS))}, or none", field="days")
    now = clock.now()
    if SharedLink.objects.live(now).filter(run=run).count() >= MOST_LINKS:
        raise NotShared(f"run {run.pk} has {MOST_LINKS} links already; revoke one first")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = None if days is None else now + timedelta(days=days)
    return Made(SharedLink.objects.create(run=run, token_hash=_hash(token), expires_at=expires_at), token)


def find(token: str) -> BacktestRun | None:
    """The finished run that the link leads to; None for one that is unknown, revoked, expired, or of somebody who may not sign in any more.

    Looked up by the hash: how long that takes tells nothing about the token.
    """
    links = SharedLink.objects.live(clock.now()).filter(token_hash=_hash(token), run__status=JobStatus.DONE, run__user__is_active=True)
    link = links.select_related("run__model").first()
    return None if link is None else link.run


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
