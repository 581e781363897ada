"""Environment variables: set many at once, and only what has changed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ubiops import models
from ubiops.exceptions import ApiException
from ubiops.model import Model
from ubiops.package_format import VARIABLE_NAME
from ubiops.utils.answers import check_answer, check_list
from ubiops.utils.arguments import (
    Client,
    core_api,
    helper,
    invalid,
    wrong_type,
)
from ubiops.utils.exceptions import UpsertFailed

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi

__all__ = ["Wanted", "read_variables", "set_variables", "upsert_environment_variables"]

_FUNCTION = "upsert_environment_variables"
_NAME, _FORM = VARIABLE_NAME
_LONGEST_NAME = 64


@helper
def upsert_environment_variables(
    client: Client,
    project_name: str,
    variables: Mapping[str, str] | Iterable[models.EnvironmentVariableCreate | Mapping[str, Any]],
    deployment_name: str | None = None,
    version: str | None = None,
) -> list[models.EnvironmentVariableList]:
    """Create environment variables that don't exist, and update those that differ; all others stay.

    Every change restarts the versions that see the variable, so variables with the right value are left alone. The
    values of secret variables can't be read back, so those are always sent.

    Args:
        client: The client to use.
        project_name: Name of the project.
        variables: Values by name, or dicts or models with ``name``, ``value`` and optionally ``secret``. Names have 1
            to 64 letters, digits and underscores. Without ``secret``, an existing variable stays as secret as it is,
            and a new one isn't secret.
        deployment_name: Name of the deployment to set them on; None for the project.
        version: Name of the version of the deployment to set them on; None for the deployment.

    Returns:
        The variables that were given, in that order, as they are now; the value of a secret one is None.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong, or a secret variable was to become public, which the API
            doesn't do; nothing was changed.
        UpsertFailed: The API refused to set a variable: ``name`` says which, ``done`` lists those set before it. Call
            it again to continue.
        ApiException: The existing variables couldn't be read; nothing was changed.

    GET, POST and PATCH of the environment variables of a project, a deployment or a version
    """
    if version is not None and deployment_name is None:
        raise invalid("version", _FUNCTION, "must come with `deployment_name`")
    wanted = read_variables("variables", _FUNCTION, variables)
    if not wanted:
        return []
    api = core_api(client, _FUNCTION)
    return set_variables("variables", _FUNCTION, api, wanted, project_name, deployment_name, version)


def set_variables(
    argument: str,
    function: str,
    api: CoreApi,
    wanted: Sequence[Wanted],
    project_name: str,
    deployment_name: str | None,
    version: str | None,
) -> list[models.EnvironmentVariableList]:
    """Set variables as `upsert_environment_variables` does; errors name an argument and a function of the caller's."""
    level = _Level(api, project_name, deployment_name, version)
    existing = level.read()
    for variable in wanted:
        found = existing.get(variable.name)
        if found is not None and found.secret and variable.secret is False:
            problem = "is secret, which can't be changed: delete the variable first, then create it again"
            raise invalid(f"{argument}['{variable.name}']", function, problem)
    done: list[models.EnvironmentVariableList] = []
    for variable in wanted:
        try:
            done.append(level.write(variable, existing.get(variable.name)))
        except ApiException as error:
            raise UpsertFailed(variable.name, done, error) from error
    return done


class Wanted(NamedTuple):
    """A variable to set; if `secret` is None, an existing variable keeps its secrecy, and a new one isn't secret."""

    name: str
    value: str
    secret: bool | None


def read_variables(argument: str, function: str, variables: Any) -> list[Wanted]:
    """Check variables as `upsert_environment_variables` takes them.

    Raises:
        ApiValueError, ApiTypeError: They aren't variables.
    """
    if isinstance(variables, Mapping):
        wanted = [_check(f"{argument}[{name!r}]", function, name, value, None) for name, value in variables.items()]
    elif isinstance(variables, Iterable) and not isinstance(variables, (str, bytes, Model)):
        wanted = [_read_item(f"{argument}[{index}]", function, item) for index, item in enumerate(variables)]
    else:
        raise wrong_type(argument, function, "dict or list", variables)
    for name, number in Counter(variable.name for variable in wanted).items():
        if number > 1:
            raise invalid(argument, function, f"`{name}` occurs {number} times")
    return wanted


def _read_item(place: str, function: str, item: Any) -> Wanted:
    if not isinstance(item, (Mapping, Model)):
        raise wrong_type(place, function, "dict or EnvironmentVariableCreate", item)
    given = item.given() if isinstance(item, Model) else item
    return _check(place, function, given.get("name"), given.get("value"), given.get("secret"))


def _check(place: str, function: str, name: Any, value: Any, secret: Any) -> Wanted:
    if not isinstance(name, str):
        raise wrong_type(f"{place}.name", function, "str", name)
    if not re.fullmatch(_NAME, name) or len(name) > _LONGEST_NAME:
        raise invalid(place, function, f"its name must have 1 to {_LONGEST_NAME} {_FORM}, not {name!r}")
    if not isinstance(value, str):
        raise wrong_type(f"{place}.value", function, "str", value)
    if not isinstance(secret, (bool, type(None))):
        raise wrong_type(f"{place}.secret", function, "bool", secret)
    return Wanted(name, value, secret)


class _Level:
    """The level that variables are set on: a project, a deployment or a version."""

    def __init__(self, api: CoreApi, project_name: str, deployment_name: str | None, version: str | None) -> None:
        kind = "project" if deployment_name is None else "deployment" if version is None else "deployment_version"
        place = {"project_name": project_name, "deployment_name": deployment_name, "version": version}
        self._place = {argument: name for argument, name in place.items() if name is not None}
        self._list, self._create, self._update = (
            getattr(api, f"{kind}_environment_variables_{action}") for action in ("list", "create", "update")
        )

    def read(self) -> dict[str, models.EnvironmentVariableList | models.InheritedEnvironmentVariableList]:
        """The variables set on the level itself, by name."""
        found = check_list(self._list.__name__, self._list(**self._place), "id", "name", "value", "secret", text="name")
        return {variable.name: variable for variable in found if getattr(variable, "inheritance_type", None) is None}

    def write(
        self, wanted: Wanted, found: models.EnvironmentVariableList | models.InheritedEnvironmentVariableList | None
    ) -> models.EnvironmentVariableList:
        """Create or update a variable."""
        secret = wanted.secret if wanted.secret is not None else found is not None and found.secret
        data = {"name": wanted.name, "value": wanted.value, "secret": secret}
        written: models.EnvironmentVariableList
        if found is None:
            written = check_answer("the creation of a variable", self._create(**self._place, data=data), "name")
        elif secret or found.value != wanted.value:
            answer = self._update(**self._place, id=found.id, data=data)
            written = check_answer("the update of a variable", answer, "name")
        else:
            written = models.EnvironmentVariableList(found.id, found.name, found.value, found.secret)
        return written
