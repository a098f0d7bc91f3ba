"""Element types that the language names and a2a3 does not hold."""

from __future__ import annotations

from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError
from pto_sim.program.model import Site


def unsupported_element(dtype: DataType, site: Site | None, what: str) -> KernelError:
    """PTO248, for a tensor, tile or cast of a type without storage on a2a3. what: the operator or argument.

    pypto: src/codegen/pto/pto_codegen.cpp, GetTypeString: a2a3 converts FP16 to INT4 and back, and can neither load nor
    store 4-bit elements, so the compiler refuses them; FP8 and FP4 belong to A5.
    """
    reason = "it cannot load or store 4-bit elements" if dtype.name.endswith("4") else "they belong to A5"
    return KernelError(
        "PTO248", f"a2a3 has no buffers of {dtype.name}: {reason}", site=site, values=f"{what}, dtype {dtype!r}",
        hint="use pl.INT8, pl.FP16 or a wider type",
    )  # fmt: skip
