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
"""The cloud's APIs as an administrator calls them: one token, plain JSON."""

from __future__ import annotations

import functools
import time
from typing import Any

from keystoneauth1 import adapter, exceptions, session
from keystoneauth1.identity import v3

from migsafe.tests.cloud import places

Json = dict[str, Any]
#: An answer that says no.
Refused = exceptions.HttpError
#: The newest microversions that plain requests of this module are written for.
VERSIONS = {'nova': 'compute 2.95', 'cinder': 'volume 3.70', 'placement': 'placement 1.39'}


@functools.cache
def _client(service: str, project: str) -> adapter.Adapter:
    auth = v3.Password(f'{places.behind("keystone")}/v3', username='admin',
                       password=places.PASSWORD, project_name=project,
                       user_domain_id='default', project_domain_id='default')
    prefix = {'nova': '/v2.1', 'cinder': '/v3', 'neutron': '/v2.0', 'keystone': '/v3'}
    made = session.Session(auth)
    made.trust_env = False
    where = places.behind(service) + prefix.get(service, '')
    return adapter.Adapter(made, endpoint_override=where, connect_retries=3)


def call(service: str, method: str, path: str, body: Json | None = None,
         project: str = 'admin', version: str = '') -> Json:
    """One request.

    :param version: the microversion, if another one is wanted
    :returns: what its answer says; its status alone if it says nothing
    :raises keystoneauth1.exceptions.HttpError: it was refused
    """
    headers = {'OpenStack-API-Version': version or VERSIONS[service]} \
        if service in VERSIONS else {}
    answer = _client(service, project).request(
        path, method, json=body, headers={**headers, 'Accept': 'application/json'}, timeout=600)
    found: Json = answer.json() if answer.content else {'status': answer.status_code}
    return found


def users() -> None:
    """The services' users, roles and endpoints."""
    domain = {'domain_id': 'default'}
    project = call('keystone', 'POST', '/projects',
                   {'project': {'name': 'service', **domain}})['project']['id']
    roles = {role['name']: role['id'] for role in call('keystone', 'GET', '/roles')['roles']}
    for name, kind in (('nova', 'compute'), ('cinder', 'block-storage'), ('neutron', 'network'),
                       ('placement', 'placement')):
        who = call('keystone', 'POST', '/users', {'user': {
            'name': name, 'password': places.PASSWORD, **domain}})['user']['id']
        for role in ('admin', 'service'):
            call('keystone', 'PUT', f'/projects/{project}/users/{who}/roles/{roles[role]}')
        for made_as in {kind, 'volumev3'} if name == 'cinder' else {kind}:
            service = call('keystone', 'POST', '/services', {'service': {
                'name': name, 'type': made_as}})['service']['id']
            path = {'nova': '/v2.1', 'cinder': '/v3'}.get(name, '')
            for interface in ('public', 'internal'):
                call('keystone', 'POST', '/endpoints', {'endpoint': {
                    'service_id': service, 'interface': interface, 'region_id': 'one',
                    'url': places.url(name) + path}})


def wait(what: str, seen: Any, timeout: float, pause: float = 3.0) -> Any:
    """Look at something until it is there.

    :param seen: called until it gives something
    :param timeout: seconds
    :raises TimeoutError: it did not come
    """
    limit = time.monotonic() + timeout
    while not (found := seen()):
        if time.monotonic() > limit:
            raise TimeoutError(f'waited {timeout:.0f} s for {what}')
        time.sleep(pause)
    return found
