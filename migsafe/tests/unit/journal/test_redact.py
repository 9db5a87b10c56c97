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
"""Nothing secret is ever displayed."""

import copy
import json

from hypothesis import given, strategies
from oslotest import base as oslo_base

from migsafe.journal import redact
from migsafe.tests.unit.journal import base

SECRET = base.SECRET
# Keys under which os-brick, Cinder drivers, Nova and libvirt hand secrets around.
SECRET_KEYS = (
    'auth_password', 'discovery_auth_password', 'adminPass', 'admin_password', 'password',
    'keyring', 'secret', 'token', 'auth_token', 'X-Auth-Token', 'passphrase', 'chap_secret',
    'CHAP_PASSWORD', 'private_key', 'dhchap_key', 'dhchap_hostkey', 'san_password',
    'access_key', 'api_key', 'credentials', 'fsid_secret', 'key', 'encryption_key',
    'node.session.auth.password', 'auth_key', 'secret_key', 'psk', 'luks_key', 'master_key')


class TestRedact(oslo_base.BaseTestCase):
    """Masks what is secret and nothing that an operator needs."""

    def test_incident_000(self):
        found = redact(base.CONNECTION)
        self.assertEqual({'driver_volume_type': 'iscsi', 'data': {
            'target_lun': 4, 'target_iqn': 'iqn.1992-08.com.netapp:sn.5a7',
            'auth_method': 'CHAP', 'auth_username': 'node11', 'auth_password': '***'}}, found)

    def test_the_original_is_left_alone(self):
        before = copy.deepcopy(base.CONNECTION)
        redact(base.CONNECTION)
        self.assertEqual(before, base.CONNECTION)

    def test_every_name_of_a_secret(self):
        for key in SECRET_KEYS:
            for value in (SECRET, [SECRET], {'inner': SECRET}, SECRET.encode()):
                self.assertNotIn(SECRET, str(redact({'data': [{key: value}]})), key)

    def test_secrets_inside_text(self):
        for text in (json.dumps(base.CONNECTION),
                     f'auth_password={SECRET}', f"{{'auth_password': '{SECRET}'}}",
                     f'mysql+pymysql://nova:{SECRET}@db/nova',
                     f'Error in rabbit://u:{SECRET}@host:5672/ x',
                     f'X-Auth-Token: {SECRET}', f'"X-Subject-Token": "{SECRET}"',
                     f'keyring = {SECRET}', f'Authorization: Bearer {SECRET}'):
            self.assertNotIn(SECRET, str(redact({'error': text})), text)
            self.assertNotIn(SECRET, str(redact([text])))

    def test_what_an_operator_needs_stays(self):
        needed = {'target_lun': 3, 'volume_id': 'v', 'attachment_id': 'a', 'secret_uuid': 'u',
                  'secret_type': 'ceph', 'auth_enabled': True, 'host': 'node11', 'wwn': '6000',
                  'encryption_key_id': 'k', 'keep': None, 'device_path': '/dev/sdb',
                  'hosts': ['10.0.0.1'], 'monkey': 1, 'keys': 2}
        self.assertEqual(needed, redact(needed))

    def test_any_nesting_ends(self):
        deep = value = {}
        for _level in range(5000):
            value['x'] = value = {}
        value['auth_password'] = SECRET
        self.assertNotIn(SECRET, str(redact(deep)))

    @given(
        strategies.recursive(
            strategies.none()
            | strategies.booleans()
            | strategies.integers()
            | strategies.text()
            | strategies.binary(),
            lambda inner: (
                strategies.lists(inner)
                | strategies.dictionaries(
                    strategies.text()
                    | strategies.integers()
                    | strategies.sampled_from(SECRET_KEYS),
                    inner,
                )
            ),
        )
    )
    def test_whatever_it_is_it_becomes_json(self, value):
        json.dumps(redact(value))

    @given(strategies.sampled_from(SECRET_KEYS), strategies.integers(0, 4), strategies.booleans())
    def test_at_any_depth(self, key, depth, in_list):
        value = {key: SECRET}
        for _level in range(depth):
            value = [value] if in_list else {'data': value}
        self.assertNotIn(SECRET, str(redact(value)))
