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
"""The report of this nova-compute for ``migsafe status``."""

from __future__ import annotations

import os
from typing import Any

from oslo_log import log as logging

import migsafe.version
from migsafe import journal as migsafe_journal
from migsafe import process
from migsafe.journal import separation
from migsafe.nova.clients import hosts
from migsafe.text import masked, shell

LOG = logging.getLogger(__name__)

#: What is not protected in this process though its seams are; os-brick is
#: guarded for the whole of it.
_GAPS: list[str] = []
#: The methods of Nova that are wrapped in this process.
_SEAMS: list[str] = []


def wrapped(seams: list[str]) -> None:
    """Have each report of this process name these seams."""
    _SEAMS[:] = seams


def gap(what: str) -> None:
    """Have each report of this process say this as well."""
    if what not in _GAPS:
        _GAPS.append(what)


def account(journal: migsafe_journal.Journal) -> None:
    """Have the log and each report say when the journal's account is not this host's alone.

    :raises JournalError: it cannot be found out
    """
    if found := journal.reach():
        why = separation.ADVICE.format(found=found)
        LOG.warning(why)
        gap(why)


def word(host: str) -> str:
    """What is to be done about it that this host, which lives, is said to be fenced; empty if it
    is not, or that cannot be read now."""
    try:
        found = hosts.record(host)
    except Exception as error:
        LOG.debug('Whether %s is forced down cannot be read: %s', host, masked(error))
        return ''
    if found is None or not found.forced_down:
        return ''
    return (f'{host} LIVES AND IS FORCED DOWN in Nova, which is the word that it is fenced: its '
            'guests may be evacuated, and started a second time, as soon as it is not heard. If '
            f'it is well: openstack compute service set --up {shell(host)} nova-compute')


def armed(journal: migsafe_journal.Journal, detail: str = '') -> None:
    """This host's live migrations are protected.

    :param detail: what an operator should know all the same
    :raises JournalError: it cannot be written
    """
    _write(journal, True, _SEAMS, '; '.join(filter(None, (*_GAPS, word(journal.host), detail))))


def unarmed(conf: Any, host: str, why: str, create: bool = False) -> None:
    """This host's nova-compute runs without protection. It never raises, for
    that is what it was configured to do.

    :param conf: Nova's configuration, with the [migsafe] group
    :param create: make a journal to write this into if there is none; without
        it a host that never was armed is left alone
    """
    try:
        if create or _may_have_reported(conf, host):
            _open_and_write(conf, host, why, create)
    except Exception as error:
        LOG.error('"migsafe status" cannot be told that %s is not protected '
                  '(%s): %s', host, why, masked(error))


def _may_have_reported(conf: Any, host: str) -> bool:
    if conf.migsafe.connection:
        return True
    return os.path.lexists(migsafe_journal.journal_url(conf, host).database or '')


def _open_and_write(conf: Any, host: str, why: str, create: bool) -> None:
    journal = migsafe_journal.open_journal(conf, host, create=create)
    try:
        if create or journal.statuses():
            _write(journal, False, [], why)
    finally:
        journal.close()


def _write(journal: migsafe_journal.Journal, is_armed: bool, seams: list[str],
           detail: str) -> None:
    from nova import utils
    from nova import version as nova_version
    threads = getattr(utils, 'concurrency_mode_threading', lambda: False)
    journal.set_status(
        armed=is_armed, pid=os.getpid(), started=process.started(os.getpid()),
        boot_id=process.boot_id(),
        plugin_version=migsafe.version.version(),
        nova_version=nova_version.version_string(),
        concurrency='threading' if threads() else 'eventlet',
        seams=seams, detail=detail)
