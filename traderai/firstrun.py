"""`python -m traderai.firstrun`: write .env with fresh secrets when there is none. Django is not needed, because it would refuse to start without them."""

import base64
import os
import secrets
import sys
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

TEMPLATE = """\
# Written by `make demo`. Keep it private: with ENCRYPTION_KEYS everything encrypted in the database can be read, without it nothing can.
SECRET_KEY={secret_key}
ENCRYPTION_KEYS={encryption_keys}
# A demo on this machine: plain http, mails go to files, simulated data allowed. Remove the line for anything else.
DEMO=true
"""


def write_dotenv(path: Path) -> bool:
    """Create `path`, readable by its owner only, unless it exists. True when it was written."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    text = TEMPLATE.format(secret_key=secrets.token_urlsafe(50), encryption_keys=f"k1:{key}")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return True


if __name__ == "__main__":
    if write_dotenv(BASE_DIR / ".env"):
        sys.stdout.write("Wrote .env with fresh secrets.\n")
