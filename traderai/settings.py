"""Settings from the environment (.env.example lists every variable). Safe by default: DEBUG is off, secrets have no default."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF

from traderai.env import (
    BASE_DIR,
    celery_broker_url,
    choice,
    embedded_socket,
    env,
    keyring,
    load_dotenv,
    redis_url,
    required_secret,
    rising_days,
    share,
)

load_dotenv()

# --- what this process is
DEBUG = env.bool("DEBUG", default=False)
DEMO = env.bool("DEMO", default=False)
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)
MODEL_DIR = DATA_DIR / "models"
RUN_DIR = DATA_DIR / "run"  # private sockets and schedules
RUN_DIR.mkdir(mode=0o700, exist_ok=True)
EMBEDDED_SOCKET = embedded_socket(RUN_DIR)
SECRET_KEY = required_secret("SECRET_KEY", "Run `make demo` to have one written to .env, or set it to 50 random characters.")
ENCRYPTION_KEYS = keyring(
    required_secret("ENCRYPTION_KEYS", "Run `make demo` to have one written to .env, or set it to kid:base64 of 32 random bytes.")
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SITE_URL = env.str("SITE_URL", default="http://127.0.0.1:8000")

INSTALLED_APPS = [
    "daphne",
    "accounts.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_otp",
    "django_htmx",
    "template_partials",
    "django_structlog",
    "channels",
    "ninja",
    "csp",
    "accounts.apps.AccountsConfig",
    "exchanges.apps.ExchangesConfig",
    "signals.apps.SignalsConfig",
    "backtesting.apps.BacktestingConfig",
    "gamification.apps.GamificationConfig",
    "traderai.apps.ProjectConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "traderai.middleware.htmx_pages",
    "traderai.middleware.private_pages",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "traderai.middleware.WithoutRedis",
]

ROOT_URLCONF = "traderai.urls"
ASGI_APPLICATION = "traderai.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "traderai.context.site",
            ],
        },
    }
]

# --- storage
DATABASES = {"default": env.db_url_config(env.str("DATABASE_URL", default="") or f"sqlite:///{DATA_DIR / 'traderai.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # FULL: an acknowledged commit survives a power cut.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-32000;",
    }
else:
    # A pool, not CONN_MAX_AGE: persistent connections pile up under ASGI. After `timeout` seconds without a connection a request fails.
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": env.int("DATABASE_POOL", default=8), "timeout": 5}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = redis_url(EMBEDDED_SOCKET)
# A subscriber takes silence for peace: without these a server lost behind a router is listened to for good. A unix socket knows no such option.
KEEP_ALIVE = (
    {"socket_keepalive": True, "socket_keepalive_options": {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}}
    if REDIS_URL.startswith("redis") and hasattr(socket, "TCP_KEEPIDLE")
    else {}
)
if REDIS_URL:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "traderai",
            # Django's default serializer is pickle: whoever writes Redis would run code here. Without a timeout a server that hangs
            # would hang every request with it.
            "OPTIONS": {"serializer": "traderai.lib.cache.JSONSerializer", "socket_timeout": 3},
        }
    }
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {
                "hosts": [{"address": REDIS_URL, "socket_timeout": 3, "socket_connect_timeout": 3, **KEEP_ALIVE}],
                # Redis publishes to every one of its databases: two installations on one server must not hear each other.
                "prefix": f"traderai{urlsplit(REDIS_URL).path.strip('/') if REDIS_URL.startswith('redis') else ''}",
            },
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    CHANNEL_LAYERS = {"default": {"BACKEND": "traderai.lib.layers.ThreadSafeInMemoryLayer"}}

# --- Celery: a message is a nudge, rows are the queue
CELERY_BROKER_URL = celery_broker_url(REDIS_URL)
CELERY_TASK_ALWAYS_EAGER = (
    CELERY_TASK_EAGER_PROPAGATES
) = not REDIS_URL  # a command by itself: what follows from its work is done before it ends
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "visibility_timeout": 21_600,
    "interval_start": 0.2,
    "max_retries": 1,  # whoever publishes does not wait for a broker that is away: the sweepers find the rows
}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(RUN_DIR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    "scan": {"task": "signals.tasks.scan", "schedule": 300.0},
    "expire-signals": {"task": "signals.tasks.expire_signals", "schedule": 60.0},
    "sweep-orders": {"task": "exchanges.tasks.sweep_orders", "schedule": 5.0},
    "sweep-positions": {"task": "exchanges.tasks.sweep_positions", "schedule": 15.0},
    "sweep-backfills": {"task": "exchanges.tasks.sweep_backfills", "schedule": 60.0},
    "sweep-gaps": {"task": "exchanges.tasks.sweep_gaps", "schedule": 3600.0},
    "sweep-backtests": {"task": "backtesting.tasks.sweep_backtests", "schedule": 60.0},
    "sweep-trainings": {"task": "signals.tasks.sweep_trainings", "schedule": 60.0},
    "check-drift": {"task": "signals.tasks.check_drift", "schedule": crontab(hour=1, minute=20)},
    "sweep-searches": {"task": "signals.tasks.sweep_searches", "schedule": 60.0},
    "watch-champions": {"task": "backtesting.tasks.watch_champions", "schedule": crontab(hour=1, minute=40)},
}

# --- people
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
MFA_ADAPTER = "accounts.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "TraderAI"
MFA_TOTP_TOLERANCE = 1
MFA_FORMS = {
    "authenticate": "accounts.forms.CodeAtLoginForm",
    "reauthenticate": "accounts.forms.CodeAtStepUpForm",
    "activate_totp": "accounts.forms.CodeAtEnrolmentForm",
}
ACCOUNT_EMAIL_NOTIFICATIONS = True
vars().update(env.email_url_config(env.str("EMAIL_URL", default="") or "filemail://"))
EMAIL_FILE_PATH = str(DATA_DIR / "mail")
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="TraderAI <no-reply@localhost>")

# --- web
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = "traderai.formats"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "traderai.finders.PackagedFilesFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "object-src": [NONE],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
HTTPS = env.bool("HTTPS", default=not DEBUG and not DEMO)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 24 * 3600
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
if ALLAUTH_TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

# --- trading
BASE_TIMEFRAME = "15m"
DEFAULT_VENUE = env.str("DEFAULT_VENUE", default="binance")
# {"binance": "http://127.0.0.1:18091"}: a private gateway, or the test venue, instead of the venue's own hosts.
VENUE_BASE_URLS = env.json("VENUE_BASE_URLS", default={})
# The share of a venue's limits on requests that this installation may use; the rest is for other programs at the same address.
VENUE_RATE_SHARE = share("VENUE_RATE_SHARE", default=0.9)
VENUE_CLOCK_TOLERANCE_S = 60.0  # a computer whose clock is further off than this from its venue's has to be set first
# Closed minutes of streamed markets are stored besides the base frame: about 150 kB a market and day.
STREAM_STORE_1M = env.bool("STREAM_STORE_1M", default=True)
# Subscriptions to the data of brokers; a venue without its keys is not configured.
ALPACA_KEY_ID = env.str("ALPACA_KEY_ID", default="")
ALPACA_SECRET_KEY = env.str("ALPACA_SECRET_KEY", default="")
ALPACA_FEED = choice("ALPACA_FEED", ("iex", "sip"), default="iex")
KITE_API_KEY = env.str("KITE_API_KEY", default="")
KITE_ACCESS_TOKEN = env.str("KITE_ACCESS_TOKEN", default="")
SCAN_MIN_CONFIDENCE = env.float("SCAN_MIN_CONFIDENCE", default=0.55)
MIN_NET_PROFIT_PCT = env.float("MIN_NET_PROFIT_PCT", default=2.0)
SCAN_COVERAGE = float(choice("SCAN_COVERAGE", ("0", "0.6", "0.7", "0.8", "0.9", "0.95"), default="0"))
# Drift of champions: from where a difference is large (PSI, KS), how many of the accused columns may be chance, what share of the features
# makes a model drift; days that are compared with its training; whether it is trained anew, and how long after the last training at the earliest.
DRIFT_PSI = env.float("DRIFT_PSI", default=0.15)
DRIFT_KS = env.float("DRIFT_KS", default=0.10)
DRIFT_FALSE_DISCOVERY = env.float("DRIFT_FALSE_DISCOVERY", default=0.05)
DRIFT_FEATURE_SHARE = env.float("DRIFT_FEATURE_SHARE", default=0.2)
DRIFT_WINDOW_DAYS = env.int("DRIFT_WINDOW_DAYS", default=30)
DRIFT_RETRAIN = env.bool("DRIFT_RETRAIN", default=True)
DRIFT_COOL_DOWN_DAYS = env.int("DRIFT_COOL_DOWN_DAYS", default=7)

# A promoted champion is looked at so many days after its promotion, and all looks together send a sound one away at most so often.
WATCH_LOOK_DAYS = rising_days("WATCH_LOOK_DAYS", default="14,28,42")
WATCH_LEVEL = share("WATCH_LEVEL", default=0.05)

from traderai.logs import configure_logging  # noqa: E402  (needs nothing above, but reads best last)

LOGGING = configure_logging(
    json=env.bool("LOG_JSON", default=not DEBUG and not DEMO), level=env.str("LOG_LEVEL", default="WARNING" if DEMO else "INFO")
)
