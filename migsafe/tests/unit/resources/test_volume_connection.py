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
import copy
import dataclasses
import json
import unittest

from os_brick.initiator.connectors import fibre_channel

from migsafe import exceptions
from migsafe.brick.guard import policy
from migsafe.resources import base, volume_connection, volume_target
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import InstanceRow, OtherMove, VolumeRow
from migsafe.transaction.history import History
from migsafe.transaction.move import FREED, Point
from migsafe.transaction.subject import Subject
from migsafe.transaction.verdict import Verdict

SRC, DST = fake.SRC, fake.DST
COMMIT, ABORT = Verdict.COMMIT, Verdict.ABORT
RECORDS, EXPORTS = Point.RECORDS, Point.EXPORTS


def _lun(row):
    return row.connection_info['data']['target_lun']


class Case(unittest.TestCase):
    def setUp(self):
        self.cloud = fake.Cloud()
        self.resource = volume_connection.VolumeConnection()

    def held(self, move, point):
        with self.assertRaises(base.Held) as caught:
            self.resource.revert(move, point)
        return caught.exception.keys

    def row(self, number):
        return self.cloud.records.rows[fake.volume(number)]

    def residues(self, move):
        return sorted((r.kind, r.key) for r in self.resource.inspect(move))


class TestCapture(Case):
    def test_capture_makes_no_call_and_is_json(self):
        rows = [VolumeRow(1, fake.volume(0), 'a-1', fake.info(SRC, 0))]
        found = self.resource.capture(Subject(
            InstanceRow('u', SRC, SRC, None, 'active'), rows))
        self.assertEqual({fake.volume(0)}, set(found))
        self.assertEqual('a-1', found[fake.volume(0)]['attachment_id'])
        self.assertEqual(found, json.loads(json.dumps(found)))
        self.assertEqual([], self.cloud.calls.made)


class TestRecords(Case):
    def test_abort_restores_luns_and_attachments_of_the_source(self):
        self.resource.revert(fake.move(self.cloud), RECORDS)
        for number in (0, 1):
            self.assertEqual(fake.attachment(SRC, number),
                             self.row(number).attachment_id)
            self.assertEqual(fake.FIRST_LUN[SRC] + number,
                             _lun(self.row(number)))
        self.assertEqual({'replace_connection'},
                         {name for name, *_ in self.cloud.changes()})

    def test_again_changes_nothing(self):
        self.resource.revert(fake.move(self.cloud), RECORDS)
        before = len(self.cloud.changes())
        self.resource.revert(fake.move(self.cloud), RECORDS)
        self.assertEqual(before, len(self.cloud.changes()))

    def test_commit_keeps_what_names_the_destination(self):
        self.resource.commit(fake.move(self.cloud, COMMIT), RECORDS)
        self.assertEqual([], self.cloud.changes())

    def test_commit_repairs_a_row_that_was_set_back(self):
        number = 1
        self.cloud.records.rows[fake.volume(number)] = VolumeRow(
            2, fake.volume(number), fake.attachment(SRC, number),
            fake.info(SRC, number))
        self.resource.commit(fake.move(self.cloud, COMMIT), RECORDS)
        self.assertEqual(fake.attachment(DST, number),
                         self.row(number).attachment_id)
        self.assertEqual(fake.FIRST_LUN[DST] + number, _lun(self.row(number)))

    def test_right_attachment_with_wrong_lun_is_repaired(self):
        """Incident 000: connection_info alone is from the other host."""
        self.cloud.records.rows[fake.volume(0)] = dataclasses.replace(
            self.row(0), attachment_id=fake.attachment(SRC, 0))
        self.resource.revert(fake.move(self.cloud), RECORDS)
        self.assertEqual(fake.FIRST_LUN[SRC], _lun(self.row(0)))

    def test_secrets_and_volatile_keys_do_not_make_a_difference(self):
        self.resource.revert(fake.move(self.cloud), RECORDS)
        self.row(0).connection_info['data']['device_path'] = '/dev/sdq'
        self.row(0).connection_info['data']['auth_password'] = 'rotated'
        self.assertEqual([], [r for r in self.residues(fake.move(self.cloud))
                              if r[0] in ('R1', 'R2')])

    def test_lost_compare_and_swap_holds_that_row_only(self):
        self.cloud.records.changed_meanwhile.add(fake.volume(0))
        held = self.held(fake.move(self.cloud), RECORDS)
        self.assertEqual({fake.volume(0)}, set(held))
        self.assertIn('changed by something else', held[fake.volume(0)])
        self.assertEqual(fake.FIRST_LUN[SRC] + 1, _lun(self.row(1)))

    def test_attachment_of_the_winner_missing(self):
        del self.cloud.volumes.rows[fake.attachment(SRC, 0)]
        move = fake.move(self.cloud, released=True)
        held = self.held(move, RECORDS)
        self.assertEqual({fake.volume(0)}, set(held))
        self.assertIn(SRC, held[fake.volume(0)])
        self.assertEqual(fake.attachment(DST, 0), self.row(0).attachment_id)
        self.resource.revert(move, EXPORTS)
        self.assertEqual(
            [('delete_attachment', fake.attachment(DST, 1))],
            self.cloud.calls.of('delete_attachment'))
        self.assertIn(('R2', fake.volume(0)), self.residues(move))

    def test_winner_without_capture_is_known_by_its_host(self):
        """Adopted: it happened before migsafe was installed."""
        move = fake.move(self.cloud, history=History())
        self.resource.revert(move, RECORDS)
        self.assertEqual(fake.attachment(SRC, 0), self.row(0).attachment_id)
        self.assertEqual(fake.FIRST_LUN[SRC], _lun(self.row(0)))

    def test_two_attachments_of_the_winner_without_capture_are_a_guess(self):
        self.cloud.volumes.add('a-other', fake.volume(0), SRC,
                               fake.info(SRC, 5))
        held = self.held(fake.move(self.cloud, history=History()),
                         RECORDS)
        self.assertEqual({fake.volume(0)}, set(held))

    def test_intent_is_journalled_with_ids_but_without_secrets(self):
        move = fake.move(self.cloud)
        self.resource.revert(move, RECORDS)
        self.assertEqual([('bdm_restore', 'ok')] * 2, move.journal.outcomes)
        self.assertNotIn(fake.SECRET, repr(move.journal.intents))

    def test_failed_write_is_journalled_as_an_error(self):
        self.cloud.calls.errors['replace_connection'] = OSError('db is gone')
        move = fake.move(self.cloud)
        with self.assertRaises(OSError):
            self.resource.revert(move, RECORDS)
        self.assertEqual([('bdm_restore', 'error')], move.journal.outcomes)

    def test_superseded_or_deleted_instance_keeps_its_rows(self):
        for row in (None, dataclasses.replace(self.cloud.records.row,
                                              host=fake.THIRD)):
            self.cloud.records.row = row
            self.resource.revert(fake.move(self.cloud), RECORDS)
        self.assertEqual([], self.cloud.changes())


