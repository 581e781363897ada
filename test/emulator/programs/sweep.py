"""A sweep: runs with different parameters are compared by their metrics, and the best one is deployed.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import ubiops

PROJECT = sys.argv[1]
DEGREES = (1, 2, 9)

api = ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration()))
training = ubiops.Training(api.api_client)

directory = tempfile.TemporaryDirectory()
folder = Path(directory.name)

# The code of the runs: a zip with a module beside it.
with zipfile.ZipFile(folder / "code.zip", "w") as code:
    code.writestr(
        "code/fit.py",
        """
def through(points):
    '''The polynomial that goes through points, by Lagrange.'''

    def value(x):
        total = 0
        for index, (xi, yi) in enumerate(points):
            product = yi
            for other, (xj, _) in enumerate(points):
                if other != index:
                    product *= (x - xj) / (xi - xj)
            total += product
        return total

    return value
""",
    )
    code.writestr(
        "code/train.py",
        """
import json

from fit import through


def train(training_data, parameters, context):
    known = [(x, x * x + (1 if x % 2 else -1) * 0.01) for x in range(parameters["degree"] + 1)]
    model = through(known)
    error = max(abs(model(x) - x * x) for x in range(12))
    with open("points.json", "w") as file:
        json.dump(known, file)
    with open("report.txt", "w") as file:
        file.write(f"{len(known)} points, error {error:.2f}")
    return {
        "artifact": "points.json",
        "additional_output_files": ["report.txt"],
        "metrics": {"error": error},
        "metadata": parameters,
    }
""",
    )

training.initialize(PROJECT)
training.experiments_create(PROJECT, {"name": "squares", "labels": {"team": "maths"}})
ubiops.utils.wait_for_experiment(api, PROJECT, "squares", quiet=True)

runs = [
    training.experiment_runs_create(
        PROJECT,
        "squares",
        {"name": f"degree-{degree}", "training_code": str(folder / "code.zip"), "parameters": {"degree": degree}},
    )
    for degree in DEGREES
]
for run in runs:
    ubiops.utils.wait_for_experiment_run(api, PROJECT, "squares", run.id, quiet=True)
finished = [training.experiment_runs_get(PROJECT, "squares", run.id) for run in runs]
for run in finished:
    [report] = run.result["additional_output_files"]
    text = Path(ubiops.utils.download_file(api, PROJECT, file_uri=report, output_path=directory.name)).read_text()
    print(run.request_data["name"], text)
best = min(finished, key=lambda run: run.result["metrics"]["error"])
print("best:", best.request_data["name"])
print({run.status for run in training.experiment_runs_list(PROJECT, "squares")})

package = folder / "package"
package.mkdir()
(package / "deployment.py").write_text("""
import json
import os

import fit


class Deployment:
    def __init__(self, base_directory, context):
        with open(os.path.join(base_directory, "points.json")) as file:
            self.model = fit.through(json.load(file))

    def request(self, data):
        return {"y": round(self.model(data["x"]), 1)}
""")
ubiops.utils.download_file(api, PROJECT, file_uri=best.result["artifact"], output_path=str(package))
with zipfile.ZipFile(folder / "code.zip") as code:
    (package / "fit.py").write_bytes(code.read("code/fit.py"))
ubiops.utils.deploy(
    api, PROJECT, package, "squares", input_fields={"x": "double"}, output_fields={"y": "double"}, quiet=True
)
batch = api.batch_deployment_requests_create(PROJECT, "squares", [{"x": x} for x in (3, 5)])
for request in batch:
    print(ubiops.utils.wait_for_deployment_request(api, PROJECT, "squares", request.id, quiet=True).result)

directory.cleanup()
api.api_client.close()
