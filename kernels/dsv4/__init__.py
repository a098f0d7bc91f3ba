"""DeepSeek-V4 kernels in the `pl` tile language, with NumPy references and seeded inputs.

Every kernel is a script that runs from its own folder (`python decode_sparse_attn.py`), so its modules import one
another by plain names. Importing them as `kernels.dsv4.<name>` works too: this package puts its folder on `sys.path`.
"""

import sys
from pathlib import Path

_FOLDER = str(Path(__file__).resolve().parent)
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)
