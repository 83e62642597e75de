"""Public market data of any venue ccxt speaks to. Only exchanges.venues.registry imports this module, on first use: ccxt is heavy."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import inf
from time import monotonic
from typing import Any, TypeVar

import ccxt
import numpy as np
import structlog

from exchanges import timeframes
from exchanges.ports import CandleFrame, FundingFrame, MarketSpec, VenueError, VenueRefused, VenueUnavailable
from exchanges.venues.specs import Client, VenueSpec
from traderai.lib import clock

log = structlog.get_logger(__name__)
T = TypeVar("T")

TIMEOUT_MS = 10_000
COMPARE_CLOCKS_S = 600.0
"""A computer's clock drifts, and is put right, while a process that follows the market runs for weeks."""
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ccxt.DDoSProtection, "limits our requests"),
    (ccxt.RateLimitExceeded, "limits our requests"),
    (ccxt.RequestTimeout, "did not answer in time"),
    (ccxt.ExchangeNotAvailable, "is not available"),
    (ccxt.BadResponse, "sent something unreadable"),
    (ccxt.NetworkError, "cannot be reached"),
    (ccxt.BadSymbol, "does not list this symbol"),
    (ccxt.OperationFailed, "is not available"),
    (ccxt.NotSupported, "does not offer this"),
)
# What ccxt's own parsers raise when a venue or a proxy before it sends a page, half a page, or JSON of another shape.
PARSER_ERRORS = (TypeError, ValueError, KeyError, IndexError, AttributeError)


class CcxtVenue:
    """exchanges.ports.MarketDataVenue through ccxt. Raises VenueUnavailable or VenueRefused, whose messages carry no URL."""

    def __init__(self, spec: VenueSpec, *, base_url: str = "", timeout_ms: int = TIMEOUT_MS) -> None:
        self.spec = spec
        self._base_url = base_url
        self._timeout_ms = timeout_ms
        self._clients: dict[str, ccxt.Exchange] = {}
        self._ahead_ms = 0
        self._compare_again_s = -inf

    def markets(self, kind: str) -> list[MarketSpec]:
        client = self._client(kind)
        listed = self._ask(client, client.load_markets, "its instruments")
        return [_market_spec(market, kind) for market in listed.values() if _is_wanted(market, kind)]

    def now_ms(self) -> int:
        if monotonic() >= self._compare_again_s:
            self._ahead_ms = self.time_ms() - clock.now_ms()
            self._compare_again_s = monotonic() + COMPARE_CLOCKS_S
        return clock.now_ms() + min(0, self._ahead_ms)

    def time_ms(self) -> int:
        """The venue's clock."""
        client = self._client("perpetual")
        return self._ask(client, lambda: int(client.fetch_time()), "its clock")

    def page(self, symbol: str) -> int:
        return self._described(symbol).page

    def candles(self, symbol: str, timeframe: str, since_ms: int, limit: int) -> CandleFrame:
        client = self._client_for(symbol)
        if timeframe not in client.timeframes:
            raise VenueRefused(f"{self.spec.slug} does not offer {timeframe} candles")
        limit = min(limit, self.page(symbol))
        rows = self._ask(client, lambda: client.fetch_ohlcv(symbol, timeframe, since_ms, limit), f"{symbol} {timeframe} candles")
        table = self._table(rows, symbol)
        closed = (table[:, 0] >= since_ms) & (table[:, 0] + timeframes.parse(timeframe) <= self.now_ms())
        table = table[closed]
        return CandleFrame(symbol, timeframe, table[:, 0].astype(np.int64), *(np.ascontiguousarray(table[:, i]) for i in range(1, 6)))

    def prices(self, symbols: Sequence[str]) -> dict[str, float]:
        """The last traded price of each symbol the venue knows one for."""
        found: dict[str, float] = {}
        for kind in ("perpetual", "spot"):
            wanted = [symbol for symbol in symbols if (":" in symbol) == (kind == "perpetual")]
            if wanted:
                client = self._client(kind)
                found |= self._ask(client, partial(_last_prices, client, wanted), "last prices")
        return found

    def funding(self, symbol: str, since_ms: int) -> Iterator[FundingFrame]:
        """Pages of funding boundaries from since_ms on, oldest first, until the venue has no more."""
        client = self._client_for(symbol)
        limit = self._described(symbol).funding_page
        while True:
            found = self._ask(client, partial(_funding_page, client, symbol, since_ms, limit), f"{symbol} funding rates")
            found = sorted(pair for pair in found if pair[0] >= since_ms)
            if not found:
                return
            yield FundingFrame(np.array([pair[0] for pair in found], np.int64), np.array([pair[1] for pair in found]))
            since_ms = found[-1][0] + 1

    def _described(self, symbol: str) -> Client:
        return self.spec.perpetual if ":" in symbol else self.spec.spot

    def _client_for(self, symbol: str) -> ccxt.Exchange:
        return self._client("perpetual" if ":" in symbol else "spot")

    def _client(self, kind: str) -> ccxt.Exchange:
        if kind not in self._clients:
            described: Client = getattr(self.spec, kind)
            client = getattr(ccxt, described.exchange)(
                {"options": dict(described.options), "timeout": self._timeout_ms, "enableRateLimit": True}
            )
            client.has["fetchCurrencies"] = described.lists_currencies
            _insist_on_json(client)
            self._clients[kind] = point(client, self._base_url) if self._base_url else client
        return self._clients[kind]

    def _table(self, rows: Any, symbol: str) -> np.ndarray:
        try:
            table = np.array(rows, np.float64).reshape(-1, 6)
        except PARSER_ERRORS as error:
            raise VenueUnavailable(f"{self.spec.slug} sent something unreadable when asked for {symbol} candles") from error
        if np.isnan(table[:, 0]).any():
            raise VenueUnavailable(f"{self.spec.slug} sent candles without time when asked for {symbol}")
        return table[np.argsort(table[:, 0], kind="stable")]

    def _ask(self, client: ccxt.Exchange, call: Callable[[], T], what: str) -> T:
        try:
            return call()
        except ccxt.BaseError as error:
            raise self._translate(error, client, what) from error
        except PARSER_ERRORS as error:
            log.warning("unreadable reply", venue=self.spec.slug, what=what, error=repr(error))
            raise VenueUnavailable(f"{self.spec.slug} sent something unreadable when asked for {what}") from error

    def _translate(self, error: ccxt.BaseError, client: ccxt.Exchange, what: str) -> VenueError:
        reason = next((text for kind, text in REASONS if isinstance(error, kind)), "") or f"refused ({_said(error)})"
        message = f"{self.spec.slug} {reason} when asked for {what}"
        if not isinstance(error, ccxt.OperationFailed):
            return VenueRefused(message)
        failure = VenueUnavailable(message)
        if isinstance(error, (ccxt.DDoSProtection, ccxt.RateLimitExceeded)):
            after = (client.last_response_headers or {}).get("Retry-After", "")
            failure.retry_after_s = float(after) if re.fullmatch(r"\d+(\.\d+)?", after) else None
        return failure


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


