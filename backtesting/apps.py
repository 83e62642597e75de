from django.apps import AppConfig


class BacktestingConfig(AppConfig):
    name = "backtesting"
    verbose_name = "Backtests"

    def ready(self) -> None:
        from backtesting import receivers  # noqa: F401  (connects what follows from this app's events)
