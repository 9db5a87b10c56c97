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
"""Faults in which a host acts too late, or says what is not so."""

from __future__ import annotations

from typing import Any

from migsafe.replay.entry import DESTINATION, SOURCE, TRANSFER_FAILS, Entry, Spec, on

#: Of the next migration: the guest is transferred to the third host, which has its exports open.
_TRANSFER = ('libvirt', 'jobStats')

_LATE = (
    Entry('late-destination', 'Too late',
          'The destination hangs before its first attachment_create and answers nothing. It '
          'goes on when the source has given up and rolled back.',
          (on(DESTINATION, 'cinder', 'attachments.create', 'hang'),), mended='late'),
    Entry('drained-source', 'Too late',
          'nova-compute on the source is stopped when the guest has arrived, before the source '
          'is done. It starts again while the guest is transferred on to a third host.',
          # each as far as it gets before the last thing that it writes
          (on(SOURCE, 'rpc', 'post_live_migration_at_destination', 'kill', when='after'),),
          (on(SOURCE, 'journal', 'the end', 'kill'),),
          stays_down=(SOURCE,), returns=(DESTINATION, *_TRANSFER), mended='overtaken'),
    Entry('restored-journal', 'Too late',
          'The transfer fails, and all is rolled back. The destination is stopped, its disk is '
          'restored from a copy of the middle of that migration, and it starts again while the '
          'guest is transferred to a third host.',
          (TRANSFER_FAILS,), restored=(DESTINATION, 'cinder', 'attachments.complete'),
          returns=(SOURCE, *_TRANSFER), mended='restored'),
)

def _says_commit(**more: Any) -> Spec:
    return on(SOURCE, 'rpc', 'migsafe.describe', 'says-commit', times=0, **more)


_GUEST_OFF = (on(SOURCE, 'libvirt', 'migrateToURI3', 'job-crash'),
              on(SOURCE, 'libvirt', 'jobStats', 'kill'))

#: Plain Nova asks the other host nothing, so that there nobody says anything.
_UNTRUE = (
    Entry('false-word', 'An untrue word',
          'The transfer fails and the guest runs on the source. The destination says that the '
          'guest has arrived, as if its journal were of another day (plain Nova asks nobody).',
          (TRANSFER_FAILS,), (TRANSFER_FAILS, _says_commit()), mended='told'),
    Entry('false-word-guest-off', 'An untrue word',
          'nova-compute on the source dies in the transfer, and then QEMU does. The destination '
          'says that the guest has arrived (plain Nova asks nobody).',
          _GUEST_OFF, (*_GUEST_OFF, _says_commit(phase='recover')), mended='told'),
)

ENTRIES = (*_LATE, *_UNTRUE)
