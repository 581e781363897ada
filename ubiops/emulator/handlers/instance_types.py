"""Instance types, which are the same for every project."""

from __future__ import annotations

import uuid
from typing import Any

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_project

_MILLICPU_PER_GIB = 250
_GPU_MEMORY = 16384


def _instance_type(memory: int, gpu: str | None = None) -> dict[str, Any]:
    name = f"{memory}mb" + (f"_{gpu}" if gpu else "")
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "name": name,
        "display_name": f"{memory} MB" + (f" + NVIDIA {gpu.upper()}" if gpu else ""),
        "memory_allocation": memory,
        "cpu_allocation": memory * _MILLICPU_PER_GIB // 1024,
        "gpu_allocation": 1 if gpu else 0,
        "gpu_memory_allocation": _GPU_MEMORY if gpu else 0,
        "gpu_allocation_type": "nvidia.com/gpu" if gpu else None,
    }


INSTANCE_TYPES = {
    instance_type["name"]: instance_type
    for instance_type in (
        *(_instance_type(memory) for memory in (256, 512, 1024, 2048, 4096, 8192, 16384)),
        _instance_type(16384, "t4"),
    )
}


def instance_types_list(context: Context, project_name: str) -> list[dict[str, Any]]:
    find_project(context, project_name)
    return list(INSTANCE_TYPES.values())


def choose_instance_type(data: dict[str, Any]) -> str | None:
    """The name of the type that a body asks for, by name or, as of old, by its memory; None where it doesn't."""
    name: str | None = data.get("instance_type")
    if name is None and "memory_allocation" in data:
        name = f"{data['memory_allocation']}mb"
    if name is not None and name not in INSTANCE_TYPES:
        raise invalid(f"instance_type: there is no '{name}'; choose one of {', '.join(INSTANCE_TYPES)}")
    return name
