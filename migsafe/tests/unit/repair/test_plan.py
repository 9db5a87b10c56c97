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
import types

from migsafe.audit import activity, opening, report
from migsafe.brick.guard import policy
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


class Planning(cloud.CloudTestCase):
    """Plans for an instance on node13, by what is said here."""

    def setUp(self):
        super().setUp()
        self.made = self.cloud()
        self.said = {'node13': facts('node13', '7'), 'node11': facts('node11')}
        self.services = None

    def plan(self, instance='vm', **asked):
        url = self.made.url()
        return transaction.Planner(
            opening.Sources([url], url, url), report.Asked(**asked), activity.Spans(),
            lambda host, *_what: self.said.get(host) or word.silent(host, 'away'),
            lambda: cloud.NOW, self.services).plan(instance)


class TestPlan(Planning):
    """The row of the instance has node11's LUN 4; Cinder gave node13 LUN 7."""

    noted = types.MappingProxyType({})

    def wrong(self, given=None, text=None, **values):
        """The row and the attachment, or what is there in its place."""
        self.made.instance(**values)
        self.made.volume()
        self.made.row(nova_info(iscsi(4) | self.noted), attachment='att')
        self.made.attachment('att', 'node13', text or cinder_info(given or iscsi(7)))
        self.made.attachment('old', 'node11', cinder_info(iscsi(4)), instance_uuid='other')

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

    def test_which_disk_the_volume_is_stays_in_the_row(self):
        """The number that Cinder gives may lead to another one by now."""
        for volume, kept in (('vol', ['naa.1']), ('another', None)):
            self.made = self.cloud()
            self.noted = {policy.KEY: ['naa.1'], 'volume_id': volume}
            self.wrong(vm_state='stopped', power_state=4)
            self.said['node13'] = facts('node13')
            self.assertEqual(kept, self.info()['data'].get(policy.KEY))
        self.made = self.cloud()
        self.wrong(iscsi(7) | {policy.KEY: ['naa.2']}, vm_state='stopped', power_state=4)
        self.assertEqual(['naa.2'], self.info()['data'][policy.KEY])

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

    def test_a_build_that_failed(self):
        self.made.instance(host=None, vm_state='error')
        self.made.row(nova_info(iscsi(4)), attachment='gone')
        self.left('If it was never built, its owner may delete it')

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


class Answers:
    """Services that say what they are told to, by service and path."""

    def __init__(self, **allocations):
        self.allocations = allocations

    def __call__(self, service, method, path, _body):
        assert (service, method) == ('placement', 'GET')
        held = self.allocations.get(path.rpartition('/')[2], {})
        return 200, {'allocations': {
            f'node-{name}': {'resources': {'VCPU': number}, 'generation': 9}
            for name, number in held.items()}, **({
                'consumer_generation': 3, 'project_id': 'p', 'user_id': 'u'} if held else {})}


