"""Models and lists of models as notebooks show them: tables, and no credentials."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable
from pprint import pformat
from typing import Any
from xml.etree import ElementTree

import pytest
from IPython.core.formatters import DisplayFormatter

import ubiops
from test.each import each
from test.server import Answer, Server
from test.unit.schemas import filled, properties, schemas
from ubiops import models
from ubiops.display.html import list_table
from ubiops.model import Model
from ubiops.utils import to_table

SECRET = "k3y-of-everything"

# Every field of the API that is a credential, and what else makes it one.
CREDENTIALS: list[tuple[str, dict[str, Any]]] = [
    ("BucketCreate", {"credentials": {"access_key": SECRET}}),
    ("BucketList", {"credentials": {"access_key": SECRET}}),
    ("BucketUpdate", {"credentials": {"access_key": SECRET}}),
    ("EnvironmentVariableCreate", {"value": SECRET, "secret": True}),
    ("EnvironmentVariableList", {"value": SECRET, "secret": True}),
    ("InheritedEnvironmentVariableList", {"value": SECRET, "secret": True}),
    ("ServiceUserTokenDetail", {"token": SECRET}),
    ("ServiceUserTokenList", {"token": SECRET}),
    ("UserPendingCreate", {"password": SECRET}),
    ("FileUploadResponse", {"url": f"https://files.example.com/a.csv?signature={SECRET}"}),
    ("WebhookCreate", {"url": f"https://hooks.example.com/a?key={SECRET}"}),
    ("WebhookDetail", {"url": f"https://hooks.example.com/a?key={SECRET}"}),
    ("WebhookTestCreate", {"url": f"https://hooks.example.com/a?key={SECRET}"}),
    ("WebhookUpdate", {"url": f"https://hooks.example.com/a?key={SECRET}"}),
    ("ImportDetail", {"environment_variables": {"KEY": {"value": SECRET, "secret": True}}}),
    ("ImportUpdate", {"deployments": {"d": {"environment_variables": {"KEY": {"value": SECRET, "secret": True}}}}}),
]
HARMLESS = {"authentication_method_token_enabled", "continuation_token", "secret", "token_last_used"}


def read(name: str, /, **fields: Any) -> Any:
    """A model as the server sends it."""
    return getattr(models, name).from_wire(fields)


def rows(html: str) -> list[list[str]]:
    """The texts of the rows of the outermost table, without those of tables in it; the HTML must be well-formed."""
    [table] = ElementTree.fromstring(f"<output>{html}</output>").findall("div/table")
    return [[text_of(cell) for cell in row] for row in table.findall("tbody/tr")]


def text_of(cell: ElementTree.Element) -> str:
    return "" if cell.find(".//table") is not None else "".join(cell.itertext())


def fields_of(html: str) -> dict[str, str]:
    return {name: value for name, value in rows(html)}


def caption(html: str) -> str | None:
    return ElementTree.fromstring(f"<output>{html}</output>").findtext("div/table/caption")


def shown(value: Any) -> dict[str, str]:
    """All that a notebook keeps of a value that it shows, by type of content."""
    formatter: Any = DisplayFormatter()
    formats: dict[str, str] = formatter.format(value, include={"text/plain", "text/html"})[0]
    return formats


# One model


@each("name", sorted(schemas()))
def test_every_model_shows_its_fields_in_the_order_and_by_the_names_of_the_api(name: str) -> None:
    html = getattr(models, name).from_wire(filled(name))._repr_html_()
    assert [row[0] for row in rows(html)] == list(properties(name))
    assert caption(html) == name


def test_values_are_shown_as_one_reads_them() -> None:
    request = read(
        "DeploymentRequestSingleDetail",
        id="r1",
        success=True,
        time_created="2022-11-13T12:00:05+00:00",
        time_started="2022-11-13T14:00:05.123456+02:00",
        time_completed="2022-11-13T12:00:05",
        request_data={"x": 1, "name": "a", "missing": None},
        retries=0,
        result=[1.5, True],
        error_message="first line\nsecond line",
    )
    fields = fields_of(request._repr_html_())
    assert fields["id"] == "r1"
    assert fields["success"] == "True"
    assert fields["time_created"] == "2022-11-13 12:00:05 UTC"
    assert fields["time_started"] == "2022-11-13 14:00:05.123 UTC+02:00"
    assert fields["time_completed"] == "2022-11-13 12:00:05"
    assert fields["request_data"] == "{x: 1, name: 'a', missing: None}"
    assert fields["result"] == "[1.5, True]"
    assert fields["retries"] == "0"
    assert fields["error_message"] == "first line\nsecond line"
    assert fields["version"] == "None"


def test_nothing_that_a_server_sends_is_taken_for_html() -> None:
    attack = "<script>alert('&amp;')</script>"
    deployment = read(
        "DeploymentDetail",
        name=attack,
        labels={attack: attack},
        input_fields=[{"name": attack, attack: 1}],
        **{attack: attack},
    )
    html = deployment._repr_html_()
    assert "<script" not in html
    assert fields_of(html)["name"] == attack
    assert fields_of(html)[attack] == attack
    assert fields_of(html)["labels"] == f"{{{attack}: {attack!r}}}"
    assert "<script" not in list_table([deployment])


def test_nested_models_are_a_table_in_the_table() -> None:
    fields = [{"name": "x", "data_type": "double"}, {"name": "y", "data_type": "int"}]
    html = read("DeploymentDetail", name="d", input_fields=fields)._repr_html_()
    [nested] = ElementTree.fromstring(f"<output>{html}</output>").findall("div/table//table")
    texts = [["".join(cell.itertext()) for cell in row] for row in nested.findall("tbody/tr")]
    assert texts == [["", "name", "data_type", "widget"], ["0", "x", "double", "None"], ["1", "y", "int", "None"]]


def test_what_is_long_or_deep_is_shortened() -> None:
    deep: Any = "bottom"
    for _ in range(100):
        deep = {"deeper": deep}
    request = read(
        "DeploymentRequestSingleDetail",
        error_message="x" * 100_000,
        request_data=list(range(100_000)),
        result=deep,
        created_by={str(number): "y" * 1000 for number in range(100_000)},
    )
    fields = fields_of(request._repr_html_())
    assert re.fullmatch("x+…", fields["error_message"])
    assert fields["request_data"] == "[0, 1, 2, 3, 4, 5, 6, 7, … 99,992 more]"
    assert fields["result"].endswith("{…}" + "}" * fields["result"].count("deeper"))
    assert all(len(text) <= 400 for text in fields.values())


def test_what_the_client_does_not_know_is_shown_too() -> None:
    fields = fields_of(read("Status", status="ok", since="2022", api_token=SECRET)._repr_html_())
    assert (fields["status"], fields["since"], fields["api_token"]) == ("ok", "2022", "***")


# Lists


@pytest.fixture
def list_requests(server: Server, client: ubiops.ApiClient) -> Callable[[int], Any]:
    """Lists so many requests, ``r0`` and so on."""

    def list_requests(number: int) -> Any:
        server.answers.append(Answer.json([{"id": f"r{index}", "success": index % 2 == 0} for index in range(number)]))
        return ubiops.CoreApi(client).deployment_requests_list("p", "d")

    return list_requests


def test_a_list_is_a_table_with_a_row_for_each(list_requests: Callable[[int], Any]) -> None:
    html = list_table(list_requests(3))
    header, *body = rows(html)
    assert header[:2] == ["", "id"]
    assert header[1:] == list(properties("DeploymentRequestList"))
    success = header.index("success")
    assert [(row[0], row[1], row[success]) for row in body] == [
        ("0", "r0", "True"),
        ("1", "r1", "False"),
        ("2", "r2", "True"),
    ]
    assert caption(html) == "DeploymentRequestList (3)"


def test_of_a_long_list_the_beginning_and_the_end_are_shown(list_requests: Callable[[int], Any]) -> None:
    html = list_table(list_requests(10_000))
    body = rows(html)[1:]
    assert [row[0] for row in body] == [*map(str, range(10)), "⋮", *map(str, range(9_990, 10_000))]
    assert body[10][1] == "9,980 more"
    assert caption(html) == "DeploymentRequestList (10,000)"


def test_lists_in_models_are_shown_too() -> None:
    deployment = read("DeploymentDetail", input_fields=[{"name": "x", "data_type": "double"}])
    assert caption(list_table(deployment.input_fields)) == "InputOutputFieldDetail (1)"
    assert caption(list_table(read("DeploymentDetail", input_fields=[{}, None]).input_fields)) == "Items (2)"


class Shell:
    """As much of IPython's shell as an extension of the display needs."""

    def __init__(self) -> None:
        self.display_formatter: Any = DisplayFormatter()

    def shown(self, value: Any) -> dict[str, str]:
        formats: dict[str, str] = self.display_formatter.format(value, include={"text/plain", "text/html"})[0]
        return formats


