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
"""Scenarios of a real Cinder with the LVM driver and LIO, called by the real cinderclient."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pathlib
import re
import signal
import sqlite3
import time
import types
from collections.abc import Callable, Collection, Iterator
from typing import Any

import array_set_up
import cinder_rtstool
import forker
import host
import lab
import places
import rtslib_fb as rtslib
from cinderclient import client as cinder_client
from cinderclient.contrib import noauth
from keystoneauth1 import session

Found = dict[str, Any]

PREFIX = 'iqn.2010-10.org.openstack:'
TARGETS = '/sys/kernel/config/target/iscsi'
PROJECT, USER, INSTANCE = ('f' * 32, 'a' * 32, '66009d94-114f-4062-99b0-000000000000')
OTHER = 'e0c8da7e-baff-4530-a512-a67f71018e3f'
URL = 'http://127.0.0.1:8776/v3'
#: With a mapping and no connector, all of Nova's calls for volumes are there.
MICROVERSION = '3.44'
#: Host A is this one; its connector is what os-brick gives. Of host B there is nothing else.
NODE_A = {'host': 'node13', 'initiator': array_set_up.HOST_A, 'ip': '172.24.9.13',
          'multipath': False, 'platform': 'x86_64', 'os_type': 'linux'}
NODE_B = {**NODE_A, 'host': 'node11', 'initiator': array_set_up.HOST_B, 'ip': '172.24.9.11'}
#: Seconds of the guest's clock in which recovery has to be done; it polls every five.
PATIENCE = 60
#: The same, in which a service is up.
STARTING = 300

PLAIN = 'cinder.volume.drivers.lvm.LVMVolumeDriver'
GUARDED = f"""
volume_driver = migsafe.cinder.driver.GuardedDriver
migsafe_wrapped_driver = {PLAIN}
migsafe_inspector = lio
"""
SETTINGS = """
[DEFAULT]
host = array
transport_url = fake:/
auth_strategy = noauth
api_paste_config = /opt/brick/etc/cinder/api-paste.ini
osapi_volume_listen = 127.0.0.1
osapi_volume_workers = 1
enabled_backends = lvm
state_path = {state}
log_file = {run}/cinder.log
debug = false
rpc_response_timeout = 60
periodic_fuzzy_delay = 0
scheduler_driver_init_wait_time = 1
[database]
connection = sqlite:///{database}
[coordination]
backend_url = file://{state}/coordination
[oslo_concurrency]
lock_path = {state}/lock
[migsafe]
ledger_path = {state}/migsafe
[lvm]
volume_group = cinder-volumes
volume_backend_name = lvm
lvm_type = default
target_helper = lioadm
target_ip_address = 10.0.0.1
target_secondary_ip_addresses = 10.0.0.2
volume_clear = none
{driver}
"""
#: Cinder runs what needs root through sudo and rootwrap; here everything is root.
SUDO = '#!/bin/sh\nshift 2\nexec "$@"\n'


# -- the array with its Cinder ----------------------------------------------------------------


def begin(guarded: bool) -> None:
    """The first prelude: Cinder is installed and runs, with a volume that nobody has."""
    lab.start()
    for path in (places.RUN, places.STATE / 'lock', places.STATE / 'coordination',
                 places.CONF.parent):
        path.mkdir(parents=True)
    driver = GUARDED if guarded else f'volume_driver = {PLAIN}'
    places.CONF.write_text(SETTINGS.format(run=places.RUN, state=places.STATE, driver=driver,
                                           database=places.DATABASE))
    for name, script in (('cinder-rtstool', cinder_rtstool.SCRIPT), ('sudo', SUDO)):
        path = pathlib.Path('/usr/bin', name)
        path.write_text(script)
        path.chmod(0o755)
    volume_group()
    forker.start('rtstool', 'cinder_rtstool.py')
    forker.start('cinder', 'cinder_stack.py')
    forker.ask('cinder', 'sync')
    if not places.wait_for(lambda: places.said('sync'), STARTING):
        raise RuntimeError(f'no database: {last_words()}')
    start('scheduler')
    make_volume()
    stop()
    start()


def volume_group() -> None:
    """Where Cinder makes its volumes: sparse, larger than the memory that it is in.

    The array is the host as well: its LVM must not wait for disks of the host that are dead.
    """
    conf = pathlib.Path('/etc/lvm/lvm.conf')
    conf.write_text(conf.read_text().replace('"r|/dev/vd|"', '"a|/dev/loop1|", "r|.*|"'))
    host.run('modprobe', '-a', 'loop', 'target_core_iblock')
    path = pathlib.Path('/srv/cinder')
    with path.open('wb') as file:
        file.truncate(5 << 30)
    host.run('losetup', '/dev/loop1', str(path))
    host.run('vgcreate', '-y', 'cinder-volumes', '/dev/loop1')


def start(*words: str) -> None:
    """Start Cinder, and wait until it answers."""
    places.forget(places.STACK)
    forker.ask('cinder', 'serve', *words)
    if not places.wait_for(lambda: places.said(places.STACK), STARTING):
        raise RuntimeError(f'Cinder does not start: {last_words()}')


def stop() -> None:
    """Kill it."""
    os.kill(places.said(places.STACK), signal.SIGKILL)
    wait_for_death()


def wait_for_death() -> None:
    """Until its process is gone."""
    if not places.wait_for(lambda: not alive(), 30):
        raise RuntimeError(f'Cinder failed, but lives: {last_words()}')


def alive() -> bool:
    """Whether its process is there."""
    return os.path.exists(f'/proc/{places.said(places.STACK)}')


def last_words() -> str:
    """The end of what Cinder and its forker have logged."""
    return words(3000)


def words(last: int = 0) -> str:
    """What they have logged; so many characters of each, if a number is given."""
    logs = (places.log('cinder'), str(places.RUN / 'cinder.log'))
    return '\n'.join(pathlib.Path(log).read_text()[-last:] for log in logs
                     if os.path.exists(log))


# -- as Nova calls it -------------------------------------------------------------------------


def client() -> Any:
    """A cinderclient that is a service, as Nova's with its service token is."""
    made = session.Session(
        auth=noauth.CinderNoAuthPlugin(USER, PROJECT, endpoint=URL),
        additional_headers={'X-Service-Roles': 'service'})
    return cinder_client.Client(MICROVERSION, session=made)


