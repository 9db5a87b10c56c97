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
"""Igroups of ONTAP into which somebody has put more than Cinder has, plain beside guarded.

Cinder's driver finds an igroup by an initiator, and unmaps the LUN from the whole of it; without a
connector it unmaps the LUN from all igroups. The judge is the array's own log of requests.
"""

import contextvars
from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants
from cinder.volume import manager

from migsafe.cinder.bus import endpoint
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import ontap_server, test_netapp
from migsafe.tests.cinder.test_netapp import DATA_DISK, NODE11, NODE13

APPLIANCE = 'iqn.2001-04.com.backup:appliance'
MAPS, IGROUPS = 'protocols/san/lun-maps', 'protocols/san/igroups'
BACKUP = '0a2f4c1b-3f5e-11e7-9f86-00a098ac0bbb'


class Igroups(test_netapp.Backend):
    """The data disk of incident 000 is mapped to nobody, and nobody is logged in."""

    def setUp(self):
        super().setUp()
        self.maps = self.array_ontap.records[MAPS]
        self.maps[:] = [entry for entry in self.maps if DATA_DISK not in entry['lun']['name']]
        self.array_ontap.records['protocols/san/iscsi/sessions'].clear()

    def mapped(self):
        return {name for lun, name, _number in self.array_ontap.maps() if DATA_DISK in lun}

    def put_into_its_igroup(self):
        """The appliance is put into the igroup of node13, which Cinder has made."""
        group = next(group for group in self.array_ontap.records[IGROUPS]
                     if NODE13['initiator'] in [one['name'] for one in group['initiators']])
        group['initiators'].append({'name': APPLIANCE})
        for entry in self.maps:
            if entry['igroup']['uuid'] == group['uuid']:
                entry['igroup']['initiators'].append(APPLIANCE)

    def map_by_hand(self, *initiators, name='backup'):
        """The LUN is mapped to an igroup of the administrator's own."""
        self.array_ontap.records[IGROUPS].append({
            'svm': {'name': ontap_server.SVM}, 'uuid': BACKUP, 'name': name, 'protocol': 'iscsi',
            'os_type': 'linux', 'initiators': [{'name': one} for one in initiators]})
        self.maps.append(self.array_ontap._map(f'/vol/vol_cinder_1/volume-{DATA_DISK}', name))

    def unmap_by_hand(self):
        self.maps[:] = [entry for entry in self.maps if entry['igroup']['uuid'] != BACKUP]

    def attached(self, connector=NODE13):
        attachment = self.reserve()
        self.attach(attachment, connector)
        self.assertIn(connector['initiator'], self.mapped())
        return attachment

    def force_detach(self):
        """Of all hosts."""
        self.service.terminate_connection(self.admin, self.volume.id, None, force=True)

    def fresh(self):
        return objects.Volume.get_by_id(self.admin, self.volume.id)

    def old_flow(self):
        """os-initialize_connection and os-attach."""
        self.service.initialize_connection(self.admin, self.fresh(), dict(NODE13))
        volume = self.fresh()
        volume.status = 'attaching'
        volume.save()
        self.service.attach_volume(
            self.admin, volume.id, fake_constants.UUID1, 'node13', '/dev/vdb', 'rw')

    def unmapped(self):
        """Requests of the driver to take a map away."""
        return sum(request.method == 'DELETE' for request in self.array_ontap.seen)

    def lying(self):
        """Each answer to such a request is a success, and nothing is done."""
        answer = self.array_ontap.answer

        def lie(request, body):
            if request.method != 'DELETE':
                return answer(request, body)
            self.array_ontap.seen.append(request)
            return ontap_server.Reply(body='{}')
        return mock.patch.object(self.array_ontap, 'answer', lie)

    def error(self, call, *args):
        return str(self.assertRaises(exception.VolumeBackendAPIException, call, *args))


class TestPlain(Igroups):
    """The control."""

    guarded = False

    def test_an_igroup_with_a_second_initiator(self):
        attachment = self.attached()
        self.put_into_its_igroup()
        self.detach(attachment)
        self.assertEqual((set(), 1), (self.mapped(), self.unmapped()))

    def test_an_igroup_of_the_administrators_own(self):
        """Node13 has the volume through it, and so has the appliance, before and after."""
        self.map_by_hand(NODE13['initiator'], APPLIANCE)
        attachment = self.attached()
        self.maps[:] = [entry for entry in self.maps if entry['igroup']['uuid'] == BACKUP]
        self.detach(attachment)
        self.assertEqual(set(), self.mapped())

    def test_force_detach_of_all(self):
        self.attached()
        self.map_by_hand(APPLIANCE)
        self.force_detach()
        self.assertEqual(set(), self.mapped())

    def test_a_success_that_is_none(self):
        attachment = self.attached()
        with self.lying():
            self.detach(attachment)
        self.attach(self.reserve(fake_constants.UUID2), NODE11)
        self.assertEqual({NODE13['initiator'], NODE11['initiator']}, self.mapped())

    def test_without_a_connector(self):
        """Another instance asks for it, and gets it, with the guest of the first one running."""
        self.old_flow()
        self.boot()
        self.assertEqual({NODE13['initiator']}, self.mapped())
        self.attach(self.reserve(fake_constants.UUID2), NODE11)
        self.assertEqual({NODE13['initiator'], NODE11['initiator']}, self.mapped())


