"""`Training`: experiments and their runs."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, TypeVar

import ubiops
from ubiops import models
from ubiops.api.core_api import CoreApi
from ubiops.exceptions import ApiException, ApiTypeError, NotFoundError
from ubiops.frames import one_frame
from ubiops.model import Model
from ubiops.schema import Invalid
from ubiops.training.constants import (
    DEFAULT_TRAINING_BUCKET_NAME,
    DEFAULT_TRAINING_DEPLOYMENT_NAME,
    TEMPLATE_DEPLOYMENT_NAME,
)
from ubiops.training.experiment_create import ExperimentCreate
from ubiops.training.experiment_detail import ExperimentDetail
from ubiops.training.experiment_list import ExperimentList
from ubiops.training.experiment_run_create import ExperimentRunCreate
from ubiops.training.experiment_run_create_response import ExperimentRunCreateResponse
from ubiops.training.experiment_run_detail import ExperimentRunDetail
from ubiops.training.experiment_run_list import ExperimentRunList
from ubiops.training.experiment_run_update import ExperimentRunUpdate
from ubiops.training.experiment_update import ExperimentUpdate
from ubiops.utils.answers import check_answer
from ubiops.utils.arguments import check_texts, core_api, invalid, wrong_type
from ubiops.utils.exceptions import unexpected_answer

__all__ = ["Training"]

M = TypeVar("M", bound=Model)
F = TypeVar("F", bound=Callable[..., Any])

_DEFAULT_BUCKET = "default"
_WORDS = {"version": "experiment", "request": "run"}
# Not if it is part of a name.
_WORD = re.compile(r"(?<!['\"\w.-])(?:deployment )?(version|request)(?!['\"\w-])", re.IGNORECASE)


def _ours(word: re.Match[str]) -> str:
    ours = _WORDS[word[1].lower()]
    return ours.capitalize() if word[0][0].isupper() else ours


def _wrapped(method: F) -> F:
    """Make the API's errors say experiment and run, and make errors of arguments name the method."""

    @wraps(method)
    def call(self: Training, *args: Any, **kwargs: Any) -> Any:
        check_texts(method, (self, *args), kwargs)
        try:
            return method(self, *args, **kwargs)
        except ApiException as error:
            raise self.wrap_exception(error) from error.__cause__

    return one_frame(call)  # type: ignore[return-value]


