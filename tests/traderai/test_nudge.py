"""Waking workers from a process that is its own worker."""

import os
import subprocess
import sys

from django.conf import settings

EIGHT_AT_ONCE = """
import threading, django
django.setup()
from traderai.lib import nudge
failed = []
def wake():
    try:
        nudge.nudge("signals.tasks.scan_bar", bar_ms="no number")
    except Exception as error:
        failed.append(type(error).__name__)
threads = [threading.Thread(target=wake) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(sorted(set(failed)))
"""


def test_it_knows_its_tasks_however_many_threads_ask_first():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "REDIS_URL": ""}
    told = subprocess.run(
        [sys.executable, "-c", EIGHT_AT_ONCE], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True
    )
    assert "NotRegistered" not in told.stdout
    assert told.stdout.startswith("[")
