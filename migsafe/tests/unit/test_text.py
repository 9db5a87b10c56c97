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
"""No secret comes out of an error, whoever shows it."""

import json
import re
import time
import unicodedata
from unittest import mock

from hypothesis import given, strategies
from oslo_concurrency import processutils
from oslo_db import exception as db_exception
from oslotest import base as oslo_base
from sqlalchemy import exc

from migsafe import masking, text
from migsafe.journal import redact
from migsafe.tests.unit.cli import base

S = 'hush-4711'
CEPH = 'AQ' + 'B0' * 18 + '=='
DHCHAP = 'DHHC-1:01:aHVzaC00NzEx:'
RING = f'[client.cinder]\n\tkey = {S}==\n\tcaps mon = "profile rbd"\n'
INFO = {'driver_volume_type': 'rbd', 'data': {'keyring': RING, 'auth_username': 'cinder'}}
PEM = f'-----BEGIN RSA PRIVATE KEY-----\n{S}\n{S}\n-----END RSA PRIVATE KEY-----'
# What a text may look like, and what of it nobody may read.
SAMPLES = (
    (f'auth_password={S}', S),
    (str({'auth_password': S}), S),
    (json.dumps({'auth_password': S}), S),
    (json.dumps({'connection_info': json.dumps({'auth_password': S})}), S),
    (str({'body': json.dumps({'data': {'discovery_auth_password': S}})}), S),
    (str(INFO), S),
    (json.dumps(INFO), S),
    (json.dumps({'connection_info': json.dumps(INFO)}), S),
    (RING, S),
    (f'rbd failed: keyring={RING}', S),
    (f"'keyring': '[client.cinder]\\n\\tkey = {S}", S),
    (f'no more to say about {CEPH}', CEPH),
    (str({'auth_key': S}), S),
    (f'auth_key: {S}', S),
    (str({'private_key': PEM}), S),
    (f'private_key = {PEM}', S),
    (PEM, S),
    (PEM[:-20], S),
    (str({'dhchap_key': S, 'dhchap_ctrl_key': S}), S),
    (str({'dhchap-secret': S}), S),
    (f'nvme connect -t tcp --dhchap-secret {S} --dhchap-ctrl-secret={S}', S),
    (str(['nvme', 'connect', '--dhchap-secret', S]), S),
    (f'nvme connect -t tcp -S {DHCHAP} -C {DHCHAP}', 'aHVzaC00NzEx'),
    ('tls_key NVMeTLSkey-1:01:aHVzaC00NzEx:', 'aHVzaC00NzEx'),
    (f'iscsiadm -m node -o update -n node.session.auth.password -v {S}', S),
    (f'iscsiadm -m node -o update -n node.session.auth.password_in --value={S}', S),
    (str(['-n', 'node.session.auth.password_in', '-v', S]), S),
    (f'mysql+pymysql://nova:{S}@db/nova', S),
    (f'mysql+pymysql://nova:x@{S}/y@db/nova', S),
    (f'rabbit://u:x@h1:5672,v:{S}@h2:5672/ is down', S),
    (f'X-Auth-Token: {S}', S),
    (json.dumps({'X-Subject-Token': S}), S),
    (f'Authorization: Bearer {S}', S),
    (f'authorization: Basic {S}', S),
    (f'<password>{S}</password>', S),
    (f"<graphics type='vnc' passwd='{S}'/>", S),
    (str({'credentials': ['user', S]}), S),
    (str({'secret': S.encode()}), S),
    (f'provider_auth: CHAP {S} {S}', S),
    (str({'provider_auth': f'CHAP user {S}'}), S),
    (f'user_pass={S}', S),
    (f'pass={S}', S),
    (f'pass: {S}', S),
    (f'pwd={S}', S),
    (str({'sysadminPwd': S, 'adminPass': S}), S),
    (f'apikey={S}', S),
    (str({'session_key': S, 'sessionkey': S, 'sessionKey': S}), S),
    (f'bind_pw = {S}', S),
    (f'passcode: {S}', S),
    (f'Cookie: a={S}; b={S}', S),
    (f'set-cookie: a=1; session={S}; path=/', S),
    (f'ceph --key {S} --id x', S),
    (f'ceph --key={S}', S),
    (str(['ceph', '--key', S]), S),
    (f'answered 401 to Bearer {S}', S),
    (f'git clone https://{S}@example.org/x failed', S),
    (f"password='it\\'s {S}'", S),
)
# What an operator needs, and what only sounds like a secret.
NEEDED = (
    'Volume 6f1c of instance 4f7b on node11: LUN 3 of iqn.1992-08.com.netapp:sn.5a7 is in use',
    'http://controller:8776/v3/attachments/1 answered 503',
    'InvalidBDM: key instance_directory is missing',
    "KeyError: 'key'",
    str({'auth_method': 'CHAP', 'encryption_key_id': 'k-1', 'auth_enabled': True}),
)


