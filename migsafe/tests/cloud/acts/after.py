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
"""What users ask for right after a migration has failed."""

from __future__ import annotations

import time
from collections.abc import Callable

from migsafe.tests.cloud import api, configs, machines, servers, side
from migsafe.tests.cloud.story import Act, Story

#: Seconds in which a record that is wrong is put right, if anybody does that.
RIGHT = 60.0
#: Seconds after which Nova has written all that it writes of a migration that has failed.
CALM = 15.0
#: Statuses of a volume that nobody is at work on.
AT_REST = ('available', 'in-use', 'error')


def deleted(story: Story) -> None:
    """The guest is deleted."""
    story.failed()
    api.call('nova', 'DELETE', f'/servers/{story.guest.uuid}')
    story.say('deletion asked for')
    api.wait('the guest to go', lambda: servers.gone(story.guest), servers.SLOW)
    story.say('deleted')


def asked(what: str, ask: Callable[[Story], object]) -> Act:
    """Something is asked for, and no task is left in the end."""
    def act(story: Story) -> None:
        story.failed()
        try:
            ask(story)
            story.say(f'{what} asked for')
        except api.Refused as error:
            story.say(f'{what} refused: {error}')
            _usable(story)
            ask(story)
            story.say(f'{what} asked for again')
        _at_rest(story)
    return act


def _usable(story: Story) -> None:
    """Nova refuses most things while the record says ERROR: somebody resets it if nobody does."""
    try:
        api.wait('the record to be right', lambda: servers.settled(story.guest) == 'ACTIVE', RIGHT)
    except TimeoutError:
        servers.act(story.guest, {'os-resetState': {'state': 'active'}})
        story.say('state reset by hand')


def _at_rest(story: Story) -> None:
    story.settled()
    for volume in story.guest.volumes:
        api.wait(f'volume {volume} to be at rest',
                 lambda volume=volume: servers.status(volume) in AT_REST, servers.SLOW)
    story.say('volumes ' + ', '.join(map(servers.status, story.guest.volumes)))


def reboot(story: Story) -> None:
    """A hard reboot."""
    servers.act(story.guest, {'reboot': {'type': 'HARD'}})


def detach(story: Story) -> None:
    """The second volume is detached."""
    _attachments(story, 'DELETE', story.guest.volumes[1])


def attach(story: Story) -> None:
    """A volume is attached."""
    made = servers.volume(f'{story.guest.name}-1', bootable=False)
    story.guest = servers.with_volume(story.guest, made)
    api.call('nova', 'POST', f'/servers/{story.guest.uuid}/os-volume_attachments',
             {'volumeAttachment': {'volumeId': made}})


def retype(story: Story) -> None:
    """The second volume moves to another backend while the guest runs: Nova exchanges it."""
    api.call('cinder', 'POST', f'/volumes/{story.guest.volumes[1]}/action', {'os-retype': {
        'new_type': list(configs.BACKENDS)[1], 'migration_policy': 'on-demand'}})


def resize(story: Story) -> None:
    """Another flavor, and what follows from it."""
    servers.act(story.guest, {'resize': {'flavorRef': servers.LARGER}})
    if story.settled() == 'VERIFY_RESIZE':
        servers.act(story.guest, {'confirmResize': None})


def _attachments(story: Story, method: str, volume: str) -> None:
    api.call('nova', method, f'/servers/{story.guest.uuid}/os-volume_attachments/{volume}')


def wrong_record(story: Story) -> None:
    """The record leads to a disk of somebody else on the same host (incident 000).

    So it was left by a migration that had failed; here by hand, past all that protects it. The
    guest is stopped and started then. What was refused is asked for again with the right record.
    """
    story.failed()
    # Nova says ACTIVE for a moment before it says ERROR
    time.sleep(CALM)
    _usable(story)
    right = servers.connection(story.guest.volumes[0])
    servers.write_connection(story.guest.volumes[0], story.beside.connection)
    story.say(f'record of {story.guest.volumes[0]} leads to {story.beside.volume} now')
    for action in ('os-stop', 'os-start'):
        servers.act(story.guest, {action: None})
        story.say(f'{action} asked for')
        story.settled()
    story.meanwhile()
    if servers.show(story.guest)['status'] != 'ACTIVE':
        servers.write_connection(story.guest.volumes[0], right)
        story.say('record put right by hand')
        servers.act(story.guest, {'os-start': None})
        story.settled()


def lvm(story: Story) -> None:
    """The source uses the guest's second volume itself, as LVM does by itself (incident 001)."""
    host = servers.host(story.guest)
    device = f'/dev/mapper/{story.wwid(1)}'
    # of plain OpenStack's the tables stay, and so does the name
    group = story.guest.name
    machines.run(host, f'pvcreate -qq -f -y {device} && vgcreate -qq {group} {device} && '
                       f'lvcreate -qq -y -W n -L 16M -n data {group}')
    story.say(f'{host} has a logical volume on the second volume')
    story.move()
    story.moved()
    story.say(f'on {host}: ' + ' '.join(machines.run(host, 'dmsetup ls').split()))
    machines.run(host, f'vgchange -qq -an {group}', check=False)
    story.say(f'volume group let go on {host}')


def config_drive(story: Story) -> None:
    """The guest has a config drive on local disk, and reads it after the migration (incident 002).
    """
    before = _drive(story, servers.host(story.guest))
    story.say(f'its config drive: {before}')
    story.move()
    story.moved()
    where = servers.host(story.guest)
    after = _drive(story, where)
    story.say(f'on {where}: {after}')
    if before != after:
        story.wrong('disk', f'the config drive was {before}, and is {after}')


def config_drive_vfat(story: Story) -> None:
    """The same with a file system that QEMU shows as a disk, not as a CD-ROM."""
    with side.also({'DEFAULT': {'config_drive_format': 'vfat'}}):
        story.say('config_drive_format = vfat')
        story.others.append(story.guest)
        story.guest = servers.boot(f'{story.guest.name}v', story.source, config_drive=True)
        config_drive(story)


def _drive(story: Story, host: str) -> str:
    """What QEMU, and so its guest, reads: length and digest of the file that it has open."""
    return machines.run(host, f"""
for fd in /proc/$(pgrep -f {story.guest.uuid} | head -1)/fd/*; do
    case $(readlink $fd) in *disk.config*) echo $(stat -L -c %s $fd) $(md5sum < $fd); exit;; esac
done""").strip()
