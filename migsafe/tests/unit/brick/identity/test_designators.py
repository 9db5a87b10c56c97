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
import testtools
from hypothesis import example, given, strategies

from migsafe.brick import errors
from migsafe.brick.identity import designators

NAA = bytes.fromhex('600140512345678901234567890abcde')


def page(number, body):
    return bytes((0, number)) + len(body).to_bytes(2, 'big') + body


def designator(kind, value, association=0, code=1):
    return bytes((code, association << 4 | kind, 0, len(value))) + value


#: as LIO answers: T10 vendor, NAA, and the names of port and target, which are not the disk's
LIO = page(0x83, designator(1, b'LIO-ORG raw1\0', code=2) + designator(3, NAA)
           + designator(4, b'\0\0\0\1', association=1)
           + designator(8, b'iqn.2003-01.org.x:sn,t,0x0001\0', association=2, code=3))


class Vpd83Test(testtools.TestCase):

    def test_lio(self):
        self.assertEqual({f'naa.{NAA.hex()}', 't10.LIO-ORG raw1'}, designators.vpd83(LIO))

    def test_uuid_and_eui(self):
        value = bytes(range(16))
        found = designators.vpd83(page(0x83, designator(0xA, b'\x10\0' + value)
                              + designator(2, value[:8])))
        self.assertEqual({'uuid.000102030405060708090a0b0c0d0e0f', 'eui.0001020304050607'}, found)

    def test_zeros_and_odd_lengths_identify_nothing(self):
        self.assertEqual(frozenset(), designators.vpd83(page(
            0x83, designator(3, bytes(16)) + designator(3, b'abc') + designator(2, b''))))

    def test_what_is_filled_up_behind_the_last(self):
        for more in (b'\0', b'\1\3', bytes(9)):
            self.assertEqual({f'naa.{NAA.hex()}'}, designators.vpd83(
                page(0x83, designator(3, NAA) + more)))
        self.assertRaises(errors.BadPage, designators.vpd83,
                          page(0x83, designator(3, NAA) + b'\1\3\0\x10x'))

    def test_malformed(self):
        for bad in (b'', b'\0', b'\0\x80\0\0', page(0x83, b'\1\3\0'), page(0x83, b'\1\3\0\xff'),
                    LIO[:-1]):
            with self.subTest(bad=bad):
                self.assertRaises(errors.BadPage, designators.vpd83, bad)

    @given(strategies.binary(max_size=300))
    def test_any_bytes(self, data):
        for read in (designators.vpd83, designators.vpd80, designators.nvme_descriptors):
            try:
                found = read(data)
            except errors.BadPage:
                continue
            for text in found:
                self.assertTrue(
                    text.partition('.')[0] in designators.TYPES and text.partition('.')[2]
                )

    @given(strategies.binary(min_size=8, max_size=8), strategies.binary(min_size=16, max_size=16))
    def test_what_is_written_is_read(self, eui, naa):
        found = designators.vpd83(page(0x83, designator(2, eui) + designator(3, naa)))
        self.assertEqual(found, designators.read(sorted(found)))

    @given(
        strategies.lists(
            strategies.tuples(
                strategies.sampled_from((1, 2, 3, 8, 0xA)), strategies.binary(max_size=255)
            ),
            max_size=90,
        ),
        strategies.binary(max_size=300),
    )
    @example([(1, b'\xff' * 255)], b'\xff' * 255)
    @example([(8, bytes([65 + number])) for number in range(63)], b'1')
    @example([(8, bytes([65 + number])) for number in range(64)], b'1')
    def test_what_a_disk_says_can_be_noted(self, parts, serial):
        """All of it comes back from a connection_info; else the volume could not be detached."""
        try:
            found = designators.vpd83(page(0x83, b''.join(designator(*part) for part in parts)))
        except errors.BadPage:
            self.assertGreaterEqual(len(parts), 64)
            found = frozenset()
        found |= designators.vpd80(page(0x80, serial))
        self.assertEqual(found, designators.read(sorted(found)))

    @given(
        strategies.lists(
            strategies.tuples(
                strategies.sampled_from((1, 2, 3, 9)), strategies.binary(min_size=8, max_size=16)
            ),
            max_size=90,
        )
    )
    @example([(2, bytes(15) + bytes([1 + number])) for number in range(65)])
    def test_what_a_namespace_says_can_be_noted(self, parts):
        try:
            found = designators.nvme_descriptors(b''.join(
                bytes((kind, len(value), 0, 0)) + value for kind, value in parts))
        except errors.BadPage:
            self.assertGreaterEqual(len(parts), 64)
            return
        self.assertEqual(found, designators.read(sorted(found)))

    def test_nothing_is_cut_off(self):
        """What differs at its end only are two disks."""
        for length in (254, 300):
            one, other = (
                designators.vpd80(page(0x80, b'a' * length + last)) for last in (b'1', b'2')
            )
            self.assertIsNot(True, designators.agree(one, other))
        self.assertEqual(
            {'serial.a'}, designators.vpd80(page(0x80, bytes(300) + b'a' + bytes(300)))
        )

    @given(
        strategies.lists(
            strategies.tuples(
                strategies.integers(0, 15),
                strategies.integers(0, 3),
                strategies.binary(max_size=20),
            ),
            max_size=8,
        ),
        strategies.binary(min_size=16, max_size=16),
        strategies.integers(0, 200),
    )
    def test_no_page_makes_one_disk_another(self, parts, wanted, cut):
        """Whatever is in a page, and wherever it is cut off: only what is there is found."""
        whole = page(0x83, b''.join(bytes((1, association << 4 | kind, 0, len(value))) + value
                                    for kind, association, value in parts))
        own = {value for kind, association, value in parts if (kind, association) == (3, 0)}
        known = frozenset((f'naa.{wanted.hex()}',))
        for data in (whole, whole[:cut]):
            try:
                found = designators.vpd83(data)
            except errors.BadPage:
                self.assertLess(len(data), len(whole))
                continue
            self.assertEqual(len(whole), len(data))
            if designators.agree(found, known):
                self.assertIn(wanted, own)
            naas = {value for value in own if len(value) in (8, 16) and any(value)}
            self.assertEqual({f'naa.{value.hex()}' for value in naas},
                             {text for text in found if text.startswith('naa.')})