class TestIdentity(Case):
    """Who a volume is was noted on this host, and Cinder does not know it."""

    KNOWN = ['naa.600140512345678901234567890abcde']

    def setUp(self):
        super().setUp()
        self.info = fake.info(DST, 0)
        self.info['data'].update(target_lun=4, device_path='/dev/dm-7')
        self.info['data'][policy.KEY] = self.KNOWN
        self.cinders = fake.info(DST, 0)
        self.cinders['data']['target_lun'] = 4

    def commit(self, attachment, row, captured=None):
        """COMMIT with this row, and with LUNs of equal numbers on both hosts."""
        self.cloud.records.rows = {
            fake.volume(0): VolumeRow(1, fake.volume(0), attachment, row)}
        self.cloud.volumes.infos[fake.attachment(DST, 0)] = self.cinders
        move = fake.move(self.cloud, COMMIT)
        move.history.captures['volume_connection', fake.volume(0)] = {
            'attachment_id': fake.attachment(SRC, 0), 'connection_info': captured or self.info}
        self.assertEqual(captured is not None, bool(
            [r for r in self.residues(move) if r[0] in ('R1', 'R2')]))
        self.resource.commit(move, RECORDS)
        return self.row(0).connection_info['data']

    def test_it_makes_no_difference(self):
        data = self.commit(fake.attachment(DST, 0), self.info)
        self.assertEqual((self.KNOWN, '/dev/dm-7'), (data[policy.KEY], data['device_path']))
        self.assertEqual([], self.cloud.changes())

    def test_it_goes_where_the_row_goes(self):
        source = copy.deepcopy(self.info)
        source['data']['device_path'] = '/dev/disk/of-the-source'
        data = self.commit(fake.attachment(SRC, 0), source, captured=source)
        self.assertEqual((4, self.KNOWN), (data['target_lun'], data[policy.KEY]))
        # where the other host found it says nothing about this one
        self.assertNotIn('device_path', data)
        self.assertNotIn(policy.KEY, self.cinders['data'])

    def test_where_this_host_found_it(self):
        for local, lun, path in ((DST, 4, '/dev/dm-7'), (SRC, 4, None), (DST, 5, None)):
            with self.subTest(local=local, lun=lun):
                self.cloud = fake.Cloud()
                self.cloud.local = local
                connected = copy.deepcopy(self.info)
                connected['data']['target_lun'] = lun
                self.cloud.records.rows = {fake.volume(0): VolumeRow(
                    1, fake.volume(0), fake.attachment(SRC, 0), fake.info(SRC, 0))}
                self.cloud.volumes.infos[fake.attachment(DST, 0)] = self.cinders
                move = fake.move(self.cloud, COMMIT)
                move.history.connections[fake.volume(0)] = connected
                self.resource.commit(move, RECORDS)
                data = self.row(0).connection_info['data']
                self.assertEqual((4, path), (data['target_lun'], data.get('device_path')))


