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
"""The table of verdicts: each row, each combination of its columns, and what leads to them."""

import dataclasses
import itertools
import pathlib
import re
import unittest

from migsafe.fencing import verdict
from migsafe.fencing.facts import Facts, Life, Limits, gather
from migsafe.fencing.signs import MEANINGS, Checker, Observation, Sign
from migsafe.fencing.verdict import TABLE, HostVerdict

HOST, SAMPLES = 'node13', 3
WELL = Checker(sees_others=True, others=999, lost=0)
S = Sign


def each(**probes):
    """What each probe saw in each look: one sign, or one per look."""
    return [Observation(probe, sign, sample=number) for probe, signs in probes.items()
            for number, sign in enumerate(signs if isinstance(signs, tuple)
                                          else (signs,) * SAMPLES)]


def judged(seen, checker=WELL, **limits):
    return verdict.judge(HOST, seen, checker, Limits(SAMPLES, **limits))


def all_facts():
    flags = [(False, True)] * (len(dataclasses.fields(Facts)) - 2)
    for values in itertools.product((False, True), Life, *flags):
        yield Facts(*values)


#: row -> what was seen of a host that it decides on
ROWS = {
    'guest-runs': (each(rpc=S.SILENT, libvirt=(S.SILENT, S.SILENT, S.GUEST_RUNS), bmc=S.OFF,
                        nova=S.DECLARED), WELL, {}),
    'host-lives': (each(rpc=S.GUEST_GONE, nova=S.DECLARED), WELL, {}),
    'contradiction-off': (each(rpc=S.SILENT, bmc=S.OFF, net=S.REACHABLE), WELL, {}),
    'contradiction-word': (each(rpc=S.SILENT, nova=S.DECLARED, bmc=S.POWERED), WELL, {}),
    'host-may-live': (each(rpc=S.SILENT, net=(S.SILENT, S.REACHABLE, S.SILENT)), WELL, {}),
    'blind': (each(rpc=S.SILENT, nova=S.DECLARED, bmc=S.OFF), Checker(False, 9, 0), {}),
    'storm': (each(rpc=S.SILENT, nova=S.DECLARED, bmc=S.OFF), Checker(True, 10, 4), {}),
    'alone': (each(rpc=S.SILENT, nova=S.DECLARED, bmc=S.OFF), Checker(None, 0, 0), {}),
    'too-few-looks': (each(rpc=(S.SILENT, S.SILENT), nova=S.DECLARED), WELL, {}),
    'off-and-word': (each(rpc=S.SILENT, bmc=S.OFF, nova=S.DECLARED), WELL,
                     {'believe_forced_down': False}),
    'off-and-cut': (each(rpc=S.SILENT, bmc=S.OFF, rbd=S.CUT), WELL, {}),
    'cut-and-word': (each(rpc=S.SILENT, rbd=S.CUT, nova=S.DECLARED), WELL,
                     {'believe_forced_down': False}),
    'word': (each(rpc=S.SILENT, nova=S.DECLARED), WELL, {}),
    'word-alone': (each(rpc=S.SILENT, nova=S.DECLARED), WELL, {'believe_forced_down': False}),
    'word-unheard': (each(rpc=S.NOTHING, nova=S.DECLARED), WELL, {}),
    'off-alone': (each(rpc=S.SILENT, bmc=S.OFF), WELL, {}),
    'silence': (each(rpc=S.SILENT, nova=S.STALE), WELL, {}),
    'nothing': (each(rpc=S.NOTHING, bmc=S.NOTHING), WELL, {}),
}


class TestTable(unittest.TestCase):
    def test_every_row_decides_on_what_it_is_for(self):
        self.assertEqual([row.name for row in TABLE], list(ROWS))
        for name, (seen, checker, limits) in ROWS.items():
            self.assertEqual(name, judged(seen, checker, **limits).row.name)

    def test_every_combination(self):
        """What the table says, said in another way."""
        decided = set()
        for found in all_facts():
            row = verdict.decide(found)
            decided.add(row.name)
            witnesses = [found.off, found.cut, found.declared].count(True)
            proven = (found.life is Life.NONE and not found.guest and found.silent
                      and found.enough and not found.blind and not found.storm
                      and not found.alone
                      and (witnesses > 1 or (found.declared and found.believed)))
            self.assertIs(proven, row.verdict is HostVerdict.DEAD, found)
            if found.guest:
                self.assertIs(HostVerdict.ALIVE, row.verdict)
        self.assertEqual({row.name for row in TABLE}, decided)

    def test_no_single_sign_proves_death(self):
        for sign in Sign:
            for believed in (False, True):
                found = judged(each(probe=sign), believe_forced_down=believed)
                self.assertIsNot(HostVerdict.DEAD, found.verdict, sign)

    def test_each_refusal_says_what_to_do(self):
        for row in TABLE:
            self.assertEqual(row.verdict is not HostVerdict.DEAD, bool(row.next), row.name)

    def test_documents_have_the_same_table(self):
        page = pathlib.Path(__file__).parents[4] / 'doc/source/admin/evacuation.rst'
        listed = re.findall(r'^   \* - ([a-z-]+)\n     - ([A-Z]+)$', page.read_text('utf-8'), re.M)
        self.assertEqual([(row.name, row.verdict.value) for row in TABLE], listed)

    def test_every_sign_has_a_meaning(self):
        self.assertEqual(set(Sign), set(MEANINGS))


