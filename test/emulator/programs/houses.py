"""Prices of houses: a model is trained on a file, and the model that came of it is deployed.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument.
"""

import os
import sys
import tempfile
from pathlib import Path

import ubiops

PROJECT = sys.argv[1]

configuration = ubiops.Configuration(host=os.environ["UBIOPS_API_HOST"])
configuration.api_key["Authorization"] = os.environ["UBIOPS_API_TOKEN"]
client = ubiops.ApiClient(configuration)
api = ubiops.CoreApi(client)
training = ubiops.Training(client)

directory = tempfile.TemporaryDirectory()
folder = Path(directory.name)

(folder / "houses.csv").write_text("area,price\n50,200\n100,350\n150,500\n")
(folder / "train.py").write_text("""
import csv
import json


def train(training_data, parameters, context):
    with open(training_data) as file:
        rows = [(float(row["area"]), float(row["price"])) for row in csv.DictReader(file)]
    slope = intercept = 0.0
    for _ in range(parameters["epochs"]):
        for area, price in rows:
            error = slope * area / 100 + intercept - price / 100
            slope -= parameters["rate"] * error * area / 100
            intercept -= parameters["rate"] * error
    with open("weights.json", "w") as file:
        json.dump([slope, intercept * 100], file)
    print(f"trained on {len(rows)} houses")
    return {"artifact": "weights.json", "metadata": {"houses": len(rows)}, "metrics": {"slope": round(slope, 2)}}
""")


# Train.

training.initialize(PROJECT)
training.experiments_create(PROJECT, ubiops.ExperimentCreate(name="houses", instance_type="1024mb"))
ubiops.utils.wait_for.wait_for_experiment(client, PROJECT, "houses")

run = training.experiment_runs_create(
    PROJECT,
    "houses",
    ubiops.ExperimentRunCreate(
        name="all-houses",
        training_code=str(folder / "train.py"),
        training_data=str(folder / "houses.csv"),
        parameters={"epochs": 2000, "rate": 0.1},
    ),
)
ubiops.utils.wait_for.wait_for_experiment_run(client, PROJECT, "houses", run.id)
run = training.experiment_runs_get(PROJECT, "houses", run.id)
print(run.status, run.result["metrics"], run.result["metadata"])


# Deploy what came of it.

package = folder / "package"
package.mkdir()
(package / "deployment.py").write_text("""
import json
import os


class Deployment:
    def __init__(self, base_directory, context):
        with open(os.path.join(base_directory, "weights.json")) as file:
            self.slope, self.intercept = json.load(file)

    def request(self, data):
        return {"price": round(self.slope * data["area"] + self.intercept)}
""")
artifact = ubiops.utils.download_file(
    client, PROJECT, file_uri=run.result["artifact"], output_path=str(package), stream=True
)
print(os.path.basename(artifact))

api.deployments_create(
    PROJECT,
    ubiops.DeploymentCreate(
        name="prices",
        input_type="structured",
        input_fields=[ubiops.DeploymentInputFieldCreate(name="area", data_type="double")],
        output_type="structured",
        output_fields=[ubiops.DeploymentOutputFieldCreate(name="price", data_type="double")],
    ),
)
api.deployment_versions_create(PROJECT, "prices", ubiops.DeploymentVersionCreate(version="v1"))
zip_path = ubiops.utils.zip_dir(str(package), str(folder / "package.zip"))
upload = api.revisions_file_upload(PROJECT, "prices", "v1", file=zip_path)
ubiops.utils.wait_for_deployment_version(client, PROJECT, "prices", "v1", upload.revision)
print(api.deployment_requests_create(PROJECT, "prices", {"area": 70}).result)

directory.cleanup()
client.close()
