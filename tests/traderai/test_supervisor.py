"""The supervisor with real processes."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from traderai.supervisor import Child, ChildNeverReady, Supervisor

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z" if Path(f"/proc/{pid}").exists() else True


def eventually(condition, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def keep_signal_handlers():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_it_restarts_a_child_that_was_killed(keep_signal_handlers):
    supervisor = Supervisor([Child("sleeper", SLEEPER)])
    supervisor.start()
    child = supervisor.children[0]
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    child.process.wait()
    assert eventually(lambda: supervisor.tick() or child.process.pid != first)
    assert child.restarts == 1
    assert child.process.poll() is None
    supervisor.stop()
    assert not alive(child.process.pid)


def test_it_backs_off_when_a_child_keeps_dying(keep_signal_handlers):
    child = Child("broken", [sys.executable, "-c", "raise SystemExit(3)"])
    supervisor = Supervisor([child])
    supervisor.start()
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        supervisor.tick()
        time.sleep(0.02)
    supervisor.stop()
    assert 1 <= child.restarts <= 4


def test_it_lets_a_command_that_succeeded_rest(keep_signal_handlers):
    child = Child("once", [sys.executable, "-c", ""], restart_on_success=False)
    supervisor = Supervisor([child])
    supervisor.start()
    child.process.wait()
    for _ in range(5):
        supervisor.tick()
    assert child.finished
    assert child.restarts == 0


def test_it_says_which_child_did_not_become_ready_and_stops_the_others(keep_signal_handlers):
    steady = Child("steady", SLEEPER)
    broken = Child("broken", [sys.executable, "-c", "raise SystemExit(3)"], ready=lambda: False, ready_within_s=20)
    supervisor = Supervisor([steady, broken])
    with pytest.raises(ChildNeverReady, match="broken ended with exit code 3"):
        supervisor.start()
    assert steady.process.poll() is not None


PARENT = """
import sys
from traderai.supervisor import Child, Supervisor
supervisor = Supervisor([Child("a", [sys.executable, "-c", "import time; time.sleep(600)"]),
                         Child("deaf", [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL); time.sleep(600)"])])
supervisor.start()
print(*(child.process.pid for child in supervisor.children), flush=True)
supervisor.watch()
print("stopped", flush=True)
"""


def start_parent() -> tuple[subprocess.Popen, list[int]]:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT)], stdout=subprocess.PIPE, text=True, env=env)
    return parent, [int(pid) for pid in parent.stdout.readline().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_everything_when_asked(number):
    parent, pids = start_parent()
    assert len(pids) == 2
    parent.send_signal(number)
    out, _ = parent.communicate(timeout=60)
    assert out.strip() == "stopped"
    assert parent.returncode == 0
    assert not any(alive(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_no_child_outlives_a_supervisor_that_was_killed():
    parent, pids = start_parent()
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    assert eventually(lambda: not any(alive(pid) for pid in pids))


def test_its_children_survive_the_end_of_a_thread(keep_signal_handlers):
    supervisor = Supervisor([Child("sleeper", SLEEPER)])
    supervisor.start()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert supervisor.children[0].process.poll() is None
    supervisor.stop()
