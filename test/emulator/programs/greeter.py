"""A package with requirements of its own: the environment that it needs is built with it.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument. The package that
is asked for is a wheel that it makes, so that no index is needed.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import ubiops

PROJECT = sys.argv[1]

api = ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration()))
directory = tempfile.TemporaryDirectory()
folder = Path(directory.name)

with zipfile.ZipFile(folder / "greeting-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("greeting.py", "WORD = 'Hello'\n")
    wheel.writestr("greeting-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    wheel.writestr("greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("greeting-1.0.dist-info/RECORD", "")

package = folder / "greeter_package"
package.mkdir()
(package / "deployment.py").write_text("""
import greeting


class Deployment:
    def request(self, data):
        return {"text": f"{greeting.WORD}, {data['name']}"}
""")


def deploy(requirement, version):
    (package / "requirements.txt").write_text(f"--no-index\n--find-links {folder}\n{requirement}\n")
    ubiops.utils.deploy(
        api,
        PROJECT,
        package,
        "greeter",
        version,
        input_fields=[{"name": "name", "data_type": "string"}],
        output_fields=[{"name": "text", "data_type": "string"}],
        quiet=True,
    )


deploy("greeting>=1", "v1")
version = api.deployment_versions_get(PROJECT, "greeter", "v1")
answer = api.deployment_requests_create(PROJECT, "greeter", {"name": "Ada"})
print(version.status, answer.result["text"])

# What no wheel has.
try:
    deploy("greeting==3.0", "v2")
except ubiops.utils.BuildFailed as error:
    print("No matching distribution found for greeting==3.0" in str(error))
print([version.status for version in api.deployment_versions_list(PROJECT, "greeter")])

directory.cleanup()
api.api_client.close()
