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
"""The real wrappers of migsafe around the model of Nova, and what they see instead of Nova."""

import contextlib
import datetime
import logging
import sys
import types
from unittest import mock

import wrapt
from nova import context, objects, utils
from nova.conf import CONF
from nova.network import neutron
from nova.virt.libvirt import host as libvirt_host
from nova.volume import cinder as nova_cinder
from oslo_messaging import conffixture
from oslo_utils import timeutils, uuidutils

import migsafe.conf
from migsafe.brick.kernel import bounded
from migsafe.fencing import examine
from migsafe.journal import models
from migsafe.nova.clients import devices, evidence, hosts, instance_lock
from migsafe.nova.host import status
from migsafe.nova.seams import table
from migsafe.tests.search import (
    cinder,
    hypervisor,
    loop,
    manager,
    operations,
    records,
    sql,
)

#: Packages in which threads, clocks and chance are the loop's.
PACKAGES = ('migsafe.nova', 'migsafe.transaction', 'migsafe.resources', 'migsafe.fencing')


def _subclass(kind):
    """A class of its own with the seams of the table that the model has."""
    return type(kind.__name__, (kind,), {'__module__': __name__})


ComputeManager = _subclass(operations.Operations)
API = _subclass(cinder.API)
LibvirtDriver = _subclass(hypervisor.LibvirtDriver)
_PLACES = {f'{table.MANAGER}.ComputeManager': ComputeManager, f'{table.CINDER}.API': API,
           f'{table.DRIVER}.LibvirtDriver': LibvirtDriver,
           'nova.compute.rpcapi.ComputeAPI': manager.Rpc,
           'nova.objects.block_device.BlockDeviceMapping': records.BlockDeviceMapping}
#: Seams that the model has no method for.
MISSING = []


def _wrap():
    for seam in table.SEAMS:
        kind, _, method = seam.attribute.rpartition('.')
        target = _PLACES.get(f'{seam.module}.{kind}')
        if target is None or not hasattr(target, method):
            MISSING.append(str(seam))
            continue
        wrapt.wrap_object(target, method, wrapt.FunctionWrapper, (seam.wrapper,))


_wrap()


class Now:
    """The world whose turn it is."""

    world, installed = None, False


def utcnow(with_timezone=False):
    """The clock of the host that asks."""
    return records.EPOCH + datetime.timedelta(seconds=_running().now + _skew())


def _skew():
    """How far the clock of the host that asks is off."""
    life = _running().life
    return Now.world.hosts[life.host].skew if life else 0


def _another_disk(host, path, data):
    """What a disk says of itself, where it says something."""
    world = Now.world
    if not world.script.identity:
        return False
    found = world.array.devices[host].get(int(path.rpartition('-')[2]))
    return found is not None and found.volume not in (data['volume_id'], None)


def _is_volume(host, path, data):
    """The same, where a disk has to say itself that it is the volume."""
    found = Now.world.array.devices[host].get(int(path.rpartition('-')[2]))
    return None if found is None or not Now.world.script.identity \
        else found.volume == data['volume_id']


def _running():
    return Now.world.loop


def _of(kind):
    return lambda *args, **kwargs: kind(_running(), *args, **kwargs)


THREADING = types.SimpleNamespace(
    Lock=_of(loop.Lock), RLock=_of(loop.Lock), Event=_of(loop.Event),
    Condition=_of(loop.Condition), Thread=_of(loop.Thread), local=types.SimpleNamespace,
    current_thread=lambda: _running().current, get_ident=lambda: id(_running().current))
TIME = types.SimpleNamespace(
    monotonic=lambda: _running().now, perf_counter=lambda: _running().now,
    clock_gettime=lambda _clock: _running().now, CLOCK_BOOTTIME=7, CLOCK_MONOTONIC=1,
    time=lambda: 1.7e9 + _running().now + _skew(), sleep=lambda seconds: _running().sleep(seconds))


def _synchronized(name, *_args, **_kwargs):
    """nova.utils.synchronized: a lock of each process."""
    def decorate(function):
        def inside(*args, **kwargs):
            life = _running().life
            locks = life.locks if life else {}
            with locks.setdefault(name, loop.Lock(_running())):
                return function(*args, **kwargs)
        return inside
    return decorate


def _free(name):
    lock = _running().life.locks.get(name)
    return lock is None or not lock.locked()


def _modules():
    return [module for name, module in sorted(sys.modules.items())
            if module and name.startswith(PACKAGES) and not name.startswith('migsafe.tests')]


_CONTEXT = context.get_admin_context()


class Bounded:
    """migsafe.brick.kernel.bounded, one question after the other: in the model each ends."""

    Silent = bounded.Silent

    @staticmethod
    def ask(questions, _seconds):
        answers = {}
        for key, question in questions.items():
            try:
                answers[key] = question()
            except Exception as error:
                answers[key] = error
        return answers


class Jitter:
    """The same chance in each schedule: what is to be found by it, is the schedule's."""

    def __getattr__(self, name):
        return getattr(Now.world.random, name)


REPLACED = {'threading': THREADING, 'time': TIME, 'random': Jitter()}


def _patches():
    for module in _modules():
        for name, instead in REPLACED.items():
            if isinstance(getattr(module, name, None), types.ModuleType):
                yield mock.patch.object(module, name, instead)
    for name, kind in records.module(lambda: Now.world.db).items():
        yield mock.patch.object(objects, name, kind, create=True)
    for target, name, instead in (
            (utils, 'synchronized', _synchronized),
            (instance_lock, 'free', _free),
            (context, 'get_admin_context', lambda *a, **k: _CONTEXT),
            (nova_cinder, 'cinderclient', lambda *a, **k: Now.world.cinder()),
            (neutron, 'get_client', lambda *a, **k: Now.world.neutron),
            (libvirt_host, 'libvirt', hypervisor.MODULE),
            (hosts, 'servicegroup', records.ServiceGroup(lambda: Now.world)),
            (examine, 'bounded', Bounded),
            (timeutils, 'utcnow', utcnow),
            # Who is not armed says so in a file; these have none.
            (devices, '_another_disk', _another_disk), (devices, 'is_volume', _is_volume),
            (status, 'unarmed', lambda *a, **k: None),
            (models.UtcDateTime, 'process_result_value', sql.time_of),
            (uuidutils, 'generate_uuid', lambda *a, **k: Now.world.new_uuid()),
            (evidence, 'boot_id', lambda: Now.world.hosts[_running().life.host].boot_id)):
        yield mock.patch.object(target, name, instead)


@contextlib.contextmanager
def installed():
    """All that migsafe imports of Nova and of the machine is of the world whose turn it is.

    To put it there takes longer than a schedule: once for many is enough.
    """
    if Now.installed:
        yield
        return
    with contextlib.ExitStack() as stack:
        # The options that nova-compute has; a call of the model waits ten times as long.
        options = conffixture.ConfFixture(CONF)
        options.setUp()
        stack.callback(options.cleanUp)
        migsafe.conf.register_opts(CONF)
        for patch in _patches():
            stack.enter_context(patch)
        Now.installed = True
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
            Now.installed = False
