"""Names of karton-core that mean nothing here: whoever imports one is told what to use instead."""
from __future__ import annotations

from typing import Any, Callable, Dict

_BACKEND = "the services' own methods, such as send_task and query"
_STATE = 'producer.query("queues"), query("consumers"), query("tasks"), producer.tree(root_uid)'
INSTEAD: Dict[str, Dict[str, str]] = {
    "zkarton.backend": {
        "KartonBackend": _BACKEND, "KartonBackendBase": _BACKEND,
        "KartonBind": 'producer.query("consumers")', "KartonMetrics": 'producer.query("metrics")',
        "KartonServiceInfo": 'producer.query("workers")', "KartonOutputs": "producer.tree(root_uid)"},
    "zkarton.asyncio.backend": {"KartonAsyncBackend": _BACKEND},
    "zkarton.asyncio.base": {"KartonAsyncServiceBase": "zkarton.asyncio.Consumer"},
    "zkarton.base": {"ConfigMixin": "zkarton.base.KartonBase"},
    "zkarton.inspect": {"KartonState": _STATE, "KartonQueue": _STATE, "KartonAnalysis": _STATE,
                        "get_queues_for_tasks": _STATE},
    "zkarton.logger": {"LogLineFormatterMixin": "KartonLogHandler.prepare_log_line"},
    "zkarton.asyncio.logger": {"async_log_consumer": "KartonAsyncLogHandler, which publishes by itself"},
    "zkarton.utils": {"graceful_killer": "service.graceful_killer()"},
    "zkarton.main": {name: "the command zkarton" for name in (
        "main", "CliLogger", "configuration_wizard", "delete_bind", "get_user_option", "print_bind_list")},
}


def getter(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of that module."""
    def get(name: str) -> Any:
        instead = INSTEAD[module].get(name)
        if instead is not None:
            raise ImportError(f"{module} has no {name}: use {instead} (docs/from-karton.md)")
        raise AttributeError(f"module {module} has no attribute {name}")
    return get
