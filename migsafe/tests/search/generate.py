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
"""From a seed to a schedule."""

import random

from migsafe.tests.search import faults, script

HOSTS = 'ABC'
BUS = ('describe', 'guest_evidence', 'release')
NOVA = ('pre_live_migration', 'post_live_migration_at_destination',
        'remove_volume_connection', 'rollback_live_migration_at_destination')
STEPS = ('journal', 'journal', 'attachment_create', 'attachment_create-done',
         'attachment_delete', 'attachment_delete-done', 'connect_volume', 'connect_volume-done',
         'disconnect_volume', 'disconnect_volume-done', 'bdm', 'db', 'migrateToURI3',
         'post_live_migration', 'post_at_destination', 'attachment_complete', 'placement',
         'placement', 'neutron', 'db')
#: Steps of one side of a live migration alone: 0 is its source, 1 its destination.
ON_SIDE = {'attachment_create': 1, 'attachment_create-done': 1, 'connect_volume': 1,
           'connect_volume-done': 1, 'bdm': 1, 'migrateToURI3': 0, 'post_live_migration': 0,
           'placement': 0, 'post_at_destination': 1, 'attachment_complete': 1,
           'disconnect_volume': 0, 'disconnect_volume-done': 0, 'attachment_delete': 0,
           'attachment_delete-done': 0}
#: Seconds; the time-outs of the model are 15, 60 and 600.
DELAYS = (3, 20, 70, 200, 500, 620, 700, 1500)
GAPS = ((0, 12), (12, 60), (60, 400), (400, 2500))


def generate(seed):
    """The schedule of a seed; the same one on each machine."""
    return _Generator(random.Random(seed)).script()


