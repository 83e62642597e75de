"""Waking a worker. The rows are the queue: a nudge that gets lost costs seconds, because the sweepers look too."""

import threading
from typing import Any

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)
_loading = threading.Lock()


def nudge(task: str, **ids: Any) -> None:
    """Send the Celery task called `task`. With eager tasks it runs here and now; without a broker it is logged and left to the sweeper."""
    if current_app.conf.task_always_eager:
        with _loading:  # a second thread would find the tasks of a module that the first is still importing unregistered
            current_app.loader.import_default_modules()  # a worker does this as it starts
        current_app.tasks[task].apply(kwargs=ids, throw=True)
        return
    try:
        current_app.send_task(task, kwargs=ids, retry=False)
    except OperationalError as error:
        log.warning("no broker; the sweeper will find the work", task=task, error=str(error))
