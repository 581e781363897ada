"""Importing: what `import ubiops` loads, and what can be reached after it without another import."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ubiops
from codegen import VERSION
from test.unit.schemas import schemas

ROOT = Path(__file__).parents[2]
MODULES = [
    "api",
    "api.core_api",
    "api_client",
    "configuration",
    "exceptions",
    "models",
    "models.deployment_create",
    "rest",
    "utils",
    "utils.file_operations",
]
EXPORTED = [
    "ApiClient",
    "ApiException",
    "ApiKeyError",
    "ApiTypeError",
    "ApiValueError",
    "Configuration",
    "CoreApi",
    "NULL",
    "OpenApiException",
]


def run(code: str) -> str:
    """Run code in a process of its own, since here everything is imported already; give what it prints."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    return subprocess.run(command, cwd=ROOT, check=True, timeout=60, stdout=subprocess.PIPE, text=True).stdout


def test_import_ubiops_loads_nothing_else() -> None:
    loaded = run(
        """
        import importlib, sys
        before = set(sys.modules)
        import ubiops
        print(*sorted(set(sys.modules) - before))
        """
    )
    assert loaded.split() == ["ubiops"]


def test_models_load_no_transport_and_no_other_model() -> None:
    loaded = run(
        """
        import sys, ubiops
        model = ubiops.models.Status(status="ok")
        assert model.to_dict()["status"] == model.status == "ok", model
        print(*(name for name in sys.modules if name.startswith(("ubiops.", "urllib3", "certifi", "dateutil"))))
        """
    )
    assert sorted(loaded.split()) == [
        "ubiops.exceptions",
        "ubiops.importing",
        "ubiops.model",
        "ubiops.models",
        "ubiops.models.status",
        "ubiops.once",
        "ubiops.schema",
    ]


def test_the_methods_load_no_model_before_they_need_one() -> None:
    loaded = run("import sys, ubiops\nubiops.CoreApi(ubiops.ApiClient())\nprint(*sys.modules)")
    assert [name for name in loaded.split() if name.startswith("ubiops.models.")] == []


def run_each(codes: list[str]) -> None:
    """Run each code as if nothing of ours had been imported before it, all in one process; names those that fail."""
    program = f"""
        import sys, traceback
        failed = []
        for code in {codes!r}:
            for name in [name for name in sys.modules if name.partition(".")[0] == "ubiops"]:
                del sys.modules[name]
            try:
                exec(code, {{}})
            except Exception:
                failed.append(code)
                traceback.print_exc()
        print(*failed, sep="\\n", end="")
    """
    assert run(program) == ""


def test_import_ubiops_is_enough() -> None:
    expressions = [
        *(f"ubiops.{module}.__name__ == 'ubiops.{module}'" for module in MODULES),
        *(f"ubiops.{name} is not None" for name in EXPORTED),
        "issubclass(ubiops.exceptions.ApiException, Exception)",
        "callable(ubiops.utils.upload_file)",
        "callable(ubiops.utils.file_operations.download_file)",
        "ubiops.models.DeploymentCreate is ubiops.DeploymentCreate",
        "ubiops.models.deployment_create.DeploymentCreate is ubiops.models.DeploymentCreate",
        "ubiops.api.CoreApi is ubiops.CoreApi",
        "ubiops.api.core_api.CoreApi is ubiops.CoreApi",
        "ubiops.rest.ApiException is ubiops.exceptions.ApiException",
        f"ubiops.__version__ == '{VERSION}'",
    ]
    run_each([f"import ubiops\nassert {expression}" for expression in expressions])


def test_every_module_can_be_imported_first() -> None:
    run_each(
        [
            *(f"import ubiops.{module}" for module in MODULES),
            "from ubiops.models import DeploymentCreate",
            "from ubiops.models.deployment_create import DeploymentCreate",
            "from ubiops.api import CoreApi",
            "from ubiops.exceptions import ApiException",
            "from ubiops.rest import ApiException, RESTClientObject, RESTResponse",
            "from ubiops.utils import download_file, upload_file",
            "from ubiops.utils.file_operations import download_file, upload_file",
            "from ubiops.configuration import Configuration",
            "from ubiops.api_client import ApiClient",
            "from ubiops import CoreApi, DeploymentCreate, exceptions, models",
        ]
    )


def test_a_star_import_gives_the_client_and_every_model() -> None:
    code = """
        from ubiops import *
        from ubiops import models
        missing = [name for name in {names!r} if name not in globals()]
        assert not missing, missing
        assert DeploymentCreate is models.DeploymentCreate
    """
    run(code.format(names=[*EXPORTED, *schemas()]))


def test_a_star_import_of_the_models_gives_every_model() -> None:
    run(f"from ubiops.models import *\nassert not set({list(schemas())!r}) - set(globals())")


def test_every_name_is_listed_and_can_be_had() -> None:
    assert {*EXPORTED, *schemas()} <= set(ubiops.__all__)
    for module in (ubiops, ubiops.models, ubiops.api, ubiops.utils):
        assert set(module.__all__) <= set(dir(module))
        assert all(getattr(module, name) is not None for name in module.__all__)


def test_every_model_has_a_module_of_its_own_name() -> None:
    for name in schemas():
        model = getattr(ubiops.models, name)
        assert model.__name__ == name
        assert model.__module__.startswith("ubiops.models.")
        module = getattr(ubiops.models, model.__module__.rpartition(".")[2])
        assert getattr(module, name) is model


@pytest.mark.parametrize("module", [ubiops, ubiops.models, ubiops.api])
def test_a_name_that_is_not_there_is_an_attribute_error(module: object) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'DeploymentCreat'"):
        getattr(module, "DeploymentCreat")  # noqa: B009 - a plain expression would be useless, says the linter
    assert not hasattr(module, "__wrapped__")


def test_threads_may_import_at_once() -> None:
    run(
        """
        import sys, threading, ubiops
        sys.setswitchinterval(1e-6)
        barrier, problems = threading.Barrier(16), []
        def use():
            barrier.wait()
            try:
                ubiops.CoreApi(ubiops.ApiClient())
                ubiops.models.PipelineVersionCreate("v")
                ubiops.exceptions.ApiException
                ubiops.utils.upload_file
            except BaseException as error:
                problems.append(error)
        threads = [threading.Thread(target=use) for _ in range(16)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert not problems, problems
        """
    )


def test_a_contract_names_each_module() -> None:
    # The emulator is what the fixtures are for.
    named = re.findall(r'"(ubiops\.\w+)"', (ROOT / "pyproject.toml").read_text())
    modules = {f"ubiops.{module.name}" for module in pkgutil.iter_modules(ubiops.__path__)}
    assert modules - set(named) == {"ubiops.pytest_plugin"}
