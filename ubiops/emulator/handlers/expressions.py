"""Evaluation of expressions of pipeline operators."""

from __future__ import annotations

import json
from typing import Any

from ubiops.deployment_package import DataError, check_data
from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.execution.expressions import ExpressionError, evaluate
from ubiops.emulator.handlers.fields import check_names


def expressions_evaluate(context: Context, data: dict[str, Any]) -> dict[str, Any]:
    fields = {field["name"]: field for field in data["input_fields"]}
    check_names(data["input_fields"], "input_fields")
    values = data.get("request_data")
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise invalid("request_data: it must be a dictionary of the input fields")
    unknown = values.keys() - fields.keys()
    if unknown:
        raise invalid(f"request_data: {', '.join(sorted(unknown))} must be defined in input_fields")
    try:
        check_data(values, "structured", [fields[name] for name in values], "input")
        result = evaluate(data["expression"], values)
        json.dumps(result, allow_nan=False)
    except (DataError, ExpressionError) as error:
        raise invalid(str(error)) from error
    except (TypeError, ValueError) as error:
        raise invalid(f"The result can't be written as JSON: {error}") from error
    return {"result": result}