def test_the_extension_shows_lists_of_models_as_tables(list_requests: Callable[[int], Any]) -> None:
    shell: Any = Shell()
    answer = list_requests(3)
    assert set(shell.shown(answer)) == {"text/plain"}
    ubiops.load_ipython_extension(shell)
    assert shell.shown(answer)["text/html"] == list_table(answer)
    assert shell.shown(answer[:2])["text/html"] == list_table(answer[:2])
    for other in ([], [1], ["a"], [{"id": "r0"}]):
        assert set(shell.shown(other)) == {"text/plain"}
    ubiops.unload_ipython_extension(shell)
    assert set(shell.shown(answer)) == {"text/plain"}
    ubiops.unload_ipython_extension(shell)


def test_ipython_finds_the_extension_in_the_package() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    try:
        assert shell.extension_manager.load_extension("ubiops") is None  # type: ignore[union-attr]
        formats = shell.display_formatter.format([models.Status(status="ok")])[0]  # type: ignore[union-attr]
        assert caption(formats["text/html"]) == "Status (1)"
    finally:
        shell.extension_manager.unload_extension("ubiops")  # type: ignore[union-attr]
        shell.history_manager.end_session()  # type: ignore[union-attr]
        InteractiveShell.clear_instance()


def test_a_table_of_a_list_can_be_asked_for(list_requests: Callable[[int], Any]) -> None:
    requests = list_requests(3)
    made = to_table(request for request in requests)
    assert made._repr_html_() == list_table(requests)
    secret = to_table([read("ServiceUserTokenDetail", token=SECRET), {"token": SECRET}])
    assert SECRET not in str(shown(secret))
    with pytest.raises(ubiops.ApiTypeError, match=r"`items\[1\]` when calling `to_table`, expected a model or a dict"):
        to_table([{}, 5])  # type: ignore[list-item]