class TestDamagedRows(Case):
    """A row that cannot be understood holds itself, and nothing is lost."""

    def test_data_that_is_no_dictionary(self):
        for bad in ('text', ['a'], 5):
            with self.subTest(bad):
                self.cloud = fake.Cloud()
                self.cloud.records.rows[fake.volume(0)] = VolumeRow(
                    1, fake.volume(0), fake.attachment(SRC, 0),
                    {'driver_volume_type': 'iscsi', 'data': bad})
                move = fake.move(self.cloud, released=True)
                try:
                    self.resource.revert(move, RECORDS)
                except (base.Held, TypeError):
                    self.assertEqual(
                        bad, self.row(0).connection_info['data'])
                # Repaired from the capture, or held: nothing in between.
                self.assertIn(_lun(self.row(1)) - 1, fake.FIRST_LUN.values())
                self.assertIn(fake.attachment(SRC, 0),
                              self.cloud.volumes.rows)

    def test_a_damaged_row_does_not_stop_the_rows_behind_it(self):
        self.cloud.records.rows[fake.volume(0)] = VolumeRow(
            1, fake.volume(0), fake.attachment(SRC, 0),
            {'driver_volume_type': 'iscsi', 'data': 'damaged'})
        try:
            self.resource.revert(fake.move(self.cloud), RECORDS)
        except base.Held as held:
            self.assertEqual({fake.volume(0)}, set(held.keys))
        self.assertEqual(fake.FIRST_LUN[SRC] + 1, _lun(self.row(1)))

    def test_row_that_is_not_json_deletes_nothing(self):
        self.cloud.calls.errors['volumes'] = ValueError(
            'connection_info in block_device_mapping is not a JSON object')
        for point in (RECORDS, EXPORTS):
            with self.assertRaises(ValueError):
                self.resource.revert(fake.move(self.cloud, released=True),
                                     point)
        self.assertEqual([], self.cloud.changes())


