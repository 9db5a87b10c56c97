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
"""Looking at a host: what is asked, how often, and what a failure of it counts as."""

import threading
import types
import unittest

from migsafe import exceptions
from migsafe.fencing import examine, probes
from migsafe.fencing.examine import Fleet
from migsafe.fencing.probes.base import Answer, Record, Site, of_late
from migsafe.fencing.signs import Sign

HOST, INSTANCE = 'node13', 'b1f5a6c0-0000-4000-8000-000000000001'
#: Nothing waits for so long but what hangs; a machine that is slow has the time.
CONF = {'probes': ['nova_service', 'rpc'], 'probe_timeout': 60.0, 'verdict_samples': 3,
        'verdict_interval': 0.0, 'fleet_loss_percent': 30, 'believe_forced_down': True,
        'evacuate_without_witness': False}


class Case(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.answers, self.asked = {HOST: Answer(Sign.SILENT)}, []
        self.record = Record(True, False, 900.0, 7, heard=False)
        self.fleet = Fleet(('node11', 'node12'), 0)

    def ask(self, host, instance_uuid, seconds):
        self.asked.append((host, instance_uuid))
        answer = self.answers.get(host, Answer(Sign.ANSWERS))
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    def examine(self, **conf):
        def fleet():
            if isinstance(self.fleet, Exception):
                raise self.fleet
            return self.fleet
        return examine.examine(HOST, INSTANCE, Site(
            types.SimpleNamespace(**CONF | conf), lambda _host: self.record, self.ask), fleet)


class TestExamine(Case):
    def test_each_probe_looks_several_times(self):
        self.assertEqual('word', self.examine().row.name)
        self.assertEqual(3, self.asked.count((HOST, INSTANCE)))
        self.assertEqual({('node11', ''), ('node12', '')}, set(self.asked) - {(HOST, INSTANCE)})

    def test_nobody_else_answers(self):
        self.answers |= {'node11': Answer(Sign.SILENT), 'node12': OSError('away')}
        self.assertEqual('blind', self.examine().row.name)

    def test_nobody_else_is_there(self):
        self.fleet = Fleet()
        self.assertEqual('alone', self.examine().row.name)
        self.assertEqual('word', self.examine(evacuate_without_witness=True).row.name)

    def test_some_of_those_that_are_asked_do_not_answer(self):
        """Whose records still say that they are up."""
        self.fleet = Fleet(tuple(f'node{one}' for one in range(20, 30)), 0)
        for number in range(20, 23):
            self.answers[f'node{number}'] = Answer(Sign.SILENT)
        self.assertEqual('word', self.examine().row.name)
        self.answers['node23'] = Answer(Sign.SILENT)
        self.assertEqual('storm', self.examine().row.name)

    def test_the_others_by_their_records(self):
        """One that was forced down within the hour has fallen silent as well."""
        def record(forced, heard, changed=None):
            return Record(forced, heard and not forced, 1.0, 7, heard, changed)
        found = examine.fleet({
            HOST: record(False, False), 'me': record(False, True), 'well': record(False, True),
            'silent': record(False, False), 'now': record(True, False, 60.0),
            'unknown': record(True, False), 'long ago': record(True, False, 3700.0),
            'left': record(True, True, 60.0)}, HOST, 'me')
        self.assertEqual(Fleet(('well',), 3), found)

    def test_records_that_cannot_be_read(self):
        self.fleet = OSError('database away')
        self.assertEqual('blind', self.examine().row.name)

    def test_too_many_are_lost(self):
        self.fleet = Fleet(('node11', 'node12'), 1)
        self.assertEqual('storm', self.examine().row.name)

    def test_failure_and_hanging_are_no_silence(self):
        self.addCleanup((over := threading.Event()).set)
        for answer, word in ((OSError('bus away'), 'failed: '), (over.wait, 'in time')):
            self.answers[HOST] = answer
            found = self.examine(probe_timeout=60.0 if isinstance(answer, OSError) else 1.0)
            self.assertEqual('word-unheard', found.row.name)
            self.assertIn(word, str(found))

    def test_guest_of_a_host_that_was_forced_down(self):
        for sign, row in ((Sign.GUEST_GONE, 'host-lives'), (Sign.GUEST_RUNS, 'guest-runs'),
                          (Sign.ANSWERS, 'host-lives')):
            self.answers[HOST] = Answer(sign, boot_id='boot-1')
            self.assertEqual(row, self.examine().row.name)

    def test_host_that_was_not_forced_down(self):
        self.record = Record(False, False, 900.0, 7, heard=False)
        self.assertEqual('silence', self.examine().row.name)
        self.record = None
        self.assertEqual('silence', self.examine().row.name)

    def test_word_about_a_host_that_was_heard_of_late(self):
        """It is left from before, or false: the host may be restarted at this moment."""
        for heard, row in ((True, 'contradiction-word'), (False, 'word')):
            self.record = Record(True, False, 2.0, 7, heard)
            self.assertEqual(row, self.examine().row.name)
        self.record = Record(False, True, 2.0, 7, heard=True)
        self.assertEqual('host-may-live', self.examine().row.name)

    def test_of_late(self):
        """A clock that is a little ahead of the recorder's makes no heartbeat old."""
        for age, heard in ((None, False), (0.0, True), (60.0, True), (64.0, True), (66.0, False),
                           (-1e6, True)):
            self.assertIs(heard, of_late(age, 60))

    def test_probes_that_cannot_be_used(self):
        for names in (['no_such'], [], ['rpc', '']):
            with self.assertRaises(exceptions.ConfigError) as caught:
                self.examine(probes=names)
            self.assertIn('nova_service', str(caught.exception))
            self.assertIn('[migsafe] probes', str(caught.exception))
        self.assertIn('rpc', probes.KIND.names())


class TestSurvey(Case):
    """All hosts in one pass."""

    def survey(self, **conf):
        return {one.host: one for one in examine.survey(self.records, Site(
            types.SimpleNamespace(**CONF | conf), self.records.get, self.ask))}

    def fleet_of(self, *, dead=(), forced=(), number=20):
        names = [f'node{one}' for one in range(number)]
        self.records = {name: Record(name in forced, name not in (*dead, *forced), 5.0, 7,
                                     heard=name not in (*dead, *forced), changed=9000.0)
                        for name in names}
        self.answers = {name: Answer(Sign.SILENT) for name in (*dead, *forced)}

    def test_who_answers_is_asked_once_and_who_does_not_as_often_as_it_takes(self):
        self.fleet_of(dead=['node3'], forced=['node4'])
        found = self.survey()
        self.assertEqual({'node3': 'silence', 'node4': 'word'}, {
            host: one.row.name for host, one in found.items() if one.row.name != 'host-lives'})
        for host, times in (('node1', 1), ('node3', 3), ('node4', 3)):
            self.assertEqual(times, self.asked.count((host, '')))
        self.assertEqual((True, 18, 0), (
            found['node3'].checker.sees_others, found['node3'].checker.others,
            found['node3'].checker.lost))

    def test_storm_needs_no_more_looks(self):
        dead = [f'node{one}' for one in range(10)]
        self.fleet_of(dead=dead, forced=['node11'])
        found = self.survey()
        for host in (*dead, 'node11'):
            self.assertEqual('storm', found[host].row.name)
            self.assertEqual(1, self.asked.count((host, '')))

    def test_nobody_answers_whoever_looks(self):
        self.fleet_of(forced=['node1'])
        self.answers = {host: Answer(Sign.SILENT) for host in self.records}
        found = {host: one.row.name for host, one in self.survey().items()}
        self.assertEqual('blind', found.pop('node1'))
        self.assertEqual({'host-may-live'}, set(found.values()))

    def test_one_host_has_no_witness(self):
        self.fleet_of(forced=['node0'], number=1)
        found = self.survey()['node0']
        self.assertEqual((None, 'alone'), (found.checker.sees_others, found.row.name))

    def test_one_that_hangs_keeps_nobody_else_waiting(self):
        self.addCleanup((over := threading.Event()).set)
        self.fleet_of(forced=['node1', 'node2'], number=4)
        self.answers['node1'] = over.wait
        found = self.survey(probe_timeout=1.0)
        self.assertEqual(('word-unheard', 'word'), (
            found['node1'].row.name, found['node2'].row.name))

    def test_more_than_are_looked_at_at_once(self):
        self.fleet_of(forced=['node1', 'node149'], number=examine.AT_ONCE + 50)
        found = self.survey()
        self.assertEqual(['word', 'host-lives', 'word'], [
            found[host].row.name for host in ('node1', 'node120', 'node149')])
