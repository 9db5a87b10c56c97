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
"""A guest whose record was given this host by hand."""

import dataclasses
import types

from migsafe.nova.host import registry
from migsafe.nova.seams import at_start, left
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.evidence import GuestState

SRC, DST = fake.SRC, fake.DST
ABSENT, HERE, SHUT_OFF = GuestState.ABSENT, GuestState.HERE, GuestState.SHUT_OFF


class Case(hosts.TwoHosts):
    """On the one host; the rows lead to attachments of the other one, where the guest runs."""

    def setUp(self):
        super().setUp()
        self.here, self.world.records.status = self.src.participant, 'completed'
        self.here.looked = True
        self.src.guests.state, self.dst.guests.state = ABSENT, HERE
        self.instance = types.SimpleNamespace(uuid=fake.INSTANCE, host=SRC)

    def why(self):
        return left.starting(self.here, self.instance)

    def asked(self):
        """Whether Cinder was."""
        return any(name == 'attachments' for name, *_more in self.world.calls.made)


class TestByHand(Case):

    def test_refused_with_what_to_do(self):
        why = self.why()
        for word in (fake.INSTANCE, SRC, f'is attached to {DST}', 'guest here', 'virsh list',
                     f'service set --down {DST} nova-compute', '[migsafe] evacuation'):
            self.assertIn(word, why)
        self.assertTrue(self.asked())

    def test_what_was_ever_here_costs_nothing(self):
        """Each reboot and start in a healthy cloud."""
        for state in GuestState:
            if state not in left.NEVER_HERE:
                self.src.guests.state = state
                self.assertIsNone(self.why(), state)
        self.assertFalse(self.asked())

    def test_attachments_that_say_nothing_or_are_this_hosts(self):
        """After a cold migration, an unshelving, an evacuation or a lost domain; before any
        connection; and of before there were attachments."""
        for host in (SRC, None):
            for number in range(2):
                name = fake.attachment(DST, number)
                self.world.volumes.rows[name] = dataclasses.replace(
                    self.world.volumes.rows[name], host=host)
            self.assertIsNone(self.why())
        for number in range(2):
            self.world.legacy(number)
        self.assertIsNone(self.why())

    def test_the_other_host_says_that_it_is_not_there(self):
        for state in (ABSENT, SHUT_OFF):
            self.dst.guests.state = state
            self.assertIsNone(self.why())
        self.dst.participant.evacuating.add(fake.INSTANCE)
        self.assertIsNotNone(self.why())

    def test_silence_is_enough_only_of_a_dead_host(self):
        with self.away(DST):
            self.assertIn('may run there', self.why())
            self.world.hosts.down.add(DST)
            self.assertIsNone(self.why())

    def test_policies(self):
        self.conf.set_override('evacuation', 'warn', 'migsafe')
        with self.assertLogs(left.LOG.logger, 'WARNING') as logged:
            self.assertIsNone(self.why())
        self.assertIn('a second copy', logged.output[0])
        self.conf.set_override('evacuation', 'off', 'migsafe')
        self.assertIsNone(self.why())

    def test_one_that_comes_here_is_not_looked_at(self):
        self.instance.host = DST
        self.assertIsNone(self.why())
        self.assertFalse(self.asked())


class TestStartWithTheHost(Case):

    def setUp(self):
        super().setUp()
        # whether the rows lead to their volumes is another question, see test_recorded
        self.conf.set_override('device_guards', False, 'migsafe')

    def resume(self):
        manager, started = types.SimpleNamespace(), []
        registry.put(manager, self.here)

        def _resume_guests_state(context, instance, net_info):
            started.append(instance)
        at_start.resume(_resume_guests_state, manager, (None, self.instance, []), {})
        return bool(started)

    def test_not_started(self):
        with self.assertLogs(at_start.LOG.logger, 'ERROR') as logged:
            self.assertFalse(self.resume())
        self.assertIn(f'is attached to {DST}', logged.output[0])
        self.src.guests.state = SHUT_OFF
        self.assertTrue(self.resume())

    def test_what_cannot_be_told(self):
        self.world.volumes.attachments = lambda _uuid: 1 // 0
        with self.assertLogs(at_start.LOG.logger, 'ERROR'):
            self.assertFalse(self.resume())
        # that option is about live migrations
        self.conf.set_override('enforce', False, 'migsafe')
        self.assertIn('cannot be told', self.why())
        with self.assertLogs(at_start.LOG.logger, 'ERROR'):
            self.assertFalse(self.resume())
        self.conf.set_override('evacuation', 'warn', 'migsafe')
        with self.assertLogs(left.LOG.logger, 'WARNING'):
            self.assertTrue(self.resume())

    def test_not_armed(self):
        self.here = None
        self.assertTrue(self.resume())
