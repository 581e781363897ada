"""Webhooks: they send what happens to the requests of a deployment or a pipeline to a URL."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select

from ubiops.emulator.audit import changes
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.execution.post import parse_target
from ubiops.emulator.execution.webhooks import EVENTS, Receiver, message
from ubiops.emulator.handlers.find import (
    find_deployment,
    find_pipeline,
    find_pipeline_version_of,
    find_project,
    find_version_of,
)
from ubiops.emulator.handlers.resource import find, free_name, record
from ubiops.emulator.handlers.rules import check_description, check_labels, check_name, has_label, parse_labels
from ubiops.emulator.ids import new_id
from ubiops.emulator.tables import Deployment, Pipeline, PipelineVersion, Project, Version, Webhook, WebhookTest

_DEFAULT_TIMEOUT, _LONGEST_TIMEOUT = 10, 30
_MOST_HEADERS = 50
# Users can't set the headers that frame a message.
_OUR_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer"}
_MADE_UP = {"started": "processing", "completed": "completed", "failed": "failed", "finished": "completed"}


def webhooks_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    target, version = _find_watched(context, project, data)
    hook = Webhook(
        project=project,
        name=_name(context, project, data["name"]),
        **_place(target, version),
        event=_check_event(data["event"], data["object_type"]),
        url=_check_url(data["url"]),
        headers=_check_headers(data.get("headers") or [], []),
        timeout=_check_timeout(data.get("timeout", _DEFAULT_TIMEOUT)),
        enabled=data.get("enabled", True),
        retry=data.get("retry", False),
        include_result=data.get("include_result", False),
        description=check_description(data),
        labels=check_labels(data),
        creation_date=now(),
    )
    context.session.add(hook)
    context.session.flush()
    record(context, hook, "create", f"Created webhook {hook.name}")
    context.engine.webhooks.forget()
    return _view(hook)


def webhooks_list(
    context: Context, project_name: str, labels: str | None, object_type: str | None, event: str | None
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    pairs = parse_labels(labels)
    query = select(Webhook).filter_by(project_id=project.id).order_by(Webhook.number)
    if object_type is not None:
        _check_type(object_type)
        query = query.where(
            (Webhook.deployment_id if object_type == "deployment" else Webhook.pipeline_id).is_not(None)
        )
    if event is not None:
        query = query.where(Webhook.event == event)
    return [_view(hook) for hook in context.session.scalars(query) if has_label(hook.labels, pairs)]


def webhooks_get(context: Context, project_name: str, webhook_name: str) -> dict[str, Any]:
    return _view(_find(context, project_name, webhook_name))


def webhooks_update(context: Context, project_name: str, webhook_name: str, data: dict[str, Any]) -> dict[str, Any]:
    hook = _find(context, project_name, webhook_name)
    before = _audited(hook)
    if data.get("name", hook.name) != hook.name:
        hook.name = _name(context, hook.project, data["name"])
    if "event" in data:
        hook.event = _check_event(data["event"], _kind(hook))
    if "url" in data:
        hook.url = _check_url(data["url"])
    if "headers" in data:
        hook.headers = _check_headers(data["headers"] or [], hook.headers)
    if "timeout" in data:
        hook.timeout = _check_timeout(data["timeout"])
    if "description" in data:
        hook.description = check_description(data)
    if "labels" in data:
        hook.labels = check_labels(data)
    for name in ("enabled", "retry", "include_result"):
        setattr(hook, name, data.get(name, getattr(hook, name)))
    hook.last_updated = now()
    record(context, hook, "update", f"Updated webhook {webhook_name}{changes(before, _audited(hook))}")
    context.engine.webhooks.forget()
    return _view(hook)


def webhooks_delete(context: Context, project_name: str, webhook_name: str) -> None:
    hook = _find(context, project_name, webhook_name)
    record(context, hook, "delete", f"Deleted webhook {hook.name}")
    context.session.delete(hook)
    context.engine.webhooks.forget()


def webhook_tests_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    target, version = _find_watched(context, project, data)
    event = _check_event(data["event"], data["object_type"])
    receiver = Receiver(
        url=_check_url(data["url"]),
        headers=_check_headers(data.get("headers") or [], []),
        timeout=_check_timeout(data.get("timeout", _DEFAULT_TIMEOUT)),
        retry=data.get("retry", False),
    )
    version = version or target.default_version
    if version is None:
        raise not_found(f"The {data['object_type']} '{target.name}' has no default version; create a version")
    result = {} if target.output_type == "structured" else ""
    body = message(
        version, new_id(), event, _MADE_UP[event.rpartition("_")[2]], result if data.get("include_result") else None
    )
    test = WebhookTest(project=project)
    context.session.add(test)
    context.session.flush()
    context.engine.webhooks.test(test.id, receiver, body)
    return _test_view(test)


def webhook_tests_get(context: Context, project_name: str, test_id: str) -> dict[str, Any]:
    project = find_project(context, project_name)
    what, where = f"The webhook test '{test_id}'", f" in the project '{project_name}'"
    return _test_view(find(context, WebhookTest, what, where, project_id=project.id, id=test_id))


def _test_view(test: WebhookTest) -> dict[str, Any]:
    return {"id": test.id, "status": test.status, "error_message": test.error_message}


# What it watches


def _find_watched(
    context: Context, project: Project, data: dict[str, Any]
) -> tuple[Deployment, Version | None] | tuple[Pipeline, PipelineVersion | None]:
    _check_type(data["object_type"])
    name, version = data["object_name"], data.get("version")
    if data["object_type"] == "deployment":
        deployment = find_deployment(context, project.name, name)
        return deployment, find_version_of(context, deployment, version) if version else None
    pipeline = find_pipeline(context, project.name, name)
    return pipeline, find_pipeline_version_of(context, pipeline, version) if version else None


def _place(target: Deployment | Pipeline, version: Version | PipelineVersion | None) -> dict[str, Any]:
    if isinstance(target, Deployment):
        return {"deployment": target, "version": version}
    return {"pipeline": target, "pipeline_version": version}


def _kind(hook: Webhook) -> str:
    return "deployment" if hook.deployment_id is not None else "pipeline"


# Checks


def _check_type(object_type: str) -> None:
    if object_type not in EVENTS:
        raise invalid(f"object_type: it must be deployment or pipeline, not '{object_type}'")


def _check_event(event: str, kind: str) -> str:
    if event not in EVENTS[kind]:
        raise invalid(f"event: it must be one of {', '.join(EVENTS[kind])}, not '{event}'")
    return event


def _check_url(url: str) -> str:
    try:
        parse_target(url)
    except ValueError as error:
        raise invalid(f"url: {error}") from None
    return url


def _check_timeout(timeout: int) -> int:
    if not 1 <= timeout <= _LONGEST_TIMEOUT:
        raise invalid(f"timeout: it must be from 1 to {_LONGEST_TIMEOUT} seconds, not {timeout}")
    return timeout


def _check_headers(headers: list[dict[str, Any]], present: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The headers in a body; a protected header without a value keeps its present value."""
    if len(headers) > _MOST_HEADERS:
        raise invalid(f"headers: it must have at most {_MOST_HEADERS} headers, not {len(headers)}")
    kept = {header["key"].lower(): header["value"] for header in present if header["protected"]}
    checked: dict[str, dict[str, Any]] = {}
    for header in headers:
        key, protected = header["key"], header["protected"]
        value = header.get("value")
        if value is None and protected:
            value = kept.get(key.lower())
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", key) or key.lower() in _OUR_HEADERS:
            raise invalid(f"headers: '{key[:64]}' is not the name of a header that can be set")
        if value is None or not re.fullmatch(r"[\t\x20-\x7e]*", value) or value != value.strip():
            # The value itself may be a secret.
            raise invalid(f"headers: {key} needs a value of printable ASCII, without spaces around it")
        if key.lower() in checked:
            raise invalid(f"headers: {key} occurs more than once")
        checked[key.lower()] = {"key": key, "value": value, "protected": protected}
    return list(checked.values())


