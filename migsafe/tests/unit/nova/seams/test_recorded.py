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
import json
import types
from unittest import mock

from nova import exception
from nova.compute import utils

from migsafe.brick.guard import policy
from migsafe.nova.host import registry
from migsafe.nova.seams import at_start, destination, gates, recorded, refusals, rows_read
from migsafe.resources import volume_record
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import VolumeRow
from migsafe.transaction.evidence import GuestState

SRC, DST = fake.SRC, fake.DST
MINE, THEIRS = ['naa.6001405aaaaaaaaaaaaaaaaaaaaaaaaa'], ['naa.6001405bbbbbbbbbbbbbbbbbbbbbbbbb']


def info(number=0, identity=None, host=SRC, **data):
    found = fake.info(host, number)
    found['data'] |= data | ({policy.KEY: identity} if identity else {})
    return found




class Case(hosts.TwoHosts):
    """An instance that is on SRC, and has never been anywhere else."""

    def setUp(self):
        super().setUp()
        self.here, volumes = self.src.participant, self.world.volumes
        self.here.looked = True
        self.instance = types.SimpleNamespace(uuid=fake.INSTANCE, host=SRC)
        volumes.rows.clear()
        for number in (0, 1):
            volumes.add(fake.attachment(SRC, number), fake.volume(number), SRC, info(number))
        self.world.calls.made.clear()

    def row(self, connection_info, number=0, attachment=None):
        return VolumeRow(1, fake.volume(number), attachment or fake.attachment(SRC, number),
                         connection_info)

    def why(self, connection_info, certain=False, gone=True, **more):
        return recorded.refusal(
            self.here, self.instance, [self.row(connection_info, **more)], certain, gone)

    def cinder(self, connection_info):
        self.world.volumes.infos[fake.attachment(SRC, 0)] = connection_info

    def asked(self):
        return [name for name, *_more in self.world.calls.made]