class TestExports(Case):
    def setUp(self):
        super().setUp()
        self.resource.revert(fake.move(self.cloud), RECORDS)
        self.cloud.calls.made.clear()

    def test_nothing_is_deleted_before_the_devices_were_looked_at(self):
        held = self.held(fake.move(self.cloud), EXPORTS)
        self.assertEqual({fake.volume(0), fake.volume(1)}, set(held))
        self.assertEqual([], self.cloud.changes())

    def test_only_what_is_not_kept_is_deleted(self):
        move = fake.move(self.cloud, released=True,
                         kept={fake.volume(0): 'used by lvm lv data'})
        held = self.held(move, EXPORTS)
        self.assertEqual({fake.volume(0): 'used by lvm lv data'}, held)
        self.assertEqual([('delete_attachment', fake.attachment(DST, 1))],
                         self.cloud.changes())
        self.assertEqual([('R3', fake.volume(0))], self.residues(move))

    def test_clean_at_the_end(self):
        move = fake.move(self.cloud, released=True)
        self.resource.revert(move, EXPORTS)
        self.assertEqual({fake.attachment(SRC, 0), fake.attachment(SRC, 1)},
                         set(self.cloud.volumes.rows))
        self.assertEqual([], self.residues(move))

    def test_leaked_attachment_that_nobody_knows(self):
        """attachment_create worked, but its reply was lost."""
        self.cloud.volumes.add('a-leaked', fake.volume(0), None, None)
        self.assertIn(fake.volume(0),
                      self.held(fake.move(self.cloud), EXPORTS))
        self.assertIn('a-leaked', self.cloud.volumes.rows)
        self.resource.revert(fake.move(self.cloud, released=True), EXPORTS)
        self.assertNotIn('a-leaked', self.cloud.volumes.rows)

    def test_what_an_earlier_migration_has_left_on_a_third_host(self):
        """Its host may have a device of it; Cinder names the host once it is complete."""
        self.cloud.volumes.add('a-third', fake.volume(0), fake.THIRD, fake.info(SRC, 0))
        self.cloud.volumes.add('a-begun', fake.volume(0), None, fake.info(SRC, 0))
        self.cloud.volumes.add('a-reserved', fake.volume(0), None, None)
        for earlier, left in (([OtherMove('live-migration', 'm-0', 'error', SRC, fake.THIRD)],
                               ['a-third', 'a-begun']), ([], ['a-third'])):
            self.cloud.records.earlier = earlier
            self.resource.revert(fake.move(self.cloud, released=True), EXPORTS)
            self.assertEqual({fake.attachment(SRC, 0), fake.attachment(SRC, 1), *left},
                             set(self.cloud.volumes.rows))

    def test_what_the_winner_has_of_before(self):
        """It may share its export with the attachment that the guest there uses."""
        self.cloud.volumes.add('a-old', fake.volume(0), SRC, fake.info(SRC, 0))
        self.cloud.volumes.add('a-of-the-loser', fake.volume(0), DST, fake.info(DST, 0))
        self.resource.revert(fake.move(self.cloud, released=True), EXPORTS)
        self.assertEqual({fake.attachment(SRC, 0), fake.attachment(SRC, 1), 'a-old'},
                         set(self.cloud.volumes.rows))

    def test_what_a_row_names_is_never_deleted(self):
        self.cloud.records.rows[fake.volume(0)] = dataclasses.replace(
            self.row(0), attachment_id='a-new')
        self.cloud.volumes.add('a-new', fake.volume(0), DST,
                               fake.info(DST, 0))
        move = fake.move(self.cloud, released=True)
        self.assertIn('was right before', self.held(move, EXPORTS)[fake.volume(0)])
        self.assertTrue(move.rows_wrong)
        self.assertIn('a-new', self.cloud.volumes.rows)

    def test_failed_deletion_is_an_error_outcome(self):
        self.cloud.calls.errors['delete_attachment'] = OSError('HTTP 500')
        move = fake.move(self.cloud, released=True)
        with self.assertRaises(OSError):
            self.resource.revert(move, EXPORTS)
        self.assertEqual([('attachment_delete', 'error')],
                         move.journal.outcomes)


