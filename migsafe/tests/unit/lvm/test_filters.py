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
"""Which filters let in what is not there yet."""

import re

import testtools
from hypothesis import example, given, strategies

from migsafe.lvm import filters
from migsafe.lvm import patterns as patterns_

CLOSED = (
    ('r|.*|',),
    ('r/.*/',),
    ('a|^/dev/disk/by-id/wwn-0x3333333000001770$|', 'r|.*|'),
    ('a|^/dev/disk/by-id/dm-uuid-part2-mpath-3600140512345678901234567890abcde$|', 'r{.*}'),
    ('r|/dev/sdb|', 'a|^/dev/vda3$|', 'r|.*|', 'a|.*|'),
    ('a#^/dev/disk/by-id/nvme-eui[.]0025385b01405f11-part3$#', 'r#.*#'),
    ('a|^/dev/mapper/mpatha$|', 'r|.*|'),
    # whatever is found in each name of each disk, however it is spelled
    ('r|.*/|',), ('r|.+|',), ('r|/dev/.*|',), ('r/\\/dev\\/.*/',), ('r|^/dev/.*$|',), ('r|^.+$|',),
    ('r|d[e]v|',), ('r|[^x]|',), ('r|(sd.*|/dev)|',), ('r|/dev/[a-zA-Z0-9].*|', 'r|/|'),
    ('r|^/dev/..|',),
    # names that an escape spells
    (r'a|^/dev/disk/by-id/nvme-eui\.0025385b01405f11-part3$|', 'r|.*|'),
    (r'a/^\/dev\/disk\/by-id\/wwn-0x3333333000001770$/', 'r/.*/'),
    ('a|^/dev/disk/by-id/scsi-SATA_Disk_S1.2-part1$|', 'r|.*|'),
    ('a|^/dev/disk/by-id/scsi-20010b9fd080b7321-part3$|', 'r|.*|'),
    ('a|^/dev/disk/by-id/usb-Kingston_DT_0019E06B-0:0-part1$|', 'r|.*|'),
    ('a|^/dev/disk/by-id/ata-Disk_v1.0_S1-part3$|', 'r|.*|'),
    ('a|^/dev/mapper/3600140512345678901234567890abcde-part2$|', 'r|.*|'),
)
OPEN = (
    (),
    ('a|.*|',),
    ('r|/dev/vd|',),                                   # what matches nothing is accepted
    ('a|/dev/sda|', 'r|.*|'),                          # sdaa too
    ('a|^/dev/sda|', 'r|.*|'),
    ('a|^/dev/sda$|', 'r|.*|'),                        # of another disk after the next boot
    ('a|^/dev/sda3$|', 'a|^/dev/vda$|', 'r|.*|'),
    ('a|^/dev/disk/by-id/lvm-pv-uuid-AFoiGu-aFLu-XfEe-K23w-8pDV-JF3C-XMHIMP$|', 'r|.*|'),
    ('a|^/dev/disk/by-id/dm-name-vg-root$|', 'r|.*|'),
    ('a|^/dev/mapper/vg-root$|', 'r|.*|'),
    ('a|^/dev/vg/root$|', 'r|.*|'),
    ('a|^/dev/disk/by-id/.*$|', 'r|.*|'),
    ('a|^/dev/disk/by-path/pci-0000:00:1f.2-ata-1$|', 'r|.*|'),
    ('a|^/dev/md127$|', 'r|.*|'),
    ('r|/dev/sd.*|', 'r|^/dev/mapper/mpath|'),
    ('r|.*',),                                         # LVM would not take that
    ('r|/dev/sd.*|',), ('r|.*[0-9]|',), ('r|^/dev/[a-z]+$|',), ('r|^.*x|',), ('r|[^d]ev|',),
    (r'r|\.|',), ('r|{.*}|',), ('r|[|',), ('r|/dev$|',), ('r|(|',), (r'r|\|',), ('r|^dev|',),
    ('r|/dev/[^a]|',), ('r|.*[$]|',), (r'r|.*\$|',),
    # everybody's WWN
    ('a|^/dev/disk/by-id/wwn-0x0000000000000000$|', 'r|.*|'),
    ('a|^/dev/disk/by-id/wwn-0x5000000000000001$|', 'r|.*|'),
    ('a|^/dev/disk/by-id/wwn-0xffffffffffffffff-part1$|', 'r|.*|'),
    (r'a|^/dev/disk/by-id/wwn-0x3333333000001770\$|', 'r|.*|'),
    ('a|^/dev/disk/by-id/wwn-0x3333333000001770.*$|', 'r|.*|'),
    ('a|^/dev/vda+$|', 'r|.*|'),
    (7,),
)


