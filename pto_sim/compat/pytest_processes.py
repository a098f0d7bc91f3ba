"""How the processes that pytest starts (`pytest -n 4`) learn to serve pypto's names: the environment names a plugin."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from pto_sim.program.options import RunOptions

OPTIONS_VARIABLE = "PTO_SIM_RUN_OPTIONS"
PLUGINS_VARIABLE = "PYTEST_PLUGINS"
_PLUGIN = "pto_sim.compat.pytest_plugin"


@contextmanager
def environment(options: RunOptions) -> Iterator[None]:
    """Have every pytest process that starts in a `with` block load the plugin and run kernels with `options`."""
    before = {name: os.environ.get(name) for name in (OPTIONS_VARIABLE, PLUGINS_VARIABLE)}
    plugins = [name for name in (before[PLUGINS_VARIABLE], _PLUGIN) if name]
    os.environ.update({OPTIONS_VARIABLE: _as_text(options), PLUGINS_VARIABLE: ",".join(plugins)})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def options_of_environment() -> RunOptions:
    """The options that `environment` has left, the default ones without it."""
    values: dict[str, Any] = json.loads(os.environ.get(OPTIONS_VARIABLE, "{}"))
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return RunOptions(**values)


def _as_text(options: RunOptions) -> str:
    """The options that decide what a kernel run gives, as JSON; where files go is for one process only."""
    kept = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in ("out_dir", "json_path")}
    kept["chip"] = str(Path(options.chip).resolve()) if Path(options.chip).is_file() else options.chip
    return json.dumps({**kept, "timing": False})
