"""RunConfig of the stand-in. Fields and checks as pypto: python/pypto/runtime/runner.py."""

from dataclasses import dataclass


@dataclass
class RunConfig:
    platform: str = "a2a3sim"
    device_id: int = 0
    rtol: float = 1e-5
    atol: float = 1e-5
    dump_passes: bool = False
    save_kernels: bool = False
    save_kernels_dir: str | None = None
    codegen_only: bool = False
    enable_chip_swimlane: int = 0
    enable_dump_args: int = 0
    enable_pmu: int = 0
    enable_dep_gen: bool = False
    enable_scope_stats: bool = False
    ring_heap: "int | list[int] | None" = None

    def __post_init__(self):
        if self.platform not in ("a2a3sim", "a2a3", "a5sim", "a5"):
            raise ValueError(f"Invalid platform {self.platform!r}.")
        for size in self.ring_heap or ():
            if size and (size < 1024 or size & (size - 1)):
                raise ValueError(f"ring_heap must be a power of two, got {size}")
