"""Puts our backend where karton-core looks for its own."""
from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any, Dict, Optional, Sequence

BACKEND = "karton.core.backend"
ASYNC_BACKEND = "karton.core.asyncio.backend"
KARTON_TESTED = ("5", "9")


def _replace(original: Any, ours: Any, name: str) -> None:
    """In every module of karton-core that has the name by now."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("karton.") and getattr(module, name, None) is original:
            setattr(module, name, ours)


def _replace_async() -> None:
    from ._async_backend import KartonAsyncBackend

    _replace(sys.modules[ASYNC_BACKEND].KartonAsyncBackend, KartonAsyncBackend, "KartonAsyncBackend")


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads the module as it is, then replaces the class in it: before anybody can take it from there."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _replace_async()


class _Finder(importlib.abc.MetaPathFinder):
    """karton.core.asyncio costs half a second: its backend is replaced only when a service imports it."""

    def find_spec(self, fullname: str, path: Optional[Sequence[str]],
                  target: Optional[ModuleType] = None) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname != ASYNC_BACKEND:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def _relax_config(config: Any) -> None:
    """With [zkarton] in it, karton.ini needs no [redis] and no [s3]."""
    check = config.__init__

    def __init__(self: Any, path: Optional[str] = None, check_sections: Optional[bool] = True) -> None:
        try:
            check(self, path, check_sections)
        except RuntimeError:
            check(self, path, False)
            if not self.has_section("zkarton"):
                raise

    __init__.__doc__ = check.__doc__
    config.__init__ = __init__


_state: Dict[str, bool] = {}


def install() -> None:
    """Makes karton-core's classes speak to zkarton in this process. Before the service is imported, or its modules keep
    what they took from ``karton.core``."""
    if _state:
        return
    try:
        backend = importlib.import_module(BACKEND)
        version = importlib.import_module("karton.core.__version__").__version__
    except ImportError as error:
        raise ImportError("karton-core is not installed: pip install 'zkarton[karton]', in the environment of the "
                          f"service ({error})") from error
    if tuple(version.split(".")[:2]) != KARTON_TESTED:
        from ._sessions import log

        log.warning("karton-core %s: tested with %s", version, ".".join(KARTON_TESTED) + ".x")
    from ._backend import KartonBackend

    _state["installed"] = True
    for name in ("karton", "main", "inspect", "logger", "test"):
        importlib.import_module(f"karton.core.{name}")
    _replace(backend.KartonBackend, KartonBackend, "KartonBackend")
    _relax_config(importlib.import_module("karton.core.config").Config)
    if ASYNC_BACKEND in sys.modules:
        _replace_async()
    else:
        sys.meta_path.insert(0, _Finder())
