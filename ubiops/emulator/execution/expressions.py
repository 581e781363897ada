"""Expressions of pipeline operators: one line of Python over fields, sandboxed."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from simpleeval import (  # type: ignore[import-untyped]
    EvalWithCompoundTypes,
    InvalidExpression,
    safe_add,
    safe_mult,
)

_LONGEST = 10_000
_LARGEST_POWER = 1000

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (len, int, float, str, bool, round, abs, min, max, sum)
}


class ExpressionError(ValueError):
    """An expression that isn't allowed, or can't be evaluated; the message says why."""


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str):
        raise ExpressionError("strings can't be formatted with %")
    return left % right


def _power(left: Any, right: Any) -> Any:
    if abs(left) > _LARGEST_POWER or abs(right) > _LARGEST_POWER:
        raise ExpressionError(f"the operands of ** must not exceed {_LARGEST_POWER}")
    return left**right


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: safe_add,
    ast.Sub: operator.sub,
    ast.Mult: safe_mult,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: _modulo,
    ast.Pow: _power,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}

_ALLOWED = (
    *_OPERATORS,
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.And, ast.Or),
    *(ast.Compare, ast.IfExp, ast.Call, ast.Subscript, ast.Slice, ast.List, ast.Tuple, ast.Dict),
)


@lru_cache(maxsize=1024)
def _parse(expression: str) -> ast.expr:
    if len(expression) > _LONGEST:
        raise ExpressionError(f"it must not be longer than {_LONGEST} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"it is not a Python expression ({getattr(error, 'msg', None) or error})") from error
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ExpressionError(f"{type(node).__name__} is not allowed in it")
        if isinstance(node, ast.Call) and (not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS):
            raise ExpressionError(f"it may call {', '.join(_FUNCTIONS)} and nothing else")
    return tree.body


def check_expression(expression: str) -> None:
    """Check that an expression is allowed, whatever the values of its fields.

    Raises:
        ExpressionError: It isn't an expression, or contains something that isn't allowed.
    """
    try:
        _parse(expression)
    except ExpressionError as error:
        raise ExpressionError(f"The expression '{_short(expression)}' is not valid: {error}") from error


def evaluate(expression: str, fields: Mapping[str, Any]) -> Any:
    """Evaluate an expression.

    Args:
        expression: One line of Python: literals, arithmetic, comparisons, ``and``, ``or``, ``not``, ``in``, ``x if y
            else z``, indexing, and the functions len, int, float, str, bool, round, abs, min, max and sum.
        fields: The values of its names.

    Raises:
        ExpressionError: It is not allowed, or fails on these fields.
    """
    check_expression(expression)
    evaluator = EvalWithCompoundTypes(operators=_OPERATORS, functions=_FUNCTIONS, names=dict(fields))
    try:
        return evaluator.eval(expression, previously_parsed=_parse(expression))
    except (InvalidExpression, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ExpressionError(f"The expression '{_short(expression)}' failed: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, LookupError):
        return f"there is no {error}" if isinstance(error, KeyError) else str(error)
    return str(error) or type(error).__name__


def _short(expression: str) -> str:
    return expression if len(expression) <= 100 else expression[:97] + "..."
