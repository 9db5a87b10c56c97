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
"""What the inspector of RBD makes of Ceph's answers; test_ceph asks a real cluster.

The answers are those of Ceph 16, as it gave them in test_ceph, and what should never come.
"""

import types
from unittest import mock

from cinder.volume.drivers import rbd as cinder_rbd
from oslotest import base

from migsafe import exceptions
from migsafe.cinder.inspectors import rbd, rbd_clients
from migsafe.tests.cinder import test_driver

VOLUME = {'name': 'volume-1'}
ONE, TWO, SIX = '10.1.0.13:0/3489573306', '10.1.0.11:0/2234105320', '[fd00::13]:0/77'
UNTIL = '"until":"2026-11-24T15:08:10.681181+0000"'


class ImageNotFound(Exception):
    """What librbd raises."""


class Image:
    """An image that is open for reading."""

    def __init__(self, watchers, lockers=()):
        self.watchers = [{'addr': address, 'id': 4000 + number, 'cookie': number}
                         for number, address in enumerate(watchers)]
        self.lockers = lockers

    def watchers_list(self):
        return iter(self.watchers)

    def list_lockers(self):
        return {'tag': 'internal', 'exclusive': True, 'lockers': [
            (f'client.{number}', cookie, address)
            for number, (cookie, address) in enumerate(self.lockers)]} if self.lockers else []

    def close(self):
        pass


class Cluster:
    """The monitors' answers: command -> code, text, status."""

    def __init__(self, answers, options):
        self.answers, self.options = answers, options

    def mon_command(self, command, _data):
        for name, answer in self.answers.items():
            if f'"{name}"' in command:
                return answer
        return -22, b'', 'command not known'

    def conf_get(self, name):
        return self.options.get(name)


