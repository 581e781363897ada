"""Predicts how far a car of the 1920s rolls until it stands, from 50 measurements in cars.csv.

The measurements (speed in miles per hour, distance in feet) are from M. Ezekiel, Methods of Correlation Analysis,
1930. They are facts, and nobody's property.
"""

from __future__ import annotations

import csv
import math
import statistics
from pathlib import Path
from typing import Any


class SpeedError(ValueError):
    """An impossible speed; the caller of the request sees `public_error_message`."""

    public_error_message = "The speed must be above zero"


class Deployment:
    def __init__(self, base_directory: str) -> None:
        """Fit the model, once for each instance that starts."""
        with Path(base_directory, "cars.csv").open() as file:
            rows = [(float(row["speed"]), float(row["distance"])) for row in csv.DictReader(file)]
        speeds, distances = zip(*rows, strict=True)
        self.slope, self.intercept = statistics.linear_regression(speeds, distances)
        self.fastest = max(speeds)
        errors = [distance - self.predict(speed) for speed, distance in rows]
        self.spread = math.sqrt(sum(error**2 for error in errors) / (len(rows) - 2))
        print(f"Fitted {len(rows)} measurements: distance = {self.intercept:.2f} + {self.slope:.2f} * speed")

    def predict(self, speed: float) -> float:
        return self.intercept + self.slope * speed

    def request(self, data: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; `data` has the input fields, the answer has the output fields."""
        if data["speed"] <= 0:
            raise SpeedError(data["speed"])
        return {
            "distance": round(self.predict(data["speed"]), 1),
            "margin": round(2 * self.spread, 1),
            "extrapolated": data["speed"] > self.fastest,
        }
