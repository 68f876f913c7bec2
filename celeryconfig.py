"""Celery's configuration: early acks, no results, JSON, one queue a lane. The reasons are in docs/decisions.md."""

from __future__ import annotations

from kombu import Queue

from app.domain.lane import LANES, Priority
from app.settings import settings
from infrastructure.kombu_json import CONTENT_NAME, register

register()

_settings = settings()

broker_url = _settings.broker_url
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # the default gives up after 100 and the worker exits
broker_transport_options = {
    "queue_order_strategy": "infrastructure.lane_cycle:LaneCycle",  # the order of a worker's -Q, channels in turn
    "priority_steps": [0],  # one Redis list a queue
    "socket_timeout": _settings.store_timeout_s,  # the default lets a publish hang for ever on a dead connection
    "socket_connect_timeout": _settings.store_timeout_s,
    "socket_keepalive": True,
    "health_check_interval": 5,
    "max_retries": 0,  # kombu would hold each publish for 6 s while the broker is away; the dispatcher comes again
}

imports = ("tasks.pipeline",)

# The three priorities stand for all their lanes in -Q; tasks.celery expands them. Exchange "" needs no binding that a
# flushed Redis could lose.
task_queues = [Queue(name, exchange="", routing_key=name) for name in [*Priority, *(lane.queue for lane in LANES)]]
task_create_missing_queues = False
task_default_queue = Priority.LOW
task_default_exchange = ""
task_ignore_result = True
task_serializer = CONTENT_NAME
accept_content = [CONTENT_NAME, "json"]
result_backend = None

worker_prefetch_multiplier = 1
worker_disable_prefetch = True  # a batch waits on its queue for a free child, not behind a hanging one
worker_send_task_events = True
worker_hijack_root_logger = False
worker_cancel_long_running_tasks_on_connection_loss = False
worker_proc_alive_timeout = 20.0
task_send_sent_event = False
task_acks_late = False  # Kafka is the ledger: only the dispatcher sends again
