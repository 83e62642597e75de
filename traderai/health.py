"""Is this process able to do its work? For load balancers, the supervisor and people."""

from typing import Literal

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from ninja import Schema
from redis.exceptions import RedisError

State = Literal["ok", "failed", "in process"]


class Health(Schema):
    """`status` is "ok" when every part is; the reply is 503 otherwise."""

    status: Literal["ok", "degraded"]
    database: State
    redis: State


def look() -> Health:
    """Ask the database and Redis a question each."""
    database, redis = _database(), _redis()
    return Health(status="ok" if "failed" not in (database, redis) else "degraded", database=database, redis=redis)


def _database() -> State:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except DatabaseError:
        return "failed"
    return "ok"


def _redis() -> State:
    if not settings.REDIS_URL:
        return "in process"
    try:
        cache.set("health", 1, timeout=5)
    except (RedisError, OSError):
        return "failed"
    return "ok"