def test_the_answer_is_a_list(list_requests: Callable[[int], Any]) -> None:
    # Programs serialize by `type(x) is list`, and else by `vars(x)`.
    answer = list_requests(3)
    assert type(answer) is list
    assert json.loads(json.dumps(answer, default=vars_of))[2]["_id"] == "r2"
    assert type(read("DeploymentDetail", input_fields=[{"name": "x"}]).input_fields) is list


def vars_of(value: Any) -> Any:
    return {key: item for key, item in vars(value).items() if key != "local_vars_configuration"}


# Credentials


@pytest.mark.parametrize(("name", "fields"), CREDENTIALS, ids=[name for name, _ in CREDENTIALS])
def test_no_credential_is_shown_or_kept_in_a_notebook(name: str, fields: dict[str, Any]) -> None:
    model = read(name, **fields)
    for value in (model, [model], {"nested": model}):
        formats = shown(value)
        assert "***" in formats["text/plain"]
        assert SECRET not in str(formats)
    assert "***" in model._repr_html_()
    assert "***" in list_table([model])


@pytest.mark.parametrize(("name", "fields"), CREDENTIALS, ids=[name for name, _ in CREDENTIALS])
def test_a_repr_holds_no_credential(name: str, fields: dict[str, Any]) -> None:
    # Test and crash reports render the repr of every local.
    model = read(name, **fields)
    for text in (repr(model), repr([model]), f"{model!r}", pformat([model]), reprlib.repr([model]), f"{[model]}"):
        assert SECRET not in text
    assert "***" in repr(model)


@pytest.mark.parametrize(("name", "fields"), CREDENTIALS, ids=[name for name, _ in CREDENTIALS])
def test_programs_get_the_credentials_as_ever(name: str, fields: dict[str, Any]) -> None:
    model = read(name, **fields)
    texts = (str(model), f"{model}", model.to_str(), model.to_json(), str(model.to_dict()), str(vars(model)))
    assert all(SECRET in text for text in texts)


def test_every_field_of_the_api_that_sounds_like_a_credential_is_known_to_be_one_or_not() -> None:
    suspect = re.compile("token|password|secret|credential|private|api_?key|^url$")
    found = {(name, field) for name in schemas() for field in properties(name) if suspect.search(field)}
    known = {(name, field) for name, fields in CREDENTIALS for field in fields}
    assert {(name, field) for name, field in found if field not in HARMLESS} <= known


def test_what_is_no_secret_is_shown() -> None:
    variable = read("EnvironmentVariableList", name="MODE", value="fast", secret=False)
    assert fields_of(variable._repr_html_())["value"] == "fast"
    hidden = read("EnvironmentVariableList", name="KEY", value=None, secret=True)
    assert fields_of(hidden._repr_html_())["value"] == "None"
    upload = read("FileUploadResponse", url=f"https://files.example.com/a.csv?signature={SECRET}", provider="ubiops")
    assert fields_of(upload._repr_html_())["url"] == "https://files.example.com/a.csv?***"


def test_what_users_call_their_own_data_is_theirs() -> None:
    request = read("DeploymentRequestSingleDetail", request_data={"token": "the"}, result={"password": "weak"})
    fields = fields_of(request._repr_html_())
    assert (fields["request_data"], fields["result"]) == ("{token: 'the'}", "{password: 'weak'}")


def test_the_text_beside_the_table_is_what_print_gives() -> None:
    model = read("PipelineVersionDetail", **filled("PipelineVersionDetail"))
    assert shown(model)["text/plain"] == repr(model)
    assert len(repr(model).splitlines()) > 1


def test_a_model_of_a_program_s_own_is_shown_too() -> None:
    class Labelled(models.Status):
        """A subclass."""

    html = Labelled(status="ok")._repr_html_()
    assert (caption(html), fields_of(html)["status"]) == ("Labelled", "ok")
    assert fields_of(Model()._repr_html_()) == {}
