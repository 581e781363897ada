"""Expressions of operators: what they can do, and that they can do nothing else."""

from __future__ import annotations

from typing import Any

import pytest

import ubiops
from ubiops.emulator.execution.expressions import ExpressionError, evaluate
from ubiops.exceptions import ApiException


def ask(api: ubiops.CoreApi, expression: str, **data: Any) -> Any:
    kinds = {int: "int", float: "double", str: "string", bool: "bool", list: "array_int"}
    fields = [{"name": name, "data_type": kinds[type(value)]} for name, value in data.items()]
    body = {"expression": expression, "input_fields": fields, "request_data": data}
    return api.expressions_evaluate(body).result


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("a + 10", 13),
        ("a / 2 > 1 and not a == 4", True),
        ("'low' if a < 5 else 'high'", "low"),
        ("a in [1, 2, 3]", True),
        ("l[0] + l[-1]", 5),
        ("l[1:]", [4]),
        ("len(l) + sum(l) + max(l) - min(l)", 10),
        ("round(abs(-2.6)) + int('4') + float('1.5')", 8.5),
        ("str(a) + s", "3x"),
        ("bool(s) or a", True),
        ("{'a': a}", {"a": 3}),
        ("1 < a <= 3", True),
        ("a ** 2 % 5", 4),
    ],
)
def test_expressions(api: ubiops.CoreApi, expression: str, result: Any) -> None:
    assert ask(api, expression, a=3, s="x", l=[1, 4]) == result


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')",
        "a.__class__",
        "(1).real",
        "'{0.__class__}'.format(a)",
        "f'{a}'",
        "[x for x in l]",
        "(lambda: 1)()",
        "(b := 1)",
        "a = 1",
        "a; a",
        "import os",
        "open('f')",
        "eval('1')",
        "print(a)",
        "[len][0](l)",
        "len(obj=l)",
        "yield a",
        "*l",
        "",
    ],
)
def test_what_expressions_must_not_do(expression: str) -> None:
    with pytest.raises(ExpressionError, match="not valid"):
        evaluate(expression, {"a": 3, "l": [1, 4]})


@pytest.mark.parametrize(
    "expression",
    [
        *("b", "a / 0", "l[9]", "{}['k']", "a + 'x'", "int('x')", "9 ** 9999", "'x' * 10 ** 9", "'%9d' % a"),
        "(" * 300 + "a" + ")" * 300,
        "-" * 5000 + "a",
    ],
)
def test_expressions_that_fail(expression: str) -> None:
    with pytest.raises(ExpressionError, match=r"^The expression '"):
        evaluate(expression, {"a": 3, "l": [1, 4]})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"request_data": {"b": 1}}, "b must be defined in input_fields"),
        ({"request_data": {"a": "x"}}, "must be of type int"),
        ({"request_data": [1]}, "must be a dictionary"),
        ({"input_fields": [{"name": "a", "data_type": "int"}] * 2}, "more than once"),
        ({"expression": "b"}, "failed: 'b' is not defined"),
        ({"expression": "float('inf')"}, "JSON"),
    ],
)
def test_faulty_evaluations_are_refused(api: ubiops.CoreApi, body: dict[str, Any], words: str) -> None:
    complete = {"expression": "a", "input_fields": [{"name": "a", "data_type": "int"}], "request_data": {"a": 1}}
    with pytest.raises(ApiException, match=words) as caught:
        api.expressions_evaluate({**complete, **body})
    assert caught.value.status == 400


def test_data_is_optional(api: ubiops.CoreApi) -> None:
    assert api.expressions_evaluate({"expression": "1 + 1", "input_fields": []}).result == 2
