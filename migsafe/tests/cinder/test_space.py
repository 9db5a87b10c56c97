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
"""Drivers, inspectors, operations and faults, each with each, and a mapping that Cinder does not
know of in every one.

A sample is drawn by a seed, ``MIGSAFE_EXPORTS_SEED``; ``MIGSAFE_EXPORTS`` says how many, ``all``,
or which part of all for this process, as in ``2/8``. The judge is the array's own log.
"""

import itertools
import os
import random
from unittest import mock

import sqlalchemy as sa
from cinder import exception, objects
from cinder.tests.unit import fake_constants

from migsafe.cinder.bus import endpoint
from migsafe.ledger import models
from migsafe.ledger.rows import PATIENCE
from migsafe.tests.cinder import test_answers, test_by_hand, world

SAMPLE, SEED = 24, 20261128
TERMINATE, CREATE = world.ArrayDriver.terminate_connection, world.ArrayDriver.create_export
BY_HAND = test_by_hand.BY_HAND


def alone(driver, volume, connector, **kwargs):
    """It answers nothing: nobody shares it, and Cinder asks for the target to be removed."""
    TERMINATE(driver, volume, connector, **kwargs)


def strict(driver, volume, connector, **kwargs):
    """It fails to unmap what is not mapped, as LIO's helper does without a target."""
    if connector and connector['initiator'] not in driver.array.targets.get(volume.id, ()):
        raise exception.ISCSITargetDetachFailed(volume_id=volume.id)
    return TERMINATE(driver, volume, connector, **kwargs)


def lying(driver, volume, connector, **kwargs):
    """It does nothing for the first time, and says that it has."""
    if volume.id in driver.array.lied_about:
        return TERMINATE(driver, volume, connector, **kwargs)
    driver.array.lied_about.add(volume.id)
    return False


class OldOnce(world.Inspector):
    """Each list of a volume is the one from before it, and it says that it may be."""

    lag = 5.0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.before = {}

    def list_exports(self, volume):
        now = super().list_exports(volume)
        found = self.before.get(volume['id'], now)
        self.before[volume['id']] = now
        return found


DRIVERS = {'sharing': TERMINATE, 'alone': alone, 'strict': strict, 'lying': lying}
INSPECTORS = {'ledger': None, 'exact': world.Inspector, 'by name': test_answers.ByName,
              'late': OldOnce}
OPERATIONS = ('attach', 'detach', 'migrate', 'migrated', 'copy', 'old_detach', 'reset', 'fence',
              'force')
KINDS = {'kill': world.Killed, 'error': exception.CinderException}
#: Faults of a scenario. A number that it does not come to strikes nowhere, and nor does any later
#: one: that is the same scenario once more, and is left out.
FAULTS = 12


def scenarios():
    """Those that are wanted, the earliest fault first."""
    draw = random.Random(int(os.environ.get('MIGSAFE_EXPORTS_SEED', SEED)))
    every = list(itertools.product(DRIVERS, INSPECTORS, OPERATIONS, KINDS))
    draw.shuffle(every)
    wanted = os.environ.get('MIGSAFE_EXPORTS', str(SAMPLE))
    part, slash, parts = wanted.partition('/')
    if slash:
        every = every[int(part) - 1::int(parts)]
    found = [(*one, number) for number in range(FAULTS) for one in every]
    return found if slash or wanted == 'all' else draw.sample(found, int(wanted))


