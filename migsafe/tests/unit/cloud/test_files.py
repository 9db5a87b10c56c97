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
"""What the cloud tests write: configuration, what a machine is given, reports, a guest's disk."""

from __future__ import annotations

import configparser
import io
import tarfile

import testtools

from migsafe.tests.cloud import configs, payload, places, sector


def parsed(file: configs.File) -> configparser.RawConfigParser:
    """What a service would read."""
    found = configparser.RawConfigParser(default_section='none')
    found.read_string(configs.render(file))
    return found


class TestConfigs(testtools.TestCase):
    """The two sides differ in migsafe's options alone."""

    def changed(self, plain: configs.File, armed: configs.File) -> set[tuple[str, str]]:
        sides = [{(section, name, value) for section in read.sections()
                  for name, value in read.items(section)}
                 for read in (parsed(plain), parsed(armed))]
        return {one[:2] for one in sides[0] ^ sides[1]}

    def test_compute(self) -> None:
        self.assertEqual({('migsafe', one) for one in ('enabled', *configs.SET)}, self.changed(
            configs.compute('cmp1', False, 1), configs.compute('cmp1', True, 1)))

    def test_volume(self) -> None:
        self.assertEqual(
            {('migsafe', 'enabled'), *((backend, name) for backend in configs.BACKENDS
                                       for name in configs.GUARDED)},
            self.changed(configs.volume('array', False), configs.volume('array', True)))

    def test_no_database_on_a_compute_host(self) -> None:
        self.assertFalse(parsed(configs.compute('cmp1', True, 1)).has_section('database'))

    def test_portals(self) -> None:
        backend = parsed(configs.volume('array', False))['lvm']
        self.assertEqual(('10.77.1.21', '10.77.2.21'), (
            backend['target_ip_address'], backend['target_secondary_ip_addresses']))


class TestPayload(testtools.TestCase):
    """What a machine is given."""

    def test_machine(self) -> None:
        self.assertEqual(
            'NAME=cmp1\nROLE=compute\nACCOUNT=nova\nSERVICE=nova-compute\n'
            'ADDRESSES="10.77.0.11 10.77.1.11 10.77.2.11"\n'
            'MACS=(52:54:00:77:00:0b 52:54:00:77:01:0b 52:54:00:77:02:0b)\n',
            payload.machine('cmp1', 'compute', 'nova', 'nova-compute'))

    def test_tar(self) -> None:
        data = payload.tar({'etc/x': (b'secret', 0o600)}, {})
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            self.assertEqual([('etc/x', 0o600)], [(one.name, one.mode) for one in archive])

    def test_addresses_are_all_different(self) -> None:
        found = [places.address(name, bridge) for name in places.MACHINES
                 for bridge in places.BRIDGES]
        self.assertEqual(len(found), len({*found, places.CONTROL}) - 1)


class TestSector(testtools.TestCase):
    """What a guest writes."""

    def test_written(self) -> None:
        block = sector.block('a-plain-0')
        self.assertEqual((512, sector.Written('a-plain-0', 0)), (len(block), sector.read(block)))

    def test_not_ours(self) -> None:
        self.assertIsNone(sector.read(bytes(512)))
