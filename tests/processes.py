"""Child processes of tests."""

import signal


def heed_ctrl_c() -> None:
    """For preexec_fn: what is started from a shell's background, as these tests may be, is born deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
