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
"""A volume that is nobody's business: attached by the old flow, and mapped by hand.

A script has attached it to cmp1 with os-initialize_connection and os-attach, as before Queens, and
an operator has mapped it to an initiator of his own on the same target. It is there in all
scenarios, and each has to leave it alone.
"""

from __future__ import annotations

import dataclasses
import json

from migsafe.tests.cloud import api, facts, judge, machines, places, sector, servers

HOST = next(iter(places.COMPUTES))
#: Who an operator has mapped a volume to.
OPERATOR = 'iqn.1993-08.org.debian:01:operator'
MAP = '{find}  acl = rtslib_fb.NodeACL(next(target.tpgs), "{initiator}", mode="create")\n' \
      '  rtslib_fb.MappedLUN(acl, 0, tpg_lun=0)'
UNMAP = '{find}  rtslib_fb.NodeACL(next(target.tpgs), "{initiator}", mode="lookup").delete()'
FIND = 'import rtslib_fb\nfor target in rtslib_fb.RTSRoot().targets:\n' \
       ' if "{volume}" in target.wwn:\n'


@dataclasses.dataclass(frozen=True)
class Bystander:
    """The volume.

    :param connection: what Cinder has told the script
    """

    name: str
    volume: str
    connection: api.Json

    @property
    def target(self) -> str:
        """Its target."""
        return str(self.connection['data']['target_iqn'])


def map_by_hand(volume: str, initiator: str = OPERATOR) -> None:
    """Map a volume that has a target."""
    _change(MAP, volume, initiator)


def unmap_by_hand(volume: str, initiator: str = OPERATOR) -> None:
    """Take that back."""
    _change(UNMAP, volume, initiator)


def _change(program: str, volume: str, initiator: str) -> None:
    machines.python(servers.ARRAY, program.format(
        find=FIND.format(volume=volume), initiator=initiator))


def there() -> Bystander:
    """The one of this cloud, made if it is not there yet."""
    known = places.part('run') / 'bystander.json'
    if not known.exists():
        known.write_text(json.dumps(dataclasses.asdict(make('bystander'))))
    return Bystander(**json.loads(known.read_text()))


def another() -> Bystander:
    """A new one, since something was done to the last."""
    (places.part('run') / 'bystander.json').unlink(missing_ok=True)
    return there()


def make(name: str) -> Bystander:
    """Attach one; the host logs in by itself."""
    volume = servers.volume(name, bootable=True)
    connector = {'initiator': judge.INITIATOR + HOST, 'host': HOST, 'multipath': False,
                 'ip': places.address(HOST), 'platform': 'x86_64', 'os_type': 'linux'}
    call = f'/volumes/{volume}/action'
    info: api.Json = api.call('cinder', 'POST', call, {'os-initialize_connection': {
        'connector': connector}})['connection_info']
    api.call('cinder', 'POST', call, {'os-attach': {
        'mountpoint': '/dev/by-hand', 'mode': 'rw', 'host_name': HOST}})
    map_by_hand(volume)
    made = Bystander(name, volume, info)
    data = info['data']
    node = f'iscsiadm -m node -T {made.target} -p {data["target_portal"]}'
    auth = {'authmethod': data['auth_method'], 'username': data['auth_username'],
            'password': data['auth_password']}
    # by its standard input, since a command that fails is shown
    machines.run(HOST, 'bash -es', '\n'.join((
        f'{node} -o new', *(f'{node} -o update -n node.session.auth.{key} -v {value}'
                            for key, value in auth.items()), f'{node} --login')).encode())
    return made


def judged(seen: facts.Facts, one: Bystander) -> list[judge.Finding]:
    """What was done to it."""
    found = []
    mapped = judge.mapped(seen, one.volume)
    for initiator in (judge.INITIATOR + HOST, OPERATOR) if seen.array else ():
        if initiator not in mapped:
            found.append(f'{one.volume} is not mapped to {initiator} any more')
    if not any(row['volume_id'] == one.volume for row in seen.tables['attachments']):
        found.append(f'{one.volume} has no attachment any more')
    wwid = judge.wwid(seen, one.volume)
    here = seen.hosts[HOST]
    if here and wwid and wwid not in here['disks'].values():
        found.append(f'{HOST} does not have {one.volume} any more')
    if seen.array and servers.written(one.volume) != sector.Written(one.name, 0):
        found.append(f'somebody has written to {one.volume}')
    return [judge.Finding('foreign', text) for text in found]
