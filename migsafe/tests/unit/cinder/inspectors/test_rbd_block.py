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
import datetime
import json

from oslotest import base

from migsafe.cinder.inspectors import rbd_block
from migsafe.cinder.inspectors.rbd_clients import Address, Blocklist

ONE, TWO, OTHER = (Address.of(text) for text in (
    '172.24.9.13:0/1', '172.24.9.13:0/2', '172.24.9.14:0/3'))
WHOLE = '172.24.9.13:0/0'


def end(seconds):
    """As the monitors write when an entry ends."""
    when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return when.strftime('%Y-%m-%dT%H:%M:%S.%f+0000')


class Cluster:
    """The monitors, of which this client is 172.24.9.2."""

    def __init__(self, osds=('172.24.9.5:6800/1',), mons=('172.24.9.1:3300/0',), blocked=(),
                 until=None):
        self.until = {'until': end(rbd_block.SECONDS)} if until is None else until
        self.blocked, self.fails, self.waited = list(blocked), set(), 0
        self.maps = {'osd dump': {'osds': [{'public_addr': name} for name in osds],
                                  'blocklist': {WHOLE: '2031'}},
                     'mon dump': {'mons': [{'public_addr': name} for name in mons]}}

    def get_addrs(self):
        return '172.24.9.2:0/7'

    def mon_command(self, text, _data):
        asked = json.loads(text)
        if asked['prefix'] in self.fails:
            return -13, b'', 'access denied'
        if asked['prefix'] in self.maps:
            return 0, json.dumps(self.maps[asked['prefix']]).encode(), ''
        assert (asked['prefix'], asked['blocklistop']) == ('osd blocklist', 'add'), asked
        assert asked['expire'] > 4 * 365 * 86400
        self.blocked.append(asked['addr'])
        return 0, b'', ''

    def wait_for_latest_osdmap(self):
        self.waited += 1

    def listed(self):
        return Blocklist.of('blocklist', json.dumps(
            [{'addr': name, **self.until} for name in self.blocked]).encode())


class TestBlock(base.BaseTestCase):

    def block(self, *clients, **values):
        cluster = Cluster(**values)
        rbd_block.block(cluster, cluster.listed(), clients)
        self.assertEqual(1, cluster.waited)
        return cluster

    def test_clients_and_what_comes_later_from_their_address(self):
        self.assertEqual([WHOLE, str(ONE), str(TWO)], self.block(ONE, TWO, ONE).blocked)

    def test_an_address_that_is_more_than_the_host_is_left(self):
        for values in ({'osds': ('172.24.9.13:6800/9',)}, {'mons': ('172.24.9.13:3300/0',)}):
            self.assertEqual([str(ONE)], self.block(ONE, **values).blocked)
        self.assertEqual(['172.24.9.2:0/5'], self.block(Address.of('172.24.9.2:0/5')).blocked)
        self.assertEqual([str(ONE), str(OTHER)], self.block(
            ONE, OTHER, osds=('172.24.9.13:6800/9',)).blocked)

    def test_several_addresses(self):
        self.assertEqual({WHOLE, str(ONE), str(OTHER), str(rbd_block._whole(OTHER))},
                         set(self.block(ONE, OTHER).blocked))

    def test_what_is_blocked_stays_as_it_is(self):
        done = [WHOLE, str(ONE)]
        self.assertEqual(done, self.block(ONE, blocked=done).blocked)
        self.assertEqual([str(ONE), WHOLE], self.block(ONE, blocked=done[1:]).blocked)

    def test_what_would_end_soon_is_renewed(self):
        """Ceph's own entries are there for an hour."""
        for until in ({'until': end(3600)}, {'until': end(-5)}, {'until': 'never'}, {}):
            self.assertEqual([WHOLE, str(ONE), WHOLE, str(ONE)], self.block(
                ONE, blocked=[WHOLE, str(ONE)], until=until).blocked)

    def test_monitors_that_refuse(self):
        for name in ('mon dump', 'osd dump', 'osd blocklist'):
            cluster = Cluster()
            cluster.fails.add(name)
            error = self.assertRaises(rbd_block.NotBlocked, rbd_block.block, cluster,
                                      cluster.listed(), [ONE])
            self.assertIn('access denied', str(error))
            self.assertEqual([], cluster.blocked)


class TestOthers(base.BaseTestCase):

    def others(self, addresses, *blocked):
        return rbd_block.others({'a': [ONE, OTHER], 'b': []}, addresses,
                                Cluster(blocked=blocked).listed())

    def test_each(self):
        self.assertEqual((f'the client at {OTHER} has a open',), self.others({str(ONE.ip)}))
        self.assertEqual(2, len(self.others(set())))
        self.assertEqual((), self.others({str(ONE.ip), str(OTHER.ip)}))

    def test_who_can_write_nothing(self):
        self.assertEqual((), self.others({str(ONE.ip)}, str(OTHER)))


class TestLeft(base.BaseTestCase):

    until = None

    def left(self, *blocked, **seen):
        return rbd_block.left(seen, Cluster(blocked=blocked, until=self.until).listed())

    def test_each(self):
        self.assertEqual(
            ('a: the client at 172.24.9.13:0/1 is not blocked for 30 days from now',),
            self.left(a=[ONE]))
        self.assertEqual((), self.left(str(ONE), a=[ONE]))
        self.assertEqual(
            ('a: the client at 172.24.9.13:0/2 is not blocked for 30 days from now',),
            self.left(str(ONE), a=[ONE, TWO]))

    def test_who_has_not_opened_an_image_yet(self):
        for seen in ({'b': []}, {'a': [ONE], 'b': []}):
            said, = self.left(str(ONE), **seen)
            self.assertIn('b: nobody has it open', said)
        self.assertEqual((), self.left(WHOLE, a=[ONE], b=[]))
        self.assertEqual(2, len(self.left(WHOLE, a=[ONE, OTHER], b=[])))

    def test_an_address_that_is_blocked_for_an_hour(self):
        """Nobody has renewed it where it is that of an OSD as well."""
        self.until = {'until': end(3600)}
        _open, said = self.left(WHOLE, a=[ONE], b=[])
        self.assertIn('b: nobody has it open', said)

    def test_who_is_blocked_for_an_hour(self):
        for blocked in ([str(ONE)], [WHOLE]):
            self.until = {'until': end(rbd_block.SECONDS)}
            self.assertEqual((), self.left(*blocked, a=[ONE]))
            self.until = {'until': end(3600)}
            said, = self.left(*blocked, a=[ONE])
            self.assertIn('a: the client at 172.24.9.13:0/1 is not blocked for', said)

    def test_a_range(self):
        """Where an address is that of an OSD, too, an operator may have blocked it."""
        for seconds, count in ((rbd_block.SECONDS, 0), (3600, 2)):
            listed = Blocklist.of('blocklist', json.dumps([{
                'range': 'cidr:172.24.9.0:0/24', 'until': end(seconds)}]).encode())
            self.assertEqual(count, len(rbd_block.left({'a': [ONE], 'b': []}, listed)))
