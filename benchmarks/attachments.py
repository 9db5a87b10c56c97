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
"""What the guard costs when many volumes are attached and detached at once.

A real VolumeManager with Cinder's own database on MariaDB, and the ledger there too: plain and
guarded in turn. As in cinder-volume, as many requests are served at a time as its RPC server has
threads, by oslo.messaging's own default, and the others wait. The array takes its time for each
call, and works on some of them at a time, as arrays do; a look of the inspector takes its time
there too, and waits behind the calls that came before it.

MariaDB is started from Debian's packages on loopback, with one sync per commit.
"""

from cinder import monkey_patch

monkey_patch.patch()

# the rest may be imported only when the standard library is patched, as in cinder-volume
import argparse  # noqa: E402
import concurrent.futures  # noqa: E402
import functools  # noqa: E402
import statistics  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import uuid  # noqa: E402

import prettytable  # noqa: E402
from cinder import context, objects, rpc  # noqa: E402
from cinder.db import migration  # noqa: E402
from cinder.tests import fake_driver  # noqa: E402
from cinder.volume import configuration, manager  # noqa: E402

import migsafe.conf  # noqa: E402
from migsafe.cinder import inspectors  # noqa: E402
from migsafe.cinder.wrapping import classes  # noqa: E402
from migsafe.conf.cinder import OPTS  # noqa: E402
from migsafe.ledger import opening  # noqa: E402
from migsafe.tests import servers  # noqa: E402

HOST = 'node@array'
HEADER = ('round', 'attach, plain: s', 'attach, guarded: s', 'attach: ratio', 'detach, plain: s',
          'detach, guarded: s', 'detach: ratio', 'plain: CPU s', 'guarded: CPU s',
          'looks per attach', 'looks per detach')


class Array:
    """Maps volumes; each call takes a while, and few are served at a time.

    It works by the clock, whether or not this process gets to hear at once that it is done: an
    array is another machine.
    """

    def __init__(self, seconds: float, look: float, lanes: int) -> None:
        self.seconds, self.look = seconds, look
        self.free, self.choice = [0.0] * lanes, threading.Lock()
        self.mapped: dict[str, set[str]] = {}
        self.looks = 0

    def work(self, seconds: float) -> None:
        """Wait for the next free lane, and for its work."""
        now = time.monotonic()
        with self.choice:
            lane = min(range(len(self.free)), key=self.free.__getitem__)
            self.free[lane] = done = max(now, self.free[lane]) + seconds
        time.sleep(done - now)


class Driver(fake_driver.FakeLoggingVolumeDriver):
    """Of that array."""

    array: Array

    def create_export(self, context, volume, connector):
        """There is one target for all."""

    def initialize_connection(self, volume, connector):
        """Map it."""
        self.array.work(self.array.seconds)
        self.array.mapped.setdefault(volume.id, set()).add(connector['initiator'])
        return {'driver_volume_type': 'iscsi', 'data': {'target_lun': 1}}

    def terminate_connection(self, volume, connector, **kwargs):
        """Unmap it."""
        self.array.work(self.array.seconds)
        self.array.mapped[volume.id].discard(connector['initiator'])

    def remove_export(self, context, volume):
        """See create_export."""


class Inspector(inspectors.Inspector):
    """Asks it."""

    tells_initiators = True

    def list_exports(self, volume):
        """One request."""
        self.driver.array.looks += 1
        self.driver.array.work(self.driver.array.look)
        return [inspectors.Mapping(volume['name'], frozenset((name,)))
                for name in self.driver.array.mapped.get(volume['id'], ())]

    def list_all(self):
        """Not asked here."""

    def writers(self, volume):
        """This array cannot tell."""


def made(admin) -> str:
    """A volume; its id."""
    volume = objects.Volume(
        admin, host=HOST, size=1, status='available', attach_status='detached',
        multiattach=False, project_id='p', user_id='u',
        volume_type_id=objects.VolumeType.get_by_name_or_id(admin, '__DEFAULT__').id)
    volume.create()
    return volume.id