class TestRows(Case):

    def test_leads_to_what_cinder_gave(self):
        self.assertIsNone(self.why(info()))

    def test_leads_to_the_disk_of_another(self):
        """Somebody has copied another volume's, or written it by hand."""
        why = self.why(info(1))
        for word in (fake.volume(0), fake.INSTANCE, SRC, fake.attachment(SRC, 0), 'LUN 102',
                     'LUN 101', 'somebody else', 'migsafe audit', 'migsafe repair',
                     'identity_policy'):
            self.assertIn(word, why)
        self.assertNotIn(fake.SECRET, why)
        self.assertIsNotNone(self.why(info(1), certain=True))

    def test_leads_there_with_what_cinder_has_noted_of_its_own(self):
        self.cinder(info(identity=MINE))
        self.assertIn('somebody else', self.why(info(1)))

    def test_another_portal_is_the_same_disk(self):
        self.cinder(info(target_portal='10.0.0.1:3260'))
        self.assertIsNone(self.why(info(target_portal='10.0.0.2:3260', qos_specs={})))

    def test_what_cinder_has_noted_is_what_the_disk_is_asked_for(self):
        self.cinder(info(identity=MINE))
        row = self.row(info())
        self.assertIsNone(recorded.refusal(self.here, self.instance, [row]))
        self.assertEqual(MINE, row.connection_info['data'][policy.KEY])

    def test_number_of_another_host(self):
        """The row and its attachment agree; on this host the number is somebody else's."""
        self.world.volumes.add(fake.attachment(DST, 0), fake.volume(0), DST, info(host=DST))
        why = self.why(info(host=DST), attachment=fake.attachment(DST, 0), certain=True)
        self.assertIn(f'is of host {DST}', why)

    def incomplete(self, connection_info=None):
        """Cinder tells the host of an attachment once it is complete, in a live migration last."""
        given = connection_info or info(host=DST)
        self.world.volumes.add('half', fake.volume(0), None, given)
        return self.why(given, attachment='half')

    def test_number_that_a_live_migration_may_have_left(self):
        """Its destination has written it into the row, and has hung before it was complete."""
        why = self.incomplete()
        for word in ('half', DST, 'does not say of which host', 'identity_policy'):
            self.assertIn(word, why)
        self.assertIsNone(self.why(info(host=DST), attachment='half', certain=True))

    def test_number_of_an_attachment_that_is_not_complete(self):
        """Of what was never migrated live; with an identity; by this host's journal."""
        with mock.patch.object(self.world.records, 'moves', lambda _uuid: []):
            self.assertIsNone(self.incomplete())
        self.assertIsNone(self.incomplete(info(identity=MINE)))
        with mock.patch.object(recorded.left, 'by_journal', lambda *_: {'half'}):
            self.assertIsNone(self.incomplete())

    def test_with_an_identity_the_disk_is_asked(self):
        """Also of a row that leads elsewhere than Cinder knows: somebody has put it right."""
        self.assertIsNone(self.why(info(identity=MINE)))
        self.assertIsNone(self.why(info(identity=MINE, target_lun=7)))
        self.cinder(info(identity=MINE))
        self.assertIsNone(self.why(info(identity=MINE, target_lun=7)))

    def test_another_protocol(self):
        self.cinder({'driver_volume_type': 'fibre_channel', 'data': {
            'target_wwn': ['5001405000000001'], 'target_lun': 1}})
        self.assertIn('somebody else', self.why(info(), certain=True))

    def test_rbd(self):
        """No identity is ever noted of one; that it cannot be compared is no reason."""
        image = {'driver_volume_type': 'rbd', 'data': {'name': 'volumes/volume-1'}}
        self.cinder(image)
        self.assertIsNone(self.why(image))
        # whichever host it was given to: its name is the same on all of them
        self.assertEqual(['connection_info'], self.asked())
        self.assertIn('volumes/volume-2', self.why({**image, 'data': {
            'name': 'volumes/volume-2'}}, certain=True))
        self.cinder(None)
        self.assertIsNone(self.why(image))
        self.world.calls.errors['connection_info'] = RuntimeError('cut')
        self.assertIsNone(self.why(image))

    def test_how_often_cinder_is_asked(self):
        rows = [self.row(info(number), number) for number in (0, 1)]
        self.assertIsNone(recorded.refusal(self.here, self.instance, rows))
        self.assertEqual(['connection_info', 'attachments', 'connection_info'], self.asked())

    def test_whole_row_of_another_volume(self):
        """With its identity, so that the disk would agree."""
        theirs = info(1, identity=THEIRS)
        self.assertIn('somebody else', self.why(theirs))
        theirs['data']['volume_id'] = fake.volume(0)
        self.assertIn('somebody else', self.why(theirs))
        theirs['serial'] = fake.volume(0)
        self.assertIsNone(self.why(theirs))
        self.cinder(info(identity=MINE))
        self.assertIn('somebody else', self.why(theirs))

    def test_after_a_failover_of_the_array(self):
        """One sign alone is not enough."""
        self.cinder(info(identity=MINE))
        self.assertIsNone(self.why(info(identity=THEIRS)))
        self.assertIsNone(self.why(info(identity=MINE, volume_id=fake.volume(9))))

    def test_cinder_is_away(self):
        self.world.calls.errors['connection_info'] = RuntimeError('cut')
        self.assertIsNone(self.why(info(identity=MINE)))
        why = self.why(info())
        self.assertIn('cut', why)
        self.assertIn('no identity of the disk is noted', why)
        self.assertIsNone(self.why(info(), certain=True))

    def test_attachment_is_gone(self):
        self.cinder(None)
        self.assertIsNone(self.why(info(identity=MINE)))
        self.assertIn('no such attachment', self.why(info()))
        self.assertIsNone(self.why(info(), certain=True))
        self.assertIsNone(self.why(info(), gone=False))

    def test_attachment_is_reserved(self):
        """As one that a rebuild or an offload has left; the number in the row is given up."""
        self.cinder({})
        self.assertIn('connected to no host', self.why(info()))
        self.assertIsNone(self.why(info(identity=MINE)))

    def test_attachment_of_somebody_else(self):
        """A whole row has been copied: it agrees with the attachment that it names."""
        theirs = {**info(1, identity=THEIRS), 'instance': 'another', 'volume_id': fake.volume(1)}
        self.cinder(theirs)
        for identity in (None, THEIRS):
            why = self.why(info(1, identity=identity), certain=True)
            self.assertIn('of instance another', why)
        self.cinder({**theirs, 'instance': fake.INSTANCE})
        self.assertIn(f'of volume {fake.volume(1)}', self.why(info(1)))

    def test_one_that_nobody_can_name(self):
        hostile = info()
        hostile['data']['target_iqn'] = 'iqn\x1b[2J\nroot'
        self.assertNotIn('\x1b', self.why(hostile))

    def test_cannot_be_compared(self):
        nameless = info()
        del nameless['data']['target_lun']
        self.assertIn('cannot be told', self.why(nameless))
        self.cinder(copy.deepcopy(nameless))
        self.assertIsNone(self.why(nameless))

    def test_damaged_identities(self):
        self.cinder(info(identity=['no such type.1']))
        self.assertIsNone(self.why(info()))
        self.assertIsNone(self.why(info(identity={'a': 1})))

    def test_not_compared(self):
        self.world.volumes.infos.clear()
        for found in (None, {}, {'driver_volume_type': 'nfs', 'data': {'name': 'x'}},
                      {'driver_volume_type': 'iscsi', 'data': 'x'}):
            self.assertIsNone(self.why(found))
        row = VolumeRow(1, fake.volume(0), None, info(1))
        self.assertIsNone(recorded.refusal(self.here, self.instance, [row]))
        self.instance.host = DST
        self.assertIsNone(self.why(info(1)))
        self.assertEqual([], self.asked())

    def test_switched_off(self):
        for option, value in (('identity_policy', 'accept'), ('enforce', False)):
            self.conf.set_override(option, value, 'migsafe')
            with self.assertLogs(recorded.LOG.logger, 'WARNING') as logged:
                self.assertIsNone(self.why(info(1)))
            self.assertIn(fake.volume(0), logged.output[0])
            self.conf.clear_override(option, 'migsafe')
        self.conf.set_override('device_guards', False, 'migsafe')
        with self.assertNoLogs(recorded.LOG.logger):
            self.assertIsNone(self.why(info(1)))


