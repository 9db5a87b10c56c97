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
"""A volume is mapped by hand to one more host, which has it open: neither Cinder nor the ledger
knows of it. Whatever is taken away otherwise, that stays, judged by the array's own log.
"""

from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants

from migsafe.cinder.bus import endpoint
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import world

CREATE = world.ArrayDriver.create_export
BY_HAND = 'iqn.2001-04.com.backup:appliance'


class ByHand(world.World):
    """Node13 has the volume by Cinder, and an appliance without it."""

    def setUp(self):
        super().setUp()
        if self.guarded:
            self.inspect()
        self.first = self.reserve()
        self.attach(self.first)
        self.by_hand()

    def by_hand(self, volume=None):
        self.array.targets.setdefault((volume or self.volume).id, set()).add(BY_HAND)

    def kept(self):
        """Whether the appliance has never lost it."""
        return BY_HAND not in {initiator for _volume, initiator in self.array.removed}

    @staticmethod
    def in_between(driver, context, volume, connector):
        """Somebody is there right after Cinder has made the target. Before, he would count as
        another writer."""
        made = CREATE(driver, context, volume, connector)
        driver.array.targets[volume.id].add(BY_HAND)
        return made

    def rows(self):
        return self.guard.ledger.of(Thing('volume', self.volume.id))

    def each_kill(self, action):
        """Do something again and again, killed at one point further each time, and recover;
        give the points at which the appliance has lost it, and those of them at which Cinder had
        not asked the driver for that itself."""
        number, lost, by_itself = 0, set(), set()
        while True:
            self.faults.quiet = True
            self.volume = self.make_volume()
            self.array.removed.clear()
            attachment = self.reserve()
            if action == 'detach':
                self.attach(attachment)
                self.by_hand()
            self.inject(number)
            with mock.patch.object(world.ArrayDriver, 'create_export', self.in_between):
                self.quietly(getattr(self, action), attachment)
            faults = self.faults
            self.restart()
            for _ in range(2):
                self.recover()
            if not self.kept():
                point = faults.points[number] if faults.struck else 'no fault'
                lost.add(point)
                if 'after remove_export' not in faults.points:
                    by_itself.add(point)
            if not faults.struck:
                return number, lost, by_itself
            number += 1

    def removal_fails(self):
        with mock.patch.object(world.ArrayDriver, 'remove_export',
                               side_effect=exception.VolumeDriverException('array is away')):
            self.detach(self.first)
        self.recover()


class TestPlain(ByHand):
    """The control: an ordinary detach takes it away, and what fails takes nothing away."""

    guarded = False

    def test_plain_cinder(self):
        self.removal_fails()
        self.assertTrue(self.kept())
        self.attach(self.reserve(), world.NODE11)
        self.assertTrue(self.kept())
        number, lost, by_itself = self.each_kill('detach')
        self.assertGreaterEqual(number, 4)
        self.assertLessEqual({'no fault', 'after remove_export'}, lost)
        self.assertEqual(set(), by_itself)


class TestGuarded(ByHand):
    """Never."""

    def named(self, *words):
        for word in (BY_HAND, *words):
            self.assertIn(word, self.rows()[0].error)

    def test_killed(self):
        for action in ('attach', 'detach'):
            number, lost, _by_itself = self.each_kill(action)
            self.assertGreaterEqual(number, 6)
            self.assertEqual(set(), lost, action)

    def test_an_ordinary_detach(self):
        self.detach(self.first)
        self.assertEqual({(self.volume.id, BY_HAND)}, self.array.exports())
        self.recover()
        self.assertTrue(self.kept())
        self.named('by hand', 'more is mapped through it')
        self.array.targets[self.volume.id].clear()
        self.recover()
        self.assertEqual({}, self.array.targets)
        self.assertEqual([], self.guard.ledger.due())

    def test_a_removal_that_has_failed(self):
        self.removal_fails()
        self.assertTrue(self.kept())
        self.named()

    def test_a_copy(self):
        copy = {'host': 'node', 'initiator': 'iqn.1994-05.com.redhat:0'}
        volume = self.make_volume()
        self.by_hand(volume)
        volume = objects.Volume.get_by_id(self.admin, volume.id)
        with mock.patch.object(self.service, '_connect_device', return_value={
                'connector': mock.Mock(), 'conn': {'data': {}}, 'device': {}}):
            info = self.service._attach_volume(self.admin, volume, dict(copy))
        self.assertIn((volume.id, copy['initiator']), self.array.exports())
        self.service._detach_volume(self.admin, info, volume, dict(copy))
        self.recover()
        self.assertEqual({(volume.id, BY_HAND)}, self.array.exports() - {
            one for one in self.array.exports() if one[0] == self.volume.id})
        self.assertTrue(self.kept())

    def test_the_host_is_fenced(self):
        called = endpoint.Endpoint(self.guard)
        self.forget(self.first)
        called.export_fence(None, host='node13', user='alice')
        self.recover()
        self.assertEqual({(self.volume.id, BY_HAND)}, self.array.exports())
        self.assertTrue(self.kept())

    def test_reverted_by_an_operator(self):
        """His word is about one host."""
        self.forget(self.first)
        endpoint.Endpoint(self.guard).export_revert(None, volume=self.volume.id, host='node13')
        self.assertEqual({(self.volume.id, BY_HAND)}, self.array.exports())
        self.assertTrue(self.kept())

    def test_force_detach_of_all(self):
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        self.service.terminate_connection(self.admin, volume.id, None, force=True)
        self.assertEqual({(self.volume.id, BY_HAND)}, self.array.exports())
        other = self.make_volume()
        self.by_hand(other)
        self.assertRaises(exception.VolumeBackendAPIException, self.service.terminate_connection,
                          self.admin, other.id, None, force=True)
        self.assertTrue(self.kept())

    def test_the_array_does_not_answer(self):
        self.inspector.list_exports = mock.Mock(side_effect=OSError('no answer'))
        self.detach(self.first)
        self.assertTrue(self.kept())
        del self.inspector.list_exports
        self.recover()
        self.assertTrue(self.kept())
        self.named()


