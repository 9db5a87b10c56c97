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
"""What the services around Nova raise or answer when they fail, as their clients show it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import oslo_messaging as messaging
import requests
from cinderclient import exceptions as cinder_exc
from keystoneauth1 import exceptions as ksa_exc
from neutronclient.common import exceptions as neutron_exc
from nova import exception as nova_exc
from nova.compute import manager as compute_manager
from nova.tests.fixtures import libvirt as fakelibvirt
from os_brick import exception as brick_exc
from oslo_concurrency import processutils
from oslo_db import exception as db_exc

from migsafe.replay.lab import job


def _cinder(code: int, message: str) -> Callable[[], Exception]:
    cls = {401: cinder_exc.Unauthorized, 404: cinder_exc.NotFound,
           400: cinder_exc.BadRequest}.get(code, cinder_exc.ClientException)
    return lambda: cls(code, message)


def _neutron(cls: Any, message: str) -> Callable[[], Exception]:
    def build() -> Exception:
        made: Exception = cls(message=message)
        return made
    return build


def _busy() -> Exception:
    path = '/dev/disk/by-id/dm-uuid-mpath-36084f0a100bd2ef983572f2400000161'
    return processutils.ProcessExecutionError(
        cmd=f'multipath -f {path}', exit_code=1, stdout=f'{path}: map in use\n', stderr='')


def _vif_timeout() -> BaseException:
    # Nova 31 let the exception of its timer through, later ones have their own
    own = getattr(nova_exc, 'InstanceEventTimeout', None)
    cls: Any = own or compute_manager.eventlet.timeout.Timeout
    made: BaseException = cls()
    return made


#: action name -> what the caller gets.
RAISES: dict[str, Callable[[], BaseException]] = {
    'connect-failure': lambda: ksa_exc.ConnectFailure('Unable to establish connection'),
    'connect-timeout': lambda: ksa_exc.ConnectTimeout('Request timed out'),
    'unauthorized': lambda: ksa_exc.Unauthorized('The request requires authentication'),
    'cinder-400': _cinder(400, 'Invalid volume'),
    'cinder-401': _cinder(401, 'Unauthorized'),
    'cinder-404': _cinder(404, 'Not found'),
    'cinder-500': _cinder(500, 'The server has either erred or is incapable'),
    'cinder-503': _cinder(503, 'Service Unavailable'),
    'cinder-504': _cinder(504, 'Gateway Timeout'),
    'neutron-404': _neutron(neutron_exc.PortNotFoundClient, 'Port could not be found'),
    'neutron-409': _neutron(neutron_exc.Conflict, 'Conflict'),
    'neutron-500': _neutron(neutron_exc.InternalServerError, 'Request Failed'),
    'neutron-503': _neutron(neutron_exc.ServiceUnavailable, 'Service Unavailable'),
    'neutron-down': lambda: neutron_exc.ConnectionFailed(reason='Connection refused'),
    'timeout': lambda: messaging.MessagingTimeout('Timed out waiting for a reply'),
    'bus-down': lambda: messaging.MessageDeliveryFailure('Unable to connect to AMQP server'),
    'db-error': lambda: db_exc.DBConnectionError('Lost connection to MySQL server'),
    'libvirt-error': lambda: job.error(
        'internal error: client socket is closed', fakelibvirt.VIR_ERR_INTERNAL_ERROR),
    'brick-busy': _busy,
    'brick-missing': lambda: brick_exc.VolumeDeviceNotFound(device='/dev/disk/by-path'),
    'brick-timeout': lambda: brick_exc.TargetPortalNotFound(target_portal='172.24.3.101:3260'),
    'vif-timeout': _vif_timeout,
    'vif-failed': lambda: nova_exc.VirtualInterfacePlugException('Neutron reported failure'),
    'os-error': lambda: OSError(28, 'No space left on device'),
}


def _response(status: int, body: str, kind: str) -> Callable[[], requests.Response]:
    def build() -> requests.Response:
        answer = requests.Response()
        answer.status_code = status
        answer.headers['content-type'] = kind
        answer.headers['x-openstack-request-id'] = 'req-none'
        answer._content = body.encode()
        answer.elapsed = datetime.timedelta()
        return answer
    return build


_HTML = '<html><body><h1>503 Service Unavailable</h1>\nNo server is available</body></html>'
_JSON = ('{"errors": [{"status": %d, "title": "%s", "detail": "%s", "code": '
         '"placement.concurrent_update"}]}')

#: action name -> what a request answers instead of raising.
ANSWERS: dict[str, Callable[[], requests.Response]] = {
    'placement-503': _response(503, _HTML, 'text/html'),
    'placement-500': _response(500, _JSON % (500, 'Internal', 'erred'), 'application/json'),
    'placement-409': _response(409, _JSON % (409, 'Conflict', 'conflict'), 'application/json'),
}



def _says(verdict: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda answer: {**answer, 'known': True, 'live': False, 'verdict': verdict}


#: action name -> what the other host's plugin says instead of what it knows.
LIES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    'says-commit': _says('COMMIT'), 'says-abort': _says('ABORT'),
}

#: kind of effect -> the failures that are worth trying on it.
SUITS: dict[str, tuple[str, ...]] = {
    'cinder': ('cinder-500', 'cinder-503', 'cinder-401', 'cinder-404', 'connect-failure',
               'connect-timeout'),
    'neutron': ('neutron-500', 'neutron-503', 'neutron-409', 'neutron-down', 'connect-failure'),
    'placement': ('placement-503', 'placement-500', 'placement-409', 'connect-failure'),
    'rpc': ('timeout', 'late', 'bus-down'),
    'db': ('timeout', 'db-error'),
    'libvirt': ('libvirt-error',),
    'brick': ('brick-busy', 'brick-missing', 'brick-timeout'),
    'event': ('vif-timeout', 'vif-failed'),
    'journal': ('os-error',),
}
