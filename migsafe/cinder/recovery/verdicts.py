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
"""From evidence about an export to what is done with it: one table."""

from __future__ import annotations

import dataclasses
import enum


class Verdict(enum.Enum):
    """What recovery does about a row of the ledger."""

    KEEP = 'keep'        # it is as it should be: record it as mapped
    REVERT = 'revert'    # take it away, and ask the array whether it is gone
    HOLD = 'hold'        # leave it, say why, look again later


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of one row of the ledger.

    :param state: mapping, mapped or unmapping
    :param live: an attachment of Cinder has this peer's connector; for a target: any peer's;
        None: somebody has the volume, and Cinder does not know by which export
    :param before: it was mapped before the intent
    :param ended: what it was made for ends with that: an attachment, or a copy by a process of
        Cinder that has ended. Not so for a copy that may go on, or for a caller of
        os-initialize_connection
    :param written: whether this peer has the volume open; None: the array cannot tell
    :param fenced: an operator said that the host of this peer is powered off or cut off
    :param carries: whether the array has more mapped through it, for a target; None: it cannot
        tell. False for what is no target
    """

    state: str
    live: bool | None
    before: bool = False
    ended: bool = True
    written: bool | None = None
    fenced: bool = False
    carries: bool | None = False


Wanted = tuple[str, bool | str | None, bool | None, bool | None, bool | str | None, bool | None]

#: Of what is held since the array says so.
OPEN = 'what it was made for has ended, but a host has it open'

#: State, live, before, ended, written, fenced; None: whatever it is. The first row that fits
#: decides, and what no row fits is HOLD.
TABLE: tuple[tuple[Wanted, Verdict, str], ...] = (
    # Fenced or not: the instance will be detached first, by an evacuation for example.
    (('mapping', True, None, None, None, None), Verdict.KEEP, 'its attachment is there'),
    (('mapped', True, None, None, None, None), Verdict.KEEP, 'its attachment is there'),
    (('unmapping', True, None, None, None, None), Verdict.HOLD, 'an attachment still has it'),
    # Old records are somebody's: to keep what is there is all that is safe.
    (('mapped', 'unknown', None, None, None, None), Verdict.KEEP,
     'somebody has the volume, and Cinder does not know by which export'),
    (('mapping', 'unknown', True, None, None, None), Verdict.KEEP, 'it was there before'),
    (('mapping', 'unknown', False, None, None, None), Verdict.HOLD,
     'somebody has the volume, and Cinder does not know by which export'),
    (('unmapping', 'unknown', None, None, None, None), Verdict.HOLD,
     'somebody has the volume, and Cinder does not know by which export'),
    # A dead host's session lingers: what the array says of it does not count.
    (('mapping', False, None, None, None, True), Verdict.REVERT, 'its host is fenced'),
    (('mapped', False, None, None, None, True), Verdict.REVERT, 'its host is fenced'),
    (('unmapping', False, None, None, None, True), Verdict.REVERT, 'its host is fenced'),
    (('mapping', False, True, None, None, False), Verdict.KEEP, 'it was there before'),
    # Nobody was told of it: the connection is given away after the outcome is recorded.
    (('mapping', False, False, None, False, False), Verdict.REVERT,
     'its attachment was never made'),
    (('mapping', False, False, None, 'unknown', False), Verdict.REVERT,
     'its attachment was never made'),
    (('mapping', False, False, None, True, False), Verdict.HOLD, 'a host has it open'),
    # Cinder was asked to take it away, and does so without looking who has it open.
    (('unmapping', False, None, None, None, False), Verdict.REVERT, 'it was to be taken away'),
    (('mapped', False, None, False, None, False), Verdict.KEEP,
     'it was not made for an attachment, and whoever asked for it may use it'),
    (('mapped', False, None, True, False, False), Verdict.REVERT,
     'what it was made for has ended, and no host has it open'),
    (('mapped', False, None, True, True, False), Verdict.HOLD, OPEN),
    (('mapped', False, None, True, 'unknown', False), Verdict.HOLD,
     'what it was made for has ended, and the array cannot tell whether a host has it open'),
)


#: What is to be taken away carries more than what was made here -> what is done instead.
CARRIES = {
    True: (Verdict.HOLD, 'more is mapped through it'),
    None: (Verdict.KEEP, 'the array cannot tell what else is mapped through it: it goes when '
                         'Cinder removes it'),
}


def decide(facts: Facts) -> tuple[Verdict, str]:
    """Look the facts up; give the verdict and the reason."""
    found = (facts.state, 'unknown' if facts.live is None else facts.live, facts.before,
             facts.ended, 'unknown' if facts.written is None else facts.written, facts.fenced)
    for wanted, verdict, reason in TABLE:
        if all(want is None or want == have for want, have in zip(wanted, found, strict=True)):
            if verdict is Verdict.REVERT and facts.carries is not False:
                return CARRIES[facts.carries]
            return verdict, reason
    return Verdict.HOLD, 'there is no rule for it'
