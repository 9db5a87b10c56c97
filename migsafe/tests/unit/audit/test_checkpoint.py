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
"""An audit that is interrupted and goes on finds what one that is not finds."""

import datetime
import json
import os
import stat
from unittest import mock

import fixtures

from migsafe.audit import activity, checkpoint, opening, report, scan, told
from migsafe.audit.readers import pages
from migsafe.journal.residue import Piece
from migsafe.tests.unit.audit.cloud import NOW, CloudTestCase, cinder_info, iscsi, nova_info


class Interrupted(Exception):
    """As by Ctrl-C, or a kill."""


class TestCheckpoint(CloudTestCase):
    """Pages are of two instances; of each something is found, or cannot be judged."""

    def setUp(self):
        super().setUp()
        self.patch(pages, 'SIZE', 2)
        self.patch(checkpoint, 'EVERY', 0)
        self.path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'far')
        self.made = [self.cloud(), self.cloud()]
        for number in range(14):
            uuid, records = f'vm-{number:02}', self.made[number % 2]
            # all databases but Nova's are those of the first cell
            self.made[0].volume(f'v-{uuid}')
            records.instance(uuid, deleted=int(number in (4, 5)))
            if number not in (4, 5):
                records.row('{' if number % 5 == 0 else nova_info(iscsi(4)), f'v-{uuid}',
                            f'a-{uuid}', instance_uuid=uuid)
            self.made[0].attachment(f'a-{uuid}', 'node11', cinder_info(iscsi(4)), f'v-{uuid}',
                                    instance_uuid=uuid)
        self.asked = []

    def run_audit(self, stop=None, asked='this', now=NOW):
        """The report, or None if it was interrupted after so many pages."""
        seen = []

        def progress(_done, _total):
            seen.append(None)
            if len(seen) == stop:
                raise Interrupted
        url = self.made[0].url()
        piece = Piece('R4', 'held', 'device', 'node11', 'sdq', None, 'tx', 'vm-01', 'open')
        try:
            return scan.audit(
                opening.Sources([one.url() for one in self.made], url, url, url, lambda: told.Told(
                    (piece,), {'vm-00': ('node11',)})), report.Asked(), activity.Spans(), now,
                progress, checkpoint.Checkpoint(self.path, asked))
        except Interrupted:
            return None

    def test_interrupted_after_each_page(self):
        whole = self.run_audit()
        self.assertTrue({'R1', 'R2', 'R3', 'R4', 'R5'} <= {one.rule for one in whole.findings})
        self.assertFalse(os.path.exists(self.path))
        stops = 0
        for stop in range(1, 20):
            if self.run_audit(stop) is not None:
                break
            stops += 1
            self.assertEqual(0o600, stat.S_IMODE(os.stat(self.path).st_mode))
            again = self.run_audit()
            since = [one for one in again.unseen if one.startswith('This audit was begun at')]
            self.assertEqual(1, len(since))
            self.assertIn(f'begun at {NOW} UTC', since[0])
            self.assertEqual((whole.findings, whole.unseen, whole.counts), (
                again.findings, [one for one in again.unseen if one not in since],
                again.counts), stop)
            self.assertFalse(os.path.exists(self.path))
        self.assertGreater(stops, 6)

    def test_interrupted_page_by_page(self):
        whole, runs = self.run_audit(), 0
        while (found := self.run_audit(2 + runs // 4)) is None and runs < 60:
            runs += 1
        self.assertGreater(runs, 3)
        self.assertEqual(whole.findings, found.findings)

    def test_what_was_read_is_not_read_again(self):
        self.run_audit(5)
        with open(self.path, encoding='utf-8') as stream:
            kept = json.load(stream)
        self.assertEqual([7, 5], sorted(kept['after'].values(), reverse=True))
        self.made[0].connection.execute("UPDATE instances SET deleted = 1")
        self.made[0].connection.commit()
        # The control: what is gone is not told, whatever the file says.
        self.assertNotIn('vm-00', {one.instance for one in self.run_audit().findings
                                   if one.rule == 'R1'})

    def test_a_file_of_another_audit(self):
        self.run_audit(2)
        error = self.assertRaises(checkpoint.Unusable, self.run_audit, asked='another')
        self.assertIn('it was begun with other arguments', str(error))
        for text in ('', '[]', '{"format": 1}', '{"format": 1, "asked": 3, "after": []}', '\x00'):
            with open(self.path, 'w', encoding='utf-8') as stream:
                stream.write(text)
            self.assertRaises(checkpoint.Unusable, self.run_audit)

    def test_a_place_where_nothing_can_be_written(self):
        self.path = os.path.join(self.path, 'nowhere')
        self.assertIn('cannot be written', str(self.assertRaises(
            checkpoint.Unusable, self.run_audit)))

    def test_one_that_was_begun_too_long_ago_or_of_another_copy(self):
        """Else new residue of what was read would be told by nobody."""
        hour = datetime.timedelta(hours=1)
        for since, usable in ((23, True), (25, False), (-1, False)):
            self.run_audit(4)
            now = NOW + since * hour
            for one in self.made:
                one.connection.execute('UPDATE services SET updated_at = ?', (str(now),))
                one.connection.commit()
            if usable:
                self.assertIsNotNone(self.run_audit(now=now))
            else:
                error = self.assertRaises(checkpoint.Unusable, self.run_audit, now=now)
                self.assertIn(f'it was begun at {NOW} UTC', str(error))
                os.unlink(self.path)
            for one in self.made:
                one.connection.execute('UPDATE services SET updated_at = ?', (str(NOW),))
                one.connection.commit()

    def test_links_and_files_of_others(self):
        """In a place where others can write."""
        victim = f'{self.path}.victim'
        with open(victim, 'w', encoding='utf-8') as stream:
            stream.write('precious')
        os.symlink(victim, f'{self.path}.new')
        self.run_audit(4)
        with open(victim, encoding='utf-8') as stream:
            self.assertEqual('precious', stream.read())
        self.assertEqual({'far', 'far.new', 'far.victim'},
                         set(os.listdir(os.path.dirname(self.path))))
        with mock.patch.object(os, 'geteuid', return_value=os.geteuid() + 1):
            error = self.assertRaises(checkpoint.Unusable, self.run_audit)
        self.assertIn('it is of another user', str(error))
        os.rename(self.path, victim)
        os.symlink(victim, self.path)
        self.assertRaises(checkpoint.Unusable, self.run_audit)

    def test_what_cannot_be_written_leaves_nothing(self):
        with mock.patch.object(os, 'replace', side_effect=OSError(28, 'full')):
            self.assertRaises(checkpoint.Unusable, self.run_audit)
        self.assertEqual([], os.listdir(os.path.dirname(self.path)))
