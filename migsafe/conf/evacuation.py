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
"""Options of the group ``[migsafe]`` about hosts that may be dead."""

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'evacuation',
        default='enforce',
        choices=[
            ('enforce', 'Refuse it. The instance stays as it was, and the message says what '
                        'would prove that the host is dead.'),
            ('warn', 'Log what speaks against it, and go on as Nova does.'),
            ('off', 'Do not look at all.'),
        ],
        help='What nova-compute does about an evacuation to it from a host that is not proven '
        'dead, whoever asks for it. Nova itself takes one heartbeat that is late for proof; a '
        'stopped nova-compute or a partition then leads to a second copy of each guest, which '
        'destroys its disks. With the default probes a host is proven dead once its nova-compute '
        'was forced down ("openstack compute service set --down"), was not heard for [DEFAULT] '
        'service_down_time and does not answer any more, which is what the tools for instance '
        'high availability do after they have fenced it. A tool that only disables the service '
        'has to force it down, too.',
    ),
    cfg.ListOpt(
        'probes',
        default=['nova_service', 'rpc'],
        help='How to find out whether a host is dead: names of plugins (entry points '
        'migsafe.probes). A host is dead only if none of them shows a sign of life.',
    ),
    cfg.FloatOpt(
        'probe_timeout',
        default=2.5,
        min=0.1,
        help='Seconds that one probe waits for an answer of a host, which counts as silent then.',
    ),
    cfg.IntOpt(
        'verdict_samples',
        default=3,
        min=2,
        help='How often each probe looks before a host may be called dead. One look that differs '
        'is enough against it.',
    ),
    cfg.FloatOpt(
        'verdict_interval',
        default=0.5,
        min=0.0,
        help='Seconds between two looks of the same probe. A longer pause bridges longer '
        'disturbances of a network; an evacuation waits for all looks.',
    ),
    cfg.IntOpt(
        'fleet_loss_percent',
        default=30,
        min=0,
        max=100,
        help='Share of the other compute hosts, in percent, that may be without a heartbeat at '
        'the same time, and share of those with one that may not answer. With more than that no '
        'silent host is called dead: a broken network or message bus looks just so. Hosts that '
        'were forced down count for an hour.',
    ),
    cfg.BoolOpt(
        'evacuate_without_witness',
        default=False,
        help='Whether a host may be dead although there is no other one that could show that it '
        'is not whoever looks that is cut off. A cloud of two compute hosts needs it, where the '
        'second one looks at the first. Then nothing but the word of who has fenced a host keeps '
        'one that is cut off itself from starting the guests of the other one.',
    ),
    cfg.ListOpt(
        'reach',
        default=[],
        help='Where the probe reach connects to by TCP: a place in each network of the hosts, '
        'such as {host}:22,{host}.storage.example.org:16514, with {host} for the name of the '
        'host. Any answer counts as a sign of life, a refused connection, too.',
    ),
    cfg.StrOpt(
        'heartbeat_directory',
        default='',
        help='Directory on storage that all compute hosts and whoever looks at them have in '
        'common, such as a mount of NFS. Each armed nova-compute writes its heartbeat there, in '
        'a file of its own, and the probe heartbeat reads it. Whoever can write there can keep '
        'hosts from being evacuated, and nothing more. Not set means that none is written.',
    ),
    cfg.FloatOpt(
        'heartbeat_interval',
        default=1.0,
        min=0.1,
        help='Seconds between two heartbeats in heartbeat_directory. The probe waits for the next '
        'one for four fifths of probe_timeout; it should be less than half of that.',
    ),
    cfg.StrOpt(
        'libvirt_uri',
        default='qemu+tls://{host}/system',
        help='Where the probe libvirt connects to, with {host} for the name of the host. It '
        'needs a right to read, on the machine that asks, and must not ask for a password.',
    ),
    cfg.StrOpt(
        'bmc_file',
        default='',
        help='File that says which BMC belongs to which host, for the probes and the fences '
        'redfish and ipmi: a section per host, with address, username, password, uuid, and if '
        'needed uuid_confirmed, system and ca_file of Redfish, or cipher_suite of IPMI. Mode '
        '0600, and only '
        'where hosts are fenced: who reads it can switch hosts off.',
    ),
    cfg.ListOpt(
        'storage_backends',
        default=[],
        help='Backends with migsafe in their cinder-volume, by which the probe and the fence '
        'storage see what a host can still write, and cut it off: each as "openstack volume '
        'service list" shows its host, node@backend. All that compute hosts use have to be named; '
        'a host that has volumes in another one is not taken for cut off.',
    ),
    cfg.StrOpt(
        'cinder_conf',
        default='',
        help='File with the transport_url of Cinder, for the probe and the fence storage, such '
        'as /etc/cinder/cinder.conf. Only where hosts are fenced: it has passwords of Cinder.',
    ),
    cfg.ListOpt(
        'fences',
        default=['redfish'],
        help='With what "migsafe host fence" fences a host, in this order: names of plugins '
        '(entry points migsafe.fences). Each is tried; the host is fenced if one of them has '
        'seen that it is.',
    ),
    cfg.IntOpt(
        'fence_timeout',
        default=60,
        min=1,
        help='Seconds within which a host that was switched off has to be seen off by its BMC. '
        'After that the fence has failed, whatever becomes of it.',
    ),
    cfg.IntOpt(
        'fence_limit',
        default=3,
        min=1,
        help='Number of hosts that "migsafe host fence" fences from one machine within an hour; '
        'more of them are refused.',
    ),
    cfg.IntOpt(
        'evacuation_limit',
        default=50,
        min=1,
        help='Number of instances that one run of "migsafe evacuate" asks Nova to evacuate; the '
        'others are left for the next run.',
    ),
    cfg.StrOpt(
        'evacuation_lock',
        default='',
        secret=True,
        help='URL of tooz where "migsafe evacuate" locks each instance, so that only one command '
        'at a time evacuates it. Where it is run on several machines they need the same one, '
        'such as etcd3+http://HOST:2379. Not set means a directory in state_path, which is '
        'enough for one machine.',
    ),
    cfg.BoolOpt(
        'believe_forced_down',
        default=True,
        help='Whether a host is dead whose nova-compute was forced down, if it is silent and '
        'nothing else speaks against it. Whoever forces a host down has to have fenced it; set '
        'this to false where scripts do it without that. It then takes a second proof, such as '
        'the power state that its BMC reports.',
    ),
]
