"""What the HTTP server runs in each of its worker processes."""

from __future__ import annotations

import functools
import multiprocessing

import flask

from app.http import ending
from app.http.app import create_app
from app.http.auth import check_auth
from app.http.metrics import EXTENSION
from app.http.services import Services
from app.settings import Settings, settings
from infrastructure import wiring
from infrastructure.embedded.lifeline import die_with_parent
from infrastructure.telemetry.exposition import Exposition, shared_metrics
from infrastructure.telemetry.metrics_server import serve_metrics


def create() -> flask.Flask:
    """The application over the process's settings. Raises ConfigError."""
    server = multiprocessing.parent_process()
    if server is not None and server.pid is not None:
        # Else a worker whose server was killed would go on holding the port.
        die_with_parent(server.pid)
    current = settings()
    check_auth(current)
    app = create_app(make_services(current))
    ending.install(app)
    # Several processes share the service's port, and each answers for itself there: here each can be asked.
    serve_metrics(current, "api", app.extensions[EXTENSION].registry)
    return app


def make_services(current: Settings) -> Services:
    """The adapters that the settings name."""
    outcomes = wiring.outcome_publisher(current)
    return Services(
        settings=current,
        secret=wiring.secret(current),
        catalogue=wiring.catalogue(current),
        log=wiring.event_log(current),
        idempotency=wiring.idempotency(current),
        users=wiring.users(current),
        preferences=wiring.preferences(current),
        devices=wiring.devices(current),
        inbox=wiring.inbox(current),
        history=wiring.history(current),
        api_keys=wiring.api_keys(current),
        request_limits=wiring.request_limits(current),
        statistics=wiring.statistics(current),
        cancels=wiring.cancels(current),
        parked=wiring.parked(current),
        outcomes=outcomes,
        further_metrics=Exposition(shared_metrics()),
        explainer=functools.cache(lambda: wiring.explainer(current)),
        tracer=wiring.tracer(current, "api"),
        forget=wiring.forget_user(current),
        receipt_readers=wiring.receipt_readers(current),
        take_report=wiring.take_report(current, outcomes),
    )
