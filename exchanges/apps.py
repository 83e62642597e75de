from django.apps import AppConfig


class ExchangesConfig(AppConfig):
    name = "exchanges"
    verbose_name = "Markets and trading"

    def ready(self) -> None:
        from exchanges import receivers  # noqa: F401  (connects what follows from this app's events)
