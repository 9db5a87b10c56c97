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
"""Whoever is not protected is not called armed."""

import os
import types
import unittest
from unittest import mock

from migsafe import exceptions, process
from migsafe.fencing.probes.base import Record
from migsafe.nova.host import status as host_status
from migsafe.nova.seams import service
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake

BROKEN = exceptions.ResourcePluginError(
    plugin='x', reason='password=hush', cure='Uninstall it')


class TestUnarmed(hosts.TwoHosts):
    def setUp(self):
        super().setUp()
        self.conf.set_override('enforce', False, 'migsafe')
        self.manager = types.SimpleNamespace(host=fake.SRC, driver=object())
        self.journal = self.src.journal
        for name, value in (('CONF', self.conf),
                            ('libvirt_driver', types.SimpleNamespace(
                                LibvirtDriver=type(self.manager.driver)))):
            self.enterContext(mock.patch.object(service, name, value))
        self.enterContext(mock.patch.object(host_status, '_GAPS', []))

    def start(self):
        return service.init_host(lambda: 'started', self.manager, (), {})

    def status(self):
        found, = self.journal.statuses()
        return found

    def test_a_journal_or_a_plugin_that_cannot_be_used(self):
        host_status.armed(self.journal)
        with mock.patch.object(service, 'arm_manager', side_effect=BROKEN):
            self.assertEqual('started', self.start())
        self.assertFalse(self.status().armed)
        self.assertIn('Uninstall it', self.status().detail)
        self.assertNotIn('hush', self.status().detail)

    def test_another_driver(self):
        service.libvirt_driver.LibvirtDriver = int
        for before in (False, True):
            if before:
                host_status.armed(self.journal)
            self.assertEqual('started', self.start())
            self.assertFalse(self.status().armed)
        self.assertFalse(self.status().armed)
        self.assertIn('object is not the libvirt driver', self.status().detail)

    def test_an_error_while_it_is_reported_stops_nothing(self):
        with mock.patch.object(service, 'arm_manager', side_effect=BROKEN), \
                mock.patch.object(host_status, '_write', side_effect=OSError):
            self.assertEqual('started', self.start())

    def test_a_gap_stays_in_every_report(self):
        host_status.gap('Devices are NOT guarded')
        host_status.armed(self.journal)
        host_status.armed(self.journal, 'transaction 7 hangs')
        self.assertTrue(self.status().armed)
        self.assertEqual('Devices are NOT guarded; transaction 7 hangs',
                         self.status().detail)

    def test_living_host_that_is_said_to_be_fenced(self):
        """Each report says so, as long as it is so, and the log of the start."""
        for record, said in ((Record(True, False, 5.0, 7, heard=True), True),
                             (Record(False, True, 5.0, 7, heard=True), False),
                             (None, False), (OSError('away'), False)):
            with mock.patch.object(host_status.hosts, 'record', side_effect=[record] * 2), \
                    self.assertLogs(service.LOG.logger, 'INFO') as log:
                service._report(self.journal)
            for text in (self.status().detail, '\n'.join(log.output)):
                self.assertIs(said, 'service set --up node13 nova-compute' in text, record)

    def test_an_account_for_the_rows_of_all_is_said(self):
        with mock.patch.object(self.journal, 'reach', return_value=None):
            host_status.account(self.journal)
        host_status.armed(self.journal)
        self.assertEqual('', self.status().detail)
        with mock.patch.object(self.journal, 'reach', return_value='it can read node11'), \
                self.assertLogs(host_status.LOG.logger, 'WARNING') as log:
            host_status.account(self.journal)
        host_status.armed(self.journal)
        self.assertTrue(self.status().armed)
        for text in (self.status().detail, log.output[0]):
            self.assertIn('it can read node11', text)
            self.assertIn('db grants', text)

    def test_the_account_is_looked_at_when_it_arms(self):
        looked = []

        def reach(journal):
            looked.append(journal)
        with mock.patch.object(service.Journal, 'reach', reach), \
                mock.patch.object(service.status, 'armed', side_effect=BROKEN):
            self.assertRaises(type(BROKEN), service.arm_manager, mock.MagicMock(host=fake.SRC),
                              self.conf)
        self.assertEqual([fake.SRC], [journal.host for journal in looked])

    def test_probes_are_looked_at_when_it_arms(self):
        """Not when somebody waits for an evacuation."""
        self.conf.set_override('probes', ['rpc', 'no_such'], 'migsafe')
        with self.assertRaises(exceptions.ConfigError) as caught:
            service.arm_manager(mock.MagicMock(host=fake.SRC), self.conf)
        for word in ('[migsafe] probes', 'no_such', 'nova_service'):
            self.assertIn(word, str(caught.exception))
        self.conf.set_override('evacuation', 'off', 'migsafe')
        with mock.patch.object(service.status, 'armed', side_effect=BROKEN):
            self.assertRaises(type(BROKEN), service.arm_manager, mock.MagicMock(host=fake.SRC),
                              self.conf)

    def test_which_process_it_is(self):
        host_status.armed(self.journal)
        self.assertEqual((os.getpid(), process.started(os.getpid())),
                         (self.status().pid, self.status().started))


if __name__ == '__main__':
    unittest.main()
