"""Dataclasses and named tuples to JSON values and back, driven by their type annotations.

An array is not part of the JSON: it is encoded as null and decoded as an empty array, to be filled from elsewhere.
Decoding checks every type and every key, so a damaged or hostile file is refused with the place of the
fault and never becomes a half-right object.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from functools import lru_cache
from typing import Any

import numpy as np

_PLAIN = (bool, int, float, str, type(None))
_MAX_DEPTH = 16


class DecodeError(ValueError):
    """A JSON value does not have the form that the type asks for. The text says where."""


def encode(value: object) -> Any:
    """The JSON value of a plain value, tuple, list, dict with text keys, named tuple or dataclass of these.

    Non-finite floats become {"float": "nan" | "inf" | "-inf"}: JSON has no word for them.
    """
    if isinstance(value, np.generic):
        return encode(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray):
        return None
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(name): encode(item) for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"a recorded program cannot hold a {type(value).__name__}: {value!r}")


def decode(kind: Any, value: Any, where: str = "value") -> Any:
    """An object of type `kind` from a JSON value. Raises DecodeError, which names the faulty place."""
    origin = typing.get_origin(kind)
    if kind is object:
        return _decode_plain(value, where, 0)
    if kind is np.ndarray:
        return np.zeros(_decode_scalar(type(None), value, where) or 0, np.int32)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(kind, value, where)
    if origin is tuple:
        return _decode_tuple(typing.get_args(kind), value, where)
    if origin is list:
        (item,) = typing.get_args(kind)
        return [decode(item, v, f"{where}[{i}]") for i, v in enumerate(_as_list(value, where))]
    if origin is dict:
        return _decode_dict(typing.get_args(kind)[1], value, where)
    if isinstance(kind, type) and issubclass(kind, tuple):
        return kind(*_decode_tuple(tuple(_hints(kind).values()), value, where))
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    return _decode_scalar(kind, value, where)


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _as_list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DecodeError(f"{where}: expected a list, found {type(value).__name__}")
    return value


def _decode_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, dict):
        return _decode_float(value, where)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise DecodeError(f"{where}: expected {getattr(kind, '__name__', kind)}, found {type(value).__name__}")
    return value


def _decode_float(value: dict[str, Any], where: str) -> float:
    text = value.get("float")
    if len(value) != 1 or text not in ("nan", "inf", "-inf"):
        raise DecodeError(f"{where}: expected a number")
    return float(text)


def _decode_plain(value: Any, where: str, depth: int) -> object:
    if depth > _MAX_DEPTH:
        raise DecodeError(f"{where}: nested too deeply")
    if isinstance(value, list):
        return tuple(_decode_plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value))
    if isinstance(value, dict) and value.keys() == {"float"}:
        return _decode_float(value, where)
    if isinstance(value, dict):
        return {name: _decode_plain(item, f"{where}.{name}", depth + 1) for name, item in value.items()}
    return value


def _decode_dict(item: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(f"{where}: expected an object, found {type(value).__name__}")
    return {name: decode(item, v, f"{where}.{name}") for name, v in value.items()}


def _decode_union(kind: Any, value: Any, where: str) -> Any:
    options = typing.get_args(kind)
    if value is None and type(None) in options:
        return None
    others = [option for option in options if option is not type(None)]
    if len(others) != 1:
        raise DecodeError(f"{where}: unsupported union {kind}")
    return decode(others[0], value, where)


def _decode_tuple(items: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    values = _as_list(value, where)
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(values)
    if len(items) != len(values):
        raise DecodeError(f"{where}: expected {len(items)} entries, found {len(values)}")
    return tuple(decode(kind, v, f"{where}[{i}]") for i, (kind, v) in enumerate(zip(items, values, strict=True)))


def _decode_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise DecodeError(f"{where}: expected an object, found {type(value).__name__}")
    hints = _hints(kind)
    if value.keys() != hints.keys():
        unlike = sorted(value.keys() ^ hints.keys())
        raise DecodeError(f"{where}: missing or unknown keys {', '.join(unlike)}")
    return kind(**{name: decode(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})
