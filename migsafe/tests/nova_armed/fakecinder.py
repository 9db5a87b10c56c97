# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""What Nova's fake Cinder lacks to tell which host a volume is attached to.

Nova's own code asks for attachments by their ids only, and the fixture stands
in for just these calls; any other goes to a real cinderclient, and ends with
"Unknown auth type". Listing the attachments of an instance, and the host names
in a volume's attachments, are answered here from what the fixture knows.
Applied to plain and to armed runs alike.
"""

import types
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import fixtures
import wrapt


def patch(module: ModuleType) -> None:
    """Complete the fake, given nova.tests.fixtures.cinder."""

    def set_up(wrapped: Any, fixture: Any, args: Any, kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        from nova.volume import cinder

        real = cinder.cinderclient
        fixture.useFixture(
            fixtures.MonkeyPatch(
                "nova.volume.cinder.cinderclient",
                lambda *a, **k: Client(fixture, lambda: real(*a, **k)),
            )
        )
        return result

    wrapt.wrap_function_wrapper(module, "CinderFixture.setUp", set_up)


class Client:
    """A cinderclient that knows the attachments of the fixture."""

    def __init__(self, fixture: Any, real: Any) -> None:
        self._fixture, self._real = fixture, real
        self.attachments = _Part(self, "attachments", list=self._list)
        self.volumes = _Part(self, "volumes", get=self._volume)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def _known(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for volume_id, attachments in self._fixture.volume_to_attachment.items():
            for attachment in list(attachments.values()):
                yield volume_id, attachment

    def _list(self, search_opts: dict[str, Any] | None = None, **_: Any) -> list[Any]:
        wanted = (search_opts or {}).get("instance_id")
        return [
            types.SimpleNamespace(to_dict=view.copy, **view)
            for volume_id, attachment in self._known()
            if wanted in (None, attachment["instance_uuid"])
            for view in [self._view(volume_id, attachment)]
        ]

    @staticmethod
    def _view(volume_id: str, attachment: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": attachment["id"],
            "volume_id": volume_id,
            "instance": attachment["instance_uuid"],
            "status": "attached" if attachment.get("connector") else "reserved",
        }

    def _volume(self, volume_id: str) -> Any:
        attachments = [
            {
                "attachment_id": attachment["id"],
                "server_id": attachment["instance_uuid"],
                "volume_id": volume_id,
                "host_name": host_of(attachment.get("connector")),
            }
            for found, attachment in self._known()
            if found == volume_id
        ]
        return types.SimpleNamespace(id=volume_id, attachments=attachments)


class _Part:
    """One manager of the client: these calls are answered, others are passed on."""

    def __init__(self, client: Client, name: str, **answered: Any) -> None:
        self.__dict__.update(answered)
        self._client, self._name = client, name

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(self._client._real(), self._name), name)


def host_of(connector: Any) -> str | None:
    """The host that a connector names; some of Nova's tests pass a mock instead."""
    host = connector.get("host") if isinstance(connector, dict) else None
    return host if isinstance(host, str) else None