class TestFacts(unittest.TestCase):
    """One look that differs is enough against death, and never enough for it."""

    DEAD = {'rpc': S.SILENT, 'nova': S.DECLARED, 'bmc': S.OFF}

    def test_one_look_that_differs(self):
        self.assertIs(HostVerdict.DEAD, judged(each(**self.DEAD)).verdict)
        for probe in self.DEAD:
            for sign in (S.ANSWERS, S.HEARD, S.REACHABLE, S.GUEST_RUNS, S.GUEST_GONE, S.POWERED):
                for place in range(SAMPLES):
                    signs = [self.DEAD[probe]] * SAMPLES
                    signs[place] = sign
                    found = judged(each(**self.DEAD | {probe: tuple(signs)}))
                    self.assertIsNot(HostVerdict.DEAD, found.verdict, (probe, sign, place))

    def test_what_was_not_so_each_time_was_not_so(self):
        for off, declared in (((S.OFF, S.NOTHING, S.OFF), S.NOTHING),
                              (S.NOTHING, (S.NOTHING, S.DECLARED, S.DECLARED))):
            found = judged(each(rpc=S.SILENT, bmc=off, nova=declared)).found
            self.assertEqual((False, False), (found.off, found.declared))

    def test_heartbeat_that_goes_on_whatever_the_clock_says(self):
        seen = [Observation('nova', S.STALE, sequence=7 + number // 2, sample=number)
                for number in range(SAMPLES)]
        self.assertEqual('host-lives', judged(
            seen + each(rpc=S.SILENT, word=S.DECLARED, bmc=S.OFF)).row.name)

    def test_heartbeat_of_late_speaks_against_each_proof(self):
        for proofs in ({'word': S.DECLARED}, {'word': S.DECLARED, 'bmc': S.OFF},
                       {'rbd': S.CUT, 'bmc': S.OFF}, {'rbd': S.CUT, 'word': S.DECLARED}):
            self.assertIs(HostVerdict.DEAD, judged(each(rpc=S.SILENT, **proofs)).verdict)
            found = judged(each(rpc=S.SILENT, nova=(S.STALE, S.HEARD, S.STALE), **proofs))
            self.assertIs(HostVerdict.UNKNOWN, found.verdict, proofs)
            self.assertIn('service_down_time', found.next)

    def test_host_that_says_that_the_guest_is_not_there(self):
        """It lives, and may be in the middle of a hard reboot of it."""
        for believed in (False, True):
            found = judged(each(rpc=S.GUEST_GONE, nova=S.DECLARED, bmc=S.OFF),
                           believe_forced_down=believed)
            self.assertIs(HostVerdict.ALIVE, found.verdict)

    def test_share_of_hosts(self):
        for others, lost, storm in ((0, 0, False), (1, 0, False), (1, 1, True), (10, 3, False),
                                    (10, 4, True), (999, 299, False), (999, 300, True)):
            self.assertIs(storm, gather([], Checker(True, others, lost), Limits()).storm)
            # the same share of those that were asked, whatever their records say
            self.assertIs(storm, gather([], Checker(True, 999, 0, others, lost), Limits()).storm)

    def test_nobody_else_there_to_see(self):
        for sees, without, row in ((None, False, 'alone'), (None, True, 'word'),
                                   (True, False, 'word'), (False, True, 'blind')):
            found = judged(each(rpc=S.SILENT, nova=S.DECLARED), Checker(sees, 0, 0),
                           without_witness=without)
            self.assertEqual(row, found.row.name)

    def test_in_words(self):
        said = str(judged([Observation('rpc', S.SILENT, 'no answer within 2 s')]))
        for word in ('UNKNOWN', 'rpc: silent (no answer within 2 s)'):
            self.assertIn(word, said)
        self.assertIn('no probe', str(judged([])))
