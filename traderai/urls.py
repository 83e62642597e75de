"""Every address of the site. Pages belong to the app whose objects they show; those of several apps are here."""

from django.contrib import admin
from django.urls import include, path

from exchanges.urls import market_patterns, position_patterns
from signals.urls import model_patterns, signal_patterns, strategy_patterns
from traderai import views
from traderai.api import api, redoc

urlpatterns = [
    path("", views.home, name="home"),
    path("dashboard/", views.dashboard, name="dashboard"),
    path("markets/", include((market_patterns, "markets"))),
    path("signals/", include((signal_patterns, "signals"))),
    path("strategies/", include((strategy_patterns, "strategies"))),
    path("models/", include((model_patterns, "models"))),
    path("positions/", include((position_patterns, "positions"))),
    path("backtests/", include("backtesting.urls")),
    path("", include("accounts.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/redoc", redoc, name="redoc"),
    path("api/v1/", api.urls),
]