class Training:
    """Experiments and their runs, in a project that `initialize` has prepared.

    An experiment is a version of the deployment ``training-base-deployment``, with the code of the service's template
    of that name; a run is a batch request to it. All methods take the options of `CoreApi`'s methods as keywords,
    except ``async_req``.

    Args:
        api_client (ApiClient | None): The client; by default a new one with the default configuration.
    """

    def __init__(self, api_client: ubiops.ApiClient | None = None) -> None:
        if api_client is not None:
            core_api(api_client, "Training", "api_client")
        self.core_api: Any = CoreApi(api_client)
        self.api_client = self.core_api.api_client

    @staticmethod
    def wrap_exception(exception: ApiException) -> ApiException:
        """The same error, with "experiment" and "run" in its message instead of "version" and "request"."""
        try:
            answer = json.loads(exception.body or "")
        except (ValueError, RecursionError):
            return exception
        message = answer.get("error") if isinstance(answer, dict) else None
        if isinstance(message, str):
            exception.body = json.dumps({**answer, "error": _WORD.sub(_ours, message)})
        return exception

    @_wrapped
    def initialize(self, project_name: str) -> None:
        """Prepare a project for experiments: create their deployment, unless it exists.

        Raises:
            NotFoundError: There is no such project, or the service has no template for training.
            ApiException: The API refused or failed a call, or couldn't be reached.
        """
        try:
            self.core_api.deployments_get(project_name, DEFAULT_TRAINING_DEPLOYMENT_NAME)
        except NotFoundError:
            details = {**self._template().details, "name": DEFAULT_TRAINING_DEPLOYMENT_NAME}
            self.core_api.deployments_create(project_name, details)

    # Experiments

    @_wrapped
    def experiments_create(
        self, project_name: str, data: ExperimentCreate | dict[str, Any], **kwargs: Any
    ) -> ExperimentList:
        """Create an experiment, and build it; `wait_for_experiment` waits until it can run.

        Args:
            project_name (str): Name of the project.
            data (ExperimentCreate | dict): The experiment.
            **kwargs: Options of the call.

        Returns:
            ExperimentList: The experiment.

        Raises:
            ApiValueError: A field is wrong; nothing was sent.
            NotFoundError: The project isn't initialized, or the service has no template for training.
            ApiException: The API refused or failed a call, or couldn't be reached.
        """
        fields = _fields(ExperimentCreate, data, "experiments_create")
        bucket, name = fields.pop("default_bucket", None), fields.pop("name")
        template = self._template()
        place = (project_name, DEFAULT_TRAINING_DEPLOYMENT_NAME)
        # The service of environments takes no language.
        body = {"version": name, **fields, "language": None, "static_ip": None}
        created = self.core_api.deployment_versions_create(*place, body, **_options(kwargs))
        try:
            if bucket is not None:
                self._set_bucket(project_name, name, bucket)
            self.core_api.revisions_file_upload(*place, name, template_deployment_id=template.id)
        except ApiException:
            # Without its code, it would be in the way of the next attempt.
            self.core_api.deployment_versions_delete(*place, name)
            raise
        return _made_of(ExperimentList, "deployment_versions_create", created)

    @_wrapped
    def experiments_get(self, project_name: str, experiment_name: str, **kwargs: Any) -> ExperimentDetail:
        """Return an experiment."""
        found = self.core_api.deployment_versions_get(
            project_name, DEFAULT_TRAINING_DEPLOYMENT_NAME, experiment_name, **_options(kwargs)
        )
        bucket = self._bucket(project_name, experiment_name)
        return _made_of(ExperimentDetail, "deployment_versions_get", found, default_bucket=bucket)

    @_wrapped
    def experiments_list(self, project_name: str, **kwargs: Any) -> list[ExperimentList]:
        """Return the experiments of a project; ``labels`` filters them."""
        found = self.core_api.deployment_versions_list(
            project_name, DEFAULT_TRAINING_DEPLOYMENT_NAME, **_options(kwargs)
        )
        operation = "deployment_versions_list"
        return [_made_of(ExperimentList, operation, one) for one in _items(operation, found)]

    @_wrapped
    def experiments_update(
        self, project_name: str, experiment_name: str, data: ExperimentUpdate | dict[str, Any], **kwargs: Any
    ) -> ExperimentDetail:
        """Change an experiment; fields that aren't given keep their values."""
        fields = _fields(ExperimentUpdate, data, "experiments_update")
        bucket, name = fields.pop("default_bucket", None), fields.pop("name", None)
        if bucket is not None:
            self._set_bucket(project_name, experiment_name, bucket)
        if name is not None:
            fields["version"] = name
        updated = self.core_api.deployment_versions_update(
            project_name, DEFAULT_TRAINING_DEPLOYMENT_NAME, experiment_name, fields, **_options(kwargs)
        )
        bucket = self._bucket(project_name, name or experiment_name)
        return _made_of(ExperimentDetail, "deployment_versions_update", updated, default_bucket=bucket)

    @_wrapped
    def experiments_delete(self, project_name: str, experiment_name: str, **kwargs: Any) -> None:
        """Delete an experiment and its runs."""
        self.core_api.deployment_versions_delete(
            project_name, DEFAULT_TRAINING_DEPLOYMENT_NAME, experiment_name, **_options(kwargs)
        )

    # Runs

    @_wrapped
    def experiment_runs_create(
        self, project_name: str, experiment_name: str, data: ExperimentRunCreate | dict[str, Any], **kwargs: Any
    ) -> ExperimentRunCreateResponse:
        """Upload code and data, and start a run; `wait_for_experiment_run` waits for its end.

        Args:
            project_name (str): Name of the project.
            experiment_name (str): Name of the experiment.
            data (ExperimentRunCreate | dict): The run. Local files of its code and data are uploaded to the
                experiment's bucket, into a folder of the run's own.
            **kwargs: Options of the call; ``timeout``: seconds that the run may take.

        Returns:
            ExperimentRunCreateResponse: The run.

        Raises:
            ApiValueError: A field is wrong, or a file is missing; nothing was sent.
            ApiException: The API or the storage refused or failed a call, or couldn't be reached.
        """
        fields = _fields(ExperimentRunCreate, data, "experiment_runs_create")
        bucket = self._bucket(project_name, experiment_name) or _DEFAULT_BUCKET
        folder = f"experiments/{experiment_name}/runs/{uuid.uuid4()}"
        for field, part in (("training_code", "code"), ("training_data", "data")):
            if fields.get(field) is not None:
                fields[field] = self._uri(project_name, fields[field], bucket, f"{folder}/{part}")
        operation = "batch_deployment_version_requests_create"
        created = self.core_api.batch_deployment_version_requests_create(
            project_name, DEFAULT_TRAINING_DEPLOYMENT_NAME, experiment_name, [fields], **_options(kwargs)
        )
        if not created:
            raise unexpected_answer(operation, "a list with the request", created)
        return _made_of(ExperimentRunCreateResponse, operation, created[0], experiment=experiment_name)

    @_wrapped
    def experiment_runs_get(
        self, project_name: str, experiment_name: str, run_id: str, **kwargs: Any
    ) -> ExperimentRunDetail:
        """Return a run, with its input and result."""
        found = self.core_api.deployment_version_requests_get(
            project_name=project_name,
            deployment_name=DEFAULT_TRAINING_DEPLOYMENT_NAME,
            version=experiment_name,
            request_id=run_id,
            **_options(kwargs),
        )
        return _made_of(ExperimentRunDetail, "deployment_version_requests_get", found, experiment=experiment_name)

    @_wrapped
    def experiment_runs_list(self, project_name: str, experiment_name: str, **kwargs: Any) -> list[ExperimentRunList]:
        """Return the runs of an experiment; keywords filter them as in lists of requests."""
        found = self.core_api.deployment_version_requests_list(
            project_name, DEFAULT_TRAINING_DEPLOYMENT_NAME, experiment_name, **_options(kwargs)
        )
        operation = "deployment_version_requests_list"
        runs = _items(operation, found)
        return [_made_of(ExperimentRunList, operation, one, experiment=experiment_name) for one in runs]

    @_wrapped
    def experiment_runs_update(
        self,
        project_name: str,
        experiment_name: str,
        run_id: str,
        data: ExperimentRunUpdate | dict[str, Any],
        **kwargs: Any,
    ) -> Any:
        """Change a run: the status ``cancelled`` stops it. Returns the API's answer."""
        return self.core_api.deployment_version_requests_update(
            project_name=project_name,
            deployment_name=DEFAULT_TRAINING_DEPLOYMENT_NAME,
            version=experiment_name,
            request_id=run_id,
            data=_fields(ExperimentRunUpdate, data, "experiment_runs_update"),
            **_options(kwargs),
        )

    @_wrapped
    def experiment_runs_delete(self, project_name: str, experiment_name: str, run_id: str, **kwargs: Any) -> None:
        """Delete a run."""
        self.core_api.deployment_version_requests_delete(
            project_name=project_name,
            deployment_name=DEFAULT_TRAINING_DEPLOYMENT_NAME,
            version=experiment_name,
            request_id=run_id,
            **_options(kwargs),
        )

    # Environment variables

    @_wrapped
    def experiment_environment_variables_create(
        self,
        project_name: str,
        experiment_name: str,
        data: models.EnvironmentVariableCreate | dict[str, Any],
        **kwargs: Any,
    ) -> Any:
        """Create an environment variable of an experiment, and return it (an `EnvironmentVariableList`)."""
        _check_variable(data, "experiment_environment_variables_create")
        return self._variables("create", project_name, experiment_name, kwargs, data=data)

    @_wrapped
    def experiment_environment_variables_delete(
        self, project_name: str, experiment_name: str, id: str, **kwargs: Any
    ) -> None:
        """Delete an environment variable of an experiment."""
        self._variables("delete", project_name, experiment_name, kwargs, id=id)

    @_wrapped
    def experiment_environment_variables_get(
        self, project_name: str, experiment_name: str, id: str, **kwargs: Any
    ) -> Any:
        """Return an environment variable of an experiment."""
        return self._variables("get", project_name, experiment_name, kwargs, id=id)

    @_wrapped
    def experiment_environment_variables_list(self, project_name: str, experiment_name: str, **kwargs: Any) -> Any:
        """Return the environment variables of an experiment, and those that it inherits."""
        return self._variables("list", project_name, experiment_name, kwargs)

    @_wrapped
    def experiment_environment_variables_update(
        self,
        project_name: str,
        experiment_name: str,
        id: str,
        data: models.EnvironmentVariableCreate | dict[str, Any],
        **kwargs: Any,
    ) -> Any:
        """Change an environment variable of an experiment."""
        _check_variable(data, "experiment_environment_variables_update")
        return self._variables("update", project_name, experiment_name, kwargs, id=id, data=data)

    def _variables(self, action: str, project_name: str, experiment_name: str, kwargs: Any, **arguments: Any) -> Any:
        operation = getattr(self.core_api, f"deployment_version_environment_variables_{action}")
        return operation(
            project_name=project_name,
            deployment_name=DEFAULT_TRAINING_DEPLOYMENT_NAME,
            version=experiment_name,
            **arguments,
            **_options(kwargs),
        )

    # Parts

    def _template(self) -> Any:
        found = self.core_api.template_deployments_list()
        for template in _items("template_deployments_list", found):
            if isinstance(template.details, Mapping) and template.details.get("name") == TEMPLATE_DEPLOYMENT_NAME:
                return template
        raise NotFoundError(404, f"The service has no template deployment {TEMPLATE_DEPLOYMENT_NAME!r}")

    def _bucket_variable(self, project_name: str, experiment_name: str) -> Any:
        found = self._variables("list", project_name, experiment_name, {})
        for variable in _items("deployment_version_environment_variables_list", found):
            if variable.name == DEFAULT_TRAINING_BUCKET_NAME:
                return variable
        return None

    def _bucket(self, project_name: str, experiment_name: str) -> str | None:
        variable = self._bucket_variable(project_name, experiment_name)
        return None if variable is None else variable.value

    def _set_bucket(self, project_name: str, experiment_name: str, bucket: str) -> None:
        data = {"name": DEFAULT_TRAINING_BUCKET_NAME, "value": bucket, "secret": False}
        variable = self._bucket_variable(project_name, experiment_name)
        # An inherited variable is set on the project or the deployment, not on the experiment.
        if variable is None or getattr(variable, "inheritance_type", None):
            self._variables("create", project_name, experiment_name, {}, data=data)
        else:
            self._variables("update", project_name, experiment_name, {}, id=variable.id, data=data)

    def _uri(self, project_name: str, file: Any, bucket: str, folder: str) -> str:
        from ubiops.utils.file_operations import handle_file_input

        return handle_file_input(self.api_client, project_name, file, bucket, folder, _progress_bar=False)


