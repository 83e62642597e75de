"""Addresses of positions and markets; traderai.urls mounts the lists."""

from django.urls import path

from exchanges.views import candle_files, markets, positions

position_patterns = [
    path("", positions.position_list, name="list"),
    path("history/", positions.history, name="history"),
    path("history/export.csv", positions.history_csv, name="export"),
    path("stop-all/", positions.stop_all, name="stop_all"),
    path("resume/", positions.resume, name="resume"),
    path("<int:pk>/", positions.position_detail, name="detail"),
    path("<int:pk>/close/", positions.position_close, name="close"),
]

market_patterns = [
    path("", markets.market_list, name="list"),
    path("<int:pk>/", markets.market_by_id, name="by_id"),
    path("<slug:venue>/<path:symbol>/candles.csv", candle_files.candles_csv, name="candles_csv"),
    path("<slug:venue>/<path:symbol>/candles.parquet", candle_files.candles_parquet, name="candles_parquet"),
    path("<slug:venue>/<path:symbol>/", markets.market_detail, name="detail"),
]