class TestOneAccessList(ByHand):
    """The array has one mapping for a group, into which the appliance was put by hand."""

    def setUp(self):
        super().setUp()
        both = inspectors_mapping(self.volume, world.NODE13['initiator'], BY_HAND)
        self.inspector.list_exports = lambda volume: [both]

    def test_a_detach_is_refused(self):
        error = self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.first)
        for word in (BY_HAND, 'node13', 'group'):
            self.assertIn(word, str(error))
        self.assertEqual([], self.array.removed)

    def test_recovery_leaves_it(self):
        self.forget(self.first)
        self.recover()
        self.assertEqual([], self.array.removed)
        self.assertIn(BY_HAND, self.rows()[1].error)


def inspectors_mapping(volume, *initiators):
    from migsafe.cinder import inspectors
    return inspectors.Mapping(volume.name, frozenset(initiators), host='group1')


class TestTheArrayCannotTell(ByHand):
    """Only what was made here is taken away by itself, and no target."""

    def setUp(self):
        super().setUp()
        self.inspector = None
        self.boot()

    def test_killed(self):
        for action in ('attach', 'detach'):
            _number, _lost, by_itself = self.each_kill(action)
            self.assertEqual(set(), by_itself, action)

    def test_a_removal_that_has_failed(self):
        self.removal_fails()
        self.assertTrue(self.kept())
        target = self.rows()[0]
        self.assertEqual('mapped', target.state)
        self.assertIn('cannot tell what else', target.error)
        # An operator's word, once the appliance is done.
        self.array.targets[self.volume.id].clear()
        endpoint.Endpoint(self.guard).export_revert(None, volume=self.volume.id, host='node13')
        self.assertEqual({}, self.array.targets)


class TestOthersOfCinder(world.World):
    """A driver that does not look who else has the volume."""

    def setUp(self):
        super().setUp()
        self.volume = self.make_volume(multiattach=True)
        self.first, self.second = self.reserve(), self.reserve(fake_constants.UUID2)
        self.attach(self.first)

    def test_two_instances_on_one_host(self):
        self.attach(self.second)
        self.detach(self.first)
        self.assertEqual([], self.array.removed)
        self.recover()
        self.assertEqual(1, len(self.array.exports()))
        self.detach(self.second)
        self.assertEqual({}, self.array.targets)

    def test_two_hosts_with_one_initiator(self):
        self.attach(self.second, {**world.NODE13, 'host': 'clone'})
        self.detach(self.first)
        self.assertEqual([], self.array.removed)
        self.detach(self.second)
        self.assertEqual({}, self.array.targets)
        self.assertEqual([], self.guard.ledger.due())

    def test_force_detach_of_one(self):
        self.attach(self.second, world.NODE11)
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        error = self.assertRaises(
            exception.VolumeBackendAPIException, self.service.terminate_connection, self.admin,
            volume.id, None, force=True)
        for word in ('node13', 'node11'):
            self.assertIn(word, str(error))
        self.assertEqual([], self.array.removed)

    def test_an_instance_comes_while_another_one_goes(self):
        """On one host. The new one's connector is not in Cinder's database yet."""
        write, ended = world.db.volume_attachment_update, []

        def meanwhile(*args, **kwargs):
            if not ended:
                ended.append('begun')
                ended.append(self.aside(self.detach, self.first))
            return write(*args, **kwargs)
        with mock.patch.object(world.db, 'volume_attachment_update', meanwhile):
            self.attach(self.second)
        self.assertEqual(['begun', None], ended)
        self.assertEqual({(self.volume.id, world.NODE13['initiator'])}, self.array.exports())
        self.recover()
        self.assertEqual(1, len(self.array.exports()))