class FilterTest(testtools.TestCase):

    def test_closed(self):
        for patterns in CLOSED:
            self.assertIsNone(filters.hole(patterns), patterns)

    def test_open(self):
        for patterns in OPEN:
            self.assertIsNotNone(filters.hole(patterns), patterns)

    def test_only(self):
        self.assertEqual(
            'global_filter = [ "a|^/dev/disk/by-id/nvme-eui[.]00-part3$|", "r|.*|" ]',
            filters.only(['/dev/disk/by-id/nvme-eui.00-part3']))

    def test_names_that_are_not_one_disks_alone(self):
        links = ('wwn-0x5000000000000001', 'scsi-33333333000001770', 'ata-Disk_1.0_S1')
        self.assertEqual('/dev/disk/by-id/scsi-33333333000001770', filters.steady(links, 'sda'))
        self.assertEqual('/dev/disk/by-id/ata-Disk_1.0_S1',
                         filters.steady(links, 'sda', shared=True))
        self.assertEqual('', filters.steady(links[:2], 'sda', shared=True))

    def test_the_name_with_the_namespace_is_preferred(self):
        links = ('nvme-Disk_S1', 'nvme-Disk_S1_1', 'nvme-Disk_S1_1-part3')
        self.assertEqual('/dev/disk/by-id/nvme-Disk_S1_1', filters.steady(links[:2], 'nvme0n1'))

    def test_steady(self):
        links = ('lvm-pv-uuid-AFoiGu', 'dm-name-x-y', 'scsi-33333333000001770',
                 'wwn-0x3333333000001770', 'scsi-1Linux_scsi_debug_6000')
        self.assertEqual('/dev/disk/by-id/wwn-0x3333333000001770', filters.steady(links, 'sda'))
        # two names that a guest may write, and a kernel name that changes
        self.assertEqual('', filters.steady(links[:2], 'sda'))
        self.assertEqual('/dev/vda3', filters.steady((), 'vda3'))
        self.assertEqual('', filters.steady(('wwn-0x1\n',), 'loop0'))

    @example(['a/^\\/dev\\/disk\\/by-id\\/wwn-0x3333333000001770$/', 'r00'])
    @given(
        strategies.lists(
            strategies.one_of(
                strategies.text(max_size=30),
                strategies.sampled_from(
                    [pattern for patterns in (*CLOSED, *OPEN) for pattern in patterns]
                ),
                strategies.integers(),
            )
        )
    )
    def test_any(self, patterns):
        if filters.hole(patterns) is None:
            # whatever else is in it: it rejects all, and accepts nothing but whole names before
            split = [filters.split(pattern) for pattern in patterns]
            before = split[:next(n for n, (kind, body) in enumerate(split)
                                 if kind == 'r' and patterns_.matches_everything(body))]
            for kind, body in before:
                plain = body.replace(r'\/', '/')  # where the slash is the delimiter
                self.assertTrue(kind == 'r' or plain.startswith('^/dev/') and plain.endswith('$'))

    @given(strategies.text(alphabet='ad/ev.*+?|()[]^$\\\\-x1', max_size=8),
           strategies.text(alphabet='sdx1-', min_size=2, max_size=6))
    def test_what_matches_everything_matches_each(self, body, name):
        if patterns_.matches_everything(body):
            text = patterns_._NEEDLESS_END.sub(r'\\1', body)
            self.assertIsNotNone(re.search(patterns_._translated(text)[0], f'/dev/{name}'))

    @example('+0')
    @example('a.b+c')
    @given(strategies.from_regex(r'\A[a-z0-9._:+-]{1,20}\Z'))
    def test_what_is_advised_is_closed(self, name):
        link = filters.steady((f'wwn-0x{name}', f'nvme-{name}', name), 'sda')
        if link:
            self.assertIsNone(filters.hole((filters.accept(link), 'r|.*|')))