def make_volume() -> None:
    """The only one."""
    cinder = client()
    made = cinder.volumes.create(1, name='the volume')
    if not places.wait_for(
            lambda: cinder.volumes.get(made.id).status in ('available', 'error'), STARTING):
        raise RuntimeError(f'no volume: {last_words()}')
    if cinder.volumes.get(made.id).status == 'error':
        raise RuntimeError(f'the volume is in error: {last_words()}')


def volume_id() -> str:
    """Of the only one."""
    volume, = client().volumes.list()
    return str(volume.id)


def reserve(instance: str = INSTANCE) -> str:
    """An attachment with no connector yet."""
    made = client().attachments.create(volume_id(), None, instance)
    return str(_id(made))


def _id(made: Any) -> Any:
    return made['id'] if isinstance(made, dict) else made.id


def known() -> list[str]:
    """All attachments that Cinder has, with or without a connector."""
    with contextlib.closing(sqlite3.connect(places.DATABASE)) as database:
        return [name for name, in database.execute(
            'SELECT id FROM volume_attachment WHERE NOT deleted')]


def connect(attachment: str, connector: dict[str, Any]) -> dict[str, Any]:
    """Map the volume to a host; what the host gets to know."""
    made = client().attachments.update(attachment, connector)
    info = made['connection_info'] if isinstance(made, dict) else made.connection_info
    client().attachments.complete(attachment)
    return dict(info)


def delete(attachment: str) -> None:
    """As Nova does at the end, and after a failure."""
    client().attachments.delete(attachment)


def attach(connector: dict[str, Any] = NODE_A) -> str:
    """The second prelude of a detach and of a migration."""
    attachment = reserve()
    connect(attachment, connector)
    return attachment


# -- what is there ----------------------------------------------------------------------------


def exports() -> set[str]:
    """What LIO has of Cinder: the target, and each initiator that it is mapped to.

    Read from its directories, since rtslib cannot look at what is changed meanwhile.
    """
    return {'target' for _ in glob.iglob(f'{TARGETS}/{PREFIX}*')} | {
        os.path.basename(path) for path in glob.iglob(f'{TARGETS}/{PREFIX}*/tpgt_*/acls/*')}


