"""Buckets of files, here or (as far as the caller can tell) at another provider."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.resource import free_name, record
from ubiops.emulator.handlers.rules import check_description, check_labels, check_name, has_label, parse_labels
from ubiops.emulator.storage.queries import LAST, files_of, find_bucket
from ubiops.emulator.tables import Bucket

_WEEK = 604800
_LONGEST_TTL = 100 * 365 * 86400

_CREDENTIALS = {
    "amazon_s3": ("access_key", "secret_key"),
    "azure_blob_storage": ("connection_string",),
    "google_cloud_storage": ("json_key_file",),
}
_CONFIGURATION = {
    "amazon_s3": ("region", "bucket"),
    "azure_blob_storage": ("container",),
    "google_cloud_storage": ("bucket",),
}


def buckets_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    name, provider = check_name(data["name"], "bucket"), data.get("provider", "ubiops")
    free_name(context, Bucket, "bucket", name, f" in the project '{project_name}'", project_id=project.id)
    bucket = Bucket(
        project=project,
        name=name,
        provider=provider,
        credentials=_check_credentials(provider, data.get("credentials")),
        configuration=_check_configuration(provider, data.get("configuration")),
        ttl=_check_ttl(data.get("ttl")),
        description=check_description(data),
        labels=check_labels(data),
        creation_date=now(),
    )
    context.session.add(bucket)
    context.session.flush()
    record(context, bucket, "create", f"Created bucket '{name}'")
    # The only answer with the credentials: the creator of the bucket knows them.
    return {**_summary(bucket), "credentials": bucket.credentials}


def buckets_list(context: Context, project_name: str, labels: str | None) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    pairs = parse_labels(labels)
    query = select(Bucket).where(Bucket.project_id == project.id).order_by(Bucket.creation_date, Bucket.name)
    return [_summary(bucket) for bucket in context.session.scalars(query) if has_label(bucket.labels, pairs)]


def buckets_get(context: Context, project_name: str, bucket_name: str) -> dict[str, Any]:
    project = find_project(context, project_name)
    return _detail(context, find_bucket(context.session, project.id, bucket_name))


def buckets_update(context: Context, project_name: str, bucket_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    bucket = find_bucket(context.session, project.id, bucket_name)
    if "credentials" in data:
        bucket.credentials = _check_credentials(bucket.provider, data["credentials"])
    if "configuration" in data:
        bucket.configuration = _check_configuration(bucket.provider, data["configuration"])
    if "ttl" in data:
        bucket.ttl = _check_ttl(data["ttl"])
    if "description" in data:
        bucket.description = check_description(data)
    if "labels" in data:
        bucket.labels = check_labels(data)
    bucket.last_updated = now()
    record(context, bucket, "update", f"Updated bucket '{bucket_name}'")
    return _detail(context, bucket)


def buckets_delete(context: Context, project_name: str, bucket_name: str) -> None:
    project = find_project(context, project_name)
    bucket = find_bucket(context.session, project.id, bucket_name)
    record(context, bucket, "delete", f"Deleted bucket '{bucket_name}'")
    context.engine.storage.forget_bucket(context.session, bucket)
    context.session.delete(bucket)


def _check_credentials(provider: str, credentials: dict[str, str] | None) -> dict[str, str]:
    return _check_given("credentials", provider, credentials or {}, _CREDENTIALS)


def _check_configuration(provider: str, configuration: dict[str, Any] | None) -> dict[str, str]:
    checked = _check_given("configuration", provider, configuration or {}, _CONFIGURATION)
    if LAST in checked.get("prefix", ""):
        raise invalid("configuration.prefix: it contains U+10FFFF, which is not a character")
    if checked.get("prefix"):
        checked["prefix"] = checked["prefix"].rstrip("/") + "/"
    return checked


def _check_given(
    what: str, provider: str, given: dict[str, Any], required: dict[str, tuple[str, ...]]
) -> dict[str, str]:
    """Check the settings of another provider; buckets of UbiOps itself have none."""
    names = required.get(provider, ())
    if given and not names:
        raise invalid(f"{what}: buckets of the provider {provider} have no such setting")
    wrong = [name for name, value in given.items() if not isinstance(value, str)]
    if wrong:
        raise invalid(f"{what}.{wrong[0]}: it must be a string")
    missing = [name for name in names if not given.get(name)]
    if missing:
        raise invalid(f"{what}: a bucket of the provider {provider} needs {', '.join(missing)}")
    return dict(given)


def _check_ttl(ttl: int | None) -> int | None:
    if ttl is None:
        return None
    if ttl <= 0 or ttl % _WEEK or ttl > _LONGEST_TTL:
        raise invalid(f"ttl: it must be a multiple of {_WEEK} seconds (1 week) and up to {_LONGEST_TTL}, not {ttl}")
    return int(ttl)


def _summary(bucket: Bucket) -> dict[str, Any]:
    return {
        "id": bucket.id,
        "name": bucket.name,
        "project": bucket.project.name,
        "provider": bucket.provider,
        "configuration": bucket.configuration,
        "creation_date": bucket.creation_date,
        "last_updated": bucket.last_updated,
        "description": bucket.description,
        "labels": bucket.labels,
        "ttl": bucket.ttl,
    }


def _detail(context: Context, bucket: Bucket) -> dict[str, Any]:
    files = files_of(bucket).subquery()
    size = context.session.scalar(select(func.coalesce(func.sum(files.c.size), 0)))
    # Measured at each call; the service does so once in a while.
    return {**_summary(bucket), "size": str(size), "size_measurement_date": now()}
