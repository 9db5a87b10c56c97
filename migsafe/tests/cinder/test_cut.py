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
"""A host is cut off from the array, though its volumes are attached to it."""

from unittest import mock

from cinder.tests.unit import fake_constants

from migsafe.cinder import inspectors
from migsafe.cinder.bus import cutting, endpoint, fencing
from migsafe.cinder.facts import writers
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import world


class TestArray(world.World):
    """One that maps volumes to hosts."""

    def setUp(self):
        super().setUp()
        self.other = self.make_volume()
        self.old = self.reserve()
        self.attach(self.old)
        self.attach(self.reserve(fake_constants.UUID2, self.other), world.NODE11, self.other)
        self.inspect(world.NODE13)
        self.endpoint = endpoint.Endpoint(self.guard)

    def look(self):
        return self.endpoint.export_open(None, host='node13')

    def cut(self, *volumes):
        return self.endpoint.export_cut(None, host='node13', user='alice',
                                        volumes=volumes or [self.volume.id])['open']

    def test_what_it_accepts(self):
        found = self.look()
        self.assertEqual(([self.volume.id], [], True, 'node@array'), tuple(
            found[name] for name in ('volumes', 'elsewhere', 'maps', 'backend')))
        for name, word in (('open', 'is mapped to'), ('active', 'has')):
            text, = found[name]
            self.assertIn(world.NODE13['initiator'], text)
            self.assertIn(word, text)

    def test_commands_that_are_counted(self):
        self.assertEqual({}, self.look()['commands'])
        name = world.NODE13['initiator']
        for count in (7, 0):
            writers = [inspectors.Writer(f'initiator {who}', frozenset((who,)), commands=sent)
                       for who, sent in ((name, count), ('other', 9))]
            with mock.patch.object(self.inspector, 'writers', return_value=writers):
                found = self.look()
            who, = found['active']
            self.assertEqual({who: count}, found['commands'])

    def test_it_is_taken_away_and_read_back(self):
        self.assertEqual([], self.cut())
        self.assertEqual({world.NODE11['initiator']}, self.array.targets[self.other.id])
        self.assertEqual(set(), self.array.targets[self.volume.id])
        self.assertEqual({(self.volume.id, world.NODE13['initiator']),
                          (self.other.id, world.NODE11['initiator'])}, self.live())
        found = self.look()
        self.assertEqual(([self.volume.id], [], []), (
            found['volumes'], found['open'], found['active']))
        # again changes nothing, recovery neither
        self.assertEqual([], self.cut())
        self.recover()
        self.assertEqual([], self.look()['open'])
        # and the evacuation goes through, once the session has ended with its mapping
        self.inspector.opened = ()
        new = self.reserve()
        self.detach(self.old)
        self.attach(new, world.NODE11)
        self.assertEqual({world.NODE11['initiator']}, self.array.targets[self.volume.id])

    def test_an_array_that_does_not_do_it(self):
        for answer in ({'return_value': False}, {'side_effect': OSError('away')}):
            with mock.patch.object(world.ArrayDriver, 'terminate_connection', **answer):
                self.assertIn(f'{self.volume.id} is mapped to', self.cut()[0])
            self.assertEqual(1, len(self.look()['open']))
        self.assertEqual([], self.cut())

    def test_an_array_that_cannot_be_asked_is_told_nothing(self):
        with mock.patch.object(world.Inspector, 'list_exports', return_value=None):
            for call in (self.look, self.cut):
                self.assertRaises(cutting.CannotBeSeen, call)
        self.assertEqual(1, len(self.look()['open']))

    def test_another_host_keeps_what_it_has(self):
        self.cut(self.volume.id, self.other.id)
        self.assertEqual({world.NODE11['initiator']}, self.array.targets[self.other.id])

    def test_backends_that_have_more_are_named(self):
        volume = self.make_volume(host='node@other#pool')
        world.db.volume_attached(
            self.admin, self.reserve(volume=volume), fake_constants.UUID1, 'node13', '/dev/vdb')
        self.assertEqual(['node@other'], self.look()['elsewhere'])

    def test_the_host_itself(self):
        for name in writers.own_names(self.guard.host):
            self.assertRaises(fencing.OwnHost, self.endpoint.export_cut, None, host=name,
                              user='alice', volumes=[])

    def test_killed_at_each_point(self):
        """What was not taken away is seen; the next try takes it away."""
        number, hit = 0, True
        while hit:
            self.inject(number)
            self.quietly(self.cut)
            hit = self.faults.struck
            self.restart()
            self.endpoint = endpoint.Endpoint(self.guard)
            if self.array.targets[self.volume.id]:
                self.assertNotEqual([], self.look()['open'])
            self.assertEqual([], self.cut())
            row = next(row for row in self.guard.ledger.of(Thing('volume', self.volume.id))
                       if row.host == 'node13')
            self.assertEqual('gone', row.state)
            self.detach(self.old)
            self.old = self.reserve()
            self.attach(self.old)
            number += 1
        self.assertGreater(number, 4)