class TestPlaces(oslo_base.BaseTestCase):
    """In a command line and in a statement a secret is known by its place alone."""

    def test_a_command(self):
        for command in (['sudo', '-E', 'cinder-rootwrap', '/etc/cinder/rootwrap.conf',
                         'cinder-rtstool', 'add-initiator', 'iqn.x', 'user', S, 'iqn.y'],
                        f'env LC_ALL=C cinder-rtstool add-initiator iqn.x user {S} iqn.y'):
            said = text.masked(processutils.ProcessExecutionError(
                cmd=command, exit_code=22, stderr=f'RTSLibError: password={S} is too short'))
            self.assertNotIn(S, said)
            self.assertEqual('ProcessExecutionError: cinder-rtstool: exit code 22: RTSLibError: '
                             'password=*** is too short', said)

    def test_a_statement(self):
        """Also as oslo.db gives it to Nova and Cinder, with the statement in its text."""
        error = exc.OperationalError(
            'INSERT INTO volumes VALUES (?, ?)', ('user', S), Exception('database is locked'))
        self.assertIn(S, str(error))
        for one in (error, db_exception.DBError(error)):
            said = text.masked(one)
            self.assertNotIn(S, said)
            self.assertNotIn('INSERT', said)
            self.assertIn('database is locked', said)

    def test_what_is_too_long_is_cut(self):
        said = masking.mask('x' * (masking.MOST + 7))
        self.assertTrue(said.endswith('... (7 characters more)'), said[-40:])

    @given(strategies.from_regex(masking._PLAIN, fullmatch=True)
           | strategies.sampled_from(['password', 'key', 'auth-token.example.com', '--key']))
    def test_what_is_plain_needs_no_search(self, word):
        """The short way and the long way agree."""
        with mock.patch.object(masking, '_PLAIN', re.compile('(?!)')):
            self.assertEqual(word, masking.mask(word))

    def test_names_that_look_alike(self):
        for code in range(0x110000):
            if unicodedata.category(chr(code)) == 'Cf':
                self.assertEqual('a?b', masking.one_line(f'a{chr(code)}b'), hex(code))


class TestMasked(oslo_base.BaseTestCase):
    """An error as one line."""

    def test_no_sample_comes_out(self):
        for sample, secret in SAMPLES:
            for prefix in ('', 'Command failed: ', 'x' * 300 + ' '):
                self.assertIn(secret, sample)
                self.assertNotIn(secret, text.masked(ValueError(prefix + sample)), sample)

    def test_what_an_operator_needs_stays(self):
        for sample in NEEDED:
            self.assertEqual(f'ValueError: {sample}', text.masked(ValueError(sample)))

    def test_the_line_goes_on_after_a_secret(self):
        for sample in (f'auth_password={S}', str({'auth_key': S}), f'X-Auth-Token: {S}',
                       f'mysql://n:{S}@db', f'--dhchap-secret {S}'):
            self.assertIn('LUN 3', text.masked(ValueError(f'{sample} for LUN 3')), sample)

    def test_a_secret_that_is_cut(self):
        for sample, secret in SAMPLES:
            for kept in range(1, len(secret)):
                cut = sample[:sample.index(secret) + kept]
                filled = ' ' * (text.SCANNED - len(cut)) + cut + secret[kept:]
                self.assertNotIn(secret[:6], text.masked(ValueError(filled + 'x' * 9)), sample)

    def test_a_long_and_odd_text_takes_no_time(self):
        for part in ('token', 'token=', 'password', '--password', 'pass-', 'bearer ', 'cookie:',
                     '://', '--secret ', '\\', '"key": ', '-----BEGIN PRIVATE',
                     "'password': '", 'a://b:', '\\"auth\\": \\"'):
            before = time.monotonic()
            text.masked(ValueError(part * 100000))
            self.assertLess(time.monotonic() - before, 2, part)

    @given(strategies.text())
    def test_any_text(self, value):
        self.assertLess(len(text.masked(ValueError(value))), text.LIMIT + 50)
        masking.mask(value)


class TestCommands(base.CommandTestCase):
    """What the journal holds of an error."""

    def test_no_sample_comes_out(self):
        journal = self.open()
        tx = self.begin(journal)
        for number, (sample, _secret) in enumerate(SAMPLES):
            journal.note(tx, sample, {'error': sample, 'list': [sample]})
            journal.hold(tx, 'volume_connection', f'v-{number}', sample)
        journal.verdict(tx, 'HOLD', '; '.join(sample for sample, _secret in SAMPLES))
        for command in (('journal', 'show', 'm-1'), ('journal', 'list'), ('residue', 'list')):
            for form in ('json', 'table'):
                shown = ''.join(self.run_command(*command, '-f', form)[1:])
                for sample, secret in SAMPLES:
                    self.assertNotIn(secret, shown, (command, sample))

    def test_redacted(self):
        for sample, secret in SAMPLES:
            self.assertNotIn(secret, str(redact({'error': sample, sample: [sample]})), sample)
