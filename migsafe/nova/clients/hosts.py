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
"""What Nova knows of a compute host, and the verdict on it."""

from __future__ import annotations

from typing import Any

from nova import context as nova_context
from nova import exception, objects, servicegroup
from nova.conf import CONF
from oslo_utils import timeutils

from migsafe.fencing import examine
from migsafe.fencing.examine import Fleet
from migsafe.fencing.probes.base import Record, Site, of_late
from migsafe.fencing.verdict import Judgement
from migsafe.transaction.clients import Peer

BINARY = 'nova-compute'
#: What Nova's drivers of heartbeats read of a record.
_BEATS = ('host', 'topic', 'binary', 'last_seen_up', 'created_at')


def _service(host: str) -> Any:
    try:
        return objects.Service.get_by_compute_host(nova_context.get_admin_context(), host)
    except exception.ComputeHostNotFound:
        return None


def record(host: str) -> Record | None:
    """Nova's record of a nova-compute; None if there is none."""
    found = _service(host)
    return None if found is None else _record(found, servicegroup.API())


def _record(found: Any, api: Any) -> Record:
    age = _since(found.last_seen_up)
    # What is said of it is left out: Nova takes one for down that was forced down.
    up = bool(api.service_is_up({'forced_down': False} | {
        name: getattr(found, name) for name in _BEATS}))
    return Record(
        forced_down=bool(found.forced_down), up=up and not found.forced_down, age=age,
        reports=int(found.report_count), heard=up or of_late(age, CONF.service_down_time),
        changed=_since(found.updated_at))


def _since(moment: Any) -> float | None:
    return None if moment is None else float(timeutils.delta_seconds(
        timeutils.normalize_time(moment), timeutils.utcnow()))


def fleet(*apart: str) -> Fleet:
    """The other hosts, see :func:`migsafe.fencing.examine.fleet`."""
    api = servicegroup.API()
    return examine.fleet({one.host: _record(one, api) for one in objects.ServiceList.get_by_binary(
        nova_context.get_admin_context(), BINARY, include_disabled=True)}, *apart)


def site(conf: Any, peer: Peer) -> Site:
    """What probes may use of this nova-compute.

    :param conf: the options of ``[migsafe]``
    """
    return Site(conf, record, peer.look)


class Hosts:
    """See :class:`migsafe.transaction.clients.Hosts`.

    :param conf: the options of ``[migsafe]``
    :param here: this host
    """

    def __init__(self, conf: Any, peer: Peer, here: str) -> None:
        self._site, self._here = site(conf, peer), here

    def declared(self, host: str) -> bool | None:
        # ``forced_down`` is set by an operator, or by what fences hosts; Nova itself never sets
        # it, and evacuates by it (compute API guide, "Force-down Compute Service").
        found = _service(host)
        return None if found is None else bool(found.forced_down)

    def judge(self, host: str, instance_uuid: str, confirmed: bool = False) -> Judgement:
        return examine.examine(host, instance_uuid, self._site, lambda: fleet(host, self._here),
                               confirmed)
