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
"""Carries out what a service is asked for, whatever becomes of the answer."""

from __future__ import annotations

from collections.abc import Mapping

from migsafe.repair import charges, detach
from migsafe.repair.acts import State
from migsafe.repair.requests import OK, Call, Kind, Request, Unanswered

KINDS: Mapping[str, Kind] = {
    detach.KIND: Kind(detach.state, detach.send),
    charges.KIND: Kind(charges.state, charges.send),
}


def carry_out(request: Request, call: Call) -> tuple[State, str]:
    """Ask for it if all is as it was read; what it is then, and what the service has said.

    :raises Undecided: what it is cannot be told
    :raises Unanswered: the same
    """
    kind = KINDS[request.kind]
    found = kind.state(request, call)
    if found is not State.BEFORE:
        return found, 'Somebody else has changed it by now. Plan again.'
    try:
        status, said = kind.send(request, call)
        why = '' if status in OK else f'It was refused ({status}): {said or "see its log"}.'
    except Unanswered as error:
        why = str(error)
    # NOTE: an answer that was lost, or an error that came too late, is found out here.
    return kind.state(request, call), why
