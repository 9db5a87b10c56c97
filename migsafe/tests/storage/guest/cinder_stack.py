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
"""cinder-api, cinder-scheduler and cinder-volume in one process, which may be killed anywhere.

A program: the forker of such processes. The bus is oslo.messaging's own in memory, which is why
the API and the volume service are one process: whoever kills one of them kills both.
"""

from cinder import monkey_patch

monkey_patch.patch()

# the rest may be imported only when the standard library is patched
import functools  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import forker  # noqa: E402
import os_brick  # noqa: E402
import places  # noqa: E402
from cinder import coordination, objects, privsep, rpc, service  # noqa: E402
from os_brick import privileged as brick_privileged  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log as logging  # noqa: E402
from oslo_utils import importutils  # noqa: E402

HOST, BACKEND = 'array', 'lvm'
DRIVER = 'cinder.volume.drivers.lvm'
#: What a process would import when it is started; Cinder's objects have to be there before.
IMPORTED = ('cinder.common.config', 'cinder.api.v3.router', 'cinder.db.migration',
            'cinder.scheduler.manager', 'cinder.scheduler.filter_scheduler',
            'cinder.volume.manager', DRIVER, 'cinder.volume.targets.lio', 'migsafe.cinder.driver',
            'migsafe.cinder.wrapping.methods', 'migsafe.journal.store', 'migsafe.cli.main')


def main(words: list[str]) -> int:
    """Do what a line says: "sync", or "serve", with "scheduler" where volumes are to be made."""
    cfg.CONF([], project='cinder', default_config_files=[str(places.CONF)])
    logging.setup(cfg.CONF, 'cinder')
    if words[0] == 'sync':
        sys.modules['cinder.db.migration'].db_sync()
        places.say('sync', os.getpid())
    else:
        if 'beside' in words:
            # another one has the port of the API
            cfg.CONF.set_override('osapi_volume_listen_port', places.BESIDE)
        serve('scheduler' in words)
    return 0


def serve(scheduler: bool) -> None:
    """Be Cinder, for ever."""
    os_brick.setup(cfg.CONF)
    # this process is root and needs no daemon that is
    for context in (privsep.sys_admin_pctxt, brick_privileged.default):
        context.set_client_mode(False)
    count_points()
    coordination.COORDINATOR.start()
    rpc.init(cfg.CONF)
    volume = service.Service.create(host=f'{HOST}@{BACKEND}', service_name=BACKEND,
                                    binary='cinder-volume', coordination=True)
    volume.start()
    if scheduler:
        service.Service.create(host=HOST, binary='cinder-scheduler').start()
    service.WSGIService('osapi_volume').start()
    places.say(places.STACK, os.getpid())
    while True:
        time.sleep(1)
        if places.COMMAND.exists():
            run_command()


def run_command() -> None:
    """Be an operator: the bus ends at this process."""
    words = json.loads(places.COMMAND.read_text())
    places.COMMAND.unlink()
    out, err = io.StringIO(), io.StringIO()
    app = sys.modules['migsafe.cli.main'].Migsafe(default_config_files=(), stdout=out, stderr=err)
    code = app.run(words)
    made = places.OUTCOME.with_suffix('.new')
    made.write_text(json.dumps([code, out.getvalue(), err.getvalue()]))
    made.rename(places.OUTCOME)


# -- where it may be killed -------------------------------------------------------------------


def count_points() -> None:
    """Put a point before and after each write of the ledger and each call into the driver."""
    around(sys.modules['migsafe.journal.store'].Store, 'write', 'ledger')
    for name in sys.modules['migsafe.cinder.wrapping.methods'].METHODS:
        around(sys.modules[DRIVER].LVMVolumeDriver, name, name)


def around(owner: Any, name: str, said: str) -> None:
    """Put a point before and one after a method."""
    real: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(real)
    def method(*args: Any, **kwargs: Any) -> Any:
        point(f'before {said}')
        result = real(*args, **kwargs)
        point(f'after {said}')
        return result
    setattr(owner, name, method)


def point(name: str) -> None:
    """Die or stop here, if it is the one."""
    if places.STOP_AT.exists() and places.STOP_AT.read_text() == name:
        places.STOP_AT.unlink()
        os.kill(os.getpid(), signal.SIGSTOP)
    if not places.KILL_AT.exists():
        return
    with places.POINTS.open('a+') as points:
        points.seek(0)
        number = len(points.readlines())
        points.write(f'{name}\n')
    if number == int(places.KILL_AT.read_text()):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == '__main__':
    objects.register_all()
    for imported in IMPORTED:
        importutils.import_module(imported)
    forker.run_forever('cinder', main)