def _options(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    if kwargs.get("async_req"):
        raise ApiTypeError("The methods of Training don't take `async_req`: call them in a thread of your own")
    return kwargs


def _check_variable(data: Any, method: str) -> None:
    if not isinstance(data, (Model, Mapping)):
        raise wrong_type("data", method, "EnvironmentVariableCreate or dict", data)


def _fields(kind: type[Model], data: Any, method: str) -> dict[str, Any]:
    """The given fields of a body, checked."""
    if isinstance(data, Mapping):
        try:
            data = kind.from_input(data)
        except Invalid as error:
            raise invalid(error.under("data").place(), method, error.problem) from None
    elif not isinstance(data, kind):
        raise wrong_type("data", method, f"{kind.__name__} or dict", data)
    fields: dict[str, Any] = data.to_wire()
    return fields


def _items(operation: str, answer: Any) -> Iterable[Any]:
    """The items of a list that an operation returned; a test double's answer may not be a `list`."""
    if not isinstance(answer, Iterable):
        raise unexpected_answer(operation, "a list", answer)
    return answer


def _made_of(kind: type[M], operation: str, found: Any, **others: Any) -> M:
    """An object that an operation returned, as a model of training."""
    values = check_answer(operation, found, "to_dict").to_dict()
    values["name"] = values.get("version")
    return kind.from_dict({name: values.get(name) for name in kind.fields if name in values} | others)
