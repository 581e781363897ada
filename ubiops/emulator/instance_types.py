"""The instance types, the same for every project."""

from __future__ import annotations

import uuid
from typing import Any

_MILLICPU_PER_GIB = 250
_GPU_MEMORY = 16384
_GPU_RATE = 10
"""Credits that a GPU costs in an hour; a GiB of memory costs one."""
_STORAGE = 16384
_MADE = "2022-11-01T00:00:00.000+00:00"


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
        "cpu": memory * _MILLICPU_PER_GIB / 1024 / 1000,
        "memory": memory,
        "storage": _STORAGE,
        "accelerator": 1 if gpu else 0,
        "credit_rate": memory / 1024 + (_GPU_RATE if gpu else 0),
        "dedicated_node": False,
        "node_pool": {"cluster": None},
        "time_created": _MADE,
    }


INSTANCE_TYPES = {
    instance_type["name"]: instance_type
    for instance_type in (
        *(_instance_type(memory) for memory in (256, 512, 1024, 2048, 4096, 8192, 16384)),
        *(_instance_type(16384, gpu) for gpu in ("t4", "l4")),
    )
}

_GPU_TITLES = {"t4": "NVIDIA Tesla T4", "l4": "NVIDIA Ada Lovelace L4"}


def title_of(instance_type: dict[str, Any]) -> str:
    """The display name of a type since groups were introduced; the group of a single type has it too."""
    gpu = instance_type["name"].partition("_")[2]
    title = f"{instance_type['memory']} MB + {instance_type['cpu']:g} vCPU"
    return f"{title} + {_GPU_TITLES[gpu]}" if gpu else title
