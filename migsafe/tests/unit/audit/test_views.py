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
"""What Neutron, hosts and backends have, joined to the records: R3 to R5, R8 to R11."""

from migsafe.audit import facts, told
from migsafe.journal.residue import Piece
from migsafe.tests.unit.audit.cloud import JUST_NOW, CloudTestCase, cinder_info, iscsi, nova_info

GONE = 'bbbbbbbb-0000-4000-8000-bbbbbbbbbbbb'
EXPORT = facts.Export('array@a', 'vol', 'node11', 'mapped', GONE, '4')


def piece(kind='R4', host='node11', instance='vm', state='held'):
    return Piece(kind, state, 'device', host, 'sdq', None, 'tx', instance, 'it is open')


class TestBindings(CloudTestCase):
    """R8."""

    def rules(self, *bindings, **values):
        cloud = self.cloud()
        cloud.instance(**values)
        cloud.port(*bindings)
        return cloud

    def test_a_port_that_is_bound_elsewhere(self):
        (found,) = self.audit(self.rules(('node11', 'ACTIVE'))).findings
        self.assertEqual(('R8', 'warning', ('node13', 'node11')),
                         (found.rule, found.severity.word, found.hosts))
        self.assertIn('openstack port set --host node13 port', found.repair)

    def test_a_binding_that_a_migration_left(self):
        (found,) = self.audit(self.rules(('node13', 'ACTIVE'), ('node11', 'INACTIVE'))).findings
        self.assertEqual(('R8', 'minor'), (found.rule, found.severity.word))

    def test_before_rocky(self):
        cloud = self.rules()
        cloud.connection.execute('ALTER TABLE ml2_port_bindings DROP COLUMN status')
        cloud.insert('ml2_port_bindings', port_id='port', host='node11')
        self.assertEqual([('R8', 'vm')], self.found(cloud))

    def test_what_is_no_residue(self):
        self.assertEqual([], self.found(self.rules(('node13', 'ACTIVE'))))
        self.assertEqual([], self.found(self.rules(('', 'ACTIVE'))))
        self.assertEqual([], self.found(self.rules(('node11', 'ACTIVE'), host=None)))
        both = (('node13', 'ACTIVE'), ('node11', 'INACTIVE'))
        moving = self.rules(*both, task_state='migrating', updated_at=JUST_NOW)
        moving.migration('running', updated_at=JUST_NOW)
        self.assertEqual([], self.found(moving))
        # Nova has put it on record for the destination by then: _resize_instance().
        resized = self.rules(('node11', 'ACTIVE'), ('node13', 'INACTIVE'), vm_state='resized',
                             host='node11')
        resized.migration('finished', migration_type='resize')
        self.assertEqual([], self.found(resized))
        router = self.cloud()
        router.instance()
        router.port(('node11', 'ACTIVE'), owner='network:router_gateway')
        self.assertEqual([], self.found(router))

    def test_without_its_tables(self):
        report = self.audit(self.cloud('ports'))
        self.assertTrue(report.failed)
        self.assertIn('it has no table ports', ' '.join(report.unseen))


