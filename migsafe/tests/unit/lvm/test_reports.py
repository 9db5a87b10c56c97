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
"""What LVM prints: recorded from LVM 2.03.16 of Debian 12, and bent in every way."""

import json
import pathlib

import testtools
from hypothesis import given, strategies

from migsafe.lvm import errors, facts, reports, rules

DATA = pathlib.Path(__file__).parent / 'data'


def recorded(name):
    return (DATA / name).read_text()


class RecordedTest(testtools.TestCase):

    def test_version(self):
        self.assertEqual((2, 3, 16), reports.version(recorded('lab.version')))
        self.assertRaises(errors.BadOutput, reports.version, 'LVM version: soon')

    def test_settings(self):
        found = reports.settings(recorded('lab.effective'))
        # a list of one, if somebody has written it, is printed without its brackets
        self.assertEqual('r|/dev/vd|', found['devices/global_filter'])
        self.assertEqual(('a|.*|',), found['devices/filter'])
        self.assertEqual((0, 'system.devices', 0, 1),
                         tuple(found[name] for name in (
                             'devices/use_devicesfile', 'devices/devicesfile', 'devices/scan_lvs',
                             'global/event_activation')))
        self.assertEqual({'devices/global_filter': 'r|/dev/vd|'},
                         reports.settings(recorded('lab.written')))

    def test_every_recorded_setting(self):
        for path in DATA.glob('*.effective'):
            self.assertGreater(len(reports.settings(path.read_text())), 150)
        self.assertEqual({'devices/use_devicesfile': 1},
                         reports.settings(recorded('devices-file.written')))

    def test_same_name(self):
        found = reports.pvs(recorded('same-name.pvs'))
        self.assertEqual(['host', 'host'], [pv.vg_name for pv in found])
        self.assertEqual(2, len({pv.vg for pv in found}))
        self.assertEqual({'8:0', '8:16'}, {pv.number for pv in found})
        self.assertEqual(2, len(reports.lvs(recorded('same-name.lvs'))))

    def test_copy(self):
        found = reports.pvs(recorded('copy.pvs'))
        self.assertEqual([False, True], sorted(pv.duplicate for pv in found))
        self.assertEqual(1, len({(pv.uuid, pv.vg) for pv in found}))

    def test_devices_file(self):
        self.assertEqual(1, len(reports.pvs(recorded('devices-file.pvs'))))


    def test_opens(self):
        self.assertEqual({'254:0': 2, '254:11': 0}, reports.opens('254:0:2\n 254:11:0 \n\n'))
        self.assertEqual({}, reports.opens('No devices found\n'))
        for bad in ('254:0:\n', '254:0:-1', 'device not found', '254:0:1:2'):
            self.assertRaises(errors.BadOutput, reports.opens, bad)


class BentTest(testtools.TestCase):
    """Hypothesis bends what was recorded: an error of migsafe's own, or facts of right types."""

    def pieces(self, text):
        return strategies.lists(
            strategies.sampled_from(text.split('\n')) | strategies.text(max_size=40), max_size=30
        ).map('\n'.join)

    @given(strategies.data())
    def test_settings(self, data):
        text = data.draw(self.pieces(recorded('lab.effective')))
        try:
            found = reports.settings(text)
        except errors.BadOutput:
            return
        for value in found.values():
            for one in value if isinstance(value, tuple) else (value,):
                self.assertIsInstance(one, (int, float, str))

    @given(strategies.text(alphabet='ab "\\\'[],=|{}#@.0-9\n\t', max_size=60))
    def test_settings_of_its_own_letters(self, text):
        try:
            reports.settings(f'devices {{\n\tfilter={text}\n}}\n')
        except errors.BadOutput:
            return

    @given(strategies.lists(strategies.text(alphabet=strategies.characters(
        exclude_categories=('Cs', 'Cc')), max_size=20), max_size=5))
    def test_lists_come_back(self, texts):
        def quoted(text):
            return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'
        found = reports.settings(
            'devices {\n\tfilter=[' + ','.join(map(quoted, texts)) + ']\n}\n')
        self.assertEqual(tuple(texts), found['devices/filter'])

    values = strategies.recursive(
        strategies.none()
        | strategies.booleans()
        | strategies.integers()
        | strategies.text(max_size=20),
        lambda inner: (
            strategies.lists(inner, max_size=3)
            | strategies.dictionaries(
                strategies.sampled_from(
                    ('report', 'pv', 'lv', 'pv_uuid', 'pv_name', 'vg_uuid', 'vg_name')
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )

    @given(values)
    def test_reports(self, value):
        for read in (reports.pvs, reports.lvs):
            try:
                read(json.dumps(value))
            except errors.BadOutput:
                continue

    @given(strategies.text(max_size=80))
    def test_no_json(self, text):
        try:
            self.assertEqual([], reports.pvs(text))
        except errors.BadOutput:
            return

    @given(strategies.data())
    def test_rows(self, data):
        """Of a real line any field may be missing or something else."""
        rows = json.loads(recorded('same-name.pvs'))['report'][0]['pv']
        row = dict(data.draw(strategies.sampled_from(rows)))
        for field in data.draw(strategies.lists(strategies.sampled_from(sorted(row)), max_size=3)):
            row[field] = data.draw(strategies.text(max_size=8) | strategies.sampled_from(
                [value for one in rows for value in one.values()]))
        try:
            found = reports.pvs(json.dumps({'report': [{'pv': [row]}]}))
        except errors.BadOutput:
            return
        for pv in found:
            self.assertRegex(pv.uuid, r'\A[A-Za-z0-9-]{38}\Z')
            self.assertRegex(pv.vg_name, r'\A[A-Za-z0-9_+.-]*\Z')
            self.assertTrue(pv.missing or pv.number)

    def test_names_that_lvm_does_not_allow(self):
        good = json.loads(recorded('same-name.pvs'))
        for name in ('x\x1b[2J', 'a b', '', '-rf', 'x' * 200, 'a/b', 'a\n'):
            good['report'][0]['pv'][0]['vg_name'] = name
            self.assertRaises(errors.BadOutput, reports.pvs, json.dumps(good))

    def test_deep(self):
        for text in ('[' * 100_000, '{"report":' * 50_000):
            self.assertRaises(errors.BadOutput, reports.pvs, text)
        self.assertRaises(errors.BadOutput, reports.settings, 'a {\n' * 10_000)

    def test_nothing_of_it_is_left_out(self):
        for line in ('filter=["a|.*|"', 'filter=["a" "b"]', 'filter=[,]', 'filter', 'x=1 2', 'x=',
                     '}', 'filter=["a",]', '"x"=1', 'x=1.2.3', 'filter=[["a"]]'):
            self.assertRaises(errors.BadOutput, reports.settings, f'{line}\n')
        self.assertRaises(errors.BadOutput, reports.settings, 'devices {\n')


class RecordedDecisionTest(testtools.TestCase):
    """From what LVM printed to whether it takes new disks."""

    def test_open_or_not(self):
        for name, listed, expected in (
                ('lab', False, 'global_filter: it does not end'), ('lab', True, 'global_filter'),
                ('same-name', False, 'no filter'), ('devices-file', True, None),
                ('devices-file', False, 'no filter')):
            found = facts.Facts((2, 3, 16), reports.settings(recorded(f'{name}.effective')),
                                reports.settings(recorded(f'{name}.written')), listed=listed)
            hole = rules.open_to(found)
            self.assertEqual(expected is None, hole is None)
            self.assertIn(expected or '', hole or '')