class Space(world.World):
    """Runs a scenario."""

    def setUp(self):
        super().setUp()
        self.now = 1000.0
        clock = mock.patch('migsafe.cinder.facts.looks.time.monotonic', lambda: self.now)
        clock.start()
        self.addCleanup(clock.stop)

    def one(self, driver, inspector, operation, kind, number):
        """Give what is wrong afterwards: words, of which there should be none."""
        self.faults.quiet = True
        self.forget_all()
        self.array.targets.clear()
        self.array.removed.clear()
        self.array.lied_about = set()
        self.inspector = None
        self.boot()
        if self.guarded:
            # see forget_all()
            self.guard.ledger._store.write('nothing', lambda connection: connection.execute(
                sa.delete(models.EXPORTS)))
        if self.guarded and INSPECTORS[inspector]:
            self.inspect(world.NODE13, kind=INSPECTORS[inspector])
        self.volume = self.make_volume()
        with mock.patch.object(world.ArrayDriver, 'terminate_connection', DRIVERS[driver]):
            self.faults = world.ArrayDriver.faults = world.Faults()
            act = getattr(self, operation)()
            self.by_hand()
            self.inject(number, KINDS[kind])
            with mock.patch.object(world.ArrayDriver, 'create_export', self.in_between):
                self.failed = self.quietly(act)
            struck = self.faults.struck
            asked = self.lost_by_hand()
            self.restart() if self.faults.dead else self.recover()
            self.settle()
            return struck, self.judge(asked, inspector)

    def forget_all(self):
        """What earlier scenarios have left would be looked at in each round of the next one."""
        for left in (*objects.VolumeAttachmentList.get_all(self.admin),
                     *objects.VolumeList.get_all(self.admin)):
            left.destroy()

    def settle(self):
        """Time passes, and recovery looks again."""
        if not self.guarded:
            return
        for _ in range(4):
            self.now += 60
            self.guard.recovery.since -= PATIENCE
            self.recover()

    def judge(self, asked, inspector):
        wrong = []
        if self.lost_by_hand() and not (asked and inspector == 'ledger'):
            wrong.append('a mapping by hand was taken away')
        live = {one for one in self.live() if one[0] == self.volume.id}
        if live - self.array.exports() and self.failed is None:
            wrong.append('an attachment without a mapping')
        return wrong

    def lost_by_hand(self):
        # of this scenario's volume: what earlier ones have left is still being recovered
        return (self.volume.id, BY_HAND) in self.array.removed

    def by_hand(self):
        if self.volume.id in self.array.targets:
            self.array.targets[self.volume.id].add(BY_HAND)

    @staticmethod
    def in_between(driver, context, volume, connector):
        """Somebody is there right after Cinder has made the target."""
        made = CREATE(driver, context, volume, connector)
        driver.array.targets[volume.id].add(BY_HAND)
        return made

    def fresh(self):
        return objects.Volume.get_by_id(self.admin, self.volume.id)

    def attach_first(self):
        attachment = self.reserve()
        self.attach(attachment)
        return attachment

    # Each of these prepares something, and gives what is to be done under a fault.

    def attach_one(self):
        attachment = self.reserve()
        return lambda: world.World.attach(self, attachment)

    def detach_one(self):
        attachment = self.attach_first()
        return lambda: world.World.detach(self, attachment)

    def migrate_one(self):
        self.attach_first()
        attachment = self.reserve()
        return lambda: world.World.attach(self, attachment, world.NODE11)

    def migrated_one(self):
        first = self.attach_first()
        world.World.attach(self, self.reserve(), world.NODE11)
        return lambda: world.World.detach(self, first)

    def copy_one(self):
        own = {'host': 'node', 'initiator': 'iqn.1994-05.com.redhat:0'}
        info = {'connector': mock.Mock(), 'conn': {'data': {}}, 'device': {}}

        def act():
            with mock.patch.object(self.service, '_connect_device', return_value=info):
                self.service._attach_volume(self.admin, self.fresh(), dict(own))
            self.service._detach_volume(self.admin, info, self.fresh(), dict(own))
        return act

    def old_detach_one(self):
        self.service.initialize_connection(self.admin, self.fresh(), dict(world.NODE13))
        volume = self.fresh()
        volume.status = 'attaching'
        volume.save()
        attachment = self.service.attach_volume(
            self.admin, volume.id, fake_constants.UUID1, 'node13', '/dev/vdb', 'rw').id

        def act():
            self.service.terminate_connection(self.admin, volume.id, dict(world.NODE13))
            self.service.detach_volume(self.admin, volume.id, attachment)
        return act

    def reset_one(self):
        attachment = self.attach_first()
        if self.inspector is not None:
            self.inspector.opened = ()
        return lambda: self.forget(attachment)

    def fence_one(self):
        attachment = self.attach_first()

        def act():
            self.forget(attachment)
            if self.guarded:
                endpoint.Endpoint(self.guard).export_fence(None, host='node13', user='alice')
        return act

    def force_one(self):
        attachment = self.attach_first()

        def act():
            # as os-force_detach does
            self.service.terminate_connection(self.admin, self.volume.id, None, force=True)
            self.service.detach_volume(self.admin, self.volume.id, attachment)
        return act


class TestSpace(Space):
    """0 wrongly removed."""

    def one(self, driver, inspector, operation, kind, number):
        return super().one(driver, inspector, f'{operation}_one', kind, number)

    def test_sample(self):
        wrong, count, struck, ended = {}, 0, 0, {}
        for *which, number in scenarios():
            if number > ended.get(tuple(which), FAULTS):
                continue
            hit, found = self.one(*which, number)
            count += 1
            struck += bool(hit)
            if not hit:
                ended[tuple(which)] = number
            if found:
                wrong[(*which, number)] = found
        if 'MIGSAFE_EXPORTS' in os.environ:
            print(f'{count} scenarios, a fault struck in {struck}')
        self.assertEqual({}, wrong)
        self.assertGreater(struck, count // 4)


class TestPlain(TestSpace):
    """The control: plain Cinder takes it away in an ordinary detach."""

    guarded = False

    def test_sample(self):
        _struck, found = self.one('alone', 'exact', 'detach', 'kill', 99)
        self.assertEqual(['a mapping by hand was taken away'], found)
