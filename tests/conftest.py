"""What all tests share: loading a module of the formula the way Salt's loader does."""

import importlib.util
import itertools
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_serial = itertools.count()


class Utils(dict):
    """``__utils__``: what a test gave, and everything else loaded from ``_utils/`` on first use."""

    def __init__(self, given, dunders):
        super().__init__(given)
        self._dunders = dunders
        self._modules = {}

    def __missing__(self, key):
        module, function = key.split(".")
        if module not in self._modules:
            self._modules[module] = load(f"_utils/{module}.py", dict(self._dunders, __utils__=self))
        return getattr(self._modules[module], function)


def load(path, dunders):
    """Import the file ``path`` (relative to the repository) as a fresh module with the loader's names set."""
    spec = importlib.util.spec_from_file_location(f"pgha_under_test_{next(_serial)}", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    for name, value in dunders.items():
        setattr(module, name, value)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def loader_module():
    """A function ``(path, salt={}, utils={}, opts={}, pillar={}, grains={}, context={})``: returns a loaded module."""

    def loader(path, salt=None, utils=None, opts=None, pillar=None, grains=None, context=None, **dunders):
        names = {
            "__salt__": salt if salt is not None else {},
            "__opts__": {"test": False, **(opts or {})},
            "__pillar__": pillar or {},
            "__grains__": grains or {},
            "__context__": context if context is not None else {},
            **{f"__{key}__": value for key, value in dunders.items()},
        }
        names["__utils__"] = Utils(utils or {}, names)
        return load(path, names)

    return loader