class TestAttachment(Planning):
    """R3: node11 has a second attachment, which a failed migration has left."""

    def setUp(self):
        super().setUp()
        self.services = Answers()
        self.made.instance()
        self.made.attached()
        self.made.migration('failed')
        self.made.attachment('extra', 'node11', cinder_info(iscsi(4)))
        self.said = {'node13': facts('node13', '7'), 'node11': facts('node11', devices=[])}

    def refused(self, words):
        """Nothing is planned for it, for this reason."""
        found = self.plan()
        self.assertEqual((), found.changes)
        self.assertIn(words, ' '.join(one.why for one in found.left if one.finding.rule == 'R3'))

    def test_nothing_of_it_is_on_that_host(self):
        found = self.plan()
        self.assertEqual(((), [('attachment', 'extra')], ()), (
            found.acts, [(one.kind, one.key) for one in found.requests], found.left))
        self.assertEqual({'R3', 'R10'}, {one.rule for one in found.mended})

    def test_hosts_are_asked_where_it_leads(self):
        heard = {}

        def ask(host, _uuid, leads):
            heard[host] = leads
            return self.said[host]
        url = self.made.url()
        transaction.Planner(opening.Sources([url], url, url), report.Asked(), activity.Spans(),
                            ask, lambda: cloud.NOW, None).plan('vm')
        self.assertEqual({'node11': [(TARGET, 4)], 'node13': [(TARGET, 7)]}, heard)

    def test_what_that_host_may_say(self):
        for said, words in (
                (facts('node11', devices=['sdq']), 'node11 has sdq, which leads to LUN 4 of'),
                (facts('node11'), 'node11 has not said whether it has a disk of LUN 4 of'),
                (facts('node11', devices=['sdq', 5]), 'has not said whether'),
                (word.silent('node11', 'away'), 'has not said what it has of the guest (away)'),
                (facts('node11', '4', devices=['sdq']), 'runs on node11 and node13 at once')):
            self.said['node11'] = said
            self.refused(words)

    def test_the_guest_is_on_that_host(self):
        self.said = {'node13': facts('node13'), 'node11': facts('node11', '4', devices=['sdq'])}
        self.refused('That has to be right first (R5)')

    def test_no_account_was_named(self):
        self.services = None
        self.refused('No account was named with which Cinder is asked')
        self.refused('cinder attachment-delete extra')

    def test_another_attachment_of_the_volume_there(self):
        self.made.attachment('more', 'node11', cinder_info(iscsi(4)), instance_uuid='other')
        self.refused('Attachment more gives volume vol to node11 as well')

    def test_somebody_has_the_volume_without_an_attachment(self):
        for attachment in (None, 'gone'):
            with self.subTest(attachment):
                self.made.insert('instances', id=90, uuid='other', host='node12', deleted=0,
                                 vm_state='active', updated_at=cloud.OLD)
                self.made.row(nova_info(iscsi(4)), attachment=attachment, instance_uuid='other')
                self.refused('of instance other has the volume without an attachment')
                self.made.connection.execute("DELETE FROM block_device_mapping WHERE "
                                             "instance_uuid = 'other'")
                self.made.connection.execute('DELETE FROM instances WHERE id = 90')
                self.made.connection.commit()
        self.assertEqual(1, len(self.plan().changes))

    def test_its_own_row_names_it(self):
        self.made.connection.execute(
            "UPDATE block_device_mapping SET attachment_id = 'extra', connection_info = ?",
            (nova_info(iscsi(4)),))
        self.made.connection.commit()
        # The row can be made right, and then it is nobody's.
        found = self.plan()
        self.assertEqual([1, 1], [len(found.changes) - len(found.requests), len(found.requests)])
        self.said['node13'] = facts('node13', '9')
        self.refused('The row of instance vm names it')

    def test_types_that_no_host_can_be_asked_for(self):
        for kind, data, planned in (
                ('nfs', {'export': 'x', 'name': 'y'}, False), ('storpool', {'v': 'x'}, False),
                ('iscsi', {'target_iqn': 'x', 'target_lun': 'five'}, False),
                ('rbd', {'name': 'volumes/v'}, True)):
            self.made.connection.execute(
                "UPDATE volume_attachment SET connection_info = ? WHERE id = 'extra'",
                (cinder_info(data, kind),))
            self.made.connection.commit()
            if planned:
                self.assertEqual(1, len(self.plan().changes))
            else:
                self.refused('which node11 cannot be asked for')

    def test_an_instance_that_was_purged(self):
        """No record says any more where its guest was."""
        self.made.connection.execute('DELETE FROM instances')
        self.made.connection.commit()
        self.assertIsNone(self.plan())

    def test_an_instance_that_is_deleted(self):
        self.made = self.cloud()
        self.made.instance(host='node12', deleted=1, vm_state='deleted')
        self.made.attachment('extra', 'node11', cinder_info(iscsi(4)))
        self.refused('node12 has not said')
        self.said['node12'] = facts('node12', '4')
        self.refused('The guest is not on the host')
        self.said['node12'] = facts('node12')
        self.assertEqual(['extra'], [one.key for one in self.plan().changes])


