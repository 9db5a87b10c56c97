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
"""The clients of :mod:`migsafe.transaction.clients` on Nova's own objects."""

from __future__ import annotations

from typing import Any

from migsafe.nova.clients import (
    allocations,
    devices,
    directories,
    evidence,
    hosts,
    network,
    records,
    volumes,
)
from migsafe.transaction.clients import Clients, Peer


def build(manager: Any, peer: Peer, conf: Any) -> Clients:
    """All clients of one ComputeManager.

    :param manager: a nova.compute.manager.ComputeManager with a libvirt driver
    :param peer: the way to the plugin on other hosts
    :param conf: the options of ``[migsafe]``
    """
    return Clients(
        volumes=volumes.Volumes(manager),
        records=records.Records(manager),
        devices=devices.Devices(manager),
        directories=directories.Directories(),
        network=network.Network(manager),
        allocations=allocations.Allocations(manager),
        guests=evidence.Guests(manager),
        peer=peer,
        hosts=hosts.Hosts(conf, peer, manager.host))
