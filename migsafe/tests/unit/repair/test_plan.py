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
"""What is planned, and what is left with a reason, by what records and hosts say."""

import json

from migsafe.audit import activity, opening, report
from migsafe.repair import transaction, word
from migsafe.tests.unit.audit import cloud
from migsafe.tests.unit.audit.cloud import cinder_info, iscsi, nova_info

TARGET = iscsi(0)['target_iqn']


def facts(host, *luns, **more):
    """What a host says; without LUNs it has no such guest."""
    return word.parse(host, {
        'evidence': {'host': host, 'guest': 'here' if luns else 'absent', 'job': False},
        'unsettled': False, 'power': 1 if luns else None,
        'disks': [{'volume': 'vol', 'path': '/dev/dm-1', 'leads': [[TARGET, lun] for lun in luns]}
                  ] if luns else [], **more})


class TestPlan(cloud.CloudTestCase):
    """An instance on node13, whose row has node11's LUN 4; Cinder gave node13 LUN 7."""

    def setUp(self):
        super().setUp()
        self.made = self.cloud()
        self.said = {'node13': facts('node13', '7'), 'node11': facts('node11')}
        self.services = None

    def wrong(self, given=None, text=None, **values):
        """The row and the attachment, or what is there in its place."""
        self.made.instance(**values)
        self.made.volume()
        self.made.row(nova_info(iscsi(4)), attachment='att')
        self.made.attachment('att', 'node13', text or cinder_info(given or iscsi(7)))
        self.made.attachment('old', 'node11', cinder_info(iscsi(4)), instance_uuid='other')

    def plan(self, instance='vm', **asked):
        url = self.made.url()
        return transaction.Planner(
            opening.Sources([url], url, url), report.Asked(**asked), activity.Spans(),
            lambda host, *_what: self.said.get(host) or word.silent(host, 'away'),
            lambda: cloud.NOW, self.services).plan(instance)

    def left(self, words):
        """Nothing is planned, for this reason."""
        found = self.plan(rules=['R1', 'R2', 'R5', 'R6', 'R12'])
        self.assertEqual((), found.changes)
        self.assertIn(words, ' '.join(one.why for one in found.left))

    def info(self):
        """The connection_info that the one change writes."""
        (change,) = self.plan().changes
        return json.loads(change.after['connection_info'])

    def test_a_running_guest_whose_kernel_agrees_with_cinder(self):
        self.wrong()
        found = self.info()
        self.assertEqual((7, '/dev/dm-1', 'iscsi'), (
            found['data']['target_lun'], found['data']['device_path'],
            found['driver_volume_type']))
        self.assertNotIn('attachment_id', found['data'])
        self.assertEqual(('R1',), tuple(one.rule for one in self.plan().mended))

    def test_lun_in_the_flat_space(self):
        self.wrong(iscsi(0x4000 | 7))
        self.assertEqual(0x4000 | 7, self.info()['data']['target_lun'])

    def test_a_stopped_instance(self):
        self.wrong(vm_state='stopped', power_state=4)
        self.said['node13'] = facts('node13')
        self.assertNotIn('device_path', self.info()['data'])

    def test_the_kernel_has_another_disk_than_cinder_gave(self):
        self.wrong()
        self.said['node13'] = facts('node13', '9')
        self.left('Compare the serial numbers of both disks')
        self.said['node13'] = facts('node13', '4')
        self.left('it may be the disk of somebody else. Stop it at once')
        self.said['node13'] = facts('node13', '7', '8')
        self.left('Compare the serial numbers of both disks')

    def test_a_guest_that_runs_nowhere_though_it_should(self):
        self.wrong()
        self.said['node13'] = facts('node13')
        self.left('The guest runs nowhere')

    def test_a_guest_on_the_other_host(self):
        self.wrong()
        self.said = {'node13': facts('node13'), 'node11': facts('node11', '4')}
        self.left('That has to be right first (R5)')

    def test_two_attachments_for_the_host(self):
        self.wrong()
        self.made.attachment('att2', 'node13', cinder_info(iscsi(7)))
        self.left('Cinder has 2 attachments of volume vol for node13')

    def test_what_cinder_has_written_cannot_be_read(self):
        for text in ('{"driver_volume_type": "iscsi", "target_iqn": "iqn', '[]', 'null'):
            self.made = self.cloud()
            self.made.instance()
            self.made.row(nova_info(iscsi(4)), attachment='gone')
            self.made.attachment('att', 'node13', text)
            self.left('cannot be compared')

    def twice(self, other=None):
        self.made.instance()
        self.made.attached()
        self.made.row(nova_info(iscsi(4)), attachment=other)

    def test_a_volume_in_two_rows(self):
        for other in (None, 'gone'):
            self.made = self.cloud()
            self.twice(other)
            (change,) = self.plan().changes
            self.assertEqual((2, {'deleted': 2}, ()), (
                change.key, change.after, self.plan().left))

    def test_a_volume_in_two_rows_of_which_neither_is_wrong(self):
        self.twice('att')
        self.left('2 of the rows of volume vol name an attachment')
        self.made = self.cloud()
        self.twice('other')
        self.made.attachment('other', 'node11', cinder_info(iscsi(4)))
        self.left('1 of the rows')
        self.made = self.cloud()
        self.twice()
        self.said['node13'] = facts('node13', '9')
        self.left('Compare the serial numbers of both disks')

    def test_a_type_that_is_not_known(self):
        self.made.instance()
        self.made.row(None, attachment='gone')
        self.made.attachment('att', 'node13', cinder_info({'volume': 'x'}, 'storpool'))
        self.left('cannot be compared')

    def test_a_row_without_a_connection(self):
        self.made.instance()
        self.made.row(None, attachment='gone')
        self.made.attachment('att', 'node13', cinder_info(iscsi(7)))
        self.assertEqual(7, self.info()['data']['target_lun'])
        self.assertEqual('att', self.plan().changes[0].after['attachment_id'])

    def test_an_instance_whose_record_is_right(self):
        self.made.instance()
        self.made.node('node11')
        self.made.migration('completed')
        self.left('That is right; the record of its last migration is not')

    def test_an_instance_that_has_moved(self):
        self.made.instance()
        self.made.migration('completed')
        self.said = {'node13': facts('node13'), 'node11': facts('node11', '7')}
        self.left('node11 has not one compute node')
        self.made.node('node11')
        (change,) = self.plan(rules=['R5']).changes
        self.assertEqual({'host': 'node11', 'node': 'node11'}, change.after)
        self.made.connection.execute(
            'CREATE TABLE instance_extra (instance_uuid, migration_context, deleted)')
        self.made.insert('instance_extra', instance_uuid='vm', deleted=0,
                         migration_context='{"nova_object.name": "MigrationContext"}')
        self.left('PCI devices or NUMA cells are claimed')

    def test_states(self):
        self.made.instance(vm_state='error')
        self.made.migration('error')
        self.assertEqual({'vm_state': 'active'}, self.plan().changes[0].after)
        self.said['node13'] = facts('node13', '7', power=3)
        self.assertEqual({'vm_state': 'paused'}, self.plan().changes[0].after)
        self.said['node13'] = facts('node13', '7', power=0)
        self.left('virsh domstate')

    def test_a_resize_that_was_left(self):
        self.made.instance()
        self.made.migration('finished', migration_type='resize')
        self.left('of type resize')

    def test_an_operation_that_has_begun(self):
        self.wrong(task_state='rebooting', updated_at=cloud.JUST_NOW)
        self.assertEqual(((), ()), (self.plan().changes, self.plan().left))

    def test_only_what_was_asked_for(self):
        self.wrong()
        self.assertEqual(((), ()), (self.plan(rules=['R6']).changes, self.plan(rules=['R6']).left))