def tgt(target, lun, volume):
    """As tgt answers (usr/spc.c): all digits of the volume's id that fit, after NAA 6."""
    local = (0x3 << 60 | target << 32 | lun).to_bytes(8, 'big')
    return page(0x83, designator(1, volume.encode(), code=2) + designator(3, local)
                + designator(3, bytes.fromhex('6' + volume.replace('-', '0')[-31:])))


class LocalTest(testtools.TestCase):
    """A locally assigned NAA counts for less than what is unique in the world."""

    ONE, OTHER = '0b1f9b5e-7a63-4c3e-8a80-52a7c8d1f001', 'e7a2c1d4-15f0-4f1a-9a55-0c9be2d1a7ff'
    LOCAL = 'naa.3000000100000001'

    def test_two_servers_number_their_targets_alike(self):
        one, other = (
            designators.vpd83(tgt(1, 1, self.ONE)),
            designators.vpd83(tgt(1, 1, self.OTHER)),
        )
        self.assertEqual({self.LOCAL}, set(one & other))
        self.assertIs(False, designators.agree(one, other))
        self.assertNotIn('naa.3', designators.words(one))

    def test_the_target_of_one_volume_gets_another_number(self):
        self.assertIs(
            True,
            designators.agree(
                designators.vpd83(tgt(1, 1, self.ONE)), designators.vpd83(tgt(2, 1, self.ONE))
            ),
        )

    def test_what_has_nothing_else_is_known_by_it(self):
        """By a disk, by a map of multipath-tools, by a note."""
        only = designators.vpd83(page(0x83, designator(3, bytes.fromhex(self.LOCAL[4:]))))
        for other, expected in (
            (only, True),
            (designators.multipath_wwid('3' + self.LOCAL[4:]), True),
            (designators.read([self.LOCAL]), True),
            (designators.written(self.LOCAL), True),
            (designators.multipath_wwid('33000000200000001'), False),
            (only | {'serial.a'}, True),
        ):
            with self.subTest(other=other):
                self.assertIs(expected, designators.agree(only, other))
        self.assertEqual(self.LOCAL, designators.words(only))

    def test_it_is_weaker_than_a_name_and_stronger_than_a_serial_number(self):
        for one, other, expected in (
                ({self.LOCAL, 't10.a'}, {self.LOCAL, 't10.b'}, False),
                ({self.LOCAL, 't10.a'}, {'naa.3000000200000001', 't10.a'}, True),
                ({self.LOCAL, 'serial.a'}, {'naa.3000000200000001', 'serial.a'}, False),
                # a map of udev's scsi_id, which takes any NAA before a T10 name
                ({self.LOCAL}, {self.LOCAL, 't10.a', 'serial.a'}, True),
                # who is known by another NAA altogether, and by nothing else, is another
                ({self.LOCAL}, {f'naa.{NAA.hex()}'}, False),
                ({self.LOCAL, 't10.a'}, {f'naa.{NAA.hex()}', 't10.a'}, True)):
            with self.subTest(one=one, other=other):
                self.assertIs(expected, designators.agree(frozenset(one), frozenset(other)))
                self.assertIs(expected, designators.agree(frozenset(other), frozenset(one)))


