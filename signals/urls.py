"""Addresses of signals, strategies and models; traderai.urls mounts the lists."""

from django.urls import path

from signals.views import catalogue, drift, issued, strategies, trained

signal_patterns = [
    path("", issued.signal_list, name="list"),
    path("rejected/", issued.rejection_list, name="rejected"),
    path("export.csv", issued.signal_csv, name="export"),
    path("rejected/export.csv", issued.rejection_csv, name="rejected_export"),
    path("of-market/<int:pk>/", issued.signals_of_market, name="of_market"),
    path("<int:pk>/", issued.signal_detail, name="detail"),
]

model_patterns = [
    path("", trained.model_list, name="list"),
    path("<int:pk>/", trained.model_detail, name="detail"),
    path("<int:pk>/drift/", drift.drift, name="drift"),
]

strategy_patterns = [
    path("", strategies.strategy_list, name="list"),
    path("features/", catalogue.feature_list, name="features"),
    path("new/<slug:slug>/", strategies.config_new, name="new"),
    path("<int:pk>/edit/", strategies.config_edit, name="edit"),
    path("<int:pk>/start/", strategies.config_start, name="start"),
    path("<int:pk>/stop/", strategies.config_stop, name="stop"),
]
