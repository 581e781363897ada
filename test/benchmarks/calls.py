"""Calls over a kept loopback connection, beside urllib3 with `json.loads`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import urllib3

import ubiops
from test.benchmarks.data import CREDENTIALS, DEPLOYMENT_PATH, REQUESTS_PATH
from test.benchmarks.measure import Figure, ratio, repeat

_ROUNDS = 61
_CALLS = 50


def figures(url: str) -> Iterator[Figure]:
    configuration = ubiops.Configuration(host=url, api_key=CREDENTIALS)
    with ubiops.ApiClient(configuration) as client, urllib3.PoolManager() as http:
        api = ubiops.CoreApi(client)
        headers = {**CREDENTIALS, "Accept": "application/json", "User-Agent": client.user_agent}

        def reference(path: str) -> Callable[[], Any]:
            return lambda: json.loads(http.request("GET", url + path, headers=headers).data)

        get = _relative(lambda: api.deployments_get("project", "deployment"), reference(DEPLOYMENT_PATH))
        yield Figure("GET of one deployment", get, 1.2, "x urllib3 and json.loads")
        listed = _relative(lambda: api.deployment_requests_list("project", "deployment"), reference(REQUESTS_PATH))
        yield Figure("GET of a list of 50 requests", listed, 1.5, "x urllib3 and json.loads")


def _relative(work: Callable[[], Any], reference: Callable[[], Any]) -> float:
    return ratio(repeat(work, _CALLS), repeat(reference, _CALLS), _ROUNDS)
