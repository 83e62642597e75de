"""The product's own settings with throw-away secrets and folders. DATABASE_URL and REDIS_URL choose servers, as in production."""

import base64
import os
import tempfile

os.environ["ENV_FILE"] = ".env.none"
os.environ.setdefault("SECRET_KEY", "test-only-" + "x" * 50)
os.environ.setdefault("ENCRYPTION_KEYS", "test:" + base64.b64encode(bytes(range(32))).decode())
os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="traderai-test-"))
os.environ.setdefault("DEMO", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Workers of one run side by side share a Redis server, each with a database of its own; what they start is told which.
worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if worker and os.environ.get("REDIS_URL", "").startswith("redis://") and os.environ.get("REDIS_OF_WORKER") != worker:
    server, _, number = os.environ["REDIS_URL"].rpartition("/")
    os.environ |= {"REDIS_URL": f"{server}/{(int(number) + int(worker.removeprefix('gw'))) % 16}", "REDIS_OF_WORKER": worker}

from traderai.settings import *  # noqa: E402, F403

EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Nothing is collected for tests; WhiteNoise warns of a folder that is not there, as it should where pages are served.
STATIC_ROOT = DATA_DIR / "static"  # noqa: F405
STATIC_ROOT.mkdir(exist_ok=True)
if worker:  # the files of a running site: each worker's own, because its tests clear them
    RUN_DIR = DATA_DIR / f"run-{worker}"  # noqa: F405
    RUN_DIR.mkdir(mode=0o700, exist_ok=True)
# The test venue is asked as fast as it answers; the tests of the budget set a share of their own.
VENUE_RATE_SHARE = 10_000.0
VENUE_CLOCK_TOLERANCE_S = float("inf")  # the test venue lives in another year
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file, so that threads and server processes of a test see one database; fsync is the disk's business, not the tests'.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # noqa: F405
    DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"  # noqa: F405
