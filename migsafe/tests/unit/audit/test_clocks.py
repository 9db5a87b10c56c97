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
"""By whose time something is recent, and databases that were copied at different times."""

import datetime

from migsafe.audit import activity, clocks
from migsafe.tests.unit.audit.cloud import (
    JUST_NOW,
    NOW,
    OLD,
    CloudTestCase,
    cinder_info,
    iscsi,
    nova_info,
)

OTHER = iscsi(3)
HOUR = datetime.timedelta(hours=1)
#: When the copies are looked at.
LATER = NOW + 100 * HOUR


class TestClocks(CloudTestCase):
    """By whose time it is recent."""

    def recent(self, heartbeat, moment):
        """A wrong row of ``moment`` in a cloud whose newest heartbeat is given."""
        cloud = self.cloud()
        cloud.connection.execute('UPDATE services SET updated_at = ?', (str(heartbeat),))
        cloud.instance()
        cloud.volume()
        cloud.row(nova_info(OTHER), attachment='gone', updated_at=moment)
        return cloud

    def test_a_dump_is_as_old_as_its_newest_heartbeat(self):
        cloud = self.recent(OLD, OLD - (NOW - JUST_NOW))
        self.assertEqual([], self.found(cloud))
        cloud = self.recent(OLD, OLD - (NOW - OLD))
        self.assertEqual([('R2', 'vol')], self.found(cloud))

    def test_a_service_whose_clock_is_ahead(self):
        """What others have just written would look old by it."""
        cloud = self.recent(NOW + (NOW - OLD), JUST_NOW)
        self.assertEqual([], self.found(cloud))

    def test_records_from_the_future(self):
        cloud = self.recent(NOW, NOW + (NOW - OLD))
        report = self.audit(cloud)
        self.assertEqual([], report.findings)
        self.assertIn('1 instances have records from the future', ' '.join(report.unseen))

    def test_a_dump_in_which_one_clock_is_ahead(self):
        """Its services are alive, and most of them agree."""
        cloud = self.cloud()
        cloud.insert('services', host='wrong', updated_at=NOW + 3 * HOUR, deleted=0)
        cloud.insert('services', host='dead', updated_at=OLD, deleted=0)
        cloud.instance(host='node11', updated_at=JUST_NOW)
        cloud.migration('completed', updated_at=JUST_NOW)
        cloud.attached(host='node11')
        cloud.attachment('source', 'node13', cinder_info(OTHER))
        self.assertEqual([], self.found(cloud, local=LATER))
        cloud.connection.execute('UPDATE migrations SET updated_at = ?', (str(OLD),))
        cloud.connection.commit()
        self.assertEqual([('R10', 'vol'), ('R3', 'vol')], self.found(cloud, local=LATER))

    def test_what_services_agree_upon(self):
        spans = activity.Spans()
        for beats, agreed in (
                ([], None), ([NOW], NOW), ([NOW, NOW + 3 * HOUR], NOW),
                ([OLD, OLD, OLD, NOW], NOW),
                ([NOW, NOW, NOW + HOUR, NOW - HOUR], NOW)):
            self.assertEqual(agreed, clocks.agreed(beats, spans), beats)

    def test_services_that_never_report(self):
        """As nova-api, which is in the table all the same."""
        cloud = self.recent(NOW, OLD)
        cloud.connection.execute('ALTER TABLE services ADD COLUMN report_count INTEGER')
        cloud.connection.execute('UPDATE services SET report_count = 7')
        cloud.insert('services', host='api', updated_at=OLD, report_count=0, deleted=0)
        cloud.insert('services', host='api2', updated_at=OLD, report_count=0, deleted=0)
        self.assertEqual(NOW, self.audit(cloud).now)