def _name(context: Context, project: Project, name: str) -> str:
    where = f" in the project '{project.name}'"
    return check_name(free_name(context, Webhook, "webhook", name, where, project_id=project.id), "webhook")


# Views


def _find(context: Context, project_name: str, name: str) -> Webhook:
    project, where = find_project(context, project_name), f" in the project '{project_name}'"
    return find(context, Webhook, f"The webhook '{name}'", where, project_id=project.id, name=name)


def _audited(hook: Webhook) -> dict[str, Any]:
    # URLs often contain a token, and headers do so even more often.
    return {name: getattr(hook, name) for name in ("name", "event", "enabled", "timeout", "retry", "include_result")}


def _view(hook: Webhook) -> dict[str, Any]:
    watched, version = hook.deployment or hook.pipeline, hook.version or hook.pipeline_version
    assert watched is not None
    view = {
        "id": hook.id,
        "name": hook.name,
        "object_type": _kind(hook),
        "object_name": watched.name,
        "url": hook.url,
        "headers": [{**header, "value": None} if header["protected"] else header for header in hook.headers],
        "event": hook.event,
        "creation_date": hook.creation_date,
        "last_updated": hook.last_updated,
        "description": hook.description,
        "labels": hook.labels,
        "timeout": hook.timeout,
        "enabled": hook.enabled,
        "retry": hook.retry,
        "include_result": hook.include_result,
    }
    return {**view, "version": version.name} if version is not None else view
