"""Addresses of positions; traderai.urls mounts the list."""

from django.urls import path

from exchanges import views

position_patterns = [
    path("", views.position_list, name="list"),
    path("history/", views.history, name="history"),
    path("history/export.csv", views.history_csv, name="export"),
    path("stop-all/", views.stop_all, name="stop_all"),
    path("resume/", views.resume, name="resume"),
    path("<int:pk>/", views.position_detail, name="detail"),
    path("<int:pk>/close/", views.position_close, name="close"),
]
