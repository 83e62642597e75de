from django.conf import settings as conf
from django.urls import path

from accounts.views import demo_mail, preferences, security

urlpatterns = [
    path("settings/", preferences.settings, name="settings"),
    path("theme/", preferences.theme, name="theme"),
    path("security/", security.security, name="security"),
    path("security/sessions/<int:pk>/end/", security.end_session, name="session_end"),
]
if conf.DEMO:
    urlpatterns.append(path("demo/mail/", demo_mail.demo_mail, name="demo_mail"))
