"""Addresses of backtests."""

from django.urls import path

from backtesting.views import chart, compare, lookahead, parity, rules, runs, searches, shared, trades

app_name = "backtests"
urlpatterns = [
    path("", runs.run_list, name="list"),
    path("new/", runs.run_new, name="new"),
    path("compare/", compare.run_compare, name="compare"),
    path("parity/", parity.parity_report, name="parity"),
    path("parity/trades.csv", parity.parity_csv, name="parity_csv"),
    path("lookahead/<slug:slug>/", lookahead.lookahead, name="lookahead"),
    path("lookahead/<slug:slug>/start/", lookahead.lookahead_start, name="lookahead_start"),
    path("new/<slug:slug>/", rules.rule_new, name="rule_new"),
    path("searches/<int:pk>/run/<int:number>/", rules.search_run, name="search_run"),
    path("searches/", searches.search_list, name="searches"),
    path("searches/new/", searches.search_new, name="search_new"),
    path("searches/count/", searches.search_count, name="search_count"),
    path("searches/<int:pk>/", searches.search_detail, name="search"),
    path("searches/<int:pk>/trials.csv", searches.search_csv, name="search_csv"),
    path("searches/<int:pk>/cancel/", searches.search_cancel, name="search_cancel"),
    path("searches/<int:pk>/resume/", searches.search_resume, name="search_resume"),
    path("<int:pk>/", runs.run_detail, name="detail"),
    path("<int:pk>/rerun/", runs.run_again, name="rerun"),
    path("<int:pk>/repeat/", runs.run_repeat, name="repeat"),
    path("<int:pk>/delete/", runs.run_delete, name="delete"),
    path("<int:pk>/share/", shared.share_create, name="share"),
    path("<int:pk>/share/<int:link>/revoke/", shared.share_revoke, name="share_revoke"),
    path("shared/<str:token>/", shared.shared_report, name="shared"),
    path("shared/<str:token>/chart.json", shared.shared_chart, name="shared_chart"),
    path("shared/<str:token>/trades.csv", shared.shared_csv, name="shared_csv"),
    path("<int:pk>/chart.json", chart.run_chart, name="chart"),
    path("<int:pk>/trades.csv", trades.trades_csv, name="trades_csv"),
    path("<int:pk>/trades.parquet", trades.trades_parquet, name="trades_parquet"),
]
