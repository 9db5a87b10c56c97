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
import re

from oslotest import base

from migsafe.replay import catalogue

HOSTS = {'source': 'node13', 'destination': 'node11'}


class CatalogueTest(base.BaseTestCase):
    def test_names_are_unique_and_fit_a_command_line(self):
        names = [entry.name for entry in catalogue.ENTRIES]
        self.assertEqual(sorted(set(names)), sorted(names))
        for name in names:
            self.assertRegex(name, re.compile(r'^[a-z][a-z0-9-]{3,25}$'))

    def test_the_incident_comes_first(self):
        self.assertEqual('incident-000', catalogue.ENTRIES[0].name)
        self.assertEqual('stop_start', catalogue.ENTRIES[0].next_step)

    def test_every_fault_does_something_and_says_it_in_a_sentence(self):
        for entry in catalogue.ENTRIES:
            self.assertTrue(entry.faults or entry.dies or entry.hold, entry.name)
            self.assertTrue(entry.text.endswith('.'), entry.name)

    def test_every_phase_and_both_hosts_are_covered(self):
        groups = {entry.group for entry in catalogue.ENTRIES}
        self.assertEqual({'The incident', 'Preparing', 'Transfer', 'Rollback',
                          'After the switch-over', 'Source killed', 'Destination killed',
                          'Worse', 'Too late', 'An untrue word'}, groups)

    def test_roles_become_hosts(self):
        entry = catalogue.find('destination-stays-down')
        given = catalogue.arguments(entry, False, HOSTS)
        self.assertEqual(('node11',), given['stays_down'])
        self.assertEqual('node13', given['faults'][0]['host'])
        self.assertEqual(
            ('node13', 1), catalogue.arguments(catalogue.find('source-device-held'), False,
                                               HOSTS)['hold'][0][:2])

    def test_migsafe_gets_the_fault_on_the_call_that_it_makes(self):
        entry = catalogue.find('rollback-disconnect-late')
        plain, armed = (catalogue.arguments(entry, side, HOSTS)['faults'][1]
                        for side in (False, True))
        self.assertEqual(('remove_volume_connection', 'migsafe.release'),
                         (plain['name'], armed['name']))
        self.assertEqual(plain['action'], armed['action'])

    def test_unknown_name_offers_the_closest(self):
        error = self.assertRaises(catalogue.UnknownFault, catalogue.find, 'rollback-cinder-50')
        self.assertIn('rollback-cinder-503', str(error))
        self.assertIn('--list', str(error))