class TestHosts(Planning):
    """Who is asked, and what of an answer forbids everything."""

    def setUp(self):
        super().setUp()
        self.made.instance(vm_state='error')
        self.made.migration('error')

    def undecided(self, words):
        """Nothing is planned, for this reason."""
        self.assertEqual((), self.plan().changes)
        self.assertIn(words, self.plan().left[0].why)

    def test_the_control(self):
        self.assertEqual(1, len(self.plan().changes))

    def test_a_host_that_was_evacuated_and_has_not_cleaned_up(self):
        self.made.connection.execute('DELETE FROM migrations')
        self.made.migration('done', 'node1', 'node13', migration_type='evacuation')
        self.made.migration('completed', 'node13', 'node12')
        self.made.migration('error')
        self.undecided('node1 has not said what it has of the guest')
        self.said['node1'] = facts('node1', '7')
        self.undecided('runs on node1 and node13 at once')
        self.said['node1'] = facts('node1')
        self.assertEqual(1, len(self.plan().changes))

    def test_migrations_before_one_that_arrived(self):
        self.made.connection.execute('DELETE FROM migrations')
        self.made.migration('failed', 'node13', 'node9')
        self.made.migration('completed', 'node11', 'node13')
        self.made.migration('failed', 'node13', 'node8')
        self.made.migration('error')
        self.undecided('node8 has not said what it has of the guest')
        self.said['node8'] = facts('node8')
        self.assertEqual(1, len(self.plan().changes))

    def test_a_migration_that_waits_in_a_queue(self):
        self.said['node13'] = facts('node13', '7', waiting=True)
        self.undecided('waits in the queue of nova-compute on node13')

    def test_a_queue_of_which_nothing_is_known(self):
        """Nova writes nothing while it waits: after a day it looks as if nobody was at work."""
        self.made.connection.execute('DELETE FROM migrations')
        self.made.connection.execute("UPDATE instances SET task_state = 'migrating', "
                                     "vm_state = 'active'")
        self.made.migration('queued')
        self.undecided('node13 has not said whether migration 1 still waits in the queue')
        self.said['node13'] = facts('node13', '7', waiting=False)
        self.assertEqual([{'status': 'error'}, {'task_state': None}], [
            one.after for one in sorted(self.plan().changes, key=lambda one: -len(one.table))])

    def test_a_deleted_instance_whose_guest_runs_where_it_was(self):
        self.made.connection.execute('DELETE FROM instances')
        self.made.connection.execute('DELETE FROM migrations')
        self.made.instance(host='node4', deleted=1, vm_state='deleted')
        self.made.migration('running', 'node13', 'node11')
        self.said['node13'] = facts('node13', waiting=False)
        self.undecided('node4 has not said')
        self.said['node4'] = facts('node4', '7')
        self.undecided('The guest is not on the host that has it on record')
        self.said['node4'] = facts('node4')
        self.assertEqual({'status': 'error'}, self.plan().changes[0].after)


class TestCharges(Planning):
    """R7: what Placement charges for an instance on node13, and for its migration."""

    def setUp(self):
        super().setUp()
        self.made.instance()
        self.made.attached()
        for host in ('node13', 'node11'):
            self.made.node(host)
        self.made.migration('failed', uuid='move')

    def charged(self, **held):
        """Who has what: consumer -> host -> how much."""
        self.services = Answers(**held)
        for consumer, hosts in held.items():
            for host in hosts:
                self.made.allocation(host, consumer)

    def after(self):
        """What the one request makes of it."""
        (found,) = self.plan().changes
        return found.after

    def test_two_hosts(self):
        self.charged(vm={'node13': 2, 'node11': 2})
        self.assertEqual({'vm': {'node-node13': {'VCPU': 2}}}, self.after())
        self.assertEqual(('R7',), tuple(one.rule for one in self.plan().mended))

    def test_a_migration_that_has_ended(self):
        self.charged(vm={'node13': 2}, move={'node11': 2})
        self.assertEqual({'move': {}}, self.after())

    def test_the_migration_still_has_what_is_the_instances(self):
        """Nova could not give it back: the instance is charged for the destination alone."""
        self.charged(vm={'node11': 2}, move={'node13': 3})
        self.assertEqual({'vm': {'node-node13': {'VCPU': 3}}, 'move': {}}, self.after())
        self.assertEqual(3, self.plan().changes[0].before['vm']['consumer_generation'])

    def test_nothing_says_what_it_needs(self):
        self.charged(vm={'node11': 2})
        self.undecided('nova-manage placement heal_allocations --force --instance vm')

    def undecided(self, words):
        """Nothing is planned for it, for this reason."""
        self.assertEqual((), self.plan().changes)
        self.assertIn(words, self.plan().left[0].why)

    def test_placement_has_changed_since(self):
        self.charged(vm={'node13': 2, 'node11': 2})
        self.services.allocations['vm'] = {'node13': 2}
        self.undecided('Placement has other allocations of vm by now')

    def test_what_its_answer_may_be(self):
        self.charged(vm={'node13': 2, 'node11': 2})
        for answer, words in (((500, None), 'answered 500'), ((200, []), 'answered 200'),
                              ((200, {'allocations': 5}), 'not to be understood'),
                              ((200, {'allocations': {'x': []}}), 'not to be understood')):
            self.services = lambda *_asked, answer=answer: answer
            self.undecided(words)

    def test_the_guest_is_elsewhere_or_nowhere(self):
        self.charged(vm={'node13': 2, 'node11': 2})
        self.said['node13'] = facts('node13')
        self.undecided('The guest runs nowhere')
        self.said['node11'] = facts('node11', '4')
        self.undecided('That has to be right first')

    def test_a_resize(self):
        self.made.connection.execute("UPDATE migrations SET migration_type = 'resize'")
        self.made.connection.commit()
        self.charged(vm={'node13': 2}, move={'node11': 2})
        self.undecided('of type resize')
