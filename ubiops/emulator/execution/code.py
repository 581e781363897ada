"""What instances run: the package of a version, the variables and the context of its code, and its log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ubiops.deployment_package import PackageError, find_root, inherited_environment, main_file_name
from ubiops.emulator.access.internal_api import InternalApi
from ubiops.emulator.execution.environments import Environments
from ubiops.emulator.execution.instance import LogSink, Package
from ubiops.emulator.execution.packages import Packages
from ubiops.emulator.execution.ports import free_ports, mapping_ports
from ubiops.emulator.store import Store
from ubiops.emulator.tables import LogLine, Variable, Version
from ubiops.emulator.variables import effective_variables
from ubiops.package_format import read_variables


class Code:
    """The code of versions.

    Args:
        store: The database.
        packages: The packages on disk.
        environments: The environments that packages run in.
        ports: The ports that are served, given the id of a version.
    """

    def __init__(
        self,
        store: Store,
        packages: Packages,
        environments: Environments,
        ports: Callable[[str], Iterable[int]],
        internal_api: InternalApi,
    ) -> None:
        self._internal_api = internal_api
        self._ports = ports
        self._store = store
        self._packages = packages
        self._environments = environments

    def describe(self, version_id: str, revision_id: str | None = None) -> Package:
        """What an instance of a version runs: a given revision, or else the active one.

        Raises:
            PackageError: The version was deleted, its package can't be run, or its environment isn't built.
        """
        with self._store.session() as session:
            version = session.get(Version, version_id)
            if version is None:
                raise PackageError("The version was deleted")
            revision_id = revision_id or version.active_revision_id
            assert revision_id is not None
            runtime = self._environments.runtime(session, version, revision_id)
            variables = effective_variables(session, version)
            context = _init_context(version, variables)
            internal = self._internal_api.variables(version.deployment_id)
        own = {variable.name: variable.value for variable in variables}
        root = find_root(self._packages.unpacked(revision_id), main_file_name(own))
        environment = {**inherited_environment(), **runtime.variables, **internal, **read_variables(root), **own}
        if runtime.interpreter != sys.executable:
            environment.pop("PYTHONHOME", None)
        secrets = [variable.value for variable in variables if variable.secret and variable.value]
        if internal:
            secrets.append(internal["INT_API_TOKEN"])
        ports = free_ports(self._ports(version_id))
        variables_of_process = mapping_ports(environment, ports)
        return Package(root, context, variables_of_process, secrets, ports, runtime.interpreter, runtime.library)

    def root_of(self, version_id: str, revision_id: str) -> Path:
        """Unpack the package of a revision, and return its folder.

        Raises:
            PackageError: The version was deleted, its language isn't Python, or the zip contains no package.
        """
        with self._store.session() as session:
            version = session.get(Version, version_id)
            if version is None:
                raise PackageError("The version was deleted")
            if version.language.startswith("r"):
                raise PackageError(f"The emulator runs Python, not {version.language}")
            own = {variable.name: variable.value for variable in effective_variables(session, version)}
        return find_root(self._packages.unpacked(revision_id), main_file_name(own))

    def log_of(
        self,
        version_id: str,
        *,
        build_id: str | None = None,
        request_id: str | None = None,
        system: bool = False,
        **columns: str | None,
    ) -> LogSink:
        """A function that writes lines to the log of a version.

        Args:
            version_id: Id of the version.
            build_id: The build that they belong to.
            request_id: The request that they belong to.
            system: Whether the emulator wrote them.
            **columns: More columns of `LogLine`.
        """

        def write(level: str, lines: list[str]) -> None:
            with self._store.session() as session:
                version = session.get(Version, version_id)
                if version is None:
                    return
                session.add_all(
                    LogLine(
                        project_id=version.deployment.project_id,
                        version_id=version_id,
                        build_id=build_id,
                        request_id=request_id,
                        level=level,
                        system=system,
                        log=line,
                        **columns,
                    )
                    for line in lines
                )

        return write


def _init_context(version: Version, variables: Sequence[Variable]) -> dict[str, Any]:
    deployment = version.deployment
    return {
        "project": deployment.project.name,
        "deployment": deployment.name,
        "version": version.name,
        "input_type": deployment.input_type,
        "output_type": deployment.output_type,
        "input_fields": _plain_fields(deployment.input_fields),
        "output_fields": _plain_fields(deployment.output_fields),
        "language": version.language,
        "environment_variables": {variable.name: variable.value for variable in variables},
    }


def _plain_fields(fields: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": field["name"], "data_type": field["data_type"]} for field in fields]
