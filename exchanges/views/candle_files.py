"""A market's closed candles as files: what the chart shows, and up to a hundred thousand bars of it."""

import io
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from exchanges import charts
from exchanges.forms import CandleSpanForm
from exchanges.models import Market, Provenance
from exchanges.ports import CandleFrame
from exchanges.views.markets import address, find
from traderai.lib import clock, csv_export

COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
HEADER = ["symbol", "venue", "data", "timeframe", "open_utc", *COLUMNS]


@login_required
@require_safe
def candles_csv(request: HttpRequest, venue: str, symbol: str) -> HttpResponseBase:
    """The newest closed bars of the span asked for, oldest first."""
    market = find(venue, symbol)
    form = CandleSpanForm(request.GET)
    if not form.is_valid():
        return _back(request, market, form)
    frame = _frame(market, form)
    return csv_export.response(_name(market, frame, "csv"), HEADER, _rows(market, frame))


@login_required
@require_safe
def candles_parquet(request: HttpRequest, venue: str, symbol: str) -> HttpResponseBase:
    """The same as Parquet; its metadata say what the bars are."""
    import pyarrow as pa  # heavy, and only this needs it
    import pyarrow.parquet as pq

    market = find(venue, symbol)
    form = CandleSpanForm(request.GET)
    if not form.is_valid():
        return _back(request, market, form)
    frame = _frame(market, form)
    source = Provenance(market.provenance).label
    metadata = {"symbol": market.symbol, "timeframe": frame.timeframe, "venue": market.venue.slug, "source": source}
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(zip(COLUMNS, frame[2:], strict=True))).replace_schema_metadata(metadata), sink, compression="zstd")
    reply = HttpResponse(sink.getvalue(), content_type="application/vnd.apache.parquet")
    reply["Content-Disposition"] = f'attachment; filename="{_name(market, frame, "parquet")}"'
    return reply


def _frame(market: Market, form: CandleSpanForm) -> CandleFrame:
    asked = form.cleaned_data
    start_ms, end_ms = (None if moment is None else clock.to_ms(moment) for moment in (asked["start"], asked["end"]))
    return charts.window(market, asked["timeframe"], limit=asked["limit"], start_ms=start_ms, end_ms=end_ms).frame


def _rows(market: Market, frame: CandleFrame) -> Iterator[list[Any]]:
    for timestamp, *values in zip(*(column.tolist() for column in frame[2:]), strict=True):
        opened = clock.from_ms(timestamp).isoformat()
        yield [market.symbol, market.venue.slug, market.provenance, frame.timeframe, opened, timestamp, *values]


def _name(market: Market, frame: CandleFrame, suffix: str) -> str:
    pair = "".join(letter if letter.isalnum() else "-" for letter in market.symbol)
    return f"{pair}_{frame.timeframe}_{market.venue.slug}.{suffix}"


def _back(request: HttpRequest, market: Market, form: CandleSpanForm) -> HttpResponse:
    """To the market's page, which says what is wrong with the address."""
    for field, errors in form.errors.items():
        messages.error(request, f"{field}: {' '.join(map(str, errors))}")
    return redirect(address(market))