class _Generator:
    def __init__(self, chance):
        self._chance, self._lines = chance, []
        self._now, self._at, self._off = 5, 'A', {}
        self._moves = []

    def script(self):
        self._setting()
        for number in range(self._chance.choice((1, 2, 2, 3, 3, 4, 5))):
            if number == 0 and self._chance.random() < 0.8:
                self._migrate()
            else:
                self._request()
            low, high = self._chance.choice(GAPS)
            self._now += self._chance.randint(low, high)
        for name, moment in self._off.items():
            self._say(f'at {max(moment, self._now)} start {name}')
        for _ in range(self._chance.choice((0, 1, 1, 1, 2, 2, 3))):
            self._fault()
        if self._chance.random() < 0.2:
            how = self._chance.choice(('fail', 'fail', 'ok'))
            self._say(f'transfer {self._chance.choice((1, 1, 2))} {how} '
                      f'{self._chance.choice((5, 20, 90))}')
        return script.Script(tuple(self._lines))

    def _say(self, line):
        self._lines.append(line)

    def _setting(self):
        chance = self._chance
        if chance.random() < 0.15:
            self._say('armed ' + ' '.join(sorted(chance.sample(HOSTS, chance.choice((1, 2))))))
        if chance.random() < 0.25:
            self._say('volumes 2')
        if chance.random() < 0.15:
            self._say('reuse off')
        if chance.random() < 0.2:
            self._say('identity off')
        if chance.random() < 0.15:
            self._say(f'skew {chance.choice(HOSTS)} {chance.choice((-4000, -300, 300, 4000))}')

    def _other(self):
        return self._chance.choice([name for name in HOSTS if name != self._at])

    def _request(self):
        chance = self._chance
        kind = chance.choices(
            ('migrate', 'reboot', 'stop', 'crash', 'resize', 'evacuate', 'detach', 'attach',
             'swap', 'delete', 'release', 'restore', 'arm', 'disarm', 'freeze', 'cut', 'clock'),
            (44, 12, 14, 3, 5, 3, 3, 2, 3, 2, 4, 3, 1, 1, 5, 3, 2))[0]
        getattr(self, f'_{kind}')()

    def _freeze(self):
        self._say(f'at {self._now} freeze {self._chance.choice(HOSTS)} '
                  f'{self._chance.choice(DELAYS)}')

    def _cut(self):
        one, other = self._chance.sample(HOSTS, 2)
        self._say(f'at {self._now} cut {one} {other} {self._chance.choice(DELAYS)}')

    def _migrate(self):
        dest = self._other()
        self._moves.append((self._at, dest))
        self._say(f'at {self._now} migrate {dest}')
        if self._chance.random() < 0.75:
            self._at = dest

    def _reboot(self):
        self._say(f'at {self._now} reboot')

    def _stop(self):
        name = self._chance.choice(HOSTS)
        self._say(f'at {self._now} stop {name}')
        self._back(name)

    def _crash(self):
        name = self._chance.choice(HOSTS)
        self._say(f'at {self._now} crash {name}')
        self._back(name)

    def _back(self, name):
        low, high = self._chance.choice(GAPS)
        back = self._now + 1 + self._chance.randint(low, high)
        if self._chance.random() < 0.4:
            self._off[name] = back
        else:
            self._say(f'at {back} start {name}')

    def _resize(self):
        dest = self._other()
        self._say(f'at {self._now} resize {dest}')
        self._at = dest

    def _evacuate(self):
        self._say(f'at {self._now} crash {self._at}')
        self._off[self._at] = self._now + self._chance.randint(30, 3000)
        dest = self._other()
        self._now += self._chance.randint(5, 100)
        self._say(f'at {self._now} evacuate {dest}')
        self._at = dest

    def _detach(self):
        self._say(f'at {self._now} detach 1')

    def _attach(self):
        self._say(f'at {self._now} attach')

    def _swap(self):
        self._say(f'at {self._now} swap 1')

    def _delete(self):
        self._say(f'at {self._now} delete')

    def _release(self):
        one, other = self._chance.sample(HOSTS, 2)
        verdict = self._chance.choice(('ABORT', 'ABORT', 'COMMIT'))
        self._say(f'at {self._now} release {one} {other} {verdict}')

    def _restore(self):
        name = self._chance.choice(HOSTS)
        self._say(f'at {self._now} backup {name}')
        self._say(f'at {self._now + self._chance.randint(20, 900)} restore {name}')

    def _arm(self):
        name = self._chance.choice(HOSTS)
        self._say(f'at {self._now} arm {name}')

    def _disarm(self):
        name = self._chance.choice(HOSTS)
        self._say(f'at {self._now} disarm {name}')

    def _clock(self):
        name = self._chance.choice(HOSTS)
        self._say(f'at {self._now} clock {name} {self._chance.choice((-4000, -300, 300, 4000))}')

    def _fault(self):
        chance = self._chance
        kind = chance.choices(('message', 'step', 'nova'), (4, 4, 3))[0]
        if kind == 'step':
            self._step()
            return
        one, other = chance.choice(self._moves or [('A', 'B')])
        name = chance.choice(BUS if kind == 'message' else NOVA)
        if kind == 'message' and chance.random() < 0.3:
            one, other = other, one
        what = self._what(name)
        self._say(f'message {name} {one} {other} {chance.choice((1, 1, 1, 2, 3))} {what}')

    def _what(self, name):
        chance = self._chance
        if name in faults.LIES and chance.random() < 0.4:
            return f'lie {chance.choice(tuple(faults.LIES[name]))}'
        kind = chance.choice(('lose', 'lose-reply', 'delay', 'delay', 'twice'))
        return f'{kind} {chance.choice(DELAYS)}' if kind in ('delay', 'twice') else kind

    def _step(self):
        chance = self._chance
        name = chance.choice(STEPS)
        number = chance.randint(1, 12) if name in ('journal', 'db') else chance.choice(
            (1, 1, 1, 2, 3))
        kind = chance.choices(('kill', 'stall', 'freeze', 'fail', 'crash'), (4, 2, 3, 2, 1))[0]
        host, side = 'A', chance.choice((0, 1))
        if name in ON_SIDE:
            host = chance.choice(self._moves or [('A', 'B')])[ON_SIDE[name]]
        elif self._moves:
            host = chance.choice(self._moves)[side]
        if kind in ('stall', 'freeze'):
            kind = f'{kind} {chance.choice(DELAYS)}'
        self._say(f'step {host} {name} {number} {kind}')
        if kind in ('kill', 'crash'):
            self._off.setdefault(host, self._now + chance.randint(10, 3000))
