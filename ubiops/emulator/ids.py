"""Ids of new rows."""

from __future__ import annotations

import os
import time
import uuid


def new_id() -> str:
    """A new UUID."""
    return str(uuid.uuid4())


def new_ids(number: int) -> list[str]:
    """New UUIDs that begin with the present millisecond (version 7), so that they are adjacent in an index."""
    head, noise = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10 * number).hex()
    start = f"{head[:8]}-{head[8:]}-7"
    parts = (noise[index : index + 20] for index in range(0, len(noise), 20))
    return [f"{start}{part[:3]}-{'89ab'[int(part[3], 16) % 4]}{part[4:7]}-{part[7:19]}" for part in parts]
