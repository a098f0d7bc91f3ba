"""Results recorded from upstream's CPU simulator (pto-isa 3186c381): one .npz for each operator.

`<case>/in0..inN` and `<case>/out` are whole tiles in memory; bf16 is raw uint16. The destination held bytes 0x5A
before, so an element that is still 0x5A was not written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.numerics.special_values import BF16

FOLDER = Path(__file__).resolve().parent.parent / "data" / "vectors"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
DTYPES = {
    "f32": "FP32", "f16": "FP16", "bf16": "BF16", "i8": "INT8", "i16": "INT16", "i32": "INT32", "i64": "INT64",
    "u8": "UINT8", "u16": "UINT16", "u32": "UINT32",
}  # fmt: skip
PATTERNS = {"P0101": 1, "P1010": 2, "P0001": 3, "P0010": 4, "P0100": 5, "P1000": 6, "P1111": 7}
_FILL = 0x5A


class Case:
    """One recorded call. meta: dtype, valid shape and parameters; valid: (rows, columns)."""

    def __init__(self, arrays: dict[str, np.ndarray], name: str, meta: dict[str, Any]) -> None:
        self._arrays, self.name, self.meta = arrays, name, meta
        self.dtype = DTYPES[meta["dtype"]]
        self.out_dtype = DTYPES[meta.get("out_dtype", meta["dtype"])]
        self.valid: tuple[int, int] = tuple(meta.get("valid", (0, 0)))  # type: ignore[assignment]

    def raw(self, part: str) -> np.ndarray:
        return self._arrays[f"{self.name}/{part}"]

    def has(self, part: str) -> bool:
        return f"{self.name}/{part}" in self._arrays

    def tile(self, number: int) -> np.ndarray:
        """Operand `number`, whole."""
        array = self.raw(f"in{number}")
        return array.view(BF16) if self.dtype == "BF16" and array.dtype == np.uint16 else array

    def part(self, number: int) -> np.ndarray:
        """Operand `number` inside the valid shape."""
        return self.tile(number)[: self.valid[0], : self.valid[1]]

    @property
    def out(self) -> np.ndarray:
        array = self.raw("out")
        return array.view(BF16) if self.out_dtype == "BF16" and array.dtype == np.uint16 else array

    @property
    def scalar(self) -> Any:
        return float(self.meta["scalar"]) if self.dtype in ("FP32", "FP16", "BF16") else int(self.meta["scalar"])

    def placed(self, part: np.ndarray) -> np.ndarray:
        """`part` in a destination that was filled with 0x5A."""
        whole = np.full(self.out.nbytes, _FILL, np.uint8).view(self.out.dtype).reshape(self.out.shape)
        whole[: part.shape[0], : part.shape[1]] = part
        return whole


def cases(name: str) -> list[Case]:
    """The recorded calls of one operator."""
    with np.load(FOLDER / f"{name}.npz") as archive:
        arrays = {key: archive[key] for key in archive.files if key != "meta"}
        meta = json.loads(str(archive["meta"]))
    return [Case(arrays, case, values) for case, values in meta.items()]