def attachments(but: Collection[str] = ()) -> set[str]:
    """The same, as Cinder's attachments would have it.

    :param but: attachments that are being deleted, which may have their export or not
    """
    with contextlib.closing(sqlite3.connect(places.DATABASE)) as database:
        rows = database.execute('SELECT id, connector FROM volume_attachment WHERE NOT deleted '
                                'AND connector IS NOT NULL').fetchall()
    names = {json.loads(connector)['initiator'] for name, connector in rows if name not in but}
    return names | {'target'} if names else names


def differences(going: Collection[str] = ()) -> dict[str, list[str]]:
    """What is exported without an attachment, and the other way round.

    Recovery gets its time first.

    :param going: see attachments()
    """
    def found() -> dict[str, list[str]]:
        there = exports()
        named = {'leaked': there - attachments(), 'missing': attachments(going) - there}
        return {name: sorted(what) for name, what in named.items() if what}
    places.wait_for(lambda: not found(), PATIENCE)
    return found()


# -- the scenarios ----------------------------------------------------------------------------


def main(name: str, *given: str, kill_at: int) -> None:
    """Run one, with a kill at one of its points, and report.

    :param given: an attachment that is there already
    :param kill_at: number of the point; -1: nothing is killed, to find out which there are
    """
    places.KILL_AT.write_text(str(kill_at))
    scenario: Callable[..., list[str]] = globals()[name]
    begun = time.monotonic()
    doomed = scenario(*given)
    killed, points = not alive(), places.POINTS.read_text().splitlines()
    places.KILL_AT.unlink()
    if killed:
        start()
    after_restart = differences(doomed)
    refused = [lab.attempt(lambda one=one: delete(one))['error'] for one in doomed]
    lab.report(points=points, killed=killed, after_restart=after_restart,
               undeletable=[error for error in refused if error not in (None, 'NotFound')],
               after_delete=differences(), seconds=round(time.monotonic() - begun, 1),
               log=last_words())


def attaching() -> list[str]:
    """Nova attaches; when that fails, it deletes the attachment."""
    attachment = reserve()
    with dying() as died:
        connect(attachment, NODE_A)
    return [attachment] if died else []


def detaching(attachment: str) -> list[str]:
    """Nova detaches, and once more when that fails."""
    with dying():
        delete(attachment)
    return [attachment]


def migrating(source: str) -> list[str]:
    """A live migration: the destination gets the volume too, then the source loses it.

    Nova makes the attachment of the destination with its connector, in one call.
    When the first fails, the guest stays where it is; after that, it is on the destination.
    """
    with dying() as died:
        client().attachments.create(volume_id(), NODE_B, INSTANCE)
    if died:
        # the reply, with its name, is lost
        return [name for name in known() if name != source]
    with dying():
        delete(source)
    return [source]


def half_made() -> None:
    """Cinder and cinder-rtstool are killed between the ACL of an initiator and its LUN.

    It is the destination's in a live migration, so that the target stays. Nova deletes the
    attachment, and the guest is migrated to the same host after that.
    """
    source = attach(NODE_B)

    def migrate() -> None:
        client().attachments.create(volume_id(), NODE_A, INSTANCE)
    places.HALF_MADE.touch()
    with dying() as died:
        migrate()
    bare = luns()
    start()
    for name in known():
        if name != source:
            delete(name)
    found = {'died': died, 'bare': bare, 'after_delete': differences()}
    again = lab.attempt(migrate)
    lab.report(again=again, luns=luns(), log=last_words(), **found)


def luns() -> dict[str, list[int]]:
    """Initiator of each ACL -> numbers of the LUNs that it is given."""
    return {acl.node_wwn: [mapped.mapped_lun for mapped in acl.mapped_luns]
            for target in rtslib.root.RTSRoot().targets if target.wwn.startswith(PREFIX)
            for tpg in target.tpgs for acl in tpg.node_acls}


def unrecorded() -> None:
    """What the array maps is from before the guard, and Cinder says that it is detached."""
    attach(NODE_B)
    stop()
    forget_it()
    start()
    found = {'verified': command('verify'), 'before': sorted(exports())}
    refused = lab.attempt(lambda: connect(reserve(OTHER), NODE_A))
    logged = re.search(r'migsafe --config-file (\S+) export revert --backend array@lvm (.+?);',
                       (places.RUN / 'cinder.log').read_text())
    words = logged[2].replace('HOST', 'node11') if logged else ''
    reverted = command('revert', *words.split())
    found |= {'reverted': reverted, 'after': sorted(exports())}
    for name in known():
        delete(name)
    again = lab.attempt(lambda: connect(reserve(OTHER), NODE_A))
    lab.report(refused=refused, named=words, again=again, exports=sorted(exports()),
               log=last_words(), **found)


