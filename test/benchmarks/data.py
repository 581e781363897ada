"""What the server answers, and what the client sends."""

from __future__ import annotations

import uuid
from typing import Any

CREDENTIALS = {"Authorization": "Token benchmark"}
DEPLOYMENT_PATH = "/projects/project/deployments/deployment"
REQUESTS_PATH = f"{DEPLOYMENT_PATH}/requests"
BLOB_PATH = "/projects/project/blobs/blob"
BLOBS_PATH = "/projects/project/blobs"
FILES_PATH = "/projects/project/buckets/default/files"
STORAGE_PATH = "/storage/file"
REVISIONS_PATH = f"{DEPLOYMENT_PATH}/versions/v1/revisions"

DEPLOYMENT = {
    "id": "7b0dd2a1-6d3f-4f0e-9a43-2f2f5f3f9f10",
    "name": "deployment",
    "project": "project",
    "description": "Predicts the demand of the next week",
    "input_type": "structured",
    "output_type": "structured",
    "input_fields": [
        {"name": "day", "data_type": "string", "widget": None},
        {"name": "temperature", "data_type": "double", "widget": None},
    ],
    "output_fields": [{"name": "demand", "data_type": "double", "widget": None}],
    "labels": {"team": "planning"},
    "creation_date": "2023-05-14T08:21:45.120+00:00",
    "last_updated": "2023-06-02T16:04:09.874+00:00",
    "default_version": "v1",
}


def request_records(number: int) -> list[dict[str, Any]]:
    """Items of a list of deployment requests, all different."""
    return [
        {
            "id": str(uuid.UUID(int=index)),
            "deployment": "deployment",
            "version": "v1",
            "status": "completed",
            "success": True,
            "time_created": f"2023-06-{index % 28 + 1:02}T08:{index % 60:02}:45.{index % 1000:03}+00:00",
            "time_started": f"2023-06-{index % 28 + 1:02}T09:{index % 60:02}:46.{index % 1000:03}+00:00",
            "time_completed": f"2023-06-{index % 28 + 1:02}T10:{index % 60:02}:47.{index % 1000:03}+00:00",
        }
        for index in range(number)
    ]


def pipeline_version(index: int) -> dict[str, Any]:
    """The body that creates a pipeline version of two objects, one of them fed by the pipeline and by the other."""
    return {
        "version": f"v{index}",
        "description": "Cleans the table and predicts",
        "labels": {"team": "planning"},
        "request_retention_time": 604800,
        "request_retention_mode": "full",
        "objects": [
            {"name": "clean", "reference_type": "deployment", "reference_name": "cleaner", "version": "v1"},
            {
                "name": "wait",
                "reference_type": "operator",
                "reference_name": "function",
                "configuration": {"expression": "day"},
            },
        ],
        "attachments": [
            {
                "destination_name": "clean",
                "sources": [
                    {
                        "source_name": "pipeline_start",
                        "mapping": [
                            {"source_field_name": "day", "destination_field_name": "day"},
                            {"source_field_name": "temperature", "destination_field_name": "temperature"},
                        ],
                    }
                ],
            },
            {
                "destination_name": "wait",
                "sources": [
                    {
                        "source_name": "clean",
                        "mapping": [{"source_field_name": "table", "destination_field_name": "table"}],
                    }
                ],
            },
        ],
    }


DEPLOYMENT_VERSION: dict[str, Any] = {
    "version": "v1",
    "language": "python3.9",
    "memory_allocation": 1024,
    "instance_type": "1024mb",
    "maximum_instances": 5,
    "minimum_instances": 0,
    "maximum_idle_time": 300,
    "description": "The first version",
    "labels": {"team": "planning"},
    "monitoring": "group-1",
    "request_retention_time": 604800,
    "request_retention_mode": "full",
    "default_notification_group": "group-2",
    "maximum_queue_size_express": 100,
    "maximum_queue_size_batch": 100000,
    "static_ip": False,
}
