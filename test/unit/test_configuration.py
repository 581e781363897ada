"""What a Configuration holds, where it takes it from, and that it can be copied and pickled."""

from __future__ import annotations

import copy
import os
import pickle
import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import urllib3

import ubiops
from test.server import Answer, Server
from ubiops.exceptions import ApiValueError

DEFAULT_HOST = "https://api.ubiops.com/v2.1"


def test_the_defaults() -> None:
    configuration = ubiops.Configuration()
    assert configuration.host == DEFAULT_HOST
    assert (configuration.api_key, configuration.api_key_prefix) == ({}, {})
    assert configuration.verify_ssl is True
    assert configuration.client_side_validation is True
    assert configuration.debug is False
    assert configuration.connection_pool_maxsize == (os.cpu_count() or 1) * 5
    assert re.search(r"connection_pool_maxsize .*Default: CPU count \* 5\.", str(ubiops.Configuration.__doc__))
    assert configuration.safe_chars_for_path_param == ""
    assert configuration.logger_format == "%(asctime)s %(levelname)s %(message)s"
    for name in (
        "assert_hostname",
        "cert_file",
        "key_file",
        "logger_file",
        "logger_file_handler",
        "logger_stream_handler",
        "password",
        "proxy",
        "proxy_headers",
        "refresh_api_key_hook",
        "retries",
        "signing_info",
        "ssl_ca_cert",
        "temp_folder_path",
        "username",
    ):
        assert getattr(configuration, name) is None, name


def test_positional_arguments_keep_their_order() -> None:
    configuration = ubiops.Configuration("http://h/v2.1", {"a": "1"}, {"a": "P"}, "user", "pass", "signing")
    assert configuration.host == "http://h/v2.1"
    assert configuration.api_key == {"a": "1"}
    assert configuration.api_key_prefix == {"a": "P"}
    assert (configuration.username, configuration.password, configuration.signing_info) == ("user", "pass", "signing")


def test_the_environment_gives_the_host_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UBIOPS_API_HOST", "https://other.example/v2.1")
    assert ubiops.Configuration().host == "https://other.example/v2.1"
    assert ubiops.Configuration("https://mine.example/v2.1").host == "https://mine.example/v2.1"
    # Even where it reads as the default does.
    assert ubiops.Configuration(host=DEFAULT_HOST).host == DEFAULT_HOST
    monkeypatch.setenv("UBIOPS_API_HOST", "")
    assert ubiops.Configuration().host == DEFAULT_HOST


@pytest.mark.parametrize(("given", "sent"), [("abc", "Token abc"), ("Token abc", "Token abc"), (" abc\n", "Token abc")])
def test_the_environment_gives_the_token_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, server: Server, given: str, sent: str
) -> None:
    monkeypatch.setenv("UBIOPS_API_TOKEN", given)
    monkeypatch.setenv("UBIOPS_API_HOST", server.url)
    with ubiops.ApiClient() as client:
        ubiops.CoreApi(client).service_status()
        assert server.last.headers["Authorization"] == sent
        client.configuration.api_key["Authorization"] = "Token set"
        ubiops.CoreApi(client).service_status()
        assert server.last.headers["Authorization"] == "Token set"


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("api.example.com/v2.1", "https://api.example.com/v2.1"),
        ("localhost:8000/v2", "https://localhost:8000/v2"),
        ("http://api.example.com/v2.1/", "http://api.example.com/v2.1/"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost", "http://localhost"),
        (None, DEFAULT_HOST),
    ],
)
def test_a_host_without_a_scheme_gets_one(given: str | None, host: str) -> None:
    configuration = ubiops.Configuration(host=given)
    assert configuration.host == host
    configuration.host = given or DEFAULT_HOST
    assert configuration.host == host


def test_a_host_without_a_version_is_used_as_it_is_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"no version, unlike https://api.ubiops.com/v2.1") as caught:
        configuration = ubiops.Configuration("https://api.example.com")
    assert (configuration.host, caught[0].filename) == ("https://api.example.com", __file__)
    with pytest.warns(UserWarning, match="no version") as caught:
        configuration.host = "api.example.com/x"
    assert (configuration.host, caught[0].filename) == ("https://api.example.com/x", __file__)


