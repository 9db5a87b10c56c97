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
"""Options of the group ``[migsafe]``, read from nova.conf and from cinder.conf."""

from collections.abc import Sequence

from oslo_config import cfg

from migsafe.conf import evacuation, watch

NAME = 'migsafe'

OPTS: list[cfg.Opt] = [
    cfg.BoolOpt(
        'enabled',
        default=False,
        help='In nova.conf: arm migsafe in this nova-compute. While this is false nothing of Nova '
        'is touched, and live migrations are as unprotected as without migsafe. Set it on all '
        'compute hosts, then restart nova-compute; "migsafe status" shows which hosts are armed. '
        "In cinder.conf: guard os-brick's connectors in a cinder-volume with the guarded driver, "
        'see device_guards; the driver itself is guarded by volume_driver, whatever this says.',
    ),
    cfg.BoolOpt(
        'enforce',
        default=True,
        help='Whether to fail closed. When true, nova-compute does not start if a seam is '
        'missing or the journal is refused, and a live migration that cannot be journalled is '
        'refused at the precheck while the guest keeps running. A journal that cannot be opened '
        'for a cause that may pass (a full or read-only disk, a directory that cannot be '
        'written, a server that does not answer) stops no start; it is opened as soon as it can '
        'be. When false, each of these only logs an '
        'error: nova-compute runs and migrates unprotected. In cinder.conf: whether a backend '
        'stays down if the guards of its devices cannot be had.',
    ),
    cfg.StrOpt(
        'state_path',
        default='/var/lib/nova/migsafe',
        help='Directory of the SQLite journal. It is created with mode 0700 and must belong to '
        'the user of nova-compute; looser permissions or another owner are refused, because '
        'the journal holds CHAP secrets. It must be on a local disk that survives a reboot: '
        'SQLite in WAL mode does not work over NFS, and a journal that a reboot erases '
        'protects nothing.',
    ),
    cfg.StrOpt(
        'connection',
        secret=True,
        help='SQLAlchemy URL of the journal. Not set means sqlite:///{state_path}/{host}.sqlite, '
        'which needs no network when something fails and is right for most deployments. A '
        'URL such as '
        'mysql+pymysql://migsafe:SECRET@db/migsafe?ssl_ca=/etc/ssl/certs/ca.pem&'
        'ssl_check_hostname=true or '
        'postgresql+psycopg2://migsafe:SECRET@db/migsafe?sslmode=verify-full&'
        'sslrootcert=/etc/ssl/certs/ca.pem keeps the journals of all hosts in one database; '
        'create its tables with "migsafe-manage db sync". Live migrations are then refused '
        'while that database cannot be written, and each host that has the password can read '
        'and change the journals of all others, by which they decide about their volumes: give '
        'each host an account of its own, see "migsafe-manage db grants --help". '
        'In nova.conf only; a ledger has ledger_connection.',
    ),
    cfg.StrOpt(
        'ledger_path',
        default='/var/lib/cinder/migsafe',
        help='In cinder.conf: directory of the SQLite ledgers of exports, one per backend with '
        'the guarded driver. It is created with mode 0700 and must belong to the user of '
        'cinder-volume, on a local disk that survives a reboot; see state_path.',
    ),
    cfg.StrOpt(
        'ledger_connection',
        secret=True,
        help='In cinder.conf: SQLAlchemy URL of the ledger of exports. Not set means '
        'sqlite:///{ledger_path}/{host}.sqlite. A backend that several cinder-volume services '
        'serve as a cluster needs a MariaDB or PostgreSQL database here that all of them '
        'reach; create its tables with "migsafe-manage --config-file /etc/cinder/cinder.conf '
        'db sync --ledger".',
    ),
    cfg.IntOpt(
        'ledger_sweep_interval',
        default=3600,
        min=0,
        help='In cinder.conf: seconds between two checks by a cinder-volume of all exports in its '
        'ledger, for those whose attachment is gone and which Cinder never asked to remove, as by '
        '"openstack volume set --detached". It reads 200 exports every five seconds, and the '
        'attachments of their volumes in one query; the array is asked only about those that '
        'no attachment explains. 0 means that this is done at its start only.',
    ),
    cfg.IntOpt(
        'recovery_interval',
        default=30,
        min=1,
        help='Seconds between two recovery rounds in nova-compute. A smaller value settles '
        'sooner after an outage and asks libvirt, Nova and the peer more often. It is also the '
        'longest pause before a device that something held is looked at again.',
    ),
    cfg.IntOpt(
        'recovery_backoff_max',
        default=600,
        min=1,
        help='Longest pause in seconds between two attempts to settle the same transaction. The '
        'pause starts at recovery_interval and doubles with each attempt, with jitter, up to '
        'this value, or up to recovery_interval while only a device in use is in the way; '
        '"migsafe settle" asks for an attempt at once.',
    ),
    cfg.IntOpt(
        'recovery_batch',
        default=20,
        min=1,
        help='Most transactions that recovery reads from the journal, or has in work, at the same '
        'time. It bounds memory and the load on Nova, Cinder and the peers after an outage; the '
        'rest follows.',
    ),
    cfg.IntOpt(
        'recovery_workers',
        default=4,
        min=1,
        help='How many transactions are settled at the same time, so that one that waits for a '
        'time-out does not delay the others. Each worker may hold one connection to each of '
        'Cinder, Neutron and Placement. One that has not come back after five minutes (a device, '
        'a file system or a libvirtd that hangs) is listed by "migsafe status" and no longer '
        'counts, up to recovery_batch.',
    ),
    cfg.IntOpt(
        'rpc_timeout',
        default=15,
        min=1,
        help='Seconds to wait for the migsafe endpoint of the other host. A peer that does not '
        'answer in time counts as unreachable: what needs it is held and tried again. In '
        'cinder.conf: how long "migsafe export" waits for a cinder-volume.',
    ),
    cfg.IntOpt(
        'call_retries',
        default=3,
        min=0,
        max=10,
        help='In nova.conf: how often, within a live migration, a call to Cinder, Neutron, Glance '
        'or Placement is made again on a new connection when the old one was cut, or when what '
        'stands between answers 502, 503 or 504: calls that read, updates of a port and '
        'deletions of its bindings, of which a second one does what the first did. It waits '
        '0.5 seconds before the first, and twice as long before each further one. Where Nova '
        'has more tries of its own (http_retries, connect_retries, status_code_retries), these '
        'count. 0 leaves all calls as Nova makes them.',
    ),
    cfg.IntOpt(
        'retention_days',
        default=30,
        min=0,
        help='Days that settled transactions stay in the journal. Unsettled ones are never '
        'purged. 0 keeps everything, and the journal then grows by some 10 to 100 KiB per '
        'migration.',
    ),
    cfg.IntOpt(
        'adopt_after',
        default=300,
        min=0,
        help='Seconds after which an instance of this host that sits in "migrating" with no live '
        'migration that any host works on is taken up by recovery and settled by evidence: the '
        'cast to the source was lost, or it happened before migsafe was installed. So is one in '
        'ERROR whose last operation was a live migration from here that has failed, and whose '
        'guest runs here. While no '
        'destination is chosen it is at least [DEFAULT] long_rpc_timeout. A migration that '
        'reaches the source after that is refused there.',
    ),
    cfg.IntOpt(
        'quiesce_timeout',
        default=60,
        min=0,
        help='Seconds that settling waits for a step of the same migration that still runs in '
        'this process, for example a late pre_live_migration, before it is held and tried '
        'again in a later round. Nothing is torn down while such a step runs.',
    ),
    cfg.BoolOpt(
        'device_guards',
        default=True,
        help="Guard os-brick's connectors for iSCSI, iSER, Fibre Channel and NVMe-oF in this "
        'service: no device is removed while something on this host stands on it or has it '
        'open, nor one that is another disk than the volume, and none is handed out that is.',
    ),
    cfg.IntOpt(
        'identity_check_interval',
        default=300,
        min=0,
        help='Seconds between two checks that each running guest of this host still has its own '
        'volumes: every path of every block device is asked for its identity (SCSI INQUIRY, NVMe '
        'Identify), because an array that maps another volume to a LUN in use tells nobody. '
        'What is found is logged as an error and listed by "migsafe residue list" as R9; '
        'nothing is changed. 0 never looks. It needs device_guards.',
    ),
    cfg.StrOpt(
        'holder_policy',
        default='refuse',
        choices=[
            ('refuse', 'Leave the device and its export as they are, and say what holds it.'),
            ('release', 'Deactivate the logical volumes that this host has activated on exactly '
                        'this disk, if nothing uses them; refuse if anything else is there.'),
            ('warn', 'Log the holder and let os-brick go on, which may tear the disk away from '
                     'what uses it.'),
        ],
        help='What a detach does about a holder: LVM of the guest that this host has activated, '
        'dm-crypt, md, a mount, swap, or a process. "release" must not be used where host and '
        'guests are meant to share logical volumes.',
    ),
    cfg.StrOpt(
        'identity_policy',
        default='refuse',
        choices=[
            ('refuse', 'Disconnect the disk again and fail the attach, with both identities.'),
            ('accept', 'Log both identities and note the disk that came as the volume from now '
                       'on.'),
        ],
        help='What an attach does about a disk that is not the one that was noted for its volume, '
        'and what any operation does about a row that leads elsewhere than its attachment. '
        '"accept" is for the time after the backing of attached volumes was replaced on purpose, '
        'by a failover of the array or a restore: set it, reboot the guests, set it back.',
    ),
    *watch.OPTS,
    *evacuation.OPTS,
]


def group() -> cfg.OptGroup:
    """Return a new group.

    ConfigOpts keeps values in the group object and copies it only on the surface: two
    configurations that registered the same object would share their values.
    """
    return cfg.OptGroup(
        NAME, title='Live migration as a transaction',
        help='Options of migsafe: in nova.conf for nova-compute and the commands that read its '
        'journal, in cinder.conf for cinder-volume with the guarded driver and "migsafe export".')


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the group and its options on ``conf``; safe to call again."""
    conf.register_group(group())
    conf.register_opts(OPTS, group=NAME)


def list_opts() -> list[tuple[cfg.OptGroup, Sequence[cfg.Opt]]]:
    """Return the group with its options."""
    return [(group(), OPTS)]