class TestGuarded(Igroups):
    """Nothing of others goes, and nobody gets the volume beside them."""

    def row(self, host='node13'):
        return next(row for row in self.guard.ledger.of(Thing('volume', DATA_DISK))
                    if row.host == host)

    def test_an_igroup_with_a_second_initiator(self):
        attachment = self.attached()
        self.put_into_its_igroup()
        for word in (APPLIANCE, 'node13', 'group'):
            self.assertIn(word, self.error(self.detach, attachment))
        self.forget(attachment)
        self.recover()
        endpoint.Endpoint(self.guard).export_revert(None, volume=DATA_DISK, host='node13')
        endpoint.Endpoint(self.guard).export_fence(None, host='node13', user='alice')
        self.recover()
        self.assertEqual(({NODE13['initiator'], APPLIANCE}, 0), (self.mapped(), self.unmapped()))
        self.assertIn(APPLIANCE, self.row().error)
        # and once it is out of it, the export goes
        for group in (*self.array_ontap.records[IGROUPS], *(map['igroup'] for map in self.maps)):
            group['initiators'] = [one for one in group.get('initiators', ())
                                   if APPLIANCE not in (one, *([one['name']] if isinstance(
                                       one, dict) else ()))]
        self.recover()
        self.assertEqual((set(), 'gone'), (self.mapped(), self.row().state))

    def test_an_igroup_of_the_administrators_own(self):
        """It has node13 in it, and would count as what node13 is to get."""
        self.map_by_hand(NODE13['initiator'], APPLIANCE)
        self.assertIn(APPLIANCE, self.error(self.attach, self.reserve(), NODE13))
        self.assertEqual(({NODE13['initiator'], APPLIANCE}, 0), (self.mapped(), self.unmapped()))
        self.unmap_by_hand()
        self.attached()

    def test_a_map_by_hand_beside_it(self):
        """Detached, forced off all hosts, fenced, and killed in between."""
        attachment = self.attached()
        self.map_by_hand(APPLIANCE)
        self.force_detach()
        self.assertEqual({APPLIANCE}, self.mapped())
        self.detach(attachment)
        self.recover()
        self.assertEqual(({APPLIANCE}, 1), (self.mapped(), self.unmapped()))
        target = self.guard.ledger.of(Thing('volume', DATA_DISK))[0]
        self.assertIn(APPLIANCE, target.error)
        refused = self.reserve()
        self.assertIn(APPLIANCE, self.error(self.attach, refused, NODE11))
        self.forget(refused)
        self.unmap_by_hand()
        self.recover()
        self.assertEqual([], self.guard.ledger.due())
        attachment = self.attached(NODE11)
        self.map_by_hand(APPLIANCE)
        self.forget(attachment)
        endpoint.Endpoint(self.guard).export_fence(None, host='node11', user='alice')
        self.recover()
        self.assertEqual({APPLIANCE}, self.mapped())

    def test_an_igroup_with_the_name_of_a_host(self):
        """It is of the appliance, whatever it is called."""
        attachment = self.attached()
        self.map_by_hand(APPLIANCE, name='node13')
        self.detach(attachment)
        self.assertEqual(({APPLIANCE}, 'gone'), (self.mapped(), self.row().state))
        self.assertIn(APPLIANCE, self.error(self.attach, self.reserve(), NODE13))
        self.recover()
        self.assertEqual(({APPLIANCE}, 1), (self.mapped(), self.unmapped()))

    def test_an_unmap_that_fails(self):
        """No igroup is called node13: that is no word about what is mapped to it."""
        attachment = self.attached()
        with mock.patch.object(self.array_ontap, '_delete', return_value=None):
            self.error(self.detach, attachment)
        self.assertEqual(({NODE13['initiator']}, 'unmapping'), (self.mapped(), self.row().state))
        self.forget(attachment)
        self.recover()
        self.assertEqual((set(), 'gone'), (self.mapped(), self.row().state))

    def test_a_success_that_is_none(self):
        attachment = self.attached()
        with self.lying():
            self.detach(attachment)
            self.assertIn('node13', self.error(
                self.attach, self.reserve(fake_constants.UUID2), NODE11))
            self.recover()
        self.assertEqual({NODE13['initiator']}, self.mapped())
        for _ in range(2):
            self.recover()
        self.assertEqual((set(), 'gone'), (self.mapped(), self.row().state))
        self.attach(self.reserve(fake_constants.UUID2), NODE11)
        self.assertEqual({NODE11['initiator']}, self.mapped())

    def test_without_a_connector(self):
        self.old_flow()
        self.restart()
        self.error(self.attach, self.reserve(fake_constants.UUID2), NODE11)
        endpoint.Endpoint(self.guard).export_revert(None, volume=DATA_DISK, host='node13')
        endpoint.Endpoint(self.guard).export_fence(None, host='node13', user='alice')
        self.recover()
        self.assertEqual(({NODE13['initiator']}, 0), (self.mapped(), self.unmapped()))

    def test_reverted_under_a_call_that_runs(self):
        """A new cinder-volume takes up what this one has just mapped, and unmaps it."""
        post = self.array_ontap._post

        def mapped_and_reverted(request, body):
            made = post(request, body)
            if request.path == MAPS:
                contextvars.Context().run(self.another_service)
            return made
        with mock.patch.object(self.array_ontap, '_post', mapped_and_reverted):
            refused = self.error(self.attach, self.reserve(), NODE13)
        self.assertIn('is not given away', refused)
        self.assertEqual(1, self.unmapped())
        self.recover()
        self.assertEqual((set(), 'gone'), (self.mapped(), self.row().state))

    def another_service(self):
        """It starts, and recovers what the last one has left."""
        other = manager.VolumeManager(host='node@array', service_name='array')
        other.driver.do_setup(self.admin)
        other.driver.set_initialized()
        other.driver.migsafe_guard.recovery.round()
        other.driver.migsafe_guard.stop()