def _funding_page(client: ccxt.Exchange, symbol: str, since_ms: int, limit: int) -> list[tuple[int, float]]:
    return [(int(entry["timestamp"]), float(entry["fundingRate"])) for entry in client.fetch_funding_rate_history(symbol, since_ms, limit)]


def _last_prices(client: ccxt.Exchange, symbols: Sequence[str]) -> dict[str, float]:
    """ccxt refuses the whole question for one symbol that the venue does not list any more, so that is not asked for."""
    client.load_markets()
    listed = [symbol for symbol in symbols if symbol in client.markets]
    tickers = client.fetch_tickers(listed) if listed else {}
    lasts = {symbol: float(ticker["last"] or 0.0) for symbol, ticker in tickers.items()}
    return {symbol: last for symbol, last in lasts.items() if 0.0 < last < inf}


def _insist_on_json(client: ccxt.Exchange) -> None:
    """A page of HTML or half a reply with status 200 is trouble. ccxt hands it on as text, which its parsers take for an empty list."""
    fetch = client.fetch

    def fetch_json(*args: Any, **kwargs: Any) -> Any:
        reply = fetch(*args, **kwargs)
        if isinstance(reply, (str, bytes)):
            raise ccxt.BadResponse("not JSON")
        return reply

    client.fetch = fetch_json


def _is_wanted(market: dict[str, Any], kind: str) -> bool:
    return bool(market.get("spot")) if kind == "spot" else bool(market.get("swap") and market.get("linear"))


def _market_spec(market: dict[str, Any], kind: str) -> MarketSpec:
    precision, limits = market["precision"], market["limits"]
    contract_size = float(market.get("contractSize") or 1.0)
    return MarketSpec(
        symbol=market["symbol"],
        base=market["base"],
        quote=market["quote"],
        kind=kind,
        tick_size=float(precision["price"] or 1e-8),
        # ccxt counts derivatives in contracts, this product in coins: where a contract is not one coin, its step is not one either.
        step_size=float(precision["amount"] or 1e-8) * contract_size,
        min_notional=float((limits.get("cost") or {}).get("min") or 5.0),
        contract_size=contract_size,
        max_leverage=int((limits.get("leverage") or {}).get("max") or (1 if kind == "spot" else 20)),
    )


def _said(error: ccxt.BaseError) -> str:
    """The venue's own words, without the URL ccxt puts before them."""
    match = re.search(r'"(?:msg|retMsg|message)"\s*:\s*"([^"]{1,160})"', str(error))
    return match[1] if match else type(error).__name__
