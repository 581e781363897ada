"""Deployments as models of the OpenAI-compatible path. Over plain HTTP, as any program for it talks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from test.emulator.callers import Callers
from test.emulator.pipelines import attach, deployment, make_pipeline
from test.emulator.project import TestProject
from ubiops.emulator import Emulator

CHAT = """
    import json

    class Deployment:
        def request(self, data, context):
            asked = json.loads(data)
            words = [message["content"] for message in asked["messages"]]
            if words == ["fail"]:
                raise ValueError("secret")
            if asked.get("stream"):
                for index, word in enumerate(words):
                    delta = {"index": 0, "delta": {"content": word}}
                    chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [delta]}
                    context["streaming_update"](json.dumps(chunk, indent=index or None))
                if words[-1] == "break":
                    raise ValueError("secret")
            if "input" in asked:
                return json.dumps({"object": "list", "data": [{"embedding": [0.5], "index": 0}]})
            message = {"role": "assistant", "content": " ".join(words)}
            return json.dumps({"id": asked["model"], "object": "chat.completion", "choices": [{"message": message}]})
"""
MODEL = "ubiops-deployment/model//tiny/echo"
LABELS = {"openai-compatible": "true", "openai-model-names": "tiny/echo;other"}


class Chat:
    """Sends bodies as programs for OpenAI do."""

    def __init__(self, base: str, token: str, http: urllib3.PoolManager) -> None:
        self.base = base
        self.key = token.removeprefix("Token ")
        self._http = http

    def send(self, path: str, data: Any = None, **options: Any) -> urllib3.BaseHTTPResponse:
        method = "GET" if data is None else "POST"
        url = f"{self.base}/projects/lab/openai-compatible/v1/{path}"
        return self._http.request(
            method, url, json=data, headers={"Authorization": f"Bearer {self.key}"}, retries=False, **options
        )

    def complete(self, *words: str, model: str = MODEL, **settings: Any) -> urllib3.BaseHTTPResponse:
        messages = [{"role": "user", "content": word} for word in words]
        return self.send("chat/completions", {"model": model, "messages": messages, **settings})


@pytest.fixture
def chat(emulator: Emulator, project: TestProject) -> Iterator[Chat]:
    project.create_deployment(input_type="plain", output_type="plain", input_fields=[], output_fields=[])
    project.deploy_version(CHAT, labels=LABELS)
    with urllib3.PoolManager() as http:
        yield Chat(emulator.url, emulator.token, http)


def test_a_completion(chat: Chat) -> None:
    answer = chat.complete("hello", "there", temperature=0)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json()["choices"][0]["message"]["content"] == "hello there"
    # The code gets the body as it came.
    assert answer.json()["id"] == MODEL
    assert chat.complete("hi", model="ubiops-deployment/model/v1/x").json()["id"] == "ubiops-deployment/model/v1/x"
    embedded = chat.send("embeddings", {"model": MODEL, "input": "word", "messages": []})
    assert embedded.json()["data"][0]["embedding"] == [0.5]
    chat.base = chat.base.replace("/v2.1", "/v2")
    assert chat.complete("newer").status == 200


def _events(answer: urllib3.BaseHTTPResponse) -> list[str]:
    blocks = answer.data.decode().removesuffix("\n\n").split("\n\n")
    return ["\n".join(line.removeprefix("data: ") for line in block.split("\n")) for block in blocks]


def test_a_streamed_completion(chat: Chat) -> None:
    answer = chat.complete("one", "two", stream=True)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    *chunks, end = _events(answer)
    contents = [json.loads(chunk)["choices"][0]["delta"]["content"] for chunk in chunks]
    assert (contents, end) == (["one", "two"], "[DONE]")
    *chunks, end = _events(chat.complete("one", "break", stream=True))
    assert len(chunks) == 2
    problem = "An exception occurred in the request. See the logs for details."
    assert json.loads(end)["error"]["message"].startswith(problem[:20]), end


def test_a_pipeline_is_a_model_too(chat: Chat, project: TestProject) -> None:
    plain: dict[str, Any] = {"input_type": "plain", "output_type": "plain", "input_fields": [], "output_fields": []}
    sources: tuple[dict[str, Any], ...] = ({"pipeline_start": {}}, {"double": {}})
    attachments = [attach(name, source) for name, source in zip(("double", "pipeline_end"), sources, strict=True)]
    make_pipeline(project, [deployment("double")], attachments, settings={"labels": LABELS}, **plain)
    model = "ubiops-pipeline/line//tiny/echo"
    answer = chat.complete("hello", "there", model=model)
    assert (answer.status, answer.json()["id"]) == (200, model)
    assert answer.json()["choices"][0]["message"]["content"] == "hello there"
    *chunks, end = _events(chat.complete("one", "two", model=model, stream=True))
    assert [json.loads(chunk)["choices"][0]["delta"]["content"] for chunk in chunks] == ["one", "two"]
    assert end == "[DONE]"
    assert chat.complete("fail", model=model, stream=True).status == 400
    *chunks, end = _events(chat.complete("one", "break", model=model, stream=True))
    assert len(chunks) == 2
    # As of any pipeline request; the log of the deployment says more.
    failed = json.loads(end)["error"]["message"]
    assert "double" in failed, failed
    assert "secret" not in failed
    assert [found.success for found in project.api.pipeline_requests_list("lab", "line", sort="asc")] == [
        *(True, True, False, False)
    ]
    assert "ubiops-pipeline/line/v1/tiny/echo" in [found["id"] for found in chat.send("models").json()["data"]]


def test_what_fails(chat: Chat, project: TestProject, callers: Callers) -> None:
    for stream in (False, True):
        answer = chat.complete("fail", stream=stream)
        assert answer.status == 400
        assert "secret" not in answer.json()["error"]
    for model, status in (("gpt-4", 404), ("ubiops-deployment/other//x", 404), ("ubiops-deployment/model/v9/x", 404)):
        assert chat.complete("x", model=model).status == status
    assert chat.send("chat/completions", {"messages": []}).json()["error"] == "'model' is a required property"
    user = callers.service_user()
    chat.key = user.api_client.configuration.api_key["Authorization"].removeprefix("Token ")
    refused = chat.complete("x")
    assert refused.status == 403
    assert "deployments.versions.requests.create" in refused.json()["error"]
    chat.key = "wrong"
    assert chat.complete("x").status == 401


def test_models(chat: Chat, project: TestProject) -> None:
    project.create_version("v2", labels={"openai-compatible": "false", "openai-model-names": "hidden"})
    models = chat.send("models").json()
    assert models["object"] == "list"
    assert [model["id"] for model in models["data"]] == [
        "ubiops-deployment/model/v1/tiny/echo",
        "ubiops-deployment/model/v1/other",
    ]
