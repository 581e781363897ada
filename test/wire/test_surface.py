"""Every name and signature that programs written for the older client use; more optional parameters may follow."""

from __future__ import annotations

import datetime
import importlib
import inspect
import io
import logging
import os
from typing import Any

import ubiops
from codegen import VERSION
from test.each import each
from ubiops.api_client import ApiClient
from ubiops.configuration import Configuration
from ubiops.rest import RESTClientObject, RESTResponse

SIGNATURES = {
    "ubiops.api_client.ApiClient": "configuration=None, header_name=None, header_value=None, cookie=None, "
    "pool_threads=1",
    "ubiops.api_client.ApiClient.__enter__": "self",
    "ubiops.api_client.ApiClient.__exit__": "self, exc_type, exc_value, traceback",
    "ubiops.api_client.ApiClient.call_api": "self, resource_path, method, path_params=None, query_params=None, "
    "header_params=None, body=None, post_params=None, files=None, response_type=None, auth_settings=None, "
    "async_req=None, _return_http_data_only=None, collection_formats=None, _preload_content=True, "
    "_request_timeout=None, _host=None",
    "ubiops.api_client.ApiClient.close": "self",
    "ubiops.api_client.ApiClient.deserialize": "self, response, response_type",
    "ubiops.api_client.ApiClient.files_parameters": "files=None",
    "ubiops.api_client.ApiClient.parameters_to_tuples": "params, collection_formats",
    "ubiops.api_client.ApiClient.request": "self, method, url, query_params=None, headers=None, post_params=None, "
    "body=None, _preload_content=True, _request_timeout=None",
    "ubiops.api_client.ApiClient.sanitize_for_serialization": "self, obj",
    "ubiops.api_client.ApiClient.select_header_accept": "accepts",
    "ubiops.api_client.ApiClient.select_header_content_type": "content_types",
    "ubiops.api_client.ApiClient.set_default_header": "self, header_name, header_value",
    "ubiops.api_client.ApiClient.update_params_for_auth": "self, headers, querys=None, auth_settings=None",
    "ubiops.configuration.Configuration": "host='https://api.ubiops.com/v2.1', api_key=None, api_key_prefix=None, "
    "username=None, password=None, signing_info=None",
    "ubiops.configuration.Configuration.auth_settings": "self",
    "ubiops.configuration.Configuration.get_api_key_with_prefix": "self, identifier",
    "ubiops.configuration.Configuration.get_basic_auth_token": "self",
    "ubiops.configuration.Configuration.get_host_from_settings": "self, index, variables=None",
    "ubiops.configuration.Configuration.get_host_settings": "self",
    "ubiops.configuration.Configuration.to_debug_report": "",
    "ubiops.rest.RESTClientObject": "configuration, pools_size=4, maxsize=None",
    "ubiops.rest.RESTClientObject.DELETE": "self, url, headers=None, query_params=None, body=None, "
    "_preload_content=True, _request_timeout=None",
    "ubiops.rest.RESTClientObject.GET": "self, url, headers=None, query_params=None, _preload_content=True, "
    "_request_timeout=None",
    "ubiops.rest.RESTClientObject.HEAD": "self, url, headers=None, query_params=None, _preload_content=True, "
    "_request_timeout=None",
    "ubiops.rest.RESTClientObject.OPTIONS": "self, url, headers=None, query_params=None, post_params=None, body=None, "
    "_preload_content=True, _request_timeout=None",
    "ubiops.rest.RESTClientObject.PATCH": "self, url, headers=None, query_params=None, post_params=None, body=None, "
    "_preload_content=True, _request_timeout=None",
    "ubiops.rest.RESTClientObject.POST": "self, url, headers=None, query_params=None, post_params=None, body=None, "
    "_preload_content=True, _request_timeout=None",
    "ubiops.rest.RESTClientObject.PUT": "self, url, headers=None, query_params=None, post_params=None, body=None, "
    "_preload_content=True, _request_timeout=None",
    "ubiops.rest.RESTClientObject.request": "self, method, url, query_params=None, headers=None, body=None, "
    "post_params=None, _preload_content=True, _request_timeout=None",
    "ubiops.rest.RESTResponse": "resp",
    "ubiops.rest.RESTResponse.getheader": "self, name, default=None",
    "ubiops.rest.RESTResponse.getheaders": "self",
    "ubiops.exceptions.ApiException": "status=None, reason=None, body_or_response=None, http_resp=None, "
    "requests_resp=None",
    "ubiops.exceptions.ApiKeyError": "msg, path_to_item=None",
    "ubiops.exceptions.ApiTypeError": "msg, path_to_item=None, valid_classes=None, key_type=None",
    "ubiops.exceptions.ApiValueError": "msg, path_to_item=None",
    "ubiops.exceptions.render_path": "path_to_item",
    "ubiops.utils.upload_file": "client, project_name, file_path, bucket_name='default', file_name=None, "
    "_progress_bar=True",
    "ubiops.utils.download_file": "client, project_name, bucket_name='default', file_name=None, file_uri=None, "
    "output_path='.', stream=True, chunk_size=8192",
    "ubiops.utils.upload_files": "client, project_name, file_paths, bucket_name='default', file_prefix=None, "
    "parallel_uploads=5, _progress_bar=True",
    "ubiops.utils.download_files": "client, project_name, bucket_name='default', prefix=None, output_path='.', "
    "stream=True, chunk_size=8192, parallel_downloads=5, _progress_bar=True",
    "ubiops.utils.handle_file_input": "client, project_name, file, bucket_name='default', file_prefix=None, "
    "file_name=None, _progress_bar=True",
    "ubiops.utils.wait_for_deployment_version": "client, project_name, deployment_name, version, revision_id=None, "
    "timeout=1800, quiet=False, stream_logs=False",
    "ubiops.utils.wait_for_revision": "client, project_name, deployment_name, version, revision_id, timeout=1800, "
    "quiet=False, stream_logs=False",
    "ubiops.utils.wait_for_deployment_request": "client, project_name, deployment_name, request_id, timeout=1800, "
    "quiet=False, stream_logs=False",
    "ubiops.utils.wait_for_deployment_version_request": "client, project_name, deployment_name, version, "
    "request_id, timeout=1800, quiet=False, stream_logs=False",
    "ubiops.utils.wait_for_pipeline_request": "client, project_name, pipeline_name, request_id, timeout=1800, "
    "quiet=False, stream_logs=False",
    "ubiops.utils.wait_for_pipeline_version_request": "client, project_name, pipeline_name, version, request_id, "
    "timeout=1800, quiet=False, stream_logs=False",
    "ubiops.utils.wait_for_export": "client, project_name, export_id, timeout=1800, quiet=False",
    "ubiops.utils.wait_for_import": "client, project_name, import_id, timeout=1800, quiet=False",
    "ubiops.utils.run_local": "deployment_directory, data, init_context=None, request_context=None",
    "ubiops.utils.validate_requirements_file": "file_path, client=None",
    "ubiops.utils.zip_dir": "directory, output_path, ignore_filename='.ubiops-ignore', prefix=None, force=False, "
    "package_directory='deployment_package'",
    "ubiops.utils.list_files": "directory, ignore_filename='.ubiops-ignore'",
    "ubiops.utils.files_present_in_dir": "files, directory, ignore_filename='.ubiops-ignore'",
    "ubiops.utils.default_zip_name": "prefix",
    "ubiops.utils.UbiOpsFile": "bucket, file",
    "ubiops.utils.file_operations.upload_file": "client, project_name, file_path, bucket_name='default', "
    "file_name=None",
    "ubiops.utils.file_operations.download_file": "client, project_name, bucket_name='default', file_name=None, "
    "file_uri=None, output_path='.', stream=True, chunk_size=8192",
}
PROPERTIES = {
    ApiClient: {"pool": False, "user_agent": True},
    Configuration: {"debug": True, "logger_file": True, "logger_format": True},
}
DEFAULTS: dict[str, Any] = {
    "api_key": {},
    "api_key_prefix": {},
    "assert_hostname": None,
    "cert_file": None,
    "client_side_validation": True,
    "connection_pool_maxsize": (os.cpu_count() or 1) * 5,
    "debug": False,
    "host": "https://api.ubiops.com/v2.1",
    "key_file": None,
    "logger_file": None,
    "logger_file_handler": None,
    "logger_format": "%(asctime)s %(levelname)s %(message)s",
    "logger_stream_handler": None,
    "password": None,
    "proxy": None,
    "proxy_headers": None,
    "refresh_api_key_hook": None,
    "retries": None,
    "safe_chars_for_path_param": "",
    "signing_info": None,
    "ssl_ca_cert": None,
    "temp_folder_path": None,
    "username": None,
    "verify_ssl": True,
}
EXPORTS = (
    "ApiClient", "ApiException", "ApiKeyError", "ApiTypeError", "ApiValueError", "Configuration", "CoreApi",
    "OpenApiException",
)  # fmt: skip
MODULES = (
    "ubiops", "ubiops.api", "ubiops.api.core_api", "ubiops.api_client", "ubiops.configuration", "ubiops.exceptions",
    "ubiops.models", "ubiops.rest", "ubiops.utils", "ubiops.utils.file_operations",
)  # fmt: skip
MODELS = (
    "attachment_fields_list", "attachment_sources_list", "attachments_create", "attachments_list", "audit_list",
    "blob_list", "bucket_create", "bucket_detail", "bucket_list", "bucket_update", "build_list",
    "deployment_create", "deployment_create_response", "deployment_detail", "deployment_input_field_create",
    "deployment_instance_type", "deployment_list", "deployment_output_field_create",
    "deployment_request_batch_create_response", "deployment_request_batch_detail",
    "deployment_request_create_response", "deployment_request_list", "deployment_request_single_detail",
    "deployment_request_update", "deployment_request_update_response", "deployment_update",
    "deployment_version_create", "deployment_version_detail", "deployment_version_list",
    "deployment_version_update", "direct_pipeline_request_deployment_request", "environment_variable_copy",
    "environment_variable_create", "environment_variable_list", "export_create", "export_detail", "export_list",
    "expression_evaluate", "expression_evaluate_response", "expression_input_field_create", "file_detail",
    "file_item", "file_upload_response", "import_detail", "import_list", "import_update",
    "inherited_environment_variable_list", "input_field_widget_create", "input_output_field_detail",
    "input_output_field_list", "input_output_widget_list", "logs", "logs_create", "metrics",
    "notification_group_contact", "notification_group_create", "notification_group_list",
    "notification_group_update", "organization_create", "organization_detail", "organization_list",
    "organization_update", "organization_user_create", "organization_user_detail", "organization_user_update",
    "output_field_widget_create", "permission_list", "pipeline_create", "pipeline_create_response",
    "pipeline_detail", "pipeline_input_field_create", "pipeline_list", "pipeline_output_field_create",
    "pipeline_request_batch_create_response", "pipeline_request_create_response",
    "pipeline_request_deployment_request", "pipeline_request_detail", "pipeline_request_list",
    "pipeline_request_single_detail", "pipeline_update", "pipeline_version_create", "pipeline_version_detail",
    "pipeline_version_list", "pipeline_version_object_create", "pipeline_version_object_list",
    "pipeline_version_update", "project_create", "project_detail", "project_list", "project_resource_usage",
    "project_update", "project_user_create", "project_user_list", "requests_overview", "resource_usage",
    "revision_create", "revision_list", "role_assignment_create", "role_assignment_list", "role_create",
    "role_detail_list", "role_list", "role_update", "schedule_create", "schedule_list", "schedule_update",
    "service_user_create", "service_user_list", "service_user_token_detail", "service_user_token_list", "status",
    "usage", "usage_metric", "user_pending_create", "user_pending_detail",
)  # fmt: skip


