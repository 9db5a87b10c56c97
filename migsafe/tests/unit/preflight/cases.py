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
"""Two hosts and a server that can be migrated, for tests that change one thing of it."""

import dataclasses

from migsafe.preflight import facts, path, report, surroundings
from migsafe.preflight.decision import Asked, Request
from migsafe.preflight.guest import Disk, Guest, Storage, Volume

UUID = '777fe18a-e88b-4bdd-b84e-4336d9f073bb'
SRC, DST = 'r2202088compute', 'r2202086compute'
VOLUME = Volume('4ec88534-df59-4bea-b6bb-43ac07fc1d2d', 'vda', protocol='iscsi', identified=True)
GUEST = Guest(UUID, (Disk('vda', 'block', '/dev/dm-4', serial=VOLUME.id),), (VOLUME,), True)
ISO = Disk('sda', 'file', f'/var/lib/nova/instances/{UUID}/disk.config', 'cdrom', readonly=True)
SERVICES = tuple(report.Service(name, 3, 3 if name == 'placement' else None)
                 for name in ('cinder', 'glance', 'neutron', 'placement'))


def made(host, guest=None, **changes):
    """What a healthy host says."""
    return dataclasses.replace(report.Report(
        host, '0.1.0', '34.0.0', 1000.0, Storage(), report.Options(
            service_token=True, services=SERVICES),
        report.Connector('iqn.1993-08.org.debian:01:abc', 2, 'nqn.2014-08.org:uuid:1'),
        report.Directory(guest is not None, 7 if guest else 0, 5 if guest else 0),
        (), guest, '' if guest else 'libvirt has no such guest'), **changes)


def around(host, **changes):
    """What a healthy host finds."""
    return dataclasses.replace(surroundings.Surroundings(
        host, (surroundings.Way(VOLUME.id, 'iscsi', '192.0.2.7 3260', 'open'),),
        surroundings.DirtyRate(100 << 20, 30.0), surroundings.Queueing(60.0),
        surroundings.Cpu(), surroundings.NativeTls(False),
        surroundings.Lvm('UNNEEDED', 'there is no LVM')), **changes)


def native(**changes):
    """The certificates of a host, by the name of each file that is not in order."""
    return surroundings.NativeTls(True, '/etc/pki/qemu', True, 'aa', tuple(
        changes.get(name) or surroundings.Certificate(
            f'{name}-cert.pem', names=(DST,) if name == 'server' else ())
        for name in ('ca', 'server', 'client')))


def side(name, found=None, **changes):
    """A host that has answered."""
    return dataclasses.replace(facts.Side(
        name, facts.ComputeService(name, True, True), plugin=facts.Plugin.ARMED,
        report=found or made(name, GUEST if name == SRC else None),
        around=around(name)), **changes)


#: The way from one to the other.
PATH = path.Path('qemu+tcp://r2202086compute/system', DST, ports=(
    path.Port('libvirt (tcp)', 16509, 'open'), path.Port('QEMU', 49152, 'refused')),
    interface='bond1', speed=10000, memory=8 << 30, inbound=DST)


def good(**changes):
    """All of it."""
    return dataclasses.replace(facts.Facts(
        facts.Server(UUID, 'db1', 'ACTIVE', '', SRC), Request(Asked.AUTO), side(SRC), side(DST),
        PATH), **changes)


def way(**changes):
    """The same, with another way."""
    return good(path=dataclasses.replace(PATH, **changes))


def finds(name, **changes):
    """The same, where one host finds something else."""
    return good(**{'source' if name == SRC else 'destination':
                   side(name, around=around(name, **changes))})


def with_options(host, **changes):
    """A host with other options."""
    healthy = side(host)
    return dataclasses.replace(healthy, report=dataclasses.replace(
        healthy.report, options=dataclasses.replace(healthy.report.options, **changes)))
