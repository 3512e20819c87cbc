"""
What is slow to make is made once: entries of the cache are named after the content of their recipe.

An entry is built under a temporary name and renamed when it is complete, so an interrupted build leaves nothing that
could be taken for a finished one. Only one process builds at a time.
"""

import ast
import hashlib
import inspect
import json
import os
import shutil
import textwrap
import time
from pathlib import Path

from .tools import LabError, lock, say

CACHE = Path(os.environ.get("PGHA_CACHE", "/var/cache/pgha"))
KEEP_DAYS = 14


def key_of(recipe, *code):
    """
    The first 16 hex digits of a hash over the recipe (anything JSON can hold) and what ``code`` does.

    Args:
        code: functions and classes; how they are laid out, and their comments, make no difference.
    """
    trees = [ast.dump(ast.parse(textwrap.dedent(inspect.getsource(part)))) for part in code]
    return hashlib.sha256(json.dumps([recipe, trees], sort_keys=True).encode()).hexdigest()[:16]


def entry(name, recipe, build, *uses):
    """
    Return the directory of the cache that holds what ``build`` makes of ``recipe``; it is made when it is missing.

    Args:
        name: what it is, the first part of the directory's name.
        recipe: everything that decides the content; JSON data.
        build: called with an empty directory, which it fills. What it does is part of the recipe.
        uses: functions and classes it uses that are part of the recipe, too.

    Raises:
        LabError: when it cannot be built.
    """
    place = CACHE / f"{name}-{key_of(recipe, build, *uses)}"
    if not place.exists():
        with lock(CACHE / "lock", waiting=f"another process builds in {CACHE}; waiting"):
            if not place.exists():
                _remove_stale()
                _build(name, place, build)
    os.utime(place)
    return place


def _build(name, place, build):
    need = 4 * 1024**3
    free = shutil.disk_usage(CACHE).free
    if free < need:
        raise LabError(f"{CACHE} has {free >> 20} MB free, {name} needs {need >> 20}: make room or set PGHA_CACHE")
    say(f"building {name} (once; kept in {place})")
    began = time.monotonic()
    temporary = CACHE / f"{place.name}.part"
    temporary.mkdir(parents=True)
    try:
        build(temporary)
        temporary.rename(place)
    except BaseException:
        if (temporary / "log").exists():
            (temporary / "log").rename(CACHE / f"{name}.log")
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    say(f"built {name} in {time.monotonic() - began:.0f} s")


def _remove_stale():
    """Remove what an interrupted builder left, and what nobody used for KEEP_DAYS; called with the lock held."""
    for path in CACHE.iterdir():
        old = time.time() - path.stat().st_mtime > KEEP_DAYS * 86400
        if path.is_dir() and (path.name.endswith(".part") or old):
            shutil.rmtree(path, ignore_errors=True)
