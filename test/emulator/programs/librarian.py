"""A librarian: a pipeline that looks something up and writes about it, as one model of the OpenAI-compatible path.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import urllib3

import ubiops

PROJECT = sys.argv[1]
MODEL = "ubiops-pipeline/librarian//shelf"

api = ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration()))


def deploy(name, code):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "deployment.py").write_text(code)
        ubiops.utils.deploy(api, PROJECT, folder, name, quiet=True)


deploy(
    "look-up",
    """
import json

BOOKS = {"fox": "a red animal", "owl": "a bird of the night"}


class Deployment:
    def request(self, data):
        asked = json.loads(data)
        question = asked["messages"][-1]["content"]
        asked["found"] = [(name, text) for name, text in BOOKS.items() if name in question]
        return json.dumps(asked)
""",
)
deploy(
    "write",
    """
import json


class Deployment:
    def request(self, data, context):
        asked = json.loads(data)
        if not asked["found"]:
            raise ValueError("nothing was found")
        text = "; ".join(f"the {name} is {text}" for name, text in asked["found"])
        if asked.get("stream"):
            for word in text.split():
                context["streaming_update"](json.dumps({"choices": [{"index": 0, "delta": {"content": word}}]}))
        return json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})
""",
)
api.pipelines_create(PROJECT, ubiops.PipelineCreate(name="librarian", input_type="plain", output_type="plain"))
api.pipeline_versions_create(
    PROJECT,
    "librarian",
    ubiops.PipelineVersionCreate(
        version="v1",
        objects=[
            {"name": "look-up", "reference_name": "look-up"},
            {"name": "write", "reference_name": "write"},
        ],
        attachments=[
            {"destination_name": "look-up", "sources": [{"source_name": "pipeline_start", "mapping": []}]},
            {"destination_name": "write", "sources": [{"source_name": "look-up", "mapping": []}]},
            {"destination_name": "pipeline_end", "sources": [{"source_name": "write", "mapping": []}]},
        ],
    ),
)

http = urllib3.PoolManager()
headers = {"Authorization": "Bearer " + os.environ["UBIOPS_API_TOKEN"].removeprefix("Token ")}
url = f"{os.environ['UBIOPS_API_HOST']}/projects/{PROJECT}/openai-compatible/v1/chat/completions"


def ask(text, **settings):
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], **settings}
    return http.request("POST", url, json=body, headers=headers, preload_content=False)


print(ask("What is an owl?").json()["choices"][0]["message"]["content"])

answer = ask("An owl and a fox?", stream=True)
events = [line.removeprefix("data: ") for line in answer.read().decode().splitlines() if line]
*chunks, end = events
print(" ".join(json.loads(chunk)["choices"][0]["delta"]["content"] for chunk in chunks), end)

failed = ask("And a bear?", stream=True)
print(failed.status, sorted(failed.json()))

requests = api.pipeline_requests_list(PROJECT, "librarian")
print(sorted(request.status for request in requests))
http.clear()
api.api_client.close()