class TestSeams(Case):
    """Where a row is looked at."""

    def setUp(self):
        super().setUp()
        self.manager = types.SimpleNamespace(volume_api=mock.Mock())
        registry.put(self.manager, self.here)
        self.done = []
        self.bdm = types.SimpleNamespace(
            id=1, is_volume=True, volume_id=fake.volume(0), instance_uuid=fake.INSTANCE,
            attachment_id=fake.attachment(SRC, 0), connection_info=json.dumps(info(1)),
            obj_reset_changes=lambda names: None)

    def wrapped(self, context, bdm, instance, bdms=()):
        self.done.append(json.loads(self.bdm.connection_info)['data'].get(policy.KEY))

    def call(self, gate):
        return gate(self.wrapped, self.manager, (None, self.bdm, self.instance, [self.bdm]), {})

    def refused(self, call, *args):
        with self.assertLogs('migsafe.nova.seams', 'ERROR') as logged, \
                self.assertRaises(exception.NovaException) as caught:
            call(*args)
        self.assertIn('somebody else', ''.join(logged.output))
        self.assertNotIn(SRC, utils.exception_to_dict(caught.exception)['message'])
        self.assertEqual([], self.done)

    def test_detach_and_delete(self):
        for gate in (gates.detach, gates.delete):
            self.refused(self.call, gate)
        self.manager.volume_api.roll_detaching.assert_called_once()

    def test_what_cinder_has_noted_goes_into_what_nova_goes_by(self):
        self.bdm.connection_info = json.dumps(info())
        self.cinder(info(identity=MINE))
        for gate in (gates.detach, gates.delete):
            self.bdm.connection_info = json.dumps(info())
            self.call(gate)
        self.assertEqual([MINE, MINE], self.done)

    def test_delete_goes_on_when_cinder_is_away(self):
        self.bdm.connection_info = json.dumps(info())
        self.world.calls.errors['connection_info'] = RuntimeError('cut')
        self.call(gates.delete)
        self.assertEqual([None], self.done)

    def test_all_rows_of_what_disconnects_or_connects_anew(self):
        # those of this world are of another host, and of no attachment that is there
        self.world.records.rows.clear()
        self.world.records.rows[1] = self.row(info(1))
        for method in ('_shelve_instance', '_resize_instance', 'rebuild_instance'):
            gate = refusals.GATES[method][1]
            self.assertIn('somebody else', gate._further(self.here, self.instance))
        self.world.records.rows[1] = self.row(info())
        self.assertIsNone(gate._further(self.here, self.instance))

    def test_of_a_damaged_row_nothing_is_said(self):
        for text in ('null', '', '[]', '{x'):
            self.bdm.connection_info = text
            self.assertIsNone(recorded.of_bdms(self.here, self.instance, [self.bdm]))

    def test_refresh_of_an_attachment(self):
        """nova-manage has the host disconnect by the row, and then deletes the attachment."""
        def remove_volume_connection(context, volume_id, instance, delete_attachment):
            self.done.append(volume_id)
        call = (remove_volume_connection, self.manager,
                (None, fake.volume(0), self.instance, True), {})
        self.world.records.rows[1] = self.row(info(1))
        self.refused(lambda: destination.remove_volume_connection(*call))
        self.world.records.rows[1] = self.row(info())
        destination.remove_volume_connection(*call)
        self.assertEqual([fake.volume(0)], self.done)
        # of one that is not looked at, no row is read either
        self.world.calls.errors['volumes'] = ValueError('damaged')
        self.conf.set_override('device_guards', False, 'migsafe')
        destination.remove_volume_connection(*call)
        self.assertEqual([fake.volume(0)] * 2, self.done)

    def test_at_the_start_of_nova_compute(self):
        """Over one that is refused it would not start."""
        def go_on(context, instance, *more):
            self.get(info(1))
            self.done.append(instance)
        self.instance.vm_state = 'active'
        for task in (None, *at_start.GOES_ON):
            self.instance.task_state = task
            if task is None:
                at_start.init_instance(go_on, self.manager, (None, self.instance), {})
                self.assertEqual([self.instance], self.done)
                self.done.clear()
                continue
            with self.assertLogs(at_start.LOG.logger, 'ERROR') as logged:
                at_start.init_instance(go_on, self.manager, (None, self.instance), {})
            self.assertIn('somebody else', logged.output[0])
            self.assertEqual([], self.done)
        # nor over one that is refused since its migration is not settled, while it runs here
        held = mock.patch.object(at_start, '_held_at_start', return_value=True)
        self.instance.task_state, self.src.guests.state = 'reboot_pending', GuestState.HERE
        with held, self.assertLogs(at_start.LOG.logger, 'ERROR') as logged:
            at_start.init_instance(go_on, self.manager, (None, self.instance), {})
        self.assertIn('somebody else', logged.output[0])
        with self.assertLogs(at_start.LOG.logger, 'ERROR'):
            at_start.resume(go_on, self.manager, (None, self.instance, []), {})
        self.assertEqual([], self.done)

    def get(self, found):
        """As Nova reads its rows."""
        class Row(dict):
            volume_id = fake.volume(0)
        row = Row(attachment_id=fake.attachment(SRC, 0), connection_info=found)

        def _get_instance_block_device_info(context, instance):
            return {'block_device_mapping': [row]}
        rows_read.block_device_info(
            _get_instance_block_device_info, self.manager, (None, self.instance), {})
        return row

    def read(self, found):
        with rows_read.during('start', self.here, self.instance):
            return self.get(found)

    def test_start(self):
        self.refused(self.read, info(1))
        self.cinder(info(identity=MINE))
        self.assertEqual(MINE, self.read(info())['connection_info']['data'][policy.KEY])


class TestWords(Case):

    def test_no_secret_of_either(self):
        for row in (info(), {'data': {}}):
            word = volume_record.judge(fake.INSTANCE, fake.volume(0), row, info(1))
            self.assertTrue(word.why)
            self.assertNotIn(fake.SECRET, word.why)