class TestFreed(Case):
    """The instance is its owner's; a device of the loser is still held."""

    def setUp(self):
        super().setUp()
        self.cloud.volumes.add('a-leaked', fake.volume(0), None, None)
        self.history = self.cloud.history()
        self.resource.revert(self.move(), RECORDS)

    def move(self, **kwargs):
        return fake.move(self.cloud, history=self.history,
                         **{'released': True} | kwargs)

    def free(self, **kwargs):
        with self.assertRaises((base.Held, OSError)):
            self.resource.revert(self.move(**kwargs), EXPORTS)
        self.history.notes.add(FREED)

    def reserve(self):
        """What a resize does: a new one, then the row, with a pause."""
        self.cloud.volumes.add('a-reserved', fake.volume(0), None, None)

    def ends(self):
        """Only what was there before goes, also what nobody knew of."""
        self.resource.revert(self.move(), EXPORTS)
        self.assertEqual({fake.attachment(SRC, 0), fake.attachment(SRC, 1),
                          'a-reserved'}, set(self.cloud.volumes.rows))
        self.assertEqual([], self.residues(self.move()))

    def test_reserved_by_a_resize(self):
        self.free(released=False)
        self.reserve()
        self.ends()

    def test_row_lost_its_attachment_meanwhile(self):
        """Its old one is deleted first, and the row written last."""
        self.free(released=False)
        self.reserve()
        del self.cloud.volumes.rows[fake.attachment(SRC, 0)]
        self.resource.revert(self.move(), EXPORTS)
        self.assertEqual({fake.attachment(SRC, 1), 'a-reserved'},
                         set(self.cloud.volumes.rows))

    def test_freed_after_a_deletion_had_failed(self):
        self.cloud.calls.errors['delete_attachment'] = OSError('HTTP 500')
        self.free()
        self.cloud.calls.errors.clear()
        self.reserve()
        self.ends()

    def test_freed_when_they_could_not_be_listed(self):
        move = self.move()
        self.resource.revert(move, RECORDS)
        self.cloud.calls.errors['attachments'] = OSError('HTTP 503')
        self.assertRaises(OSError, self.resource.revert, move, EXPORTS)
        self.history.notes.add(FREED)
        self.cloud.calls.errors.clear()
        self.reserve()
        self.ends()

    def test_freed_by_a_version_that_noted_nothing(self):
        """What the destination journalled, and what is by host its own."""
        self.history.notes.add(FREED)
        self.cloud.peer.description['attachments'] = {
            fake.volume(0): ['a-leaked']}
        self.reserve()
        self.ends()

    def test_made_unheard_and_the_instance_is_at_something(self):
        """A reboot that waits for its host, say: what it reserves looks just like that."""
        self.history.notes.add(FREED)
        self.cloud.peer.description['unsure'] = [fake.volume(0)]
        row = self.cloud.records.row
        self.cloud.records.row = dataclasses.replace(row, task_state='rebooting_hard')
        for look in (lambda: self.resource.revert(self.move(), EXPORTS),
                     lambda: self.resource.inspect(self.move())):
            with self.assertRaisesRegex(exceptions.Unclear, 'a-leaked.*rebooting_hard'):
                look()
        self.assertIn('a-leaked', self.cloud.volumes.rows)
        self.cloud.records.row = dataclasses.replace(row, task_state=None)
        # where an evacuation has brought it to that host, what is there is the owner's
        self.cloud.records.others = [OtherMove('evacuation', 'm-2', 'done', SRC, fake.DST, True)]
        self.history.notes = {FREED}
        self.cloud.records.row = dataclasses.replace(row, task_state=None, host=fake.DST)
        self.cloud.volumes.add('a-there', fake.volume(0), fake.DST, fake.info(fake.DST, 0))
        self.resource.revert(self.move(), EXPORTS)
        self.assertIn('a-there', self.cloud.volumes.rows)
        del self.cloud.volumes.rows['a-there']
        self.cloud.records.others = []
        self.cloud.records.row = dataclasses.replace(row, task_state=None)
        self.resource.revert(self.move(), EXPORTS)
        self.assertNotIn('a-leaked', self.cloud.volumes.rows)

    def test_what_is_left_is_noted_once(self):
        move = self.move(released=False)
        for _ in range(2):
            with self.assertRaises(base.Held):
                self.resource.revert(move, EXPORTS)
        self.assertEqual(3, len(move.journal.notes))

    def test_named_by_a_row_while_another_was_deleted(self):
        """Rows are read again right before each deletion."""
        self.history.notes.add('old attachment a-leaked')
        real = self.cloud.volumes.delete_attachment

        def slow(attachment_id):
            real(attachment_id)
            self.cloud.records.rows[fake.volume(0)] = dataclasses.replace(
                self.row(0), attachment_id='a-leaked')
        self.cloud.volumes.delete_attachment = slow
        held = self.held(self.move(), EXPORTS)
        self.assertIn('a-leaked', held[fake.volume(0)])
        self.assertIn('a-leaked', self.cloud.volumes.rows)


class TestSuperseded(Case):
    """Deleted, or on a third host: only what this transaction made."""

    def exports(self, local, verdict, **cloud):
        self.cloud = fake.Cloud(local=local)
        self.cloud.records.row = cloud['row']
        move = fake.move(self.cloud, verdict, released=True)
        if verdict is ABORT:
            self.resource.revert(move, EXPORTS)
        else:
            self.resource.commit(move, EXPORTS)
        return {attachment_id for _name, attachment_id
                in self.cloud.calls.of('delete_attachment')}

    def test_deleted_source_deletes_its_own(self):
        found = self.exports(SRC, COMMIT, row=None)
        self.assertEqual({fake.attachment(SRC, 0), fake.attachment(SRC, 1)},
                         found)

    def test_deleted_destination_deletes_its_own(self):
        found = self.exports(DST, ABORT, row=None)
        self.assertEqual({fake.attachment(DST, 0), fake.attachment(DST, 1)},
                         found)

    def test_third_host_keeps_what_its_rows_name(self):
        row = InstanceRow(fake.INSTANCE, fake.THIRD, fake.THIRD, None,
                             'active')
        self.cloud = fake.Cloud(local=SRC)
        self.cloud.records.row = row
        for number in (0, 1):
            key = fake.volume(number)
            self.cloud.records.rows[key] = dataclasses.replace(
                self.cloud.records.rows[key],
                attachment_id=fake.attachment(SRC, number))
        self.resource.commit(fake.move(self.cloud, COMMIT, released=True),
                             EXPORTS)
        self.assertEqual([], self.cloud.changes())

    def test_unknown_attachments_of_a_third_host_stay(self):
        row = InstanceRow(fake.INSTANCE, fake.THIRD, fake.THIRD, None,
                             'active')
        self.cloud.records.row = row
        self.cloud.volumes.add('a-third', fake.volume(0), fake.THIRD, None)
        self.resource.commit(fake.move(self.cloud, COMMIT, released=True),
                             EXPORTS)
        self.assertIn('a-third', self.cloud.volumes.rows)