class TestCopies(CloudTestCase):
    """Of Nova and of Cinder, which was made two hours before or after."""

    def copies(self, of_cinder):
        """A database of Nova with an instance, and one of Cinder of another time."""
        nova, cinder = self.cloud(), self.cloud()
        cinder.connection.execute('UPDATE services SET updated_at = ?', (str(of_cinder),))
        nova.instance()
        cinder.volume()
        return nova, cinder

    def looked_at(self, nova, cinder):
        """The findings, and the report."""
        return self.audit(nova, cinder=cinder, local=LATER)

    def test_a_volume_that_was_detached_between(self):
        for deleted, rules in ((NOW + HOUR, []), (OLD, ['R2'])):
            nova, cinder = self.copies(NOW + 2 * HOUR)
            nova.row(nova_info(iscsi(7)), attachment='a')
            cinder.attachment('a', 'node13', cinder_info(iscsi(7)), deleted=1,
                              deleted_at=deleted, updated_at=deleted)
            found = self.looked_at(nova, cinder)
            self.assertEqual(rules, [one.rule for one in found.findings])
            self.assertEqual(NOW, found.now)
            self.assertIn(f'is of {NOW} UTC, and others are of {NOW + 2 * HOUR} UTC',
                          ' '.join(found.unseen))

    def test_a_volume_that_was_attached_between(self):
        for moment, rules in ((NOW - HOUR, []), (OLD, ['R2'])):
            nova, cinder = self.copies(NOW - 2 * HOUR)
            nova.row(nova_info(iscsi(7)), attachment='a', updated_at=moment)
            self.assertEqual(rules, [one.rule for one in self.looked_at(nova, cinder).findings])

    def test_a_volume_that_was_detached_before_nova_was_copied(self):
        for moment, rules in ((NOW - HOUR, []), (OLD, ['R2'])):
            nova, cinder = self.copies(NOW - 2 * HOUR)
            nova.row(nova_info(iscsi(7)), attachment='a', updated_at=moment, deleted=1,
                     deleted_at=moment)
            cinder.attachment('a', 'node13', cinder_info(iscsi(7)))
            self.assertEqual(rules, [one.rule for one in self.looked_at(nova, cinder).findings])

    def test_a_live_migration_between(self):
        for moment, rules in ((NOW - HOUR, set()), (OLD, {'R2', 'R3', 'R10'})):
            nova, cinder = self.copies(NOW - 2 * HOUR)
            nova.connection.execute("UPDATE instances SET host = 'node11'")
            nova.migration('completed', updated_at=moment)
            nova.row(nova_info(OTHER), attachment='new', updated_at=moment)
            cinder.attachment('old', 'node13', cinder_info(iscsi(7)))
            self.assertEqual(rules - {'R10'}, {
                one.rule for one in self.looked_at(nova, cinder).findings} - {'R10'})

    def test_an_instance_that_was_deleted_between(self):
        for moment, rules in ((NOW - HOUR, []), (OLD, ['R3'])):
            nova, cinder = self.copies(NOW - 2 * HOUR)
            nova.connection.execute('UPDATE instances SET deleted = 1, deleted_at = ?',
                                    (str(moment),))
            nova.connection.commit()
            cinder.attachment('a', 'node13', cinder_info(iscsi(7)))
            self.assertEqual(rules, [one.rule for one in self.looked_at(nova, cinder).findings])

    def test_an_old_cell_holds_back_no_other(self):
        """Its services have ended long ago, or it was copied long ago."""
        new, old = self.cloud(), self.cloud()
        moment = OLD + HOUR
        old.connection.execute('UPDATE services SET updated_at = ?', (str(OLD),))
        for number, cell in enumerate((new, old)):
            uuid, volume = f'vm{number}', f'v{number}'
            cell.instance(uuid)
            new.volume(volume)
            cell.row(nova_info(iscsi(7)), volume, 'gone', instance_uuid=uuid, updated_at=moment)
        found = self.audit(new, old, local=LATER)
        self.assertEqual([('R2', 'v0')], [(one.rule, one.volume) for one in found.findings])

    def test_a_neutron_that_was_copied_later(self):
        nova, neutron = self.cloud(), self.cloud()
        neutron.connection.execute('CREATE TABLE agents (id TEXT, heartbeat_timestamp DATETIME)')
        neutron.insert('agents', id='a', heartbeat_timestamp=NOW - 2 * HOUR)
        nova.instance(host='node11')
        nova.migration('completed', updated_at=NOW - HOUR)
        neutron.port(('node13', 'ACTIVE'))
        self.assertEqual([], self.found(nova, neutron=neutron, local=LATER))
        nova.connection.execute('UPDATE migrations SET updated_at = ?', (str(OLD),))
        nova.connection.commit()
        self.assertEqual([('R8', 'vm')], self.found(nova, neutron=neutron, local=LATER))
