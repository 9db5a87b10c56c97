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
"""The message bus between hosts: what is sent may be lost, late, there twice, or not true."""

import contextlib
import copy

import oslo_messaging

from migsafe.nova.bus import endpoint, peer
from migsafe.tests.search import loop

#: What plain Nova leaves half done when it is killed or fails in it, and migsafe does not mend.
CUT_SHORT = frozenset((
    'reboot_instance', 'detach_volume', 'attach_volume', 'swap_volume', 'terminate_instance',
    'prep_resize', 'resize_instance', 'finish_resize', 'evacuate_instance'))
#: Seconds that a message takes.
TRANSIT = 0.3


class Bus:
    """Messages wait for a host that is down, those of a call no longer than its caller does.

    :param world: has the hosts, and what befalls which message
    """

    def __init__(self, world):
        self.world, self._waiting = world, {}
        self.asked = 0

    def call(self, source, dest, method, timeout, arguments):
        """Send, and wait for the answer.

        :raises oslo_messaging.MessagingTimeout: none came in time
        """
        loop, answer = self.world.loop, []
        self.world.point(f'call {method}')
        arrived = type(loop.current.done)(loop)
        fault = self.world.faults.message(method, source, dest)

        def deliver(kept=True):
            try:
                result = self._serve(dest, method, arguments)
            except Exception as error:
                result = error if method.startswith('migsafe.') else _travelled(error)
            if kept and fault.kind != 'lose-reply' and not self.world.is_cut(source, dest):
                loop.sleep(TRANSIT)
                answer.append(fault.lie(method, result))
                arrived.set()
        self._send(source, dest, method, deliver, fault, loop.now + timeout)
        if not arrived.wait(timeout):
            raise oslo_messaging.MessagingTimeout(f'no answer of {dest} to {method}')
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    def cast(self, source, dest, method, arguments):
        """Send, and do not wait."""
        self.world.point(f'cast {method}')
        fault = self.world.faults.message(method, source, dest)
        self._send(source, dest, method,
                   lambda kept=True: self._serve(dest, method, arguments), fault, None)

    def _send(self, source, dest, method, deliver, fault, expires):
        delay = TRANSIT + (fault.seconds if fault.kind == 'delay' else 0)
        if method in CUT_SHORT and self.world.is_cut(source, dest):
            self.world.watch.cut_short(self.world, method)
        if fault.kind != 'lose' and not self.world.is_cut(source, dest):
            self._later(dest, method, deliver, delay, expires)
        if fault.kind == 'twice':
            self._later(dest, method, lambda: deliver(kept=False), delay + fault.seconds,
                        expires)

    def _later(self, dest, method, deliver, delay, expires):
        self.world.loop.spawn(lambda: self._arrive(dest, method, deliver, expires), None,
                              f'{method} to {dest}', delay)

    def _arrive(self, dest, method, deliver, expires):
        life = self.world.hosts[dest].life
        if life is None or not self.world.hosts[dest].listening:
            self._waiting.setdefault(dest, []).append((method, deliver, expires))
            return
        wakes = max(self.world.loop.now, life.frozen)
        if expires is None or wakes <= max(expires, self.world.loop.now):
            self.world.loop.spawn(deliver, life, f'{method} on {dest}')

    def host_is_up(self, host):
        """Hand over what has waited for it."""
        for method, deliver, expires in self._waiting.pop(host, ()):
            if expires is None or self.world.loop.now < expires:
                self._arrive(host, method, deliver, expires)

    def _serve(self, dest, method, arguments):
        host = self.world.hosts[dest]
        if method.startswith('migsafe.'):
            if host.participant is None:
                raise oslo_messaging.UnsupportedVersion('1.0')
            found = getattr(endpoint.Endpoint(host.participant),
                            method.removeprefix('migsafe.'))(None, **arguments)
            return copy.deepcopy(found)
        if method not in CUT_SHORT:
            return getattr(host.manager, method)(**arguments)
        self.world.busy += 1
        try:
            return getattr(host.manager, method)(**arguments)
        except Exception as error:
            if ' refused: ' not in str(error):
                self.world.watch.cut_short(self.world, method)
            raise
        except loop.Killed:
            self.world.watch.cut_short(self.world, method)
            raise
        finally:
            self.world.busy -= 1


def _travelled(error):
    """The name says that an exception came over the bus; one of Python's own keeps its name."""
    kind = type(error)
    with contextlib.suppress(TypeError):
        error.__class__ = type(f'{kind.__name__}_Remote', (kind,), {})
    return error


class Peer(peer.Peer):
    """The real Peer, over this bus.

    :param host: that asks
    :param nova: its ComputeAPI
    """

    def __init__(self, world, host, timeout, nova):
        super().__init__(timeout, nova)
        self._world, self._host = world, host

    def _call(self, host, method, within=1.0, **kwargs):
        if host not in self._world.hosts:
            raise oslo_messaging.MessagingTimeout(f'no host {host}')
        self._world.bus.asked += 1
        return self._world.bus.call(self._host, host, f'migsafe.{method}',
                                    self._timeout * within, kwargs)
