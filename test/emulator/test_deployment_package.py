"""The contract of a deployment package, without a server."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import ubiops
from ubiops.deployment_package import DataError, Deployment, PackageError, RequestError, check_data, find_root, load


@pytest.fixture(autouse=True)
def _own_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "deployment", raising=False)


def write(folder: Path, code: str, name: str = "deployment.py") -> Path:
    (folder / name).write_text(textwrap.dedent(code))
    return folder


@pytest.mark.parametrize(
    "signature",
    ["self", "self, base_directory", "self, context", "self, context, base_directory", "self, **given"],
)
def test_the_constructor_gets_what_it_declares(tmp_path: Path, signature: str) -> None:
    code = f"""
        class Deployment:
            def __init__({signature}):
                self.arguments = dict(locals())
                self.arguments.update(self.arguments.pop("given", {{}}))
                del self.arguments["self"]

            def request(self, data):
                return self.arguments
    """
    arguments = load(write(tmp_path, code), {"version": "v1"}).run({}, {})
    available = {"base_directory": str(tmp_path), "context": {"version": "v1"}}
    declared = available if "**" in signature else [name for name in available if name in signature]
    assert arguments == {name: available[name] for name in declared}


@pytest.mark.parametrize(
    ("signature", "result"), [("data", None), ("data, context", {"id": "r"}), ("anything, context=None", {"id": "r"})]
)
def test_a_request_gets_the_context_where_it_declares_it(signature: str, result: Any) -> None:
    namespace: dict[str, Any] = {}
    exec(f"class D:\n    def request(self, {signature}): return locals().get('context')", namespace)
    assert Deployment(namespace["D"]()).run({}, {"id": "r"}) == result


def _wrapped(self: Any, data: Any, context: Any) -> Any:
    return context


@functools.wraps(_wrapped)
def _wrapping(*arguments: Any, **keywords: Any) -> Any:
    return _wrapped(*arguments, **keywords)


class _Callable:
    def __call__(self, data: Any, context: Any) -> Any:
        return context


@pytest.mark.parametrize(
    "request_method",
    [
        staticmethod(lambda data, context: context),
        classmethod(lambda cls, data, context: context),
        lambda context_, data, *, context: context,
        lambda *data, context: context,
        functools.partialmethod(_wrapped),
        staticmethod(functools.partial(_wrapped, None)),
        _wrapping,
        _Callable(),
        property(lambda self: lambda data, context: context),
    ],
    ids=["static", "class", "keyword", "after any", "partial method", "partial", "decorated", "callable", "property"],
)
def test_a_request_method_of_any_kind_gets_the_context_that_it_declares(request_method: Any) -> None:
    user_class = type("Deployment", (), {"request": request_method})
    assert Deployment(user_class()).run({}, {"id": "r"}) == {"id": "r"}


def test_the_name_of_its_first_parameter_is_no_declaration() -> None:
    user_class = type("Deployment", (), {"request": lambda context, data: data})
    assert Deployment(user_class()).run({"x": 1}, {"id": "r"}) == {"x": 1}


@pytest.mark.parametrize(
    "made",
    [
        "@dataclasses.dataclass\nclass Deployment:\n    context: dict",
        "class Deployment(Base): pass",
        "class Deployment:\n    def __new__(cls, context):\n        self = super().__new__(cls)\n"
        "        self.context = context\n        return self",
        "class Deployment(metaclass=Meta):\n    context = None",
        "class Deployment(Base):\n    __init__ = functools.partialmethod(Base.__init__)",
    ],
)
def test_a_class_made_in_any_way_gets_the_context_that_it_declares(tmp_path: Path, made: str) -> None:
    code = f"""\
import dataclasses, functools

class Base:
    def __init__(self, context):
        self.context = context

class Meta(type):
    def __call__(cls, context):
        self = super().__call__()
        self.context = context
        return self

{made}
Deployment.request = lambda self, data: self.context
"""
    (tmp_path / "deployment.py").write_text(code)
    assert load(tmp_path, {"version": "v1"}).run({}, {}) == {"version": "v1"}


def test_a_plain_package_starts_with_few_imports(tmp_path: Path) -> None:
    write(tmp_path, "class Deployment:\n    def request(self, data, context): return data")
    code = """
        import sys
        from ubiops.deployment_package import load

        load(sys.argv[1], {}).run({}, {})
        print(sorted({"inspect", "typing", "pathlib"} & sys.modules.keys()))
    """
    # Without site-packages, where other packages have code that runs at each start.
    command = [sys.executable, "-S", "-c", textwrap.dedent(code), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(ubiops.__file__).parents[1])}
    ended = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert ended.stdout.strip() == b"[]"


def test_the_module_is_found_by_what_it_defines(tmp_path: Path) -> None:
    code = """
        import pickle

        class Item:
            pass

        class Deployment:
            def request(self, data):
                return type(pickle.loads(pickle.dumps(Item()))).__name__
    """
    assert load(write(tmp_path, code), {}).run({}, {}) == "Item"


def test_another_main_file(tmp_path: Path) -> None:
    write(tmp_path, "class Deployment:\n    def request(self, data): return 'served'", "serve.py")
    for variable in ("SYS_DEPLOYMENT_FILE_NAME", "ML_MODEL_FILE_NAME"):
        for name in ("serve", "serve.py"):
            assert load(tmp_path, {}, {variable: name}).run({}, {}) == "served"
    with pytest.raises(PackageError, match=r"no other\.py"):
        load(tmp_path, {}, {"SYS_DEPLOYMENT_FILE_NAME": "other"})


def test_an_exception_in_a_request_hides_its_text() -> None:
    class Failing:
        def request(self, data: Any) -> None:
            raise KeyError("inner")

    with pytest.raises(
        RequestError, match=r"^An exception occurred in the request. See the logs for details\.$"
    ) as caught:
        Deployment(Failing()).run({}, {})
    assert repr(caught.value.__cause__) == "KeyError('inner')"


def test_many_to_one() -> None:
    class Merging:
        def requests(self, data: list[Any]) -> dict[str, int]:
            return {"n": len(data)}

    assert Deployment(Merging()).run([1, 2, 3], {}) == {"n": 3}
    assert Deployment(Merging()).run(1, {}) == {"n": 1}


def test_the_root_of_a_package(tmp_path: Path) -> None:
    inner = tmp_path / "any"
    inner.mkdir()
    write(inner, "")
    assert find_root(tmp_path, "deployment.py") == inner
    write(tmp_path, "")
    assert find_root(tmp_path, "deployment.py") == tmp_path


def test_data_in_a_list_is_checked_item_by_item() -> None:
    fields = [{"name": "x", "data_type": "int"}]
    check_data([{"x": 1}, {"x": 2}], "structured", fields, "output")
    with pytest.raises(DataError, match=r"The output \[1\] lacks the field 'x'"):
        check_data([{"x": 1}, {}], "structured", fields, "output")
    with pytest.raises(DataError, match=r"The input \[0\] must be a string"):
        check_data([1], "plain", [], "input")


def test_it_stands_on_the_standard_library() -> None:
    code = """
import sys
before = set(sys.modules)
import ubiops.deployment_package, ubiops.package_format
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new - sys.stdlib_module_names))
"""
    root = Path(ubiops.__file__).parents[1]
    output = subprocess.check_output([sys.executable, "-S", "-c", code], cwd=root, text=True)
    assert output.strip() == "['ubiops']"
