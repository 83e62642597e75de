from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "traderai"
    verbose_name = "TraderAI"
