"""ccxt clients as this product uses them: paid for from the shared budget, lent to one thread at a time, and with failures in our own words."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import ccxt
import structlog
from requests.exceptions import HTTPError, RequestException, SSLError

from exchanges.ports import VenueError, VenueRefused, VenueUnavailable
from exchanges.venues import budget, limits
from exchanges.venues.specs import Client

log = structlog.get_logger(__name__)
T = TypeVar("T")

TIMEOUT_MS = 10_000
RELOAD_S = 86_400.0
RECHECK_S = 300.0
"""How old the list of instruments may be that says no to somebody."""
TOO_OFTEN = (418, 429)
BANS_S = {418: 120.0, 403: 600.0}
"""The shortest ban of an address by HTTP status (Binance's, Bybit's), where the venue does not say how long it is."""
EDGE_S = 2.0
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ccxt.DDoSProtection, "limits our requests"),
    (ccxt.RateLimitExceeded, "limits our requests"),
    (ccxt.RequestTimeout, "did not answer in time"),
    (ccxt.OnMaintenance, "is under maintenance"),
    (ccxt.ExchangeNotAvailable, "is not available"),
    (ccxt.BadResponse, "sent something unreadable"),
    (ccxt.NetworkError, "cannot be reached"),
    (ccxt.BadSymbol, "does not list this symbol (any more)"),
    (ccxt.OperationFailed, "is not available"),
    (ccxt.NotSupported, "does not offer this"),
)
# What ccxt's own parsers raise when a venue or a proxy before it sends a page, half a page, or JSON of another shape.
PARSER_ERRORS = (TypeError, ValueError, KeyError, IndexError, AttributeError)


class Clients:
    """Clients of one kind of market at a venue, for any number of threads. All know the same instruments, which are fetched once a day."""

    def __init__(self, venue: str, described: Client, *, passing: frozenset[str], base_url: str, timeout_ms: int) -> None:
        self.venue = venue
        self._described = described
        self._passing = passing
        self._base_url = base_url
        self._timeout_ms = timeout_ms
        self._idle: list[ccxt.Exchange] = []
        self._lock = threading.Lock()
        self._informed: ccxt.Exchange | None = None
        self._informed_s = 0.0

    def ask(self, call: Callable[[ccxt.Exchange], T], what: str, *, about_instruments: bool = True) -> T:
        """The answer to a call of a client. Raises VenueUnavailable or VenueRefused, whose messages carry neither URL nor key."""
        informed = self._inform() if about_instruments else None
        with self._lend() as client:
            if informed is not None and client.markets is not informed.markets:
                client.set_markets_from_exchange(informed)
            return self._answer(client, call, what)

    def listed(self, *, fresh_s: float = RELOAD_S) -> Mapping[str, dict[str, Any]]:
        """The venue's instruments by symbol, as ccxt describes them, read not longer than fresh_s ago."""
        return self._inform(fresh_s).markets

    def _inform(self, fresh_s: float = RELOAD_S) -> ccxt.Exchange:
        with self._lock:  # one thread asks, the others wait for its answer
            if self._informed is not None and monotonic() - self._informed_s < fresh_s:
                return self._informed
            try:
                self._informed = self._read_instruments()
                self._informed_s = monotonic()
            except VenueUnavailable as error:
                if self._informed is None or fresh_s < RELOAD_S:
                    raise
                log.warning("going on with yesterday's list of instruments", venue=self.venue, error=str(error))
                self._informed_s = monotonic() - RELOAD_S + RECHECK_S
            return self._informed

    def _read_instruments(self) -> ccxt.Exchange:
        client = self._build()
        self._answer(client, lambda fresh: fresh.load_markets(), "its instruments")
        if not client.markets:
            raise VenueUnavailable(f"{self.venue} sent an empty list when asked for its instruments")
        return client

    @contextmanager
    def _lend(self) -> Iterator[ccxt.Exchange]:
        try:
            client = self._idle.pop()
        except IndexError:
            client = self._build()
        try:
            yield client
        finally:
            self._idle.append(client)

    def _build(self) -> ccxt.Exchange:
        exchange = type("Exchange", (_Paid, getattr(ccxt, self._described.exchange)), {"venue": self.venue})
        client = exchange({"options": dict(self._described.options), "timeout": self._timeout_ms, "enableRateLimit": False})
        client.has["fetchCurrencies"] = False  # a signed or slow endpoint
        return point(client, self._base_url) if self._base_url else client

    def _answer(self, client: ccxt.Exchange, call: Callable[[ccxt.Exchange], T], what: str) -> T:
        client.status = 0
        try:
            return call(client)
        except ccxt.BaseError as error:
            raise self._translate(error, client, what) from error
        except PARSER_ERRORS as error:
            log.warning("unreadable reply", venue=self.venue, what=what, error=repr(error))
            raise VenueUnavailable(f"{self.venue} sent something unreadable when asked for {what}") from error

    def _translate(self, error: ccxt.BaseError, client: ccxt.Exchange, what: str) -> VenueError:
        asked = f"when asked for {what}"
        if client.status == 451 or (client.status == 403 and re.search("country|region|location", str(error))):
            return VenueRefused(f"{self.venue} is not offered where this computer is (HTTP {client.status} {asked}); use another venue")
        too_often = client.status in TOO_OFTEN or (client.status == 403 and "too frequent" in str(error))
        if too_often or isinstance(error, (ccxt.DDoSProtection, ccxt.RateLimitExceeded)):
            return self._hold_back(client, asked)
        if isinstance(error.__cause__, SSLError):
            return VenueRefused(f"{self.venue} shows a certificate that is not trusted here: look for a proxy in between, or a wrong clock")
        reason = next((text for kind, text in REASONS if isinstance(error, kind)), "")
        if not isinstance(error, ccxt.OperationFailed):
            if client.status >= 500 or _code(error) in self._passing:
                reason = "is not available"
            elif isinstance(error.__cause__, RequestException) and not isinstance(error.__cause__, HTTPError):
                reason = "cannot be reached"
            else:
                return VenueRefused(f"{self.venue} {reason or f'refused ({_said(error)})'} {asked}")
        failure = VenueUnavailable(f"{self.venue} {reason} {asked}")
        failure.retry_after_s = _retry_after_s(client) if client.status >= 500 else None
        return failure

    def _hold_back(self, client: ccxt.Exchange, asked: str) -> VenueUnavailable:
        """Everybody leaves the venue alone as long as it wants, or as long as it counts when it does not say."""
        wanted_s = _retry_after_s(client) if client.status in TOO_OFTEN else None
        period_s = BANS_S.get(client.status, limits.LIMITS[self.venue][client.bucket].per_s)
        budget.block(self.venue, period_s if wanted_s is None else wanted_s)
        banned = "has banned this address for a while" if client.status in BANS_S else "limits our requests"
        failure = VenueUnavailable(f"{self.venue} {banned} {asked}")
        failure.retry_after_s = wanted_s
        return failure