def resolve(name: str) -> Any:
    """What a dotted name leads to: a module, or a class or function in one, or a method of that."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        parent, _, last = name.rpartition(".")
        return getattr(resolve(parent), last)


@each("name", SIGNATURES)
def test_signature(name: str) -> None:
    expected = [part.partition("=") for part in SIGNATURES[name].split(", ") if part]
    parameters = list(inspect.signature(resolve(name)).parameters.values())
    for (parameter, assigned, default), actual in zip(expected, parameters, strict=False):
        assert actual.name == parameter
        assert actual.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        assert (actual.default is not inspect.Parameter.empty) == bool(assigned)
        assert not assigned or repr(actual.default) == default
    assert len(parameters) >= len(expected)
    optional = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    for more in parameters[len(expected) :]:
        assert more.default is not inspect.Parameter.empty or more.kind in optional


@each("cls", PROPERTIES)
def test_property(cls: type) -> None:
    for name, settable in PROPERTIES[cls].items():
        given = vars(cls)[name]
        assert isinstance(given, property)
        assert (given.fset is not None) >= settable


@each("name", DEFAULTS)
def test_configuration_attribute(name: str) -> None:
    assert getattr(Configuration(), name) == DEFAULTS[name]


def test_configuration_loggers() -> None:
    configuration = Configuration()
    assert isinstance(configuration.logger, dict)
    assert isinstance(configuration.logger_formatter, logging.Formatter)


def test_configuration_describes_its_credentials_and_hosts() -> None:
    configuration = Configuration(api_key={"Authorization": "Token t"})
    setting = {"type": "api_key", "in": "header", "key": "Authorization", "value": "Token t"}
    assert configuration.auth_settings() == {"api_key": setting}
    host = {"url": "https://api.ubiops.com/v2.1", "description": "No description provided"}
    assert configuration.get_host_settings() == [host]
    assert configuration.get_host_from_settings(0) == "https://api.ubiops.com/v2.1"
    assert "Python SDK Debug Report" in configuration.to_debug_report()


def test_client_constants_and_attributes(client: ApiClient) -> None:
    types = {"int": int, "long": int, "float": float, "str": str, "bool": bool, "object": object}
    types |= {"date": datetime.date, "datetime": datetime.datetime}
    assert types == client.NATIVE_TYPES_MAPPING
    assert (float, bool, bytes, str, int) == client.PRIMITIVE_TYPES
    assert client.client_side_validation is True
    assert isinstance(client.configuration, Configuration)
    assert client.cookie is None
    assert list(client.default_headers) == ["User-Agent"]
    assert client.pool_threads == 1
    assert isinstance(client.rest_client, RESTClientObject)
    ubiops.CoreApi(client).projects_delete("p")
    assert client.last_response.status == 200


def test_bases() -> None:
    exceptions = ubiops.exceptions
    assert issubclass(RESTResponse, io.IOBase)
    assert exceptions.UbiOpsException.__bases__ == (Exception,)
    assert issubclass(exceptions.OpenApiException, exceptions.UbiOpsException)
    assert issubclass(exceptions.ApiException, exceptions.OpenApiException)
    for name, base in {"ApiKeyError": KeyError, "ApiTypeError": TypeError, "ApiValueError": ValueError}.items():
        assert issubclass(getattr(exceptions, name), exceptions.OpenApiException)
        assert issubclass(getattr(exceptions, name), base)
    assert resolve("ubiops.rest").ApiException is exceptions.ApiException


@each("name", EXPORTS)
def test_package_exports(name: str) -> None:
    assert getattr(ubiops, name).__name__ == name
    assert name in ubiops.__all__


@each("name", MODULES)
def test_module(name: str) -> None:
    assert importlib.import_module(name) is resolve(name)


@each("name", MODELS)
def test_model_module(name: str) -> None:
    module = importlib.import_module(f"ubiops.models.{name}")
    cls = getattr(module, "".join(part.capitalize() for part in name.split("_")))
    assert cls is getattr(ubiops.models, cls.__name__) is getattr(ubiops, cls.__name__)
    assert cls.__module__ == f"ubiops.models.{name}"


def test_there_are_115_models() -> None:
    assert len(MODELS) == len(set(MODELS)) == 115


def test_the_version_stands_in_one_place() -> None:
    assert ubiops.__version__ == VERSION


def test_model_attributes_of_today() -> None:
    assert ubiops.BucketCreate.openapi_types == {
        "name": "str",
        "provider": "str",
        "credentials": "dict(str, str)",
        "configuration": "dict(str, str)",
        "ttl": "int",
        "description": "str",
        "labels": "object",
    }
    permission = ubiops.PermissionList(name="ok")
    assert sorted(vars(permission)) == ["_name", "discriminator", "local_vars_configuration"]
    assert permission.to_dict() == {"name": "ok"}
    assert permission.to_str() == repr(permission) == "{'name': 'ok'}"
    assert permission == ubiops.PermissionList(name="ok") != ubiops.PermissionList(name="down")
