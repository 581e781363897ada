"""An environment of its own: what a requirements.txt asks for is installed once, and two deployments run in it.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument. The package that
is asked for is a wheel that it makes, so that no index is needed.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import ubiops

PROJECT = sys.argv[1]
PYTHON = f"python{sys.version_info.major}-{sys.version_info.minor}"

api = ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration()))
directory = tempfile.TemporaryDirectory()
folder = Path(directory.name)


# The wheel.

with zipfile.ZipFile(folder / "grind-1.2-py3-none-any.whl", "w") as wheel:
    wheel.writestr("grind.py", "__version__ = '1.2'\n\n\ndef grind(corn):\n    return corn[::-1]\n")
    wheel.writestr("grind-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: grind\nVersion: 1.2\n")
    wheel.writestr("grind-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("grind-1.2.dist-info/RECORD", "")


# The environment, as a revision.

api.environments_create(
    PROJECT,
    ubiops.EnvironmentCreate(name="mill", display_name="Mill", base_environment=PYTHON, labels={"of": "corn"}),
)
with zipfile.ZipFile(folder / "environment.zip", "w") as package:
    package.writestr("environment_package/requirements.txt", f"--no-index\n--find-links {folder}\ngrind==1.2\nubiops\n")
    package.writestr("environment_package/ubiops.yaml", "environment_variables:\n  - STONE=granite\n")
upload = api.environment_revisions_file_upload(PROJECT, "mill", file=str(folder / "environment.zip"))
ubiops.utils.wait_for_environment(api.api_client, PROJECT, "mill", quiet=True)
environment = api.environments_get(PROJECT, "mill")
print(environment.name, environment.status, environment.base_environment, environment.active_build == upload.build)


# Two deployments in it.

CODE = """
import os

import grind
import ubiops


class Deployment:
    def request(self, data):
        stone = os.environ["STONE"]
        return {"flour": f"{grind.grind(data['corn'])} by {grind.__version__} on %s" % stone}
"""
for name in ("north", "south"):
    package = folder / name
    package.mkdir()
    (package / "deployment.py").write_text(CODE.replace("on %s", f"on %s in the {name}"))
    ubiops.utils.deploy(
        api,
        PROJECT,
        package,
        name,
        input_fields={"corn": "string"},
        output_fields={"flour": "string"},
        environment="mill",
        quiet=True,
    )
    version = api.deployment_versions_get(PROJECT, name, "v1")
    result = api.deployment_requests_create(PROJECT, name, {"corn": "abc"}).result
    print(version.environment, result["flour"])

# It is in use.
try:
    api.environments_delete(PROJECT, "mill")
except ubiops.exceptions.ApiException as error:
    print(error.status)
for name in ("north", "south"):
    api.deployments_delete(PROJECT, name)
api.environments_delete(PROJECT, "mill")
print([item.name for item in api.environments_list(PROJECT, environment_type="custom")])

directory.cleanup()
api.api_client.close()
