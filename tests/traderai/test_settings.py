"""The environment decides, and what is missing or wrong stops the start."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from traderai import env
from traderai.firstrun import write_dotenv

ROOT = Path(__file__).resolve().parents[2]
KEY = base64.b64encode(bytes(32)).decode()
GOOD = {"SECRET_KEY": "x" * 60, "ENCRYPTION_KEYS": f"a:{KEY}"}


def start(tmp_path, **variables) -> subprocess.CompletedProcess:
    code = "import django; django.setup(); from django.conf import settings as s; print(s.DEBUG, s.DEMO, s.SESSION_COOKIE_SECURE, s.SECURE_SSL_REDIRECT, s.DATABASES['default']['ENGINE'], s.CELERY_BROKER_URL, s.CELERY_TASK_ALWAYS_EAGER)"
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {*GOOD, "DEBUG", "DEMO", "HTTPS", "DATABASE_URL", "REDIS_URL", "ENV_FILE", "DATA_DIR"}
    }
    variables = {"DJANGO_SETTINGS_MODULE": "traderai.settings", "ENV_FILE": ".env.none", "DATA_DIR": str(tmp_path / "data"), **variables}
    return subprocess.run([sys.executable, "-c", code], env={**clean, **variables}, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ENCRYPTION_KEYS"])
def test_it_refuses_to_start_without_a_secret(tmp_path, missing):
    result = start(tmp_path, **{name: value for name, value in GOOD.items() if name != missing})
    assert result.returncode != 0
    assert f"{missing} is not set. Run `make demo`" in result.stderr


def test_it_is_safe_and_embedded_by_default(tmp_path):
    result = start(tmp_path, **GOOD)
    assert result.stdout.split() == ["False", "False", "True", "True", "django.db.backends.sqlite3", "memory://", "True"], result.stderr
    assert (tmp_path / "data" / "run").stat().st_mode & 0o777 == 0o700


def test_it_takes_servers_from_the_environment(tmp_path):
    result = start(tmp_path, **GOOD, DATABASE_URL="postgres://u@h/d", REDIS_URL="redis://h:6379/1")
    assert result.stdout.split()[4:] == ["django.db.backends.postgresql", "redis://h:6379/1", "False"], result.stderr


def test_it_takes_an_empty_variable_as_not_set(tmp_path):
    result = start(tmp_path, **GOOD, DATABASE_URL="", REDIS_URL="", EMAIL_URL="")
    assert result.returncode == 0, result.stderr


def test_it_ignores_the_socket_of_a_server_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    socket = env.embedded_socket(tmp_path)
    socket.touch()
    assert env.redis_url(socket) == ""


@pytest.mark.parametrize(("raw", "complaint"), [("a:!!", "not base64"), (f":{KEY}", "kid:base64"), ("a:c2hvcnQ=", "exactly 32 bytes")])
def test_it_says_what_is_wrong_with_a_key(raw, complaint):
    with pytest.raises(ImproperlyConfigured, match=complaint):
        env.keyring(raw)


@pytest.mark.parametrize("value", ["0", "1.5", "-1", "nan", "much"])
def test_it_takes_a_share_only_between_nothing_and_all(monkeypatch, value):
    monkeypatch.setenv("VENUE_RATE_SHARE", value)
    with pytest.raises(ImproperlyConfigured, match=r"VENUE_RATE_SHARE.* above 0 and at most 1"):
        env.share("VENUE_RATE_SHARE", default=0.9)


@pytest.mark.parametrize("value", ["0,7", "28,14", "7,7", "14,x", "1.5", "400"])
def test_it_takes_days_only_in_rising_order(monkeypatch, value):
    monkeypatch.setenv("WATCH_LOOK_DAYS", value)
    with pytest.raises(ImproperlyConfigured, match=r"WATCH_LOOK_DAYS.* rising list of days from 1 to 366; write one like 14,28,42"):
        env.rising_days("WATCH_LOOK_DAYS", default="14,28,42")


def test_days_that_are_not_set_are_the_default(monkeypatch):
    monkeypatch.setenv("WATCH_LOOK_DAYS", "")
    assert env.rising_days("WATCH_LOOK_DAYS", default="14,28,42") == (14, 28, 42)


def test_it_reads_several_keys_in_order():
    assert list(env.keyring(f"new:{KEY}, old:{KEY}")) == ["new", "old"]


def test_it_writes_secrets_once_and_privately(tmp_path):
    path = tmp_path / ".env"
    assert write_dotenv(path)
    first = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert not write_dotenv(path)
    assert path.read_text() == first
    values = dict(line.split("=", 1) for line in first.splitlines() if "=" in line and not line.startswith("#"))
    assert len(values["SECRET_KEY"]) >= 50
    assert len(env.keyring(values["ENCRYPTION_KEYS"])["k1"]) == 32
