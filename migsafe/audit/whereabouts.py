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
"""On which hosts a guest may rightfully be, by the records alone."""

from __future__ import annotations

from migsafe.audit.activity import ARRIVED, TRANSFERRING, waits_for_owner
from migsafe.audit.facts import Case, Life, Migration


def disputed(case: Case) -> Migration | None:
    """The newest migration, if it says that the guest has left the host that has it on record.

    An unshelve moves an instance without a migration, so that one is believed only where nobody
    has unshelved it since.
    """
    newest, instance = case.newest(), case.instance
    if (newest is None or newest.status not in ARRIVED or case.brought
            or instance.host is None or newest.source != instance.host
            or newest.dest in (None, instance.host)):
        return None
    return newest


def doubtful(case: Case) -> Migration | None:
    """The newest live migration, if the guest may have gone with it although it has not ended.

    nova-compute of the source was ended after the transfer had begun. Every row names the
    destination then, whether the guest has arrived there or not, and only a hypervisor knows.
    """
    newest, host = case.newest(), case.instance.host
    if (newest is None or newest.status not in TRANSFERRING or host is None
            or newest.source != host or newest.dest in (None, host)):
        return None
    named = {place for row in case.rows
             if (place := (found.host if (found := case.named(row)) else row.connection.host))}
    return newest if named == {newest.dest} else None


def rightful(case: Case) -> frozenset[str]:
    """Hosts whose connections, exports and allocations may be there.

    They are those of a resize that waits for its owner, and both of a dispute: it is not for an
    audit of records to say which of them has the guest.
    """
    return case.once(_rightful)


def _rightful(case: Case) -> frozenset[str]:
    instance = case.instance
    if instance.life is not Life.LIVE:
        return frozenset()
    found = {instance.host}
    for one in case.migrations:
        if waits_for_owner(instance, one):
            found |= {one.source, one.dest}
    if questioned := disputed(case):
        found.add(questioned.dest)
    return frozenset(host for host in found if host)
