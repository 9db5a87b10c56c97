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
"""What a transaction has left that a later operation has overtaken."""

from __future__ import annotations

import types

from migsafe import exceptions
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction import history, remains
from migsafe.transaction.clients import Attachment, InstanceRow, VolumeRow

VOLUME = '9d3e7c52-1b7a-4f0c-9a63-2f6b8a1d0c41'
OLD = Attachment('a-old', VOLUME, fake.SRC)


class Case(hosts.TwoHosts):
    def setUp(self):
        super().setUp()
        self.journal = self.src.journal
        self.rows, self.there, self.asked = [], [OLD, Attachment('a-new', VOLUME)], []
        self.said, self.plain, self.host = {}, False, fake.DST
        self.clients = types.SimpleNamespace(
            peer=types.SimpleNamespace(describe=lambda host, uuid: self.said,
                                       unarmed=lambda host, uuid: self.plain),
            records=types.SimpleNamespace(
                volumes=lambda instance: self.rows,
                instance=lambda uuid: InstanceRow(uuid, self.host, self.host, None, 'active')),
            volumes=types.SimpleNamespace(attachments=self.attachments))
        self.tx = self.journal.begin(
            fake.MIGRATION, 'source', fake.INSTANCE, fake.SRC, fake.DST)

    def attachments(self, instance):
        self.asked.append(instance)
        return list(self.there)


class TestListed(Case):
    def listed(self):
        remains.look_again(self.journal, self.clients)
        return [(found.kind, found.instance_uuid, found.key) for found in self.journal.findings()]

    def test_until_cinder_has_it_no_more(self):
        remains.note(self.journal, self.tx, [OLD])
        text = self.journal.findings()[0].text
        for word in ('a-old', VOLUME, fake.SRC, fake.MIGRATION, fake.INSTANCE,
                     'volume attachment delete a-old'):
            self.assertIn(word, text)
        self.assertEqual([('R2-left', fake.INSTANCE, 'a-old')], self.listed())
        del self.there[0]
        self.assertEqual([], self.listed())

    def test_until_a_row_names_it_again(self):
        remains.note(self.journal, self.tx, [OLD])
        self.rows.append(VolumeRow(1, VOLUME, 'a-old', {}))
        self.assertEqual([], self.listed())

    def test_one_does_not_take_another_from_the_list(self):
        remains.note(self.journal, self.tx, [OLD])
        remains.note(self.journal, self.tx, [])
        remains.note(self.journal, self.tx, [self.there[1]])
        self.assertEqual(2, len(self.listed()))

    def test_cinder_is_not_asked_for_nothing(self):
        self.journal.set_findings('R4', {(fake.INSTANCE, VOLUME): 'of another kind'})
        self.assertEqual([('R4', fake.INSTANCE, VOLUME)], self.listed())
        self.assertEqual([], self.asked)


class TestLeft(Case):
    """What is named at the end of a migration of which the instance is on the other host again."""

    def setUp(self):
        super().setUp()
        self.there = [Attachment('a-none', VOLUME), Attachment('a-dst', VOLUME, fake.DST),
                      Attachment('a-third', VOLUME, fake.THIRD),
                      Attachment('a-other', 'v-other', fake.DST)]

    def left(self, read=()):
        found = remains.left(self.tx, history.read(read), self.clients)
        return [one.id for one in found]

    def test_nothing_of_others(self):
        self.assertEqual([], self.left())

    def test_what_the_destination_has_made_or_may_have_made(self):
        self.said = {'attachments': {VOLUME: ['a-dst']}}
        self.assertEqual(['a-dst'], self.left())
        self.said = {'unsure': [VOLUME]}
        self.assertEqual(['a-none', 'a-dst'], self.left())
        self.rows.append(VolumeRow(1, VOLUME, 'a-dst', {}))
        self.assertEqual(['a-none'], self.left())

    def test_a_destination_that_does_not_say_is_waited_for(self):
        self.said = None
        with self.assertRaisesRegex(exceptions.Unanswered, fake.DST):
            self.left()
        self.plain = True
        self.assertEqual([], self.left())

    def test_a_destination_that_does_not_have_it_is_not_asked(self):
        self.said, self.host = None, fake.SRC
        self.assertEqual([], self.left())
