"""Addresses of backtests."""

from django.urls import path

from backtesting import views

app_name = "backtests"
urlpatterns = [
    path("", views.run_list, name="list"),
    path("new/", views.run_new, name="new"),
    path("lookahead/<slug:slug>/", views.lookahead, name="lookahead"),
    path("lookahead/<slug:slug>/start/", views.lookahead_start, name="lookahead_start"),
    path("<int:pk>/", views.run_detail, name="detail"),
    path("<int:pk>/rerun/", views.run_again, name="rerun"),
    path("<int:pk>/delete/", views.run_delete, name="delete"),
    path("<int:pk>/trades.csv", views.trades_csv, name="trades_csv"),
    path("<int:pk>/trades.parquet", views.trades_parquet, name="trades_parquet"),
]
