from django.apps import AppConfig


class SignalsConfig(AppConfig):
    name = "signals"
    verbose_name = "Signals and models"

    def ready(self) -> None:
        from signals import receivers  # noqa: F401  (connects what follows from this app's events)
