"""Orders of a shop: a pipeline takes a list, prices each order, tells large from small ones, and adds them up.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument.
"""

import json
import sys
import tempfile
from pathlib import Path

import ubiops

PROJECT = sys.argv[1]

api = ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration()))

ORDER = [{"name": "item", "data_type": "string"}, {"name": "count", "data_type": "int"}]
PRICED = [{"name": "price", "data_type": "double"}]
NET = [{"name": "net", "data_type": "double"}]
TOTAL = [{"name": "total", "data_type": "double"}, {"name": "orders", "data_type": "int"}]


def deploy(name, code, input_fields, output_fields):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "deployment.py").write_text(code)
        ubiops.utils.deploy(
            api, PROJECT, folder, name, input_fields=input_fields, output_fields=output_fields, quiet=True
        )


deploy(
    "price",
    """
PRICES = {"pen": 2.0, "desk": 150.0}


class Deployment:
    def request(self, data):
        return {"price": PRICES[data["item"]] * data["count"]}
""",
    ORDER,
    PRICED,
)
deploy(
    "sum",
    """
class Deployment:
    def requests(self, data):
        nets = [item["net"] for item in data]
        return {"total": sum(nets), "orders": len(nets)}
""",
    NET,
    TOTAL,
)


def operator(name, kind, input_fields, output_fields, **settings):
    return {
        "name": name,
        "reference_name": kind,
        "reference_type": "operator",
        "configuration": {"input_fields": input_fields, "output_fields": output_fields, **settings},
    }


def attach(destination, *sources):
    """Each source with the fields that are taken of it, as the destination names them."""
    return {
        "destination_name": destination,
        "sources": [
            {
                "source_name": source,
                "mapping": [
                    {"source_field_name": given, "destination_field_name": taken} for given, taken in fields.items()
                ],
            }
            for source, fields in sources
        ],
    }


price, net = {"price": "price"}, {"output": "net"}
api.pipelines_create(
    PROJECT,
    ubiops.PipelineCreate(
        name="orders", input_type="structured", input_fields=ORDER, output_type="structured", output_fields=TOTAL
    ),
)
OUTPUT = [{"name": "output", "data_type": "double"}]
api.pipeline_versions_create(
    PROJECT,
    "orders",
    ubiops.PipelineVersionCreate(
        version="v1",
        objects=[
            operator("each", "one-to-many", ORDER, ORDER),
            {"name": "price", "reference_name": "price"},
            operator("is-large", "if-condition", PRICED, PRICED, expression="price >= 100"),
            operator("is-small", "if-condition", PRICED, PRICED, expression="price < 100"),
            operator("discount", "function", PRICED, OUTPUT, expression="round(price * 0.9, 2)"),
            operator("postage", "function", PRICED, OUTPUT, expression="price + 5"),
            operator("all", "many-to-one", NET, NET),
            {"name": "sum", "reference_name": "sum"},
        ],
        attachments=[
            attach("each", ("pipeline_start", {"item": "item", "count": "count"})),
            attach("price", ("each", {"item": "item", "count": "count"})),
            attach("is-large", ("price", price)),
            attach("is-small", ("price", price)),
            attach("discount", ("is-large", price)),
            attach("postage", ("is-small", price)),
            attach("all", ("discount", net)),
            attach("all", ("postage", net)),
            attach("sum", ("all", {"net": "net"})),
            attach("pipeline_end", ("sum", {"total": "total", "orders": "orders"})),
        ],
    ),
)

orders = [{"item": "pen", "count": 10}, {"item": "desk", "count": 1}, {"item": "pen", "count": 50}]
answer = api.pipeline_requests_create(PROJECT, "orders", orders)
print(answer.result)
print(sorted({part.pipeline_object for part in answer.deployment_requests}))

[request] = api.pipeline_requests_list(PROJECT, "orders")
detail = api.pipeline_requests_get(PROJECT, "orders", request.id)
print(detail.status, sorted({part.pipeline_object for part in detail.operator_requests}))

try:
    api.pipeline_requests_create(PROJECT, "orders", [{"item": "lamp", "count": 1}])
except ubiops.ApiException as error:
    print(error.status, "price" in json.loads(error.body)["error_message"])
api.api_client.close()
