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
"""The one notion of a host that is fenced.

It is held in one place: Nova's record of its nova-compute, where ``forced_down`` is the word of
who has fenced it. It is a word and no proof, so that nothing is done about it before the host was
judged dead by :mod:`migsafe.fencing.verdict`, for which it has to be silent.

``migsafe settle --peer-is-dead`` is no second place: it confirms that word for one migration,
which is a second opinion where ``[migsafe] believe_forced_down`` wants one.
"""

from __future__ import annotations

import dataclasses

from migsafe.fencing.verdict import HostVerdict
from migsafe.text import masked, shell
from migsafe.transaction.clients import Hosts


@dataclasses.dataclass(frozen=True)
class Word:
    """What is to be made of a host that does not answer.

    :param said: whether somebody has said that it is fenced
    :param doubt: why it does not count as fenced; empty if it does. The same each time, whatever
        is seen, as it may be journalled
    """

    said: bool
    doubt: str = ''


def ask(hosts: Hosts, host: str, instance_uuid: str, confirmed: bool = False) -> Word:
    """Whether a host that does not answer is fenced.

    :param instance_uuid: the guest for which it is asked
    :param confirmed: a person has confirmed it for this guest
    """
    try:
        declared = hosts.declared(host)
        if declared is None and confirmed:
            # It was deleted from Nova, which has no place any more for a word about it.
            return Word(said=True)
        if not declared:
            return Word(False, (
                f'nobody has said in Nova that {host} is fenced. Once it is powered off or cut '
                'off from the storage, and not before, `openstack compute service set --down '
                f'{shell(host)} nova-compute` says so'))
        found = hosts.judge(host, instance_uuid, confirmed)
    except Exception as error:
        return Word(False, f'whether {host} is fenced cannot be told: {masked(error)}')
    if found.verdict is HostVerdict.DEAD:
        return Word(said=True)
    return Word(True, f'{host} is said to be fenced, but {found.row.why}. Next: {found.next}')
