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
"""What is done about an export, for every combination of facts."""

import dataclasses
import itertools

from oslotest import base

from migsafe.cinder.recovery import verdicts

KEEP, REVERT, HOLD = verdicts.Verdict
YES_NO = (True, False)


def everything():
    """All that can be known of a row."""
    for state, live, before, ended, written, fenced in itertools.product(
            ('mapping', 'mapped', 'unmapping'), (True, False, None), YES_NO, YES_NO,
            (True, False, None), YES_NO):
        yield verdicts.Facts(state, live, before, ended, written, fenced)


def expected(facts):
    """Said once more, in other words than the table's."""
    if facts.live:
        return HOLD if facts.state == 'unmapping' else KEEP
    if facts.live is None:
        return KEEP if facts.state == 'mapped' or (
            facts.state == 'mapping' and facts.before) else HOLD
    if facts.fenced or facts.state == 'unmapping':
        return REVERT
    if facts.state == 'mapping':
        if facts.before:
            return KEEP
        return HOLD if facts.written else REVERT
    if not facts.ended:
        return KEEP
    return REVERT if facts.written is False else HOLD


class TestVerdicts(base.BaseTestCase):
    """The whole product of the facts."""

    def test_every_combination(self):
        count = 0
        for facts in everything():
            verdict, reason = verdicts.decide(facts)
            self.assertEqual(expected(facts), verdict, facts)
            self.assertNotIn('no rule', reason, facts)
            count += 1
        self.assertEqual(3 * 3 * 2 ** 3 * 3, count)

    def test_what_an_attachment_has_is_never_taken_away(self):
        for facts in everything():
            if facts.live is not False:
                self.assertIsNot(REVERT, verdicts.decide(facts)[0], facts)

    def test_who_writes_keeps_it_unless_the_host_is_fenced_or_cinder_wants_it_gone(self):
        for facts in everything():
            if facts.written and not facts.fenced and facts.state != 'unmapping':
                self.assertIsNot(REVERT, verdicts.decide(facts)[0], facts)

    def test_every_row_is_of_use(self):
        used = {verdicts.decide(facts) for facts in everything()}
        self.assertEqual({(verdict, reason) for _wanted, verdict, reason in verdicts.TABLE}, used)
        for place, (wanted, _verdict, _reason) in enumerate(verdicts.TABLE):
            self.assertTrue(any(self._first(facts) == place for facts in everything()), wanted)

    @staticmethod
    def _first(facts):
        found = (facts.state, 'unknown' if facts.live is None else facts.live, facts.before,
                 facts.ended,
                 'unknown' if facts.written is None else facts.written, facts.fenced)
        return next(place for place, (wanted, _verdict, _reason) in enumerate(verdicts.TABLE)
                    if all(want is None or want == have
                           for want, have in zip(wanted, found, strict=True)))

    def test_what_carries_more_is_never_taken_away(self):
        """And a target of which that is not known stays, without being looked at for ever."""
        seen = set()
        for facts in everything():
            verdict, reason = verdicts.decide(facts)
            for carries, instead in ((True, HOLD), (None, KEEP)):
                found = verdicts.decide(dataclasses.replace(facts, carries=carries))
                self.assertEqual(instead if verdict is REVERT else verdict, found[0])
                seen.add(found[1] == reason)
        self.assertEqual({True, False}, seen)

    def test_a_state_that_there_is_no_rule_for(self):
        self.assertEqual((HOLD, 'there is no rule for it'),
                         verdicts.decide(verdicts.Facts('gone', False)))
