"""What the environment says. Read by settings.py only; every bad value stops the start with a sentence that says what to do."""

import base64
import os
import socket
from itertools import pairwise
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()


def load_dotenv() -> None:
    """Read BASE_DIR/.env when there is one; variables that are already set win."""
    path = BASE_DIR / os.environ.get("ENV_FILE", ".env")
    if path.is_file():
        environ.Env.read_env(path)


def required_secret(name: str, remedy: str) -> str:
    """The value of `name`, or ImproperlyConfigured: a secret never has a default."""
    value = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {remedy}")
    return value


def keyring(raw: str) -> dict[str, bytes]:
    """Parse "kid:base64,kid:base64" into {kid: 32 bytes}; the first key encrypts, all of them decrypt."""
    keys: dict[str, bytes] = {}
    for part in filter(None, (piece.strip() for piece in raw.split(","))):
        kid, _, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise ImproperlyConfigured(f"ENCRYPTION_KEYS: the key {kid!r} is not base64.") from error
        if not kid or len(key) != 32:
            raise ImproperlyConfigured("ENCRYPTION_KEYS: write each key as kid:base64 of exactly 32 bytes, separated by commas.")
        keys[kid] = key
    return keys


def choice(name: str, known: tuple[str, ...], *, default: str) -> str:
    """One of `known`."""
    value = env.str(name, default=default) or default
    if value not in known:
        raise ImproperlyConfigured(f"{name}: {value!r} is not known; write one of {', '.join(known)}.")
    return value


def share(name: str, *, default: float) -> float:
    """A number above 0, at most 1."""
    try:
        value = env.float(name, default=default)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: write a number above 0 and at most 1, like {default}.") from error
    if not 0.0 < value <= 1.0:
        raise ImproperlyConfigured(f"{name}: {value:g} is not above 0 and at most 1; write one like {default}.")
    return value


def rising_days(name: str, *, default: str) -> tuple[int, ...]:
    """Whole numbers of days, each later than the one before it, up to a year."""
    raw = env.str(name, default=default) or default
    try:
        days = tuple(int(part) for part in raw.split(","))
    except ValueError:
        days = ()
    if not days or days[0] < 1 or days[-1] > 366 or any(after <= before for before, after in pairwise(days)):
        raise ImproperlyConfigured(f"{name}: {raw!r} is not a rising list of days from 1 to 366; write one like {default}.")
    return days


def redis_url(embedded: Path) -> str:
    """REDIS_URL when set, else the embedded server's socket when one is answering, else "" (everything in process)."""
    if url := env.str("REDIS_URL", default=""):
        return url
    if not embedded.exists():
        return ""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(embedded))
        except OSError:
            return ""
    return f"unix://{embedded}"


def embedded_socket(run_dir: Path) -> Path:
    """Where the supervised embedded Valkey listens; the folder is private to the owner (0700)."""
    return run_dir / "valkey.sock"


def celery_broker_url(redis: str) -> str:
    """kombu spells a Redis over a unix socket its own way."""
    if redis.startswith("unix://"):
        return f"redis+socket://{redis.removeprefix('unix://')}?virtual_host=0"
    return redis or "memory://"
