"""`pl` of the stand-in: enough for a kernel file to be executed, and a @jit that computes with torch tensors.

A kernel's result is what RESULTS holds for its name: the stand-in compiles nothing.
"""

import inspect

from pypto import recorded

FP32, BF16 = "FP32", "BF16"


class Tensor:
    def __class_getitem__(cls, item):
        return cls


class Out(Tensor):
    pass


class JITFunction:
    """Signatures as pypto: python/pypto/jit/decorator.py."""

    def __init__(self, function, auto_scope):
        self.function, self.auto_scope, self.__name__ = function, auto_scope, function.__name__
        self.source = inspect.getsource(function)  # as upstream: it never runs the body

    def __call__(self, *args, **kwargs):
        config = kwargs.pop("config", None)
        assert not kwargs
        recorded.CALLS.append(("call", self.__name__, args, config, self.source))
        recorded.RESULTS[self.__name__](*args)

    def compile(self, *args, **kwargs):
        config = kwargs.pop("config", None)
        recorded.CALLS.append(("compile", self.__name__, args, config, self.source))
        return f"compiled {self.__name__}"


class _JIT:
    def __call__(self, function=None, *, auto_scope=True):
        if function is None:
            return lambda inner: JITFunction(inner, auto_scope)
        return JITFunction(function, auto_scope)

    def inline(self, function=None, *, auto_scope=True):
        return self(function, auto_scope=auto_scope)


jit = _JIT()