class OthersTest(testtools.TestCase):

    def test_serial(self):
        self.assertEqual({'serial.abc 1'}, designators.vpd80(page(0x80, b'  abc\0 1 ')))
        self.assertEqual(frozenset(), designators.vpd80(page(0x80, b'   ')))

    def test_nvme(self):
        value = bytes(range(1, 17))
        data = (bytes((2, 16, 0, 0)) + value + bytes((3, 16, 0, 0)) + bytes(16)
                + bytes((9, 1, 0, 0, 7)) + bytes(8))
        self.assertEqual({f'eui.{value.hex()}'}, designators.nvme_descriptors(data))
        self.assertRaises(errors.BadPage, designators.nvme_descriptors, b'\1\x08\0\0abc')
        self.assertRaises(errors.BadPage, designators.nvme_descriptors, b'\1\0\0\0')

    def test_written(self):
        for text, expected in (('naa.600A0B', {'naa.600a0b'}),
                               ('t10.LIO-ORG   raw1  ', {'t10.LIO-ORG raw1'}),
                               ('uuid.00010203-0405-0607-0809-0a0b0c0d0e0f',
                                {'uuid.000102030405060708090a0b0c0d0e0f'}),
                               ('naa.xyz', set()), ('1Linux_scsi_debug_2000', set()),
                               ('', set()), ('naa.' + 'a' * 300, set())):
            with self.subTest(text=text):
                self.assertEqual(expected, designators.written(text))

    def test_multipath(self):
        self.assertEqual({f'naa.{NAA.hex()}'}, designators.multipath_wwid(f'3{NAA.hex()}'))
        self.assertEqual({'eui.0001020304050607'}, designators.multipath_wwid('20001020304050607'))
        for odd in ('1Linux_scsi_debug_2000', '', '3', 'mpatha', '3xyz', '36'):
            self.assertEqual(frozenset(), designators.multipath_wwid(odd))

    def test_read_refuses_all_but_designators(self):
        for bad in ('naa.12', {'a': 1}, 5, [5], ['naa'], ['naa.zz'], [['naa.12']],
                    ['naa.12'] * 65):
            with self.subTest(bad=bad):
                self.assertRaises(errors.BadPage, designators.read, bad)

    def test_agree(self):
        for one, other, expected in (
                (['naa.12'], ['naa.12'], True), (['naa.12'], ['naa.34'], False),
                (['naa.12', 't10.a'], ['naa.56', 't10.a'], False),
                (['naa.12'], ['t10.a'], None), ([], ['t10.a'], None),
                (['naa.12', 'naa.34'], ['naa.34'], True),
                (['serial.a'], ['serial.a', 'naa.12'], True)):
            with self.subTest(one=one, other=other):
                self.assertIs(expected, designators.agree(frozenset(one), frozenset(other)))
                self.assertIs(expected, designators.agree(frozenset(other), frozenset(one)))

    def test_words(self):
        self.assertEqual('naa.12', designators.words(frozenset(('serial.a', 'naa.12'))))
        self.assertEqual('unknown', designators.words(frozenset()))
        self.assertNotIn('\n', designators.words(frozenset(('name.a\nb',))))


class ContradictionTest(testtools.TestCase):
    """The strongest type that both have decides, and a contradiction inside it is another disk."""

    def agree(self, one, other):
        one, other = frozenset(one.split()), frozenset(other.split())
        self.assertIs(designators.agree(one, other), designators.agree(other, one))
        return designators.agree(one, other)

    def test_one_has_fewer(self):
        self.assertTrue(self.agree('naa.5000c5001234567a', 'naa.5000c5001234567a '
                                                           'naa.5000c5001234567b'))

    def test_the_id_of_a_shelf_is_shared(self):
        shelf = 'naa.50060e8000000000'
        self.assertFalse(self.agree(f'{shelf} naa.50060e8000000001',
                                    f'{shelf} naa.50060e8000000002'))

    def test_eui_64_and_nguid(self):
        eui, nguid = 'eui.0025385b01405f11', 'eui.0025385b01405f110000000000000001'
        self.assertFalse(self.agree(f'{eui} {nguid}', f'{eui} {nguid[:-1]}2'))
        self.assertTrue(self.agree(f'{eui} {nguid}', eui))
        # another type, so that nothing can be said
        self.assertIsNone(self.agree(eui, nguid))

    def test_naa_of_16_bytes_and_of_8(self):
        wide, narrow = f'naa.{NAA.hex()}', 'naa.5000c5001234567a'
        self.assertIsNone(self.agree(wide, narrow))
        self.assertTrue(self.agree(f'{wide} {narrow}', wide))
        self.assertFalse(self.agree(f'{wide} {narrow}', f'{wide[:-1]}f {narrow}'))
