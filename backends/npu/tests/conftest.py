"""The package under test, also where it is not installed: the tests run in a checkout of pto-sim."""

import sys
from pathlib import Path

PACKAGE_ROOT = str(Path(__file__).resolve().parents[1])
if PACKAGE_ROOT not in sys.path:
    sys.path.append(PACKAGE_ROOT)