def forget_it() -> None:
    """Neither the ledger nor Cinder knows of an attachment; Cinder does not run."""
    for path in (places.STATE / 'migsafe').iterdir():
        path.unlink()
    with contextlib.closing(sqlite3.connect(places.DATABASE)) as database, database:
        database.execute("UPDATE volume_attachment SET deleted = 1, attach_status = 'detached'")
        database.execute("UPDATE volumes SET status = 'available', attach_status = 'detached'")


def command(*words: str) -> list[Any]:
    """Give a command of "migsafe export"; its exit code and what it prints."""
    places.OUTCOME.unlink(missing_ok=True)
    made = places.COMMAND.with_suffix('.new')
    made.write_text(json.dumps(['--config-file', str(places.CONF), 'export', words[0],
                                '--backend', 'array@lvm', *words[1:], '-f', 'json']))
    made.rename(places.COMMAND)
    if not places.wait_for(places.OUTCOME.exists, PATIENCE):
        raise RuntimeError(f'no answer to {words}: {last_words()}')
    return list(json.loads(places.OUTCOME.read_text()))


# -- with the host's own os-brick ---------------------------------------------------------------


def connected() -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A host has the disk, by its guarded os-brick: attachment, connection, what os-brick says."""
    lab.shim()
    attachment = reserve()
    info = connect(attachment, NODE_A)
    return attachment, info, lab.brick().connect_volume(info)


def evacuated() -> None:
    """The guest of a host that still has the disk is started on another one, as Nova does it."""
    first, info, disk = connected()
    found = {'named': sorted(info.get('migsafe_identity', [])),
             'seen': sorted(host.wwids().values()), 'readable': host.readable(disk['path'])}
    second = reserve()
    delete(first)
    moved = lab.attempt(lambda: connect(second, NODE_B))
    lab.report(moved=moved, exports=sorted(exports()),
               readable_after=host.readable(disk['path']), log=last_words(), **found)


def taken_for_free() -> None:
    """An operator has reset the volume of a running guest, and another instance gets it."""
    _first, _info, disk = connected()
    client().volumes.reset_state(volume_id(), 'available', 'detached')
    other = reserve(OTHER)
    refused = lab.attempt(lambda: connect(other, NODE_B))
    lab.report(refused=refused, exports=sorted(exports()), readable=host.readable(disk['path']),
               log=last_words())


def wrong_disk() -> None:
    """What Cinder names is not what the host finds."""
    lab.shim()
    info = connect(reserve(), NODE_A)
    info['migsafe_identity'] = ['naa.6001405' + '0' * 25]
    lab.report(disk=lab.attempt(lambda: lab.brick().connect_volume(info)), left=host.wwids(),
               log=last_words())


def another_prefix() -> None:
    """target_prefix is another one than when the target of a disk in use was made."""
    from migsafe.cinder.inspectors import lio
    _first, _info, disk = connected()
    with contextlib.closing(sqlite3.connect(places.DATABASE)) as database:
        (location,), = database.execute('SELECT provider_location FROM volumes')
    volume = {'name': f'volume-{volume_id()}', 'provider_location': location}
    options = {'target_prefix': 'iqn.2030-01.another:'}
    driver = types.SimpleNamespace(
        configuration=types.SimpleNamespace(safe_get=options.get))
    inspector = lio.LioInspector(driver)

    def commands() -> list[int | None]:
        return [one.commands for one in inspector.writers(volume)]
    before = commands()
    lab.report(
        before=before, readable=host.readable(disk['path']), log=last_words(),
        mapped=[[*sorted(one.initiators), one.lun] for one in inspector.list_exports(volume)],
        writers=[sorted(one.initiators) for one in inspector.writers(volume)],
        busy=commands(),
        unnamed=len(inspector.list_exports({**volume, 'provider_location': None})))


@contextlib.contextmanager
def dying() -> Iterator[list[str]]:
    """Cinder may die; then there is something in the list."""
    died: list[str] = []
    try:
        yield died
    except Exception as error:
        died.append(str(error))
        wait_for_death()
