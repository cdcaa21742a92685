"""state.py: prints what karton-core's own inspection says of the system, without what differs from run to run."""
import json

from karton.core import Config
from karton.core.backend import KartonBackend, KartonMetrics
from karton.core.inspect import KartonState


def task_view(task):
    return {"headers": task.headers, "priority": task.priority.value, "status": task.status.value,
            "error": "".join(task.error or []).splitlines()[-1:], "payload": sorted(task.payload),
            "persistent": sorted(task.payload_persistent), "resources": [r.sha256 for r in task.iterate_resources()]}


def main():
    backend = KartonBackend(Config())
    state = KartonState(backend, parse_resources=True)
    queues = {name: {"bind": queue.bind._asdict(), "replicas": queue.online_consumers_count,
                     "pending": [task_view(task) for task in queue.pending_tasks],
                     "crashed": [task_view(task) for task in queue.crashed_tasks]}
              for name, queue in state.queues.items()}
    analyses = [{"done": analysis.is_done, "pending": sorted(analysis.pending_queues),
                 "tasks": [task_view(task) for task in analysis.tasks]} for analysis in state.analyses.values()]
    metrics = {metric.value: backend.get_metrics(metric) for metric in KartonMetrics}
    print(json.dumps({"queues": queues, "analyses": analyses, "metrics": metrics}, sort_keys=True))


if __name__ == "__main__":
    main()
