"""Save and load a recorded Program: `program.pto`, a zip of one JSON document and flat .npy arrays.

No pickle: loading runs no code from the file. Sizes are checked before anything is allocated, every index is
checked after, so a truncated, corrupted or hostile file is refused with an InputError and nothing else.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pto_sim.program.errors import InputError
from pto_sim.program.json_codec import DecodeError, decode, encode
from pto_sim.program.model import FORMAT_VERSION, Program
from pto_sim.program.store_columns import COLUMNS, check_indices, pack, unpack

FORMAT_NAME = "pto-sim program"
MAX_TOTAL_BYTES = 2 << 30
MAX_JSON_BYTES = 256 << 20
_DOCUMENT = "program.json"
_AGAIN = "run the kernel again to record a new program.pto"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
)


def save(program: Program, path: Path) -> None:
    """Write `program` to `path`, replacing a file there only once the new one is complete.

    The same program gives the same bytes. Raises InputError PTO044 if the file cannot be written.
    """
    document = {"format": FORMAT_NAME, "version": FORMAT_VERSION, "program": _document(program)}
    partial = path.with_name(path.name + ".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            _write(archive, _DOCUMENT, json.dumps(document, allow_nan=False, separators=(",", ":")).encode())
            for name, array in pack(program).items():
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, array, allow_pickle=False)
                _write(archive, f"{name}.npy", buffer.getvalue())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(
            "PTO044",
            f"cannot write {path}",
            values=str(error.strerror or error),
            hint="free space or choose another --out directory",
        ) from error


def load(path: Path) -> Program:
    """Read a Program that `save` wrote.

    Raises InputError: PTO040 no such file or not a program file, PTO041 another format version, PTO042 damaged,
    PTO043 larger than this version accepts.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _load(archive, path)
    except OSError as error:
        raise InputError(
            "PTO040",
            f"cannot read {path}",
            values=str(error.strerror or error),
            hint="name a program.pto of a run directory",
        ) from error
    except InputError:
        raise
    except _DAMAGE as error:
        if not zipfile.is_zipfile(path):
            raise InputError(
                "PTO040",
                f"{path} is not a recorded program, or is cut short",
                values=f"{path.stat().st_size} bytes",
                hint=_AGAIN,
            ) from error
        raise InputError(
            "PTO042", f"{path} is damaged", values=str(error) or type(error).__name__, hint=_AGAIN
        ) from error


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, date_time=_ZIP_EPOCH)  # a fixed time: equal programs give equal files
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data)


def _document(program: Program) -> Any:
    """The JSON part of `program`: everything but streams, block lists and accesses, which are columns."""
    tasks = [dataclasses.replace(task, accesses=[]) for task in program.tasks]
    return encode(dataclasses.replace(program, streams=[], tasks=tasks))


def _load(archive: zipfile.ZipFile, path: Path) -> Program:
    _check_sizes(archive, path)
    document = json.loads(archive.read(_DOCUMENT))
    if not isinstance(document, dict) or document.get("format") != FORMAT_NAME:
        raise InputError("PTO040", f"{path} is not a recorded program", hint=_AGAIN)
    if document.get("version") != FORMAT_VERSION:
        raise InputError(
            "PTO041",
            f"{path} has another format version",
            hint=_AGAIN,
            values=f"file: {document.get('version')!r}, this pto-sim reads {FORMAT_VERSION}",
        )
    program: Program = decode(Program, document["program"], "program")
    unpack(program, {name: _read_array(archive, f"{name}.npy") for name in COLUMNS})
    check_indices(program)
    return program


def _check_sizes(archive: zipfile.ZipFile, path: Path) -> None:
    expected = {_DOCUMENT, *(f"{name}.npy" for name in COLUMNS)}
    found = [info.filename for info in archive.infolist()]
    if sorted(found) != sorted(expected):
        unlike = sorted(expected ^ set(found)) or ["a name twice"]
        raise DecodeError(f"missing or unknown members: {', '.join(unlike)}")
    total = sum(info.file_size for info in archive.infolist())
    if total > MAX_TOTAL_BYTES or archive.getinfo(_DOCUMENT).file_size > MAX_JSON_BYTES:
        raise InputError(
            "PTO043",
            f"{path} unpacks to more than this version accepts",
            values=f"{total} bytes; at most {MAX_TOTAL_BYTES} in all, {MAX_JSON_BYTES} of JSON",
            hint="record a smaller run",
        )


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One flat int64 array. The header is held against the real length before memory is taken."""
    buffer = io.BytesIO(archive.read(name))
    if np.lib.format.read_magic(buffer) != (1, 0):
        raise DecodeError(f"{name}: unknown array version")
    shape, _, dtype = np.lib.format.read_array_header_1_0(buffer)
    data = buffer.read()
    if dtype != np.dtype("<i8") or len(shape) != 1 or shape[0] * 8 != len(data):
        raise DecodeError(f"{name}: expected {len(data) // 8} int64 values, header says {dtype} {shape}")
    return np.frombuffer(data, dtype="<i8").astype(np.int64)
