from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from accounts import receivers  # noqa: F401  (connects what follows from sign-ups, logins and second factors)


class StaffAdminConfig(AdminConfig):
    default_site = "accounts.staff.StaffSite"
