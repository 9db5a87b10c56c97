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
"""Runs one schedule."""

import dataclasses

from oslo_config import cfg

import migsafe.conf
from migsafe.tests.search import invariants, loop, requests, seams, world

#: What no part of Nova or migsafe raises: the model lacks something that they use.
UNEXPECTED = (AttributeError, TypeError, NameError, ImportError, cfg.NoSuchOptError)
#: After the last request: so much later whatever waits for an answer has given up, and has done
#: what it does then.
AFTERWARDS = 700
#: Rounds of recovery within which everything has to be settled, once all are back and honest.
ROUNDS = 12


@dataclasses.dataclass
class Result:
    """How it ended.

    :param breaches: invariants that were broken
    :param plain: what plain Nova has broken on a host without the plugin
    """

    breaches: list
    plain: list
    steps: int
    fired: list
    trace: list
    errors: list
    migrations: int = 0
    where: str = ''

    @property
    def kinds(self):
        """Of the invariants that were broken."""
        return {breach.kind for breach in self.breaches}

    @property
    def signature(self):
        """The first breach without what differs from schedule to schedule."""
        return self.breaches[0].signature if self.breaches else ''


def configuration():
    """The [migsafe] group, with its defaults."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    migsafe.conf.register_opts(conf)
    return conf.migsafe


class Settings:
    """Options read once: oslo.config takes its time."""

    def __init__(self, group):
        for name in group:
            setattr(self, name, group[name])
        self.retention_days = 0


SETTINGS = Settings(configuration())


def run(script, plain=False):
    """Run a schedule to its end, or to the first invariant that breaks.

    :param plain: no host has the plugin, and what plain Nova does counts
    """
    if plain:
        script = dataclasses.replace(script, lines=(*script.lines, 'armed'))
    watch = invariants.Watch(plain)
    around = world.World(script, SETTINGS, watch)
    with seams.installed():
        seams.Now.world = around
        try:
            _Play(around, watch).all()
        except invariants.Stop:
            pass
        except loop.Stuck as stuck:
            watch.breaches.append(invariants.Breach('stuck', str(stuck), around.loop.now))
        finally:
            around.loop.after = lambda: None
            around.loop.clear()
    watch.breaches += [
        invariants.Breach('model', f'{name}: {type(error).__name__} {error}')
        for name, error in around.loop.errors if isinstance(error, UNEXPECTED)]
    return Result(watch.breaches, watch.plain, around.loop.steps, around.faults.fired,
                  around.trace, around.loop.errors, len(around.db.migrations),
                  around.instance['host'])


class _Play:
    def __init__(self, around, watch):
        self._world, self._watch = around, watch
        self._asked = requests.Requests(around)

    def all(self):
        around = self._world
        around.begin()
        around.loop.after = lambda: self._watch.after(around)
        around.loop.run(1)
        for moment, name, arguments in around.script.events:
            around.loop.run(moment)
            self._request(name, arguments)
        around.loop.run(around.loop.now + max(AFTERWARDS, around.script.longest + 100))
        self._settle()
        self._reboot()

    def _request(self, name, arguments):
        work = getattr(self._asked, name)
        self._world.note(f'--- {name} {" ".join(arguments)}')
        if name in ('stop', 'start', 'crash', 'arm', 'disarm', 'backup', 'restore', 'freeze',
                    'cut', 'clock'):
            work(*arguments)
        else:
            self._world.loop.spawn(lambda: work(*arguments), None, name)
        self._watch.after(self._world)

    def _settle(self):
        """All hosts are back, and honest; then recovery has a bounded number of rounds."""
        around = self._world
        around.faults.off = True
        around.cuts.clear()
        # What waits, waits once more at most: no other wait begins from now on.
        around.loop.run(max(around.loop.now, around.waiting_until + 100))
        for one in around.hosts.values():
            if one.armed and one.life is not None and one.participant is None:
                one.stop()  # the plugin was installed since: the guide says to restart it
            one.start()
        around.loop.run(around.loop.now + 60)
        everywhere = all(one.armed for one in around.hosts.values())
        for _ in range(ROUNDS if everywhere else 3):
            if not any(one.has_unsettled() for one in around.hosts.values()) \
                    and around.instance['task_state'] != 'migrating':
                break
            for one in around.hosts.values():
                if one.participant is not None:
                    around.loop.spawn(one.participant.recovery.once, one.life,
                                      f'recovery on {one.name}')
            around.loop.run(around.loop.now + 90)
        if not everywhere and not self._watch.all_actors:
            return  # who has no plugin answers nothing, and holds are as they should be
        held = [(one, *found) for one in around.hosts.values()
                for found in invariants.journals.unsettled(one.store, world.INSTANCE)]
        dark = around.script.in_the_dark and {uuid for _, uuid, _, _, reason in held
                                              if 'by hand' in reason}
        for one, uuid, role, verdict, reason in held:
            # what nothing can tell is rightly held, and so is what waits for that
            if not dark or not ('by hand' in reason or (
                    uuid in dark and 'has not settled it yet' in reason)):
                self._watch.breaches.append(invariants.Breach(
                    'unsettled', f'{uuid} ({role}, {verdict}): {reason}'[:600],
                    around.loop.now, one.name))
        self._watch.breaches.sort(key=lambda breach: ' (destination' in breach.text)
        if not self._watch.breaches:
            self._watch.breaches += [
                invariants.Breach('settled', text, around.loop.now)
                for text in self._watch.residue(around)]
        self._watch.after(around)

    def _reboot(self):
        """The next hard reboot opens what is its own, or is refused."""
        around = self._world
        if around.instance.get('deleted'):
            return
        around.instance['task_state'] = None
        around.loop.spawn(self._asked.reboot, None, 'reboot')
        around.loop.run(around.loop.now + 300)