class _Paid:
    """What is changed of every ccxt client. `status` is that of the last HTTP reply, 0 when there was none."""

    venue: str
    status = 0
    bucket = limits.OTHER
    last_response_headers: Mapping[str, str] | None

    def fetch(self, url: str, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(url)
        self.bucket, cost = limits.charge(self.venue, parts.path, dict(parse_qsl(parts.query)))
        budget.take(self.venue, self.bucket, cost)
        reply = super().fetch(url, *args, **kwargs)  # type: ignore[misc]
        self._learn()
        if isinstance(reply, (str, bytes)):
            # A page of HTML or half a reply with status 200 is trouble. ccxt hands it on as text, which its parsers take for an empty list.
            raise ccxt.BadResponse("not JSON")
        return reply

    def on_rest_response(self, code: int, *args: Any) -> Any:
        self.status = code
        return super().on_rest_response(code, *args)  # type: ignore[misc]

    def _learn(self) -> None:
        """What the venue says it has counted, by its own clock. In the first seconds of a period the count may still be the last one's."""
        headers = self.last_response_headers or {}
        used, date = headers.get(limits.USED_WEIGHT, ""), headers.get("Date", "")
        if not (used.isdecimal() and date and self.bucket in limits.COUNTED):
            return
        try:
            into_s = parsedate_to_datetime(date).timestamp() % limits.LIMITS[self.venue][self.bucket].per_s
        except ValueError:
            return
        if into_s >= EDGE_S:
            budget.learn(self.venue, self.bucket, used=float(used), into_s=into_s)


def point(client: ccxt.Exchange, base_url: str) -> ccxt.Exchange:
    """Send everything this client would send to its venue's hosts to base_url (http://host:port) instead: a gateway, or the test venue."""
    scheme, _, host = base_url.rstrip("/").partition("://")
    socket = "wss" if scheme == "https" else "ws"

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(part) for key, part in value.items()}
        match = re.match(r"^(https?|wss?)://[^/]+(.*)$", value) if isinstance(value, str) else None
        return f"{scheme if match[1].startswith('http') else socket}://{host}{match[2]}" if match else value

    for key in ("api", "test", "demo", "demotrading"):
        if key in client.urls:
            client.urls[key] = moved(client.urls[key])
    if client.id == "binanceusdm":
        # ccxt picks the table of error codes by the host's name, which is now another.
        client.get_exceptions_by_url = lambda url, kind: client.exceptions.get("linear", {}).get(kind, {})
    return client


def _retry_after_s(client: ccxt.Exchange) -> float | None:
    after = (client.last_response_headers or {}).get("Retry-After", "")
    return float(after) if re.fullmatch(r"\d{1,9}(\.\d+)?", after) else None


def _said(error: ccxt.BaseError) -> str:
    """The venue's own words, without the URL ccxt puts before them."""
    match = re.search(r'"(?:msg|retMsg|message)"\s*:\s*"([^"]{1,160})"', str(error))
    return match[1] if match else type(error).__name__


def _code(error: ccxt.BaseError) -> str:
    match = re.search(r'"(?:code|retCode)"\s*:\s*"?(-?\d+)', str(error))
    return match[1] if match else ""