class TestInspector(base.BaseTestCase):
    """Who can write an image."""

    def make(self, images=None, listed=b'[][]', **answers):
        images = {'volume-1': Image([ONE])} if images is None else images

        def opened(_ioctx, name, snapshot=None, read_only=False):
            self.assertIs(True, read_only)
            if images.get(name) is None:
                raise ImageNotFound(name)
            return images[name]
        driver = mock.Mock(spec=cinder_rbd.RBDDriver)
        driver.rbd = types.SimpleNamespace(ImageNotFound=ImageNotFound, Image=opened,
                                           Error=ImageNotFound)
        driver.RBDProxy.return_value.list.return_value = list(images)
        self.cluster = Cluster({'osd blocklist ls': (0, listed, '')} | answers,
                               {'rbd_blocklist_on_break_lock': 'true'})
        driver._connect_to_rados.return_value = (self.cluster, mock.Mock())
        return rbd.RbdInspector(driver)

    def addresses(self, *args, **kwargs):
        return [writer.address for writer in self.make(*args, **kwargs).writers(VOLUME)]

    def test_a_watcher(self):
        writer, = self.make().writers(VOLUME)
        self.assertEqual(('10.1.0.13', frozenset()), (writer.address, writer.initiators))
        self.assertEqual(f'client.4000 at {ONE}', writer.who)
        self.assertIn('30 seconds', writer.cure)
        self.assertIn(f'ceph osd blocklist add {ONE} 157784760', writer.cure)

    def test_over_ipv6(self):
        writer, = self.make({'volume-1': Image(['[FD00:0::13]:0/77'])}).writers(VOLUME)
        self.assertEqual('fd00::13', writer.address)
        self.assertIn(f'add {SIX}', writer.cure)

    def test_no_image(self):
        self.assertEqual([], self.addresses({}))

    def test_nobody_has_it_open(self):
        self.assertEqual([], self.addresses({'volume-1': Image([])}))

    def test_the_owner_of_the_lock(self):
        writer, = self.make({'volume-1': Image([ONE], [('auto 1', ONE)])}).writers(VOLUME)
        self.assertEqual(f'client.4000 at {ONE}, owner of the exclusive lock,', writer.who)

    def test_an_owner_that_does_not_watch(self):
        """The next to write fences it, unless Ceph is told not to, or nothing is known of it."""
        image = Image([], [('auto 1', ONE)])
        for options, expected in (
                ({'rbd_blocklist_on_break_lock': 'true'}, []),
                ({'rbd_blacklist_on_break_lock': 'true'}, []),
                ({'rbd_blocklist_on_break_lock': 'false'}, ['10.1.0.13']),
                ({}, ['10.1.0.13'])):
            made = self.make({'volume-1': image})
            self.cluster.options = options
            self.assertEqual(expected, [one.address for one in made.writers(VOLUME)], options)

    def test_an_advisory_lock_is_no_writer(self):
        made = self.make({'volume-1': Image([], [('by hand', ONE)])})
        self.cluster.options = {}
        self.assertEqual([], made.writers(VOLUME))

    def test_who_is_on_the_blocklist(self):
        listed = '[{"addr":"%s",' + UNTIL + '}][{"range":"%s",' + UNTIL + '}]'
        for address, network, expected in (
                (ONE, '10.9.0.0:0/24', ['10.1.0.11', 'fd00::13']),
                ('10.1.0.13:0/0', '10.9.0.0:0/24', ['10.1.0.11', 'fd00::13']),
                ('10.1.0.13:0/1', '10.9.0.0:0/24', ['10.1.0.13', '10.1.0.11', 'fd00::13']),
                (SIX, '10.1.0.0:0/24', []),
                (ONE, '[fd00::]:0/64', ['10.1.0.11']),
                (ONE, '[fd01::]:0/64', ['10.1.0.11', 'fd00::13']),
                (ONE, 'cidr:10.1.0.12:0/31', ['10.1.0.11', 'fd00::13']),
                (ONE, '10.1.0.11:0/32', ['fd00::13']),
                ('[fd00::13]:0/0', '0.0.0.0:0/0', [])):
            self.assertEqual(expected, self.addresses(
                {'volume-1': Image([ONE, TWO, SIX])},
                (listed % (address, network)).encode()), (address, network))

    def test_before_ceph_16(self):
        """One list, and another word."""
        listed = f'[{{"addr":"{TWO}",{UNTIL}}}]\n'.encode()
        made = self.make({'volume-1': Image([ONE, TWO])}, **{
            'osd blocklist ls': (-22, b'', 'command not known'),
            'osd blacklist ls': (0, listed, 'listed 1 entries')})
        writer, = made.writers(VOLUME)
        self.assertIn(f'ceph osd blacklist add {ONE}', writer.cure)

    def test_no_capability(self):
        made = self.make(**{'osd blocklist ls': (-13, b'', 'access denied')})
        refused = self.assertRaises(rbd.Refused, made.writers, VOLUME)
        for word in ('error 13', 'access denied'):
            self.assertIn(word, str(refused))

    def test_neither_command_is_known(self):
        made = self.make(**{'osd blocklist ls': (-22, b'', 'command not known')})
        self.assertRaises(rbd.Refused, made.writers, VOLUME)

    def test_nonsense(self):
        """What is not understood is an error, never nobody."""
        for listed in (b'', b'[', b'{}', b'7', b'null', b'[7]', b'[{}]', b'\xff', b'[] x',
                       b'[{"addr":"10.1.0.13"}]', b'[{"addr":7}]', b'[{"range":"10.0.0.0:0/33"}]',
                       b'[{"range":"[fd00::]:0/129"}]', b'[][{"range":null}]'):
            error = self.assertRaises(rbd_clients.NotUnderstood, self.addresses, listed=listed)
            self.assertLess(len(str(error)), 200)
        for address in ('', '-', ':/0', '10.1.0.13', '10.1.0.13:0', '999.1.0.1:0/1', None,
                        '10.1.0.13:0/1 ', '[fd00::x]:0/1', 'fd00::1:0/1',
                        '10.1.0.13:0/1\n', '1' * 10000):
            self.assertRaises(rbd_clients.NotUnderstood, self.addresses,
                              {'volume-1': Image([address])})

    def test_all_images(self):
        made = self.make({'volume-1': Image([ONE, TWO]), 'other': Image([]), 'gone': None,
                          'volume-2': Image([SIX])})
        self.assertEqual([('volume-1', ONE), ('volume-1', TWO), ('volume-2', SIX)],
                         [(mapping.volume, mapping.host) for mapping in made.list_all()])

    def test_nothing_is_mapped(self):
        self.assertIsNone(self.make().list_exports(VOLUME))
        self.assertEqual(frozenset(), self.make().identity(VOLUME))


class TestAddress(base.BaseTestCase):
    """As Ceph writes it."""

    def test_each(self):
        for text, expected in ((ONE, ONE), (SIX, SIX), (f'v1:{ONE}', ONE), (f'v2:{SIX}', SIX),
                               (f'any:{ONE}', ONE), ('[FD00:0:0::13]:0/77', SIX)):
            self.assertEqual(expected, str(rbd_clients.Address.of(text)), text)


class TestWrongDriver(test_driver.Backends):
    """The gateway of RBD over iSCSI, for one, would be the only client of every image."""

    def test_it_is_refused(self):
        made = self.manager(test_driver.FAKE, migsafe_inspector='rbd').driver
        refused = self.assertRaises(exceptions.ConfigError,
                                    getattr, made.migsafe_guard, 'inspector')
        for word in ('[array] migsafe_inspector', 'RBDDriver', 'FakeLoggingVolumeDriver'):
            self.assertIn(word, str(refused))
