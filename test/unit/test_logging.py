"""Logging is the program's: what the client sets, what it leaves alone, and what it says."""

from __future__ import annotations

import copy
import http.client
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

import ubiops
import ubiops.models
from test.server import Answer, Server
from ubiops.exceptions import ApiException

LOGGERS = ("ubiops", "urllib3")


@pytest.fixture(autouse=True)
def _fresh_loggers() -> None:
    """As in a program that has just started, whatever ran before; `conftest` sets the levels back."""
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)


def levels() -> list[int]:
    return [logging.getLogger(name).level for name in LOGGERS]


def test_where_the_program_set_no_level_it_is_warning() -> None:
    configuration = ubiops.Configuration()
    assert levels() == [logging.WARNING, logging.WARNING]
    assert configuration.logger == {
        "package_logger": logging.getLogger("ubiops"),
        "urllib3_logger": logging.getLogger("urllib3"),
    }


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.ERROR])
def test_a_level_that_the_program_set_stays(level: int) -> None:
    for name in LOGGERS:
        logging.getLogger(name).setLevel(level)
    ubiops.Configuration()
    assert levels() == [level, level]


def test_nothing_else_is_changed(server: Server) -> None:
    def settings() -> list[Any]:
        handlers = [list(logging.getLogger(name).handlers) for name in (None, *LOGGERS)]
        return [handlers, logging.getLogger().level, http.client.HTTPConnection.debuglevel, logging.raiseExceptions]

    before = settings()
    configuration = ubiops.Configuration(server.url)
    configuration.debug = True
    with ubiops.ApiClient(configuration) as client:
        ubiops.CoreApi(client).service_status()
    configuration.debug = False
    assert settings() == before


def test_a_model_touches_nothing() -> None:
    ubiops.models.Status(status="ok")
    assert levels() == [logging.NOTSET, logging.NOTSET]


def test_a_root_logger_at_debug_stays_quiet(caplog: pytest.LogCaptureFixture, server: Server) -> None:
    caplog.set_level(logging.DEBUG)
    with ubiops.ApiClient(ubiops.Configuration(server.url)) as client:
        ubiops.CoreApi(client).service_status()
    assert [record for record in caplog.records if record.name.startswith(LOGGERS)] == []


def test_debug_turns_the_clients_own_lines_on(caplog: pytest.LogCaptureFixture, server: Server) -> None:
    configuration = ubiops.Configuration(server.url)
    configuration.debug = True
    assert configuration.debug is True
    assert levels() == [logging.DEBUG, logging.WARNING]
    with ubiops.ApiClient(configuration) as client:
        ubiops.CoreApi(client).deployments_get("p", "d")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith(LOGGERS)]
    assert lines == ["GET /projects/p/deployments/d: 200"]


@pytest.mark.parametrize("level", [logging.NOTSET, logging.INFO])
def test_debug_turned_off_gives_back_the_level_that_was(level: int) -> None:
    logging.getLogger("ubiops").setLevel(level)
    configuration = ubiops.Configuration()
    configuration.debug = False
    configuration.debug = True
    configuration.debug = True
    configuration.debug = False
    assert logging.getLogger("ubiops").level == (level or logging.WARNING)


def test_debug_lines_show_no_credential(
    caplog: pytest.LogCaptureFixture, server: Server, tmp_path: Path, waits: Any
) -> None:
    caplog.set_level(logging.DEBUG, "ubiops")
    configuration = ubiops.Configuration(server.url, {"Authorization": "Token secret-token"})
    configuration.debug = True
    configuration.logger_file = str(tmp_path / "log")

    def echo(request: Any) -> Answer:
        return Answer(503, str(request.headers).encode(), {"X-Echo": request.headers["Authorization"]})

    garbage = b"HTTP/1.1 Token secret-token\r\n\r\n"
    server.answers = [echo, garbage, echo, echo, None, Answer.json({})]
    try:
        with ubiops.ApiClient(configuration, cookie="session=secret-cookie") as client:
            with pytest.raises(ApiException):
                ubiops.CoreApi(client).service_status()
            client.rest_client.GET(f"{server.url}/file?signature=secret-signature")
    finally:
        configuration.logger_file = None
    written = (tmp_path / "log").read_text() + caplog.text
    assert "503, again in" in written
    assert "/file?***" in written
    assert "secret-" not in written


def test_a_file_gets_the_lines_in_the_format(tmp_path: Path, server: Server) -> None:
    configuration = ubiops.Configuration(server.url)
    configuration.logger_file = str(tmp_path / "log")
    configuration.logger_format = "[%(levelname)s] %(message)s"
    configuration.debug = True
    handler = configuration.logger_file_handler
    assert all(handler in logging.getLogger(name).handlers for name in LOGGERS)
    with ubiops.ApiClient(configuration) as client:
        ubiops.CoreApi(client).service_status()
        configuration.logger_file = None
        ubiops.CoreApi(client).service_status()
    assert configuration.logger_file_handler is None
    assert (tmp_path / "log").read_text() == "[DEBUG] GET /status: 200\n"


def test_another_file_takes_the_place_of_the_first(tmp_path: Path) -> None:
    configuration = ubiops.Configuration()
    for name in ("one", "two"):
        configuration.logger_file = str(tmp_path / name)
        logging.getLogger("ubiops").warning(name)
    configuration.logger_file = None
    assert "two" not in (tmp_path / "one").read_text()
    assert (tmp_path / "two").read_text().endswith("WARNING two\n")


def test_copies_do_not_write_a_line_twice(tmp_path: Path) -> None:
    configuration = ubiops.Configuration()
    configuration.logger_file = str(tmp_path / "log")
    copies = [copy.deepcopy(configuration), pickle.loads(pickle.dumps(configuration))]
    logging.getLogger("ubiops").warning("once")
    configuration.logger_file = None
    assert (tmp_path / "log").read_text().count("once") == len(copies) - 1


def test_in_another_process_a_pickled_configuration_logs_on(tmp_path: Path) -> None:
    configuration = ubiops.Configuration()
    configuration.logger_file = str(tmp_path / "log")
    configuration.debug = True
    pickled = pickle.dumps(configuration)
    configuration.debug = False
    configuration.logger_file = None
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)
    there = pickle.loads(pickled)
    assert levels() == [logging.DEBUG, logging.WARNING]
    logging.getLogger("ubiops").debug("there")
    there.logger_file = None
    assert (tmp_path / "log").read_text().endswith("DEBUG there\n")
