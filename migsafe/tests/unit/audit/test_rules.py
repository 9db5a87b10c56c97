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
"""Each rule on small clouds: what it finds, and the healthy look-alike that it must not find."""

from unittest import mock

from migsafe.audit.readers import database, nova, pages
from migsafe.journal import errors
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


class TestConnections(CloudTestCase):
    """R1, with R2 and R3 that come with it."""

    def test_a_healthy_volume(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.attached()
        self.assertEqual([], self.found(cloud))

    def test_a_row_that_stayed_on_the_destination(self):
        """The shape of incident 000 since Pike: row and attachment are those of node11."""
        cloud = self.cloud()
        cloud.instance()
        cloud.volume()
        cloud.row(nova_info(OTHER), attachment='there')
        cloud.attachment('there', 'node11', cinder_info(OTHER))
        self.assertEqual([('R1', 'vol'), ('R2', 'vol'), ('R3', 'vol')], self.found(cloud))

    def test_a_row_that_leads_where_the_other_host_was_led(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.volume()
        cloud.row(nova_info(OTHER), attachment='here')
        cloud.attachment('here', 'node13', cinder_info(iscsi(7)))
        found = self.audit(cloud).findings
        self.assertEqual(['R1'], [one.rule for one in found])
        self.assertTrue(found[0].certain)
        self.assertIn('migsafe repair', found[0].repair)
        self.assertIn('Do not use nova-manage volume_attachment refresh vm vol', found[0].repair)
        self.assertEqual('LUN 7 of iqn.1992-08.com.netapp:sn.5a7:vs.11',
                         dict(found[0].evidence)['right_address'])

    def test_the_same_disk_written_in_other_ways(self):
        """os-brick's portals, a portal that was away, ports in capitals, one name or a list."""
        two = {'target_iqns': ['a', 'b'], 'target_luns': [7, 7], 'target_portals': ['1', '2']}
        for kind, row, attachment in (
                ('iscsi', {'target_iqn': 'b', 'target_lun': 7}, {**two}),
                ('iscsi', {**two}, {'target_iqn': 'a', 'target_lun': 7, **two}),
                ('iscsi', {'target_iqns': ['b', 'a'], 'target_luns': [7, 7]}, {**two}),
                ('iscsi', {'target_iqns': ['b'], 'target_lun': 7}, {**two}),
                ('fibre_channel', {'target_wwn': ['5001aa', '5001ab'], 'target_lun': 1},
                 {'target_wwn': '5001AB', 'target_lun': 1}),
                ('fibre_channel', {'target_wwns': ['5001aa'], 'target_luns': [1]},
                 {'target_wwn': ['5001AA'], 'target_lun': 1}),
                ('nvmeof', {'target_nqn': 'n', 'vol_uuid': 'u', 'portals': [1]},
                 {'nqn': 'n', 'vol_uuid': 'u'})):
            cloud = self.cloud()
            cloud.instance()
            cloud.volume()
            cloud.row(nova_info(row, kind), attachment='a')
            cloud.attachment('a', 'node13', cinder_info(attachment, kind))
            self.assertEqual([], self.found(cloud), (kind, row))
            cloud.connection.execute('UPDATE volume_attachment SET connection_info = replace('
                                     "connection_info, '7', '8')")
            cloud.connection.execute('UPDATE volume_attachment SET connection_info = replace('
                                     "connection_info, '_lun\": 1', '_lun\": 2')")
            cloud.connection.execute('UPDATE volume_attachment SET connection_info = replace('
                                     "connection_info, '\"u\"', '\"v\"')")
            cloud.connection.commit()
            self.assertEqual([('R1', 'vol')], self.found(cloud), (kind, row))

    def test_types_that_cannot_be_compared_or_are_the_same_everywhere(self):
        for kind, row, attachment in (
                ('rbd', {'name': 'volumes/a'}, {'name': 'volumes/a'}),
                ('storpool', {'volume': 'a'}, {'volume': 'b'}),
                ('nvmeof', {'target_nqn': 'n', 'portals': [1]}, {'nqn': 'm'})):
            cloud = self.cloud()
            cloud.instance()
            cloud.volume()
            cloud.row(nova_info(row, kind), attachment='a')
            cloud.attachment('a', 'node13', cinder_info(attachment, kind))
            report = self.audit(cloud)
            self.assertEqual([], report.findings, kind)
            self.assertEqual(kind != 'rbd', 'cannot be compared' in ' '.join(report.unseen))

    def test_old_rows_are_judged_by_their_connector(self):
        cloud = self.cloud('block_device_mapping.attachment_id', 'volume_attachment.connector',
                           'volume_attachment.connection_info')
        cloud.instance()
        cloud.volume()
        cloud.row(nova_info(OTHER, host='node13'))
        cloud.attachment('old', None, attach_status='attached')
        self.assertEqual([], self.found(cloud))
        cloud.row(nova_info(OTHER, host='node11'), 'vol2')
        self.assertEqual([('R1', 'vol2'), ('R10', 'vol2'), ('R3', 'vol2')], self.found(cloud))


class TestAttachments(CloudTestCase):
    """R2, R3 and R10."""

    def test_an_attachment_that_is_gone(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.attached()
        cloud.connection.execute('UPDATE volume_attachment SET deleted = 1')
        cloud.connection.commit()
        self.assertEqual([('R2', 'vol')], self.found(cloud))

    def test_an_attachment_that_is_gone_of_an_instance_without_a_host(self):
        """As Nova leaves a build that failed; an unshelve would need it."""
        for state, severity, certain in (('error', 'minor', False), ('building', 'minor', False),
                                         ('shelved_offloaded', 'critical', True)):
            cloud = self.cloud()
            cloud.instance(host=None, vm_state=state, power_state=0)
            cloud.volume(status='available')
            cloud.row(nova_info(iscsi(7)), attachment='gone')
            cloud.attachment('gone', 'node13', deleted=1, deleted_at=OLD)
            self.assertEqual([('R2', severity, certain)], [
                (one.rule, one.severity.word, one.certain)
                for one in self.audit(cloud).findings], state)

    def test_an_attachment_of_another_volume_or_instance(self):
        for wrong in ({'volume': 'vol2'}, {'instance_uuid': 'vm2'}):
            cloud = self.cloud()
            cloud.instance()
            cloud.volume()
            cloud.row(nova_info(iscsi(7)), attachment='a')
            cloud.attachment('a', 'node13', cinder_info(iscsi(7)), **wrong)
            self.assertIn(('R2', 'vol'), self.found(cloud), wrong)

    def test_an_attachment_that_was_never_connected(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.volume()
        cloud.row(nova_info(iscsi(7)), attachment='a')
        cloud.attachment('a', None)
        self.assertEqual([('R2', 'vol')], self.found(cloud))

    def test_an_offloaded_instance_has_reserved_attachments(self):
        cloud = self.cloud()
        cloud.instance(host=None, vm_state='shelved_offloaded')
        cloud.volume(status='reserved')
        cloud.row(nova_info(iscsi(7)), attachment='a')
        cloud.attachment('a', None)
        self.assertEqual([], self.found(cloud))
        cloud.attachment('b', 'node13', cinder_info(iscsi(7)))
        self.assertEqual([('R3', 'vol')], self.found(cloud))

    def test_what_a_failed_migration_left_on_the_destination(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.attached()
        cloud.attachment('left', 'node11', cinder_info(OTHER))
        self.assertEqual([('R10', 'vol'), ('R3', 'vol')], self.found(cloud))

    def test_what_was_detached_but_not_marked_as_deleted(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.attached()
        cloud.attachment('left', 'node11', cinder_info(OTHER), attach_status='detached')
        self.assertEqual([], self.found(cloud))

    def test_a_shared_volume_has_two_writers_rightfully(self):
        cloud = self.cloud()
        for uuid, host in (('vm', 'node13'), ('vm2', 'node11')):
            cloud.instance(uuid, host)
            cloud.row(nova_info(iscsi(7)), attachment=f'of-{uuid}', instance_uuid=uuid)
            cloud.attachment(f'of-{uuid}', host, cinder_info(iscsi(7)), instance_uuid=uuid)
        cloud.volume(multiattach=1)
        self.assertEqual([], self.found(cloud))
        cloud.connection.execute('UPDATE volumes SET multiattach = 0')
        cloud.connection.commit()
        self.assertEqual([('R10', 'vol')] * 2, self.found(cloud))
        cloud.connection.execute("UPDATE volume_attachment SET attach_mode = 'ro' "
                                 "WHERE id = 'of-vm2'")
        cloud.connection.commit()
        self.assertEqual([], self.found(cloud))

    def test_two_rows_for_one_volume(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.attached()
        cloud.row(nova_info(iscsi(7)), attachment='att')
        self.assertEqual([('R2', 'vol')], self.found(cloud))

    def test_an_attachment_that_no_row_names(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.attached()
        cloud.attachment('lost-reply', 'node13', cinder_info(iscsi(7)))
        found = self.audit(cloud).findings
        self.assertEqual([('R2', 'minor', 'lost-reply')],
                         [(one.rule, one.severity.word, one.key) for one in found])

    def test_attachments_of_instances_that_are_gone(self):
        """A deleted one, an archived one, and one that another cell may have."""
        cloud = self.cloud()
        cloud.connection.execute('CREATE TABLE shadow_instances AS SELECT * FROM instances')
        cloud.instance('gone', deleted=5)
        cloud.insert('shadow_instances', id=9, uuid='archived', deleted=9)
        for uuid in ('gone', 'archived', 'elsewhere'):
            cloud.volume(f'of-{uuid}')
            cloud.attachment(f'a-{uuid}', 'node13', cinder_info(iscsi(1)), f'of-{uuid}',
                             instance_uuid=uuid)
        report = self.audit(cloud)
        self.assertEqual([('R3', 'of-archived'), ('R3', 'of-gone')],
                         [(one.rule, one.volume) for one in report.findings])
        self.assertIn('1 instances that Cinder has attachments of are in none', ' '.join(
            report.unseen))

    def left(self, cloud, uuid, host='node13'):
        """An attachment of an instance that is in no table."""
        cloud.volume(f'of-{uuid}')
        cloud.attachment(f'a-{uuid}', host, cinder_info(iscsi(1)), f'of-{uuid}',
                         instance_uuid=uuid)

    def test_attachments_of_instances_that_were_purged(self):
        """A host is of one cell: if that was read, it has no other instances."""
        cloud, other = self.cloud(), self.cloud()
        cloud.node('node13')
        other.node('node21')
        self.left(cloud, 'purged')
        self.left(cloud, 'elsewhere', 'node99')
        cloud.instance('hidden', hidden=1)
        self.left(cloud, 'hidden')
        found = self.audit(cloud, other)
        self.assertEqual([('R3', 'purged', False)], [
            (one.rule, one.instance, one.certain) for one in found.findings])
        self.assertIn('no database has it any more', found.findings[0].what)
        self.assertIn('2 instances that Cinder has attachments of are in none', ' '.join(
            found.unseen))
        cloud.connection.execute("UPDATE volume_attachment SET updated_at = ? "
                                 "WHERE instance_uuid = 'purged'", (str(JUST_NOW),))
        cloud.connection.commit()
        self.assertEqual([], self.found(cloud, other))

    def test_what_the_rest_of_a_cell_may_have_was_not_purged(self):
        first, second = self.cloud(), self.cloud()
        second.node('node13')
        second.instance('there')
        self.left(first, 'there')

        def instances(reader, only=None, after=None):
            if reader.label == errors.label(second.url()):
                raise database.Unreadable(label=reader.label, reason='gone away')
            return iter(())
        with mock.patch.object(nova.Nova, 'instances', instances):
            found = self.audit(first, second)
        self.assertEqual(([], True), (found.findings, found.failed))
        self.assertIn('1 instances that Cinder has attachments of', ' '.join(found.unseen))

    def test_instances_that_no_cell_has_by_the_api_database(self):
        """It knows those of cells that were not read, and of hosts that are gone."""
        cloud = self.cloud()
        cloud.node('node13')
        cloud.connection.execute('CREATE TABLE instance_mappings (instance_uuid TEXT)')
        cloud.insert('instance_mappings', instance_uuid='mapped')
        self.left(cloud, 'mapped')
        self.left(cloud, 'purged', 'node99')
        self.left(cloud, 'reserved', None)
        found = self.audit(cloud, api=True)
        self.assertEqual([('R3', 'purged', False), ('R2', 'reserved', False)], [
            (one.rule, one.instance, one.certain) for one in found.findings])
        cloud.connection.execute('DROP TABLE instance_mappings')
        cloud.connection.commit()
        found = self.audit(cloud, api=True)
        self.assertEqual([('R3', 'mapped')], [
            (one.rule, one.instance) for one in found.findings])
        self.assertTrue(found.failed)
        self.assertIn('The mappings of instances of Nova: ', ' '.join(found.unseen))

    def test_a_volume_that_is_reserved_for_a_deleted_instance(self):
        for deleted, rules in ((5, ['R2']), (0, [])):
            cloud = self.cloud()
            cloud.instance(deleted=deleted)
            cloud.volume(status='reserved')
            cloud.attachment('a', None)
            found = self.audit(cloud).findings
            self.assertEqual(rules, [one.rule for one in found])
            self.assertEqual(['minor'] * len(rules), [one.severity.word for one in found])
            self.assertTrue(all(one.certain for one in found))

    def test_an_instance_of_another_cell(self):
        first, second = self.cloud(), self.cloud()
        second.instance('elsewhere', 'node21')
        first.volume()
        first.attachment('a', 'node21', cinder_info(iscsi(1)), instance_uuid='elsewhere')
        second.row(nova_info(iscsi(1)), attachment='a', instance_uuid='elsewhere')
        self.assertEqual([], self.found(first, second))
        first.attachment('b', 'node22', cinder_info(iscsi(2)), instance_uuid='elsewhere')
        self.assertEqual([('R10', 'vol'), ('R3', 'vol')], self.found(first, second))


class TestInstances(CloudTestCase):
    """R5, R6, R7 and R12."""

    def test_a_migration_that_has_ended_elsewhere(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.migration('completed')
        cloud.volume()
        cloud.row(nova_info(OTHER), attachment='there')
        cloud.attachment('there', 'node11', cinder_info(OTHER))
        self.assertEqual([('R5', 'vm')], self.found(cloud))

    def test_a_guest_that_may_have_gone_with_a_migration_that_was_never_ended(self):
        """The source was killed: records are the same whether the guest has arrived or not."""
        for status, certain, rules in (
                ('running', False, {'R1', 'R2', 'R3', 'R5', 'R12'}),
                ('post-migrating', False, {'R1', 'R2', 'R3', 'R5', 'R12'}),
                ('preparing', True, {'R1', 'R2', 'R3', 'R12'}),
                ('error', True, {'R1', 'R2', 'R3'})):
            cloud = self.cloud()
            cloud.instance()
            cloud.migration(status)
            cloud.volume()
            cloud.row(nova_info(OTHER, host='node11'), attachment='there')
            cloud.attachment('there', 'node11', cinder_info(OTHER))
            found = {one.rule: one for one in self.audit(cloud).findings}
            self.assertEqual(rules, set(found), status)
            self.assertEqual({certain}, {found[rule].certain for rule in ('R1', 'R2')}, status)
            if 'R5' in rules:
                self.assertFalse(found['R5'].certain)
                self.assertIn('the guest may run there', found['R5'].what)

    def test_it_was_unshelved_or_moved_back_since(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.migration('completed')
        cloud.insert('instance_actions', action='unshelve', instance_uuid='vm',
                     start_time=NOW - (NOW - OLD) / 2, deleted=0)
        self.assertEqual([], self.found(cloud))
        cloud.connection.execute('DELETE FROM instance_actions')
        cloud.connection.commit()
        self.assertEqual([('R5', 'vm')], self.found(cloud))
        cloud.migration('completed', 'node11', 'node13')
        self.assertEqual([], self.found(cloud))

    def test_an_instance_that_no_migration_moves(self):
        cloud = self.cloud()
        cloud.instance(task_state='migrating')
        cloud.migration('error')
        self.assertEqual([('R6', 'vm')], self.found(cloud))

    def test_an_instance_in_error_with_a_guest_that_runs(self):
        cloud = self.cloud()
        cloud.instance(vm_state='error')
        cloud.migration('error')
        self.assertEqual([('R6', 'vm')], self.found(cloud))
        cloud.connection.execute('UPDATE instances SET power_state = 4')
        cloud.connection.commit()
        self.assertEqual([], self.found(cloud))

    def test_a_migration_that_nothing_ends(self):
        for status, task in (('running', None), ('queued', None), ('preparing', 'migrating'),
                             ('pre-migrating', 'resize_prep'), ('finished', None)):
            cloud = self.cloud()
            cloud.instance(task_state=task)
            cloud.migration(status)
            found = self.found(cloud)
            self.assertIn(('R12', 'vm'), found, status)
            self.assertEqual(task == 'migrating', ('R6', 'vm') in found, status)

    def test_a_migration_of_a_deleted_instance(self):
        cloud = self.cloud()
        cloud.instance('gone', deleted=3)
        cloud.migration('running', instance_uuid='gone')
        cloud.migration('error', instance_uuid='gone')
        self.assertEqual([('R12', 'gone')], self.found(cloud))

    def test_allocations(self):
        cloud = self.cloud()
        for host in ('node11', 'node12', 'node13'):
            cloud.node(host)
        cloud.insert('resource_providers', uuid='share', name='share')
        cloud.instance()
        for host in ('node13', 'share'):
            cloud.allocation(host)
        self.assertEqual([], self.found(cloud))
        cloud.allocation('node11')
        self.assertEqual([('R7', 'vm')], self.found(cloud))
        cloud.migration('error', uuid='move')
        cloud.allocation('node12', 'move')
        self.assertEqual([('R7', 'vm')] * 2, self.found(cloud))

    def test_allocations_of_a_nested_provider_and_of_an_evacuated_host(self):
        cloud = self.cloud()
        for host in ('node11', 'node13'):
            cloud.node(host)
        cloud.insert('resource_providers', uuid='gpu', name='gpu', root_provider_id=2,
                     parent_provider_id=2)
        cloud.instance()
        cloud.allocation('gpu')
        cloud.allocation('node11')
        cloud.migration('done', 'node11', 'node13', migration_type='evacuation')
        self.assertEqual([], self.found(cloud))


class TestBusy(CloudTestCase):
    """What goes on is no residue."""

    def wrong(self, **instance):
        """An instance with everything wrong that a migration makes wrong while it runs."""
        cloud = self.cloud()
        for host in ('node11', 'node13'):
            cloud.node(host)
            cloud.allocation(host)
        cloud.instance(**instance)
        cloud.volume()
        cloud.row(nova_info(OTHER), attachment='there')
        cloud.attachment('here', 'node13', cinder_info(iscsi(7)))
        cloud.attachment('there', 'node11', cinder_info(OTHER))
        return cloud

    def test_the_control(self):
        self.assertEqual({'R1', 'R2', 'R3', 'R7', 'R10'},
                         {rule for rule, _what in self.found(self.wrong())})

    def test_a_live_migration(self):
        cloud = self.wrong(task_state='migrating', updated_at=JUST_NOW)
        cloud.migration('running', updated_at=JUST_NOW)
        self.assertEqual([], self.found(cloud))

    def test_one_that_has_waited_in_a_queue_for_hours(self):
        cloud = self.wrong(task_state='migrating', updated_at=NOW - (NOW - OLD) / 22)
        cloud.migration('queued', updated_at=NOW - (NOW - OLD) / 22)
        self.assertEqual([], self.found(cloud))

    def test_one_that_waits_for_days_in_the_queue_of_a_source_at_work(self):
        """Nova touches nothing of it meanwhile; without another one, nothing will begin it."""
        for status, age, found in (
                ('running', JUST_NOW, None), ('preparing', NOW - (NOW - OLD) / 22, None),
                ('running', OLD, False), ('completed', JUST_NOW, False)):
            cloud = self.wrong(task_state='migrating')
            cloud.migration('queued')
            cloud.instance('other', task_state='migrating', updated_at=age)
            cloud.migration(status, instance_uuid='other', updated_at=age)
            certain = {one.rule: one.certain for one in self.audit(cloud).findings
                       if one.instance == 'vm'}
            self.assertEqual([found, found], [certain.get(rule) for rule in ('R6', 'R12')], status)
            self.assertEqual(found is None, not certain, status)

    def test_queues_are_asked_for_once(self):
        """However many wait: no index has the status of all migrations."""
        cloud = self.cloud()
        for number in range(3):
            cloud.instance(f'vm{number}', task_state='migrating')
            cloud.migration('queued', instance_uuid=f'vm{number}')
        cloud.migration('running', instance_uuid='vm0', updated_at=JUST_NOW)
        self.patch(pages, 'SIZE', 1)
        with mock.patch.object(nova.Nova, 'unended', autospec=True,
                               side_effect=nova.Nova.unended) as asked:
            self.assertEqual([], self.found(cloud))
        # The other one is for instances that are deleted.
        self.assertEqual(2, asked.call_count)

    def test_one_that_has_just_ended(self):
        cloud = self.wrong()
        cloud.migration('completed', updated_at=JUST_NOW)
        self.assertEqual([], self.found(cloud))

    def test_a_resize_that_waits_for_its_owner_for_weeks(self):
        """Both hosts are right; what is wrong beside them is told, as of any other."""
        cloud = self.wrong(vm_state='resized', host='node11')
        cloud.migration('finished', migration_type='resize', uuid='move')
        self.assertEqual([], self.found(cloud))
        cloud.attachment('third', 'node21', cinder_info(iscsi(4)))
        self.assertEqual([('R10', 'vol'), ('R3', 'vol')], self.found(cloud))
        cloud.row(nova_info(OTHER), 'vol2', 'gone')
        self.assertIn(('R2', 'vol2'), self.found(cloud))
        cloud.connection.execute('UPDATE migrations SET updated_at = ?', (str(JUST_NOW),))
        cloud.connection.commit()
        self.assertEqual([], self.found(cloud))

    def test_a_row_or_an_attachment_of_just_now(self):
        for table in ('block_device_mapping', 'volume_attachment'):
            cloud = self.wrong()
            cloud.connection.execute(f'UPDATE {table} SET updated_at = ?', (str(JUST_NOW),))
            cloud.connection.commit()
            self.assertEqual([], self.found(cloud), table)

    def test_a_volume_with_which_cinder_is_at_work(self):
        for values in ({'migration_status': 'migrating'}, {'status': 'retyping'},
                       {'status': 'detaching'}, {'status': 'backing-up'}):
            cloud = self.wrong()
            cloud.connection.execute('DELETE FROM volumes')
            cloud.connection.execute('DELETE FROM allocations')
            cloud.volume(updated_at=JUST_NOW, **values)
            self.assertEqual([], self.found(cloud), values)

    def test_the_copy_of_a_resize_between_cells(self):
        self.assertEqual([], self.found(self.wrong(hidden=1)))

    def test_a_hypervisor_whose_connectors_name_no_host(self):
        cloud = self.wrong()
        cloud.connection.execute("UPDATE compute_nodes SET hypervisor_type = 'ironic'")
        cloud.connection.commit()
        report = self.audit(cloud)
        self.assertEqual({'R7'}, {one.rule for one in report.findings})
        self.assertIn('1 instances are on hosts of a hypervisor', ' '.join(report.unseen))

    def test_a_node_of_bare_metal_that_another_service_has_taken_over(self):
        """Its instance keeps the name of the former one; charged for another node, it is told."""
        cloud = self.cloud()
        for node, host in (('n1', 'ironic2'), ('n2', 'ironic2')):
            cloud.node(host, 'ironic', uuid=node, hypervisor_hostname=node)
            cloud.connection.execute(
                'UPDATE resource_providers SET uuid = ?, name = ? WHERE name = ?',
                (node, node, host))
        cloud.instance(host='ironic1', node='n1')
        cloud.allocation('n1')
        cloud.volume()
        cloud.row(nova_info(iscsi(7)), attachment='a')
        cloud.attachment('a', 'n1.connector', cinder_info(iscsi(7)))
        self.assertEqual([], self.found(cloud))
        cloud.allocation('n2')
        self.assertEqual([('R7', 'vm')], self.found(cloud))

    def test_a_node_of_libvirt_beside_such_ones(self):
        """On a host of the name that bare metal has, too."""
        cloud = self.wrong()
        cloud.node('node13', 'ironic', uuid='n1', hypervisor_hostname='n1')
        self.assertEqual({'R1', 'R2', 'R3', 'R7', 'R10'},
                         {rule for rule, _what in self.found(cloud)})