def attached(service, admin, volume_id, host):
    """Attach a volume as Nova does; give the attachment."""
    attachment = objects.VolumeAttachment(
        admin, volume_id=volume_id, attach_status='reserved', attach_mode='rw',
        instance_uuid=str(uuid.uuid4()))
    attachment.create()
    service.attachment_update(admin, objects.Volume.get_by_id(admin, volume_id), {
        'host': host, 'initiator': f'iqn.1994-05.com.redhat:{host}'}, attachment.id)
    return attachment.id


def detached(service, admin, attachment_id):
    """Detach it."""
    found = objects.VolumeAttachment.get_by_id(admin, attachment_id)
    service.attachment_delete(admin, attachment_id,
                              objects.Volume.get_by_id(admin, found.volume_id))
    objects.Volume.get_by_id(admin, found.volume_id).finish_detach(attachment_id)


def run(service, admin, volumes: list[str], guarded: bool, array: Array,
        threads: int) -> tuple[float, ...]:
    """All of them at once, there and then back: seconds of each, CPU seconds, looks of each."""
    driver = Driver(configuration=service.configuration)
    driver.array, driver.host = array, HOST
    if guarded:
        driver = classes.guard(driver, HOST)
        driver.migsafe_guard.__dict__['inspector'] = Inspector(driver)
        driver.migsafe_guard.standing.require()
    driver.set_initialized()
    service.driver = driver
    begun, cpu, array.looks = time.perf_counter(), time.process_time(), 0
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        attachments = list(pool.map(lambda volume: attached(
            service, admin, volume, f'node{hash(volume) % 20}'), volumes))
        there, looks = time.perf_counter(), array.looks
        list(pool.map(functools.partial(detached, service, admin), attachments))
    took = there - begun, time.perf_counter() - there, time.process_time() - cpu
    if guarded:
        driver.migsafe_guard.stop()
    assert not any(array.mapped.values())
    return (*took, looks / len(volumes), (array.looks - looks) / len(volumes))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--volumes', type=int, default=200)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=0.5, help='of a call of the array')
    parser.add_argument('--look', type=float, default=0.01, help='of a look of the inspector')
    parser.add_argument('--lanes', type=int, default=8, help='calls that it serves at a time')
    parser.add_argument('--threads', type=int, default=64,
                        help='of the RPC server, [DEFAULT] executor_thread_pool_size')
    args = parser.parse_args()
    conf = configuration.CONF
    with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
        file.write('[DEFAULT]\ntransport_url = fake:/\n')
        file.flush()
        conf([], project='cinder', default_config_files=[file.name])
    migsafe.conf.register_opts(conf)
    objects.register_all()
    rpc.init(conf)
    table, ratios = prettytable.PrettyTable(HEADER), []
    with servers.MariaDB() as server, servers.MariaDB() as other:
        conf.set_override('connection', other.url, 'database')
        conf.set_override('max_pool_size', 60, 'database')
        conf.set_override('ledger_connection', server.url, 'migsafe')
        migration.db_sync()
        opening.sync(conf, HOST)
        admin = context.get_admin_context()
        config = configuration.Configuration(manager.volume_backend_opts, config_group='array')
        config.append_config_values(OPTS)
        conf.set_override('volume_driver', 'cinder.tests.fake_driver.FakeLoggingVolumeDriver',
                          'array')
        service = manager.VolumeManager(host=HOST, service_name='array')
        service.configuration = config
        array = Array(args.seconds, args.look, args.lanes)
        for number in range(args.rounds):
            volumes = [made(admin) for _ in range(args.volumes)]
            plain, guarded = (
                run(service, admin, volumes, one, array, args.threads)
                for one in (False, True))
            ratios.append([guarded[step] / plain[step] for step in (0, 1)])
            table.add_row([number, *(
                text for step in (0, 1) for text in (
                    f'{plain[step]:.1f}', f'{guarded[step]:.1f}', f'{ratios[-1][step]:.3f}')),
                f'{plain[2]:.1f}', f'{guarded[2]:.1f}', *guarded[3:]])
    print(table)
    for step, name in enumerate(('attach', 'detach')):
        print(f'{name}: median of the ratios '
              f'{statistics.median(one[step] for one in ratios):.3f}')


if __name__ == '__main__':
    main()
