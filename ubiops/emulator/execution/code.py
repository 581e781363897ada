"""What instances run: the package of a version, the variables and the context that its code sees, and where its log
goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ubiops.deployment_package import PackageError, find_root, inherited_environment, main_file_name
from ubiops.emulator.execution.instance import LogSink, Package
from ubiops.emulator.execution.packages import Packages
from ubiops.emulator.execution.ports import free_ports, mapping_ports
from ubiops.emulator.execution.requirements import Requirements
from ubiops.emulator.store import Store
from ubiops.emulator.tables import LogLine, Variable, Version
from ubiops.emulator.variables import effective_variables
from ubiops.package_format import read_variables


class Code:
    """The code of versions.

    Args:
        store: Where the versions are.
        packages: Where their packages are.
        requirements: What provides for what the packages ask for.
        ports: The ports that services lead to, given the id of a version.
    """

    def __init__(
        self, store: Store, packages: Packages, requirements: Requirements, ports: Callable[[str], Iterable[int]]
    ) -> None:
        self._ports = ports
        self._store = store
        self._packages = packages
        self._requirements = requirements

    def describe(self, version_id: str, revision_id: str | None = None) -> Package:
        """What an instance of a version runs: a revision, or without one the active one.

        Raises:
            PackageError: The version is gone, or there is nothing in its package that can be run.
        """
        with self._store.session() as session:
            version = session.get(Version, version_id)
            if version is None:
                raise PackageError("The version was deleted")
            if version.language.startswith("r"):
                raise PackageError(f"The emulator runs Python, not {version.language}")
            revision_id = revision_id or version.active_revision_id
            assert revision_id is not None
            variables = effective_variables(session, version)
            context = _init_context(version, variables)
        own = {variable.name: variable.value for variable in variables}
        root = find_root(self._packages.unpacked(revision_id), main_file_name(own))
        environment = {**inherited_environment(), **read_variables(root), **own}
        self._add_requirements(environment, root)
        secrets = [variable.value for variable in variables if variable.secret and variable.value]
        ports = free_ports(self._ports(version_id))
        return Package(root, context, mapping_ports(environment, ports), secrets, ports)

    def _add_requirements(self, environment: dict[str, str], root: Path) -> None:
        installed = self._requirements.path(root)
        if installed is not None:
            search = [str(installed), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, search))

    def log_of(
        self,
        version_id: str,
        *,
        build_id: str | None = None,
        request_id: str | None = None,
        system: bool = False,
        **columns: str | None,
    ) -> LogSink:
        """What writes lines to the log of a version.

        Args:
            version_id: Id of the version.
            build_id: The build that they belong to.
            request_id: The request that they belong to.
            system: Whether they are the emulator's own.
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