class TestHosts(CloudTestCase):
    """R4, R9 and R11, and where the guests are."""

    def said(self, *pieces, runs=(), **values):
        cloud = self.cloud()
        cloud.instance(**values)
        if values.get('task_state'):
            cloud.migration('running', updated_at=JUST_NOW)
        return self.audit(cloud, ask=lambda: told.Told(tuple(pieces), dict(runs))).findings

    def test_each_kind(self):
        found = self.said(*map(piece, ('R4', 'R8-binding', 'R9', 'R11', 'R1', '')))
        self.assertEqual([('R9', 'critical'), ('R4', 'warning'), ('R8', 'warning'),
                          ('R11', 'minor')], [(one.rule, one.severity.word) for one in found])
        self.assertIn(('instance_host', 'node13'), found[0].evidence)

    def test_what_is_being_settled_or_moved(self):
        self.assertEqual([], self.said(piece(state='unsettled'), piece(state='unknown')))
        self.assertEqual([], self.said(piece(), task_state='migrating', updated_at=JUST_NOW))
        self.assertEqual([('R4', ('node11',))], [
            (one.rule, one.hosts) for one in self.said(piece(instance='of-nobody'))])

    def test_a_guest_on_another_host(self):
        (found,) = self.said(runs={'vm': ('node11',)})
        self.assertEqual(('R5', True, ('node13', 'node11')),
                         (found.rule, found.certain, found.hosts))
        (found,) = self.said(runs={'vm': ('node11', 'node13')})
        self.assertIn('The guest is on node11 and node13', found.what)
        self.assertEqual([], self.said(runs={'vm': ('node13',), 'unknown': ('node11',)}))
        self.assertEqual([], self.said(runs={'vm': ('node11',)}, task_state='migrating',
                                       updated_at=JUST_NOW))

    def test_a_guest_of_an_instance_that_is_deleted(self):
        found = self.said(runs={'vm': ('node11',)}, deleted=1)
        self.assertEqual(['R5'], [one.rule for one in found])
        self.assertIn('virsh destroy', found[0].repair)

    def test_the_host_knows_better_than_the_record_of_a_migration(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.migration('completed')
        self.assertEqual([('R5', 'vm')], self.found(cloud))
        self.assertEqual([], self.found(cloud, ask=lambda: told.Told(runs={'vm': ('node13',)})))


class TestExports(CloudTestCase):
    """R3 and R10 by what backends have."""

    def rules(self, *exports, attachments=(), rows=True, **volume):
        cloud = self.cloud()
        cloud.instance()
        if rows:
            cloud.attached()
        for uuid, host in attachments:
            cloud.attachment(uuid, host, cinder_info(iscsi(4)), updated_at=JUST_NOW
                             if host is None else '2026-01-01')
        if volume:
            cloud.connection.execute('DELETE FROM volumes')
            cloud.volume(**volume)
        report = self.audit(cloud, ask=lambda: told.Told(exports=exports))
        return [(one.rule, one.certain) for one in report.findings]

    def test_a_ledger_with_a_host_that_no_attachment_has(self):
        own = EXPORT._replace(host='node13', attachment='att')
        self.assertEqual([('R10', True), ('R3', True)], self.rules(own, EXPORT))
        self.assertEqual([('R3', True)], self.rules(own, EXPORT, multiattach=1))

    def test_what_is_no_residue(self):
        own = EXPORT._replace(host='node13', attachment='att')
        self.assertEqual([], self.rules(own))
        for state in ('mapping', 'unmapping', 'gone', 'removed'):
            self.assertEqual([], self.rules(own, EXPORT._replace(state=state)), state)
        for work in ('detaching', 'backing-up'):
            self.assertEqual([], self.rules(own, EXPORT, status=work, updated_at=JUST_NOW))
        self.assertEqual([], self.rules(EXPORT, attachments=[(EXPORT.attachment, None)]))

    def test_one_finding_for_one_host(self):
        """An attachment for it is the finding; that the ledger has it too is no second one."""
        self.assertEqual([('R10', True), ('R3', True)], self.rules(
            EXPORT, attachments=[(EXPORT.attachment, 'node11')]))

    def test_only_in_the_array(self):
        found = EXPORT._replace(host='', state=facts.ARRAY, attachment='',
                                detail='the array maps it to iqn.y')
        self.assertEqual([('R3', False)], self.rules(found))

    def test_a_volume_that_no_instance_has(self):
        self.assertEqual([('R3', True)], self.rules(EXPORT, rows=False))
        self.assertEqual([('R3', False)], self.rules(
            EXPORT._replace(attachment='copy'), rows=False))

    def test_a_volume_of_an_instance_of_another_cell(self):
        cloud = self.cloud()
        cloud.volume()
        cloud.attachment('a', 'node11', cinder_info(iscsi(4)), instance_uuid='elsewhere')
        self.assertEqual([], self.found(cloud, ask=lambda: told.Told(exports=(EXPORT,))))

    def test_only_what_was_asked_for(self):
        cloud = self.cloud()
        for uuid in ('vm', 'vm2'):
            cloud.instance(uuid)
            cloud.row(nova_info(iscsi(7)), f'of-{uuid}', None, instance_uuid=uuid)
        exports = tuple(EXPORT._replace(volume=name) for name in ('of-vm', 'of-vm2', 'other'))
        found = self.found(cloud, ask=lambda: told.Told(exports=exports), volumes=['of-vm2'],
                           cinder=False)
        self.assertEqual([('R3', 'of-vm2')], found)
