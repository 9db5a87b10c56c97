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
"""The calls with which Nova leaves its process, each turned into an effect."""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
from collections.abc import Callable
from typing import Any

import fixtures

from migsafe.replay.lab import world as lab_world

_UUID = re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}')

#: (module, class, method, effect name): the database, which a nova-compute reaches through
#: nova-conductor, so that each may time out. Reads are listed where Nova depends on them.
DATABASE = (
    ('nova.objects.instance', 'Instance', 'save', 'instance.save'),
    ('nova.objects.block_device', 'BlockDeviceMapping', 'save', 'bdm.save'),
    ('nova.objects.migration', 'Migration', 'save', 'migration.save'),
    ('nova.objects.block_device', 'BlockDeviceMappingList', 'get_by_instance_uuid',
     'bdms.list'),
    ('nova.objects.instance_pci_requests', 'InstancePCIRequests', 'get_by_instance_uuid',
     'pci_requests.get'),
    ('nova.objects.console_auth_token', 'ConsoleAuthToken', 'clean_console_auths_for_instance',
     'console_tokens.clean'),
    ('nova.objects.compute_node', 'ComputeNode', 'get_first_node_by_host_for_old_compat',
     'compute_node.get'),
)

class Database(fixtures.Fixture):
    """Turns the object methods in DATABASE into effects."""

    def __init__(self, world: lab_world.World) -> None:
        super().__init__()
        self._world = world

    def _setUp(self) -> None:
        for module, cls_name, method, name in DATABASE:
            cls = getattr(importlib.import_module(module), cls_name)
            if method not in dir(cls):
                continue
            raw = next(c.__dict__[method] for c in cls.__mro__ if method in c.__dict__)
            wrap = self._classmethod if isinstance(raw, classmethod) else self._method
            self.useFixture(fixtures.MonkeyPatch(
                f'{module}.{cls_name}.{method}', wrap(raw, name)))

    def _method(self, raw: Callable[..., Any], name: str) -> Callable[..., Any]:
        world = self._world

        @functools.wraps(raw)
        def method(obj: Any, *args: Any, **kwargs: Any) -> Any:
            key = obj.volume_id if name == 'bdm.save' else None
            return world.effect('db', name, key, lambda: raw(obj, *args, **kwargs))
        return method

    def _classmethod(self, raw: Any, name: str) -> Any:
        world = self._world

        @functools.wraps(raw.__func__)
        def method(cls: Any, *args: Any, **kwargs: Any) -> Any:
            return world.effect('db', name, None, lambda: raw.__func__(cls, *args, **kwargs))
        return classmethod(method)


class Placement(fixtures.Fixture):
    """Turns the report client's requests into effects."""

    def __init__(self, world: lab_world.World) -> None:
        super().__init__()
        self._world = world

    def _setUp(self) -> None:
        from nova.scheduler.client import report
        for verb in ('get', 'put', 'post', 'delete'):
            real = getattr(report.SchedulerReportClient, verb)
            self.useFixture(fixtures.MonkeyPatch(
                f'nova.scheduler.client.report.SchedulerReportClient.{verb}',
                self._wrap(verb, real)))

    def _wrap(self, verb: str, real: Callable[..., Any]) -> Callable[..., Any]:
        world = self._world

        def request(client: Any, url: str, *args: Any, **kwargs: Any) -> Any:
            name = f'{verb.upper()} {_UUID.sub("*", url.partition("?")[0])}'
            return world.effect('placement', name, None,
                                lambda: real(client, url, *args, **kwargs))
        return request


class NeutronClient:
    """A Neutron client each of whose calls is an effect."""

    def __init__(self, real: Any, world: lab_world.World) -> None:
        self._real = real
        self._world = world

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        # list_extensions is asked once per process, so that it would move every count
        if not callable(real) or name == 'list_extensions':
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._world.effect('neutron', name, None, lambda: real(*args, **kwargs))
        return call


class Neutron(fixtures.Fixture):
    """Puts effects between nova.network.neutron and Nova's fake Neutron."""

    def __init__(self, world: lab_world.World) -> None:
        super().__init__()
        self._world = world

    def _setUp(self) -> None:
        from nova.network import neutron
        real = neutron.get_client

        def get_client(context: Any, admin: bool = False) -> Any:
            return neutron.ClientWrapper(
                NeutronClient(real(context, admin=admin), self._world),
                admin=admin or context.is_admin)
        self.useFixture(fixtures.MonkeyPatch('nova.network.neutron.get_client', get_client))


class VifEvents(fixtures.Fixture):
    """Neutron's network-vif-plugged arrives at once; waiting for it is an effect."""

    def __init__(self, world: lab_world.World) -> None:
        super().__init__()
        self._world = world

    def _setUp(self) -> None:
        world = self._world

        @contextlib.contextmanager
        def wait_for_instance_event(api: Any, instance: Any, event_names: Any,
                                    **kwargs: Any) -> Any:
            yield
            if event_names:
                world.effect('event', 'network-vif-plugged', None, lambda: None)
        self.useFixture(fixtures.MonkeyPatch(
            'nova.compute.manager.ComputeVirtAPI.wait_for_instance_event',
            wait_for_instance_event))
