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
"""What is proposed is what LVM was tried on, word by word."""

import dataclasses
from unittest import mock

import fixtures
import testtools

from migsafe.lvm import checking, errors, facts
from migsafe.tests.unit.lvm import test_rules

OLD = {'devices/global_filter': ('a|^/dev/sda3$|', 'r|.*/|', 'a|.*|')}
LINE = f'global_filter = [ "{test_rules.CLOSED[0]}", "r|.*|" ]'


class InsteadTest(testtools.TestCase):
    """Somebody's filter is in the way, and another one is proposed in its place."""

    def setUp(self):
        super().setUp()
        self.lvm = mock.Mock()
        self.tried = []
        self.hidden, self.strangers = (), ()
        self.lvm.pvs.side_effect = self.pvs
        self.lvm.lvs.side_effect = lambda *more: []
        for name, read in (('lvs', list), ('pvs', self.rows)):
            self.useFixture(fixtures.MonkeyPatch(f'migsafe.lvm.reports.{name}', read))
        self.found = test_rules.host(test_rules.vg(), test_rules.GUEST, effective=OLD,
                                     written=OLD, version=(2, 3, 19))

    @staticmethod
    def rows(uuids):
        return [mock.Mock(uuid=uuid, missing=False) for uuid in uuids]

    def pvs(self, *more):
        config = more[more.index('--config') + 1] if '--config' in more else ''
        self.tried.append(config)
        tried = 'global_filter' in config or '--devices' in more
        names = ['sda', *(self.strangers if config else ())] if tried else ['sda', 'sdb']
        if config and any(word in config for word in self.hidden):
            names = []
        return [f'uuid-{name}' for name in names]

    def advice(self):
        with mock.patch.object(facts, 'gather', return_value=self.found):
            return checking.Check(client=self.lvm).look()[1]

    def test_what_lvm_was_tried_on_is_what_is_proposed(self):
        advice = self.advice()
        self.assertEqual(LINE, advice.instead)
        self.assertIn(f'devices {{ {LINE} }}', self.tried)
        # beside the old "filter" and without it
        self.assertIn(f'devices {{ {LINE} filter = [ "a|.*|" ] }}', self.tried)

    def test_where_links_come_too_late_for_an_event(self):
        self.found = dataclasses.replace(self.found, version=(2, 3, 18))
        advice = self.advice()
        self.assertEqual('', advice.instead)
        self.assertIn('2.03.19', advice.reasons[-1])
        # a name of the kernel's is there from the start
        self.found = dataclasses.replace(self.found, vgs=(test_rules.vg(
            'host', test_rules.device(link='/dev/vda3')),))
        self.assertEqual('global_filter = [ "a|^/dev/vda3$|", "r|.*|" ]', self.advice().instead)

    def test_what_hides_the_hosts_own_is_not_proposed(self):
        self.hidden = (LINE,)
        advice = self.advice()
        self.assertEqual('', advice.instead)
        self.assertIn('does not see', ' '.join(advice.reasons))

    def test_what_leaves_a_guests_disk_is_not_proposed(self):
        self.strangers = ('sdb',)
        self.assertEqual('', self.advice().instead)

    def test_an_lvm_that_fails(self):
        self.lvm.lvs.side_effect = [[], errors.CommandFailed(command='lvs', reason='no')]
        self.assertEqual('', self.advice().instead)

    def test_without_a_filter_of_somebodys_there_is_none_in_its_place(self):
        self.found = test_rules.host(test_rules.vg())
        self.assertEqual('', self.advice().instead)