class TestLegacyFlow(Case):
    def setUp(self):
        super().setUp()
        self.cloud.legacy(0)

    def test_abort_restores_the_source(self):
        self.resource.revert(fake.move(self.cloud), RECORDS)
        self.assertIsNone(self.row(0).attachment_id)
        self.assertEqual(fake.FIRST_LUN[SRC], _lun(self.row(0)))

    def test_commit_leaves_the_destination(self):
        move = fake.move(self.cloud, COMMIT, released=True)
        self.resource.commit(move, RECORDS)
        self.resource.commit(move, EXPORTS)
        self.assertEqual(fake.FIRST_LUN[DST], _lun(self.row(0)))
        self.assertEqual([('delete_attachment', fake.attachment(SRC, 1))],
                         self.cloud.changes())

    def test_commit_with_the_source_in_the_row_is_held(self):
        self.cloud.records.rows[fake.volume(0)] = VolumeRow(
            1, fake.volume(0), None, fake.info(SRC, 0))
        with self.assertRaises(base.Held) as caught:
            self.resource.commit(fake.move(self.cloud, COMMIT), RECORDS)
        self.assertEqual({fake.volume(0)}, set(caught.exception.keys))

    def test_abort_without_capture_is_held(self):
        held = self.held(fake.move(self.cloud, history=History()),
                         RECORDS)
        self.assertIn(fake.volume(0), held)


class TestAddress(unittest.TestCase):
    def test_lun_and_target_only(self):
        found = volume_target.address(fake.info(SRC, 0))
        self.assertEqual(fake.FIRST_LUN[SRC], found['target_lun'])
        self.assertNotIn('auth_password', found)

    def test_none_and_empty(self):
        for nothing in (None, {}, {'data': None}, {'data': {}}):
            self.assertEqual({}, volume_target.address(nothing))

    def test_what_os_brick_leaves_behind_is_the_same_export(self):
        """Its Fibre Channel connector writes what it has derived into what Cinder gave."""
        made = fibre_channel.FibreChannelConnector(None)
        for data in (
                {'target_wwn': '50:01:43:80:18:3A:02:00', 'target_lun': 3},
                {'target_wwn': '500143801A2B3C4D', 'target_lun': 3,
                 'initiator_target_map': {'10008C7CFF523B01': ['500143801A2B3C4D']}},
                {'target_wwn': ['500143801A2B3C4D', '500143801a2b3c4e'], 'target_lun': 0},
                {'target_wwns': ['500143801A2B3C4D'], 'target_luns': [7]}):
            with self.subTest(data):
                given = {'driver_volume_type': 'fibre_channel', 'data': data}
                used = copy.deepcopy(given)
                made._add_targets_to_connection_properties(used['data'])
                self.assertNotEqual(given, used)
                self.assertTrue(volume_target.same(given, used))
                other = copy.deepcopy(used)
                other['data']['target_lun'] = 9
                self.assertFalse(volume_target.same(given, other))

    def test_another_target_is_another_export(self):
        one, two = ({'driver_volume_type': 'fibre_channel', 'data': {
            'target_wwn': wwn, 'target_lun': 3}} for wwn in ('5001', ['5002']))
        self.assertFalse(volume_target.same(one, two))
        two['data']['target_wwn'] = 7
        self.assertFalse(volume_target.same(one, two))

    def test_error_does_not_quote_the_content(self):
        with self.assertRaises(TypeError) as caught:
            volume_target.address({'data': [fake.SECRET]})
        self.assertNotIn(fake.SECRET, str(caught.exception))
