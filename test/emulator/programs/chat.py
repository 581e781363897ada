"""A chat: a deployment is a model of the OpenAI-compatible path, and its words are read as they come.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument. It talks HTTP
with the standard library, as a program in any language would.
"""

import http.client
import json
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import ubiops

PROJECT = sys.argv[1]
HOST = urlsplit(os.environ["UBIOPS_API_HOST"])
KEY = os.environ["UBIOPS_API_TOKEN"].split(" ")[-1]

api = ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration()))

with tempfile.TemporaryDirectory() as folder:
    Path(folder, "deployment.py").write_text("""
import json


class Deployment:
    def request(self, data, context):
        asked = json.loads(data)
        last = asked["messages"][-1]["content"]
        answer = f"You said {last!r}, which has {len(last)} letters."
        chunk = {"id": context["id"], "object": "chat.completion.chunk", "created": 0, "model": asked["model"]}
        if asked.get("stream"):
            for word in answer.split(" "):
                choice = {"index": 0, "delta": {"content": word + " "}, "finish_reason": None}
                context["streaming_update"](json.dumps({**chunk, "choices": [choice]}))
        message = {"role": "assistant", "content": answer}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return json.dumps({**chunk, "object": "chat.completion", "choices": [choice]})
""")
    ubiops.utils.deploy(api, PROJECT, folder, "parrot", quiet=True)
api.deployment_versions_update(
    PROJECT,
    "parrot",
    "v1",
    ubiops.DeploymentVersionUpdate(labels={"openai-compatible": "true", "openai-model-names": "parrot-1b"}),
)


def call(method, path, body=None):
    connection = http.client.HTTPConnection(HOST.hostname, HOST.port, timeout=60)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Connection": "close"}
    url = f"{HOST.path}/projects/{PROJECT}/openai-compatible/v1/{path}"
    connection.request(method, url, body=json.dumps(body) if body else None, headers=headers)
    return connection.getresponse()


with call("GET", "models") as response:
    [model] = json.load(response)["data"]
print(model["id"])

question = {"model": model["id"], "messages": [{"role": "user", "content": "Polly"}]}
with call("POST", "chat/completions", question) as response:
    answer = json.load(response)
print(response.status, answer["choices"][0]["message"]["content"])

words = []
with call("POST", "chat/completions", {**question, "stream": True}) as response:
    print(response.status, response.headers["Content-Type"])
    for line in response:
        name, _, value = line.decode().strip().partition(": ")
        if name == "data" and value != "[DONE]":
            words.append(json.loads(value)["choices"][0]["delta"]["content"])
        elif name == "data":
            print("the end")
print(len(words), "".join(words))

with call("POST", "chat/completions", {**question, "model": "gpt-4"}) as response:
    print(response.status, json.load(response)["error"].partition(";")[0])
api.api_client.close()
