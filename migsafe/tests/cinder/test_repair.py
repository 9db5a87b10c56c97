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
"""What a repair asks Cinder for, of Cinder's own API, VolumeManager and database."""

import functools
import json
import types
from unittest import mock

import webob
from cinder import objects
from cinder.compute import nova
from cinder.tests.unit import fake_constants
from cinder.tests.unit.api import fakes
from cinder.volume import rpcapi

from migsafe.repair import carrying, detach, requests
from migsafe.repair.acts import State
from migsafe.tests.cinder import world


@functools.cache
def _router():
    """Cinder's, which takes a while to make."""
    return fakes.router.APIRouter()


class TestAttachment(world.World):
    """An instance on node13, and an attachment for node11 that a failed migration has left."""

    def setUp(self):
        super().setUp()
        self.own, self.extra = self.reserve(), self.reserve()
        for uuid, connector in ((self.own, world.NODE13), (self.extra, world.NODE11)):
            self.complete(uuid, self.attach(uuid, connector))
        self.named = self.own
        for kind, name, made in (
                (nova.API, 'get_server_volume', lambda *_given: types.SimpleNamespace(
                    attachment_id=self.named)),
                (rpcapi.VolumeAPI, 'attachment_delete', lambda _self, who, uuid, volume:
                 self.service.attachment_delete(who, uuid, volume))):
            patch = mock.patch.object(kind, name, made)
            patch.start()
            self.addCleanup(patch.stop)
        self.request = requests.Request(detach.KIND, self.extra, {
            'volume_id': self.volume.id, 'instance': fake_constants.UUID1, 'host': 'node11',
            'status': 'attached'}, {}, 'It goes.')

    def complete(self, attachment, info):
        """Do what the API service does after attachment_update, and what os-complete does."""
        found = objects.VolumeAttachment.get_by_id(self.admin, attachment)
        found.connection_info, found.attach_status = info, 'attached'
        found.save()
        found.volume.update({'status': 'in-use', 'attach_status': 'attached'})
        found.volume.save()

    def call(self, service, method, path, body):
        """As an administrator, who is no service."""
        self.assertEqual('block-storage', service)
        response = webob.Request.blank(
            f'/v3/{self.admin.project_id}{path}', method=method,
            headers={'OpenStack-API-Version': 'volume 3.27'}).get_response(
                fakes.wsgi_app(fake_auth_context=self.admin, inner_app_v3=_router()))
        return response.status_int, json.loads(response.body) if response.body else None

    def hosts(self):
        """Hosts that the array has the volume exported to, and attachments."""
        found = objects.VolumeAttachmentList.get_all(self.admin)
        return (sorted(initiator[-2:] for _volume, initiator in self.array.exports()),
                sorted(one.id for one in found))

    def test_it_takes_one_export_away_and_no_other(self):
        self.assertEqual((['11', '13'], sorted((self.own, self.extra))), self.hosts())
        self.assertEqual((State.AFTER, ''), carrying.carry_out(self.request, self.call))
        self.assertEqual((['13'], [self.own]), self.hosts())
        self.assertEqual('in-use', objects.Volume.get_by_id(self.admin, self.volume.id).status)
        self.assertIs(State.AFTER, detach.state(self.request, self.call))

    def test_cinder_refuses_what_nova_has_in_use(self):
        """Nova's row came to name it after everything was looked at."""
        self.named = self.extra
        found, why = carrying.carry_out(self.request, self.call)
        self.assertIs(State.BEFORE, found)
        self.assertIn('It was refused (409)', why)
        self.assertEqual((['11', '13'], sorted((self.own, self.extra))), self.hosts())

    def test_another_attachment_by_that_name(self):
        other = requests.Request(detach.KIND, self.extra, {
            **self.request.before, 'instance': fake_constants.UUID2}, {}, '')
        self.assertIs(State.OTHER, carrying.carry_out(other, self.call)[0])
        self.assertEqual(2, len(self.hosts()[1]))
