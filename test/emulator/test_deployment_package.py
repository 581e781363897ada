"""The contract of a deployment package, without a server."""

from __future__ import annotations

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
