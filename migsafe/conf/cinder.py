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
"""Options of a backend's section in cinder.conf, for a backend with the guarded driver.

They are registered the way a driver's options are: on the section itself, with
``[backend_defaults]`` for what it does not set.
"""

from collections.abc import Sequence

from oslo_config import cfg

#: Where Cinder looks for what the section of a backend does not set.
SHARED = 'backend_defaults'

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'migsafe_wrapped_driver',
        help='The driver of this backend, as volume_driver named it before: the dotted path of '
        'its class, for example cinder.volume.drivers.lvm.LVMVolumeDriver. It is read when '
        'volume_driver is migsafe.cinder.driver.GuardedDriver; a name that Cinder has given up '
        'for a new one is understood as it is in volume_driver.',
    ),
    cfg.StrOpt(
        'migsafe_inspector',
        default='ledger',
        help='What asks the array of this backend what is really mapped, and who has a volume '
        'open: "ledger" asks nothing and relies on what was recorded, for arrays without an '
        'inspector of their own; "lio" is for target_helper = lioadm; "rbd" is for Ceph, and '
        'asks who has an image open; "netapp" is for the iSCSI and FC drivers of NetApp ONTAP '
        '9.6 or later, and asks the REST API with the options of the driver. Others are found '
        'through the entry points "migsafe.inspectors" of what is installed.',
    ),
    cfg.StrOpt(
        'migsafe_second_writer',
        default='refuse',
        choices=[
            ('refuse', 'Refuse to map the volume, and name both hosts.'),
            ('revert', 'Take the other export away first, if Cinder has no attachment for it and '
                       'the inspector says that its host does not have the volume open; refuse '
                       'otherwise.'),
        ],
        help='What is done when a volume that is not multiattach is to be mapped to a host, while '
        'another one still has an export of it that no attachment of the same instance '
        'explains. A live migration, with two attachments of one instance, is no such case.',
    ),
]


def list_opts() -> list[tuple[cfg.OptGroup, Sequence[cfg.Opt]]]:
    """Return the options for the sample file (entry point ``oslo.config.opts``)."""
    return [(cfg.OptGroup(SHARED), OPTS)]