@pytest.mark.parametrize(
    ("generation", "environment", "host"),
    [
        (None, "", DEFAULT_HOST),
        ("3.12", "", DEFAULT_HOST),
        ("4.14", "", DEFAULT_HOST),
        ("4.15", "", "https://api.ubiops.com/v2"),
        (None, "api.example.com", "https://api.example.com/v2.1"),
        (None, "https://api.example.com/", "https://api.example.com/v2.1"),
        ("4.15", "https://api.example.com", "https://api.example.com/v2"),
        ("4.15", "https://api.example.com/v2.1", "https://api.example.com/v2.1"),
    ],
)
def test_the_generation_chooses_the_version_of_the_default_host(
    monkeypatch: pytest.MonkeyPatch, generation: str | None, environment: str, host: str
) -> None:
    monkeypatch.setenv("UBIOPS_API_HOST", environment)
    configuration = ubiops.Configuration(generation=generation)
    assert (configuration.host, configuration.generation) == (host, generation)
    assert ubiops.Configuration("http://localhost/v2.1", generation="4.15").host == "http://localhost/v2.1"
    with pytest.raises(ApiValueError, match=r"'3\.12', '4\.14', '4\.15' or None, not '5'"):
        ubiops.Configuration(generation="5")


def test_in_a_deployment_its_own_api_is_called(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setenv("INT_API_URL", server.origin)
    monkeypatch.setenv("INT_API_TOKEN", "Token inside")
    with ubiops.ApiClient() as client:
        ubiops.CoreApi(client).service_status()
        assert (server.last.path, server.last.headers["Authorization"]) == ("/v2.1/status", "Token inside")
    own_key, own_host = ubiops.Configuration(), ubiops.Configuration("http://localhost/v2.1")
    own_key.api_key["Authorization"] = "Token mine"
    assert own_key.address() == DEFAULT_HOST
    assert (own_host.address(), own_host.auth_settings()) == ("http://localhost/v2.1", {})
    # A copy knows whether the program chose the host.
    for duplicate in (pickle.loads(pickle.dumps(ubiops.Configuration())), copy.deepcopy(ubiops.Configuration())):
        assert duplicate.address() == f"{server.origin}/v2.1"
    chosen = ubiops.Configuration(DEFAULT_HOST)
    for duplicate in (pickle.loads(pickle.dumps(chosen)), copy.deepcopy(chosen)):
        assert duplicate.address() == DEFAULT_HOST
    monkeypatch.setenv("UBIOPS_API_TOKEN", "mine")
    assert ubiops.Configuration().address() == DEFAULT_HOST
    assert ubiops.Configuration().get_api_key_with_prefix("Authorization") == "Token mine"


def test_a_setting_that_is_misspelled_warns() -> None:
    configuration = ubiops.Configuration()
    with pytest.warns(UserWarning, match="no setting `verify_sll`.*did you mean `verify_ssl`") as caught:
        configuration.verify_sll = False
    assert caught[0].filename == __file__
    # Others may be set, and so may this one again.
    configuration.verify_sll = True
    configuration.team = "mine"
    assert copy.deepcopy(configuration).team == "mine"  # type: ignore[attr-defined]


def test_a_rate_limit_is_not_waited_for_where_the_program_says_so(server: Server) -> None:
    configuration = ubiops.Configuration(server.url)
    assert configuration.auto_retry_rate_limiting is True
    configuration.auto_retry_rate_limiting = False
    server.default = Answer(429)
    with ubiops.ApiClient(configuration) as client, pytest.raises(ubiops.TooManyRequestsError):
        ubiops.CoreApi(client).service_status()
    assert len(server.requests) == 1


def test_a_double_has_all_settings() -> None:
    for double in (mock.Mock(spec=ubiops.Configuration), mock.create_autospec(ubiops.Configuration, instance=True)):
        for name in vars(ubiops.Configuration()):
            assert name.startswith("_") or hasattr(double, name), name
    assert "Python SDK Debug Report" in ubiops.Configuration.to_debug_report()


def test_without_a_token_none_is_sent(server: Server) -> None:
    with ubiops.ApiClient(ubiops.Configuration(server.url)) as client:
        ubiops.CoreApi(client).service_status()
    assert "Authorization" not in server.last.headers


@pytest.mark.parametrize("key", ["", "  ", "Token", "Token ", b""])
def test_an_empty_token_is_refused(server: Server, key: Any) -> None:
    configuration = ubiops.Configuration(server.url, {"Authorization": key})
    with ubiops.ApiClient(configuration) as client, pytest.raises(ApiValueError, match=r"Authorization.*is empty"):
        ubiops.CoreApi(client).service_status()
    assert server.requests == []


def test_an_empty_token_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setenv("UBIOPS_API_TOKEN", " ")
    configuration = ubiops.Configuration(server.url)
    with ubiops.ApiClient(configuration) as client, pytest.raises(ApiValueError, match="UBIOPS_API_TOKEN is empty"):
        ubiops.CoreApi(client).service_status()
    assert server.requests == []


def test_keys_that_are_no_text_are_refused_without_showing_them(server: Server) -> None:
    with pytest.raises(ApiValueError, match="api_key must be a dict") as caught:
        ubiops.Configuration(api_key="Token secret")  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)
    configuration = ubiops.Configuration(server.url, {"Authorization": ["secret"]})  # type: ignore[dict-item]
    with pytest.raises(ApiValueError, match="must be str, not list") as caught:
        configuration.auth_settings()
    assert "secret" not in str(caught.value)


