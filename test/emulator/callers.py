"""Clients of others than the administrator: people who sign in, and service users with roles."""

from __future__ import annotations

import contextlib
from typing import Any

import urllib3

import ubiops
from ubiops.emulator import Emulator

PASSWORD = "correct horse battery staple"


class Callers:
    """Makes clients, and closes them in the end."""

    def __init__(self, emulator: Emulator, administrator: ubiops.CoreApi, opened: contextlib.ExitStack) -> None:
        self._emulator = emulator
        self._administrator: Any = administrator
        self._opened = opened

    @staticmethod
    def client(emulator: Emulator, authorization: str) -> ubiops.CoreApi:
        configuration = ubiops.Configuration(host=emulator.url, api_key={"Authorization": authorization})
        return ubiops.CoreApi(ubiops.ApiClient(configuration))

    def with_token(self, authorization: str) -> Any:
        api = self.client(self._emulator, authorization)
        self._opened.enter_context(api.api_client)
        return api

    def register(self, email: str) -> None:
        data = {"email": email, "password": PASSWORD, "terms_conditions": True, "name": "Some", "surname": "One"}
        self._administrator.user_create(data)

    def sign_in(self, email: str, password: str = PASSWORD) -> urllib3.BaseHTTPResponse:
        with urllib3.PoolManager() as http:
            return http.request("POST", f"{self._emulator.url}/authorize", json={"email": email, "password": password})

    def person(self, email: str) -> Any:
        """Somebody who has registered and signed in."""
        self.register(email)
        return self.with_token(f"Bearer {self.sign_in(email).json()['access']}")

    def member(self, email: str, *, admin: bool = False) -> tuple[Any, str]:
        """Somebody in the organization, and their id."""
        api = self.person(email)
        data = {"email": email, "admin": admin}
        return api, self._administrator.organization_users_create("emulator", data).id

    def service_user(self, *roles: str, project: str = "lab", **settings: Any) -> Any:
        """A service user with roles on the project."""
        created = self._administrator.service_users_create(project, settings)
        for role in roles:
            self.assign(role, created.id, project=project)
        return self.with_token(f"Token {created.token}")

    def assign(self, role: str, user_id: str, project: str = "lab", **resource: str) -> Any:
        data = {"assignee": user_id, "assignee_type": "user", "role": role, **resource}
        return self._administrator.role_assignments_create(project, data)
