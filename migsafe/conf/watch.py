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
"""Options of what looks at live migrations before they begin and while they run."""

from oslo_config import cfg

#: The services that are called within a live migration, with their names in the catalogue.
SERVICES: dict[str, tuple[str, ...]] = {
    'cinder': ('volumev3', 'block-storage', 'volume'), 'neutron': ('network',),
    'glance': ('image',), 'placement': ('placement',)}


def _retries(name: str) -> cfg.Opt:
    return cfg.IntOpt(
        f'{name}_call_retries',
        min=0,
        max=10,
        help=f'In nova.conf: call_retries for calls to {name.capitalize()} alone. Not set means '
        'call_retries; the waits are as there, 0.5 seconds before the first.',
    )


OPTS: list[cfg.Opt] = [
    *map(_retries, SERVICES),
    cfg.IntOpt(
        'call_timeout',
        default=600,
        min=0,
        help='In nova.conf: seconds that a call to Cinder, Neutron, Glance or Placement within a '
        'live migration, or while one is settled, waits for an answer, where the group of the '
        'service has no timeout. Without one, a connection that was cut and says nothing keeps '
        'the migration for ever. It has to be more than Cinder needs to connect a volume. '
        '0: as Nova waits.',
    ),
    cfg.StrOpt(
        'preflight',
        default='warn',
        choices=[
            ('enforce', 'Refuse it. The guest keeps running where it is.'),
            ('warn', 'Log it, and go on as Nova does.'),
            ('off', 'Do not look.'),
        ],
        help='What nova-compute of the source does, once Nova itself has agreed to a live '
        'migration, if a disk of the guest would not come over whole: an ISO config drive that '
        'arrives blank, a volume that is copied onto itself, a file that only one host has. It '
        'looks at the definition that libvirt has, and asks nobody else. "migsafe preflight" '
        'says the same before, and more. By default nothing is refused that Nova allows: a '
        'deployment may have lived with blank config drives for years.',
    ),
    cfg.IntOpt(
        'stuck_after',
        default=600,
        min=0,
        help='Seconds without progress after which a live migration is stuck: libvirt has sent '
        'nothing of the guest, no step was journalled, or Nova has a migration as running that '
        'nothing is at. It should be more than [DEFAULT] vif_plugging_timeout, for which Nova '
        'waits without a step. 0: only what takes longer than the time-outs of Nova allow, or '
        'needs a nova-compute that is down, is stuck.',
    ),
    cfg.StrOpt(
        'stuck_policy',
        default='report',
        choices=[
            ('report', 'Log it, and have "migsafe migrations" list it.'),
            ('abort', 'Also end a transfer of which nothing is sent any more, or that takes '
                      "longer than Nova's time-out allows, as \"openstack server migration "
                      'abort" does. The guest stays where it is.'),
            ('settle', 'As "abort"; and have recovery try at once what it holds.'),
        ],
        help='What nova-compute does about a live migration from its host that is stuck. A '
        'transfer is ended only by what Nova itself does when its owner ends it, and only while '
        'Nova watches it: never after the guest has gone over, and not in post-copy.',
    ),
]
