"""The HTTP application: all resources, and problems for whatever goes wrong."""

from __future__ import annotations

import dataclasses

import flask

from app.http import (
    access,
    allow,
    cancellations,
    devices,
    docs,
    explain,
    health,
    inbox,
    metrics,
    notifications,
    path_rules,
    preferences,
    problems,
    receipts,
    statistics,
    tracing,
    unsubscribe,
    user_notifications,
    users,
)
from app.http.measured_log import MeasuredLog
from app.http.openapi import resource as openapi
from app.http.services import Services
from app.http.tracing import TracedLog

RESOURCES = (
    notifications,
    cancellations,
    explain,
    users,
    preferences,
    devices,
    user_notifications,
    inbox,
    unsubscribe,
    receipts,
    statistics,
    health,
    openapi,
    docs,
)


def create_app(services: Services) -> flask.Flask:
    """The WSGI application over these services. Connects to nothing, except that API keys are read where needed."""
    app = flask.Flask(__name__, static_folder=None)
    problems.install(app)
    counted = metrics.HttpMetrics()
    counted.install(app)
    access.install(app, services)
    if services.further_metrics is not None:
        counted.registry.register(services.further_metrics)
    allow.install(app)
    path_rules.install(app)
    services = dataclasses.replace(services, log=TracedLog(MeasuredLog(services.log, counted)))
    tracing.install(app, services.tracer)
    for resource in RESOURCES:
        app.register_blueprint(resource.blueprint(services))
    app.register_blueprint(metrics.blueprint(counted))
    return app