def test_a_prefix_is_set_before_the_key_once() -> None:
    configuration = ubiops.Configuration(api_key={"Authorization": "abc"}, api_key_prefix={"Authorization": "Token"})
    assert configuration.get_api_key_with_prefix("Authorization") == "Token abc"
    configuration.api_key["Authorization"] = "Token abc"
    assert configuration.get_api_key_with_prefix("Authorization") == "Token abc"
    # A key of one word gets the scheme's.
    assert ubiops.Configuration(api_key={"Authorization": "abc"}).auth_settings()["api_key"]["value"] == "Token abc"
    assert ubiops.Configuration(api_key={"other": "abc"}).get_api_key_with_prefix("other") == "abc"
    assert configuration.get_api_key_with_prefix("other") is None


def test_the_hook_may_refresh_the_key_before_each_call(server: Server) -> None:
    def refresh(configuration: ubiops.Configuration) -> None:
        configuration.api_key["Authorization"] = f"Token {len(server.requests)}"

    configuration = ubiops.Configuration(server.url)
    configuration.refresh_api_key_hook = refresh
    with ubiops.ApiClient(configuration) as client:
        for _ in range(3):
            ubiops.CoreApi(client).service_status()
    assert [request.headers["Authorization"] for request in server.requests] == ["Token 0", "Token 1", "Token 2"]


def test_auth_settings() -> None:
    assert ubiops.Configuration().auth_settings() == {}
    assert ubiops.Configuration(api_key={"Authorization": "Token t"}).auth_settings() == {
        "api_key": {"type": "api_key", "in": "header", "key": "Authorization", "value": "Token t"}
    }


def test_basic_authentication() -> None:
    configuration = ubiops.Configuration(username="Aladdin", password="open sesame")
    assert configuration.get_basic_auth_token() == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert ubiops.Configuration().get_basic_auth_token() == "Basic Og=="


def test_the_callers_dicts_are_copied() -> None:
    key, prefix = {"Authorization": "abc"}, {"Authorization": "Token"}
    configuration = ubiops.Configuration(api_key=key, api_key_prefix=prefix)
    configuration.api_key["Authorization"] = "other"
    configuration.api_key_prefix.clear()
    assert (key, prefix) == ({"Authorization": "abc"}, {"Authorization": "Token"})


def test_host_settings() -> None:
    configuration = ubiops.Configuration("http://elsewhere/v2.1")
    assert configuration.get_host_settings() == [{"url": DEFAULT_HOST, "description": "No description provided"}]
    assert configuration.get_host_from_settings(0) == DEFAULT_HOST
    for index in (1, -1):
        with pytest.raises(ValueError, match=f"Invalid index {index}"):
            configuration.get_host_from_settings(index)


def test_the_debug_report_names_the_versions_and_no_secret() -> None:
    report = ubiops.Configuration(api_key={"Authorization": "Token secret"}).to_debug_report()
    assert f"SDK Package Version: {ubiops.__version__}" in report
    assert "Version of the API: v2.1" in report
    assert "secret" not in report


def test_it_can_be_pickled_and_copied(tmp_path: Path) -> None:
    configuration = ubiops.Configuration("http://h/v2.1", {"Authorization": "Token t"}, username="u", password="p")
    configuration.retries = urllib3.Retry(3)
    configuration.proxy = "http://proxy:1"
    configuration.logger_file = str(tmp_path / "log")
    try:
        for duplicate in (
            pickle.loads(pickle.dumps(configuration)),
            copy.deepcopy(configuration),
            copy.copy(configuration),
        ):
            for name in ("host", "api_key", "username", "password", "proxy", "logger_file", "logger_format"):
                assert getattr(duplicate, name) == getattr(configuration, name)
            assert duplicate.retries.total == 3
        assert copy.deepcopy(configuration).api_key is not configuration.api_key
        assert pickle.loads(pickle.dumps(configuration)).api_key is not configuration.api_key
    finally:
        configuration.logger_file = None


def test_a_hook_and_other_attributes_come_along_in_a_copy() -> None:
    configuration = ubiops.Configuration()
    configuration.refresh_api_key_hook = lambda configuration: None
    configuration.of_the_program = [1]
    duplicate = copy.deepcopy(configuration)
    assert duplicate.refresh_api_key_hook is configuration.refresh_api_key_hook
    assert duplicate.of_the_program == [1]  # type: ignore[attr-defined]
    assert duplicate.of_the_program is not configuration.of_the_program  # type: ignore[attr-defined]
