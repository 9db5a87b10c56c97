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
"""Takes an export away that nobody has any more, and sees whether it has gone."""

from __future__ import annotations

import random
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.cinder.exports import others, outcomes, targets
from migsafe.cinder.facts import attachments, calls
from migsafe.cinder.facts.looks import Seen
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: Seconds between two looks at what is due; the first pause after a failure.
POLL = 5.0


class StillMapped(exceptions.MigsafeError):
    """The array was told to take a mapping away and still has it."""

    message = 'the driver reports no error, but the array still has %(export)s'


class CarriesMore(exceptions.MigsafeError):
    """A target is left alone."""

    message = '%(export)s is left as it is: %(what)s'


class Undoing:
    """Takes exports away.

    :param guard: of the backend
    """

    def __init__(self, guard: Any) -> None:
        self._guard = guard

    def pause(self, export: records.Export) -> float:
        """Seconds until an export is tried again."""
        longest = float(self._guard.conf.migsafe.recovery_backoff_max)
        pause: float = min(POLL * 2 ** min(export.attempts, 16), longest)
        return pause * random.uniform(0.8, 1.2)

    def revert(self, thing: Thing, export: records.Export, subject: Any, reason: str) -> bool:
        """Take an export away, and ask the array whether it is.

        The caller is alone at the volume.

        :param subject: the volume or snapshot
        :returns: whether it is gone, or the driver says so and it was not seen there any more; if
            not, it is tried again later
        """
        ledger = self._guard.ledger
        if not ledger.claim(export):
            LOG.info('%s is left alone for now: it has changed, or another service is at work on '
                     'its volume', export)
            return False
        if export.incarnation != ledger.incarnation:
            self._guard.looks.anew(thing, [export.peer])
        try:
            seen = self._take(thing, export, subject)
            if seen is Seen.THERE:
                raise StillMapped(export=export)
        except Exception as error:
            LOG.warning('%s cannot be taken away and is tried again: %s', export, masked(error))
            ledger.fail(thing, [export.peer], masked(error), self.pause(export))
            return False
        if not outcomes.record(self._guard, thing, [export.peer], seen, reason=reason):
            LOG.error(calls.OVERTAKEN, thing.kind, thing.id)
            ledger.doubt(thing, [export.peer], 'it was unmapped meanwhile')
            return False
        LOG.info('%s was taken away: %s', export, reason)
        return True

    def seen(self, thing: Thing, subject: Any, export: records.Export) -> bool:
        """Look at one of which the driver has said that it is removed; whether that is all.

        :returns: False if it is there, and has to be taken away once more
        """
        found = self._guard.looks.at(thing, subject, export)
        if found is Seen.THERE:
            return False
        outcomes.record(self._guard, thing, [export.peer], found, read=export,
                        reason='it was removed', look_at_target=True)
        return True

    def target(self, thing: Thing, subject: Any, vouched: bool) -> None:
        """Take the target away with the last mapping, as Cinder does; it is not asked for again.

        :param vouched: somebody says that nobody has it open, should the array not know
        """
        target, *mapped = rows = self._guard.ledger.of(thing)
        if target.state == 'gone' or any(row.state != 'gone' for row in mapped):
            return
        carried = targets.carried(self._guard, thing, subject, rows)
        if carried or (carried is None and not vouched):
            LOG.warning('%s', CarriesMore(export=target, what=carried or (
                'the array cannot tell what else is mapped through it')))
            self._guard.ledger.look_at_target(thing)
            return
        self.revert(thing, target, subject, 'nothing is mapped through it')

    def _take(self, thing: Thing, export: records.Export, subject: Any) -> Seen:
        """Have the driver do it.

        Its error counts, unless the array was seen twice not to have it: many drivers fail to
        unmap what is not mapped. Where the array cannot tell, it is mapped once more for that.
        """
        looks = self._guard.looks
        if not export.peer and not subject['provider_location'] and (
                looks.at(thing, subject, export) is Seen.GONE):
            return Seen.GONE
        if export.peer:
            others.refuse_if_shared(self._guard.inspector, thing, subject, records.peer_of(export))
        try:
            with calls.entering(), self._guard.working(thing, [export.peer]):
                self._undo(subject, export)
        except Exception:
            seen = looks.at(thing, subject, export)
            if seen is Seen.GONE:
                return Seen.GONE
            if seen is not Seen.UNKNOWN or not self._may_map(thing, export):
                raise
            self._map_and_unmap(thing, export, subject)
        found: Seen = looks.at(thing, subject, export)
        return found

    def _undo(self, subject: Any, export: records.Export) -> None:
        from cinder import context
        driver = self._guard.driver
        form = '_snapshot' if export.kind == 'snapshot' else ''
        if export.peer:
            getattr(driver, f'terminate_connection{form}')(subject, export.connector, force=False)
        else:
            admin = context.get_admin_context()
            if not subject['provider_location']:
                # NOTE: drivers find the target by what Cinder keeps of it. If Cinder was killed
                # before it could, they find none, and say so without an error. To make what is
                # there tells it again, as it does for each attachment after the first.
                made = getattr(driver, f'create_export{form}')(
                    admin, subject, self._any_connector(export))
                subject.update(made or {})
                # NOTE: it was there for a moment, and had not been asked about like that.
                self._refuse_if_carrying(export, subject)
            getattr(driver, f'remove_export{form}')(admin, subject)

    def _may_map(self, thing: Thing, export: records.Export) -> bool:
        """Whether an export may be made in order to be taken away.

        Not while anybody has the volume, or may have it: there are arrays that have one host for
        a volume, and would take it from that one.
        """
        if not export.connector or export.fenced or thing.kind != 'volume':
            return False
        having = [row for row in self._guard.ledger.of(thing)
                  if row.peer and row.peer != export.peer and row.state != 'gone']
        return not having and not any(row.has for row in attachments.of_volume(thing.id))

    def _map_and_unmap(self, thing: Thing, export: records.Export, subject: Any) -> None:
        """Have the driver know what it is to unmap; nobody is told of the connection."""
        from cinder import context
        driver = self._guard.driver
        # NOTE: the target is made too, and has to be looked at.
        self._guard.ledger.intend(thing, [records.Peer()], 'mapping')
        self._guard.looks.anew(thing, ['', export.peer])
        with calls.entering(), self._guard.working(thing, ['', export.peer]):
            made = driver.create_export(context.get_admin_context(), subject, export.connector)
            if made:
                subject.update(made)
                subject.save()
            driver.initialize_connection(subject, export.connector)
            self._undo(subject, export)

    def _refuse_if_carrying(self, export: records.Export, subject: Any) -> None:
        thing = Thing(export.kind, export.resource)
        carried = targets.others(self._guard.inspector, subject, self._guard.ledger.of(thing))
        if carried:
            raise CarriesMore(export=export, what=carried)

    def _any_connector(self, export: records.Export) -> dict[str, Any]:
        rows = self._guard.ledger.of(Thing(export.kind, export.resource))
        return next((row.connector for row in rows if row.connector), {})
