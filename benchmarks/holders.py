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
"""What it costs to ask what stands on one device, and what it would cost to ask others.

    python benchmarks/holders.py [--devices 1,20,200] [--made-up 4,200,10000] [--json]

Real devices are those of the storage tests' virtual machine: loop devices that are the physical
volumes of one volume group, and a device-mapper table on each. Its processor is emulated, so that
only the ratios between the columns of a row say something. On made-up sysfs trees the machine
itself is measured: each volume there is a multipath map over two paths with a logical volume.
"""

import argparse
import json
import statistics
import sys
import time

import prettytable

from migsafe.brick.kernel import holders, sysfs
from migsafe.tests.storage import vm
from migsafe.tests.unit.brick import trees

ROUNDS = 300
MADE_UP = ('devices on the host', 'map and LV: ms', '99 %', 'two paths, map and LV: ms',
           '99 % of that')
REAL = ('devices', 'holders: ms', 'lvs', 'lsblk -J', 'dmsetup ls --tree', 'lvs / holders',
        'lsblk / holders', 'dmsetup / holders')
#: Run in the guest; DEVICES is put before it.
IN_THE_GUEST = '''
import json, pathlib, statistics, subprocess, time
import host
from migsafe.brick.kernel import holders, sysfs

host.run('modprobe', 'loop', f'max_loop={DEVICES}')
names = []
for number in range(DEVICES):
    with open(f'/srv/bench{number}', 'wb') as file:
        file.truncate(8 << 20)
    names.append(host.run('losetup', '--find', '--show', f'/srv/bench{number}').strip())
host.settle()
host.run('vgcreate', '-y', 'bench', *names)
host.run('lvcreate', '-y', '-l', '1', '-n', 'one', 'bench', names[0])
for number, name in enumerate(names):
    host.run('dmsetup', 'create', f'on{number}', '--table', f'0 1024 linear {name} 8192')
host.settle()

def ms(function, rounds):
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times)

def command(*words):
    return lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)

def look():
    tree = holders.climb(sysfs.Sysfs(), [names[0].removeprefix('/dev/')])
    assert len(holders.blocking(tree, [names[0].removeprefix('/dev/')])) == 2, tree

pathlib.Path('out', 'result.json').write_text(json.dumps([
    DEVICES, ms(look, 20), ms(command('lvs'), 3), ms(command('lsblk', '-J'), 3),
    ms(command('dmsetup', 'ls', '--tree'), 3)]))
'''


def made_up(count):
    """One row of MADE_UP.

    :param count: devices on the host, four for each volume
    """
    volumes = max(1, count // 4)
    with trees.Tree() as tree:
        for number in range(volumes):
            paths = [tree.disk(f'sd{number}x{path}') for path in 'ab']
            tree.dm(f'dm-{2 * number}', f'mpath-3600{number:029x}', *paths)
            tree.lv(f'dm-{2 * number + 1}', f'dm-{2 * number}')
        # one device is asked for, and then all paths of a volume, as a detach does
        view = sysfs.Sysfs(str(tree.root))
        top = f'dm-{2 * (volumes // 2)}'
        return [count, *timed(view, [top], 2), *timed(
            view, [f'sd{volumes // 2}x{path}' for path in 'ab'], 4)]


def timed(view, names, expected):
    """Milliseconds of one look: median, and what 99 of 100 stay below."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        found = holders.climb(view, names)
        times.append((time.perf_counter() - begin) * 1000)
        if len(found) != expected:
            raise SystemExit(f'{len(found)} devices instead of {expected}')
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def real(count):
    """One row of REAL, without its ratios."""
    done = vm.StorageVM().run(f'DEVICES = {count}\n{IN_THE_GUEST}', timeout=1800)
    if done.rc:
        raise SystemExit(done.stdout)
    return json.loads(done.files['result.json'])


def table(header, rows):
    """Print what was found."""
    made = prettytable.PrettyTable(header)
    made.align = 'r'
    for row in rows:
        made.add_row([f'{value:.3f}' if isinstance(value, float) and value < 10
                      else f'{value:,.0f}' for value in row])
    print(made)


def numbers(text):
    """1,20,200 -> [1, 20, 200]."""
    return [int(number) for number in text.split(',')]


def main():
    """Measure, and print one table for each kind of device."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--devices', type=numbers, default=[1, 20, 200])
    parser.add_argument('--made-up', type=numbers, default=[4, 200, 10_000])
    parser.add_argument('--skip-real', action='store_true', help='start no virtual machine')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    native = [made_up(count) for count in args.made_up]
    found = [] if args.skip_real else [real(count) for count in args.devices]
    if args.json:
        json.dump({'made_up': native, 'real': found}, sys.stdout)
        return
    table(MADE_UP, native)
    table(REAL, [[*row, *(value / row[1] for value in row[2:])] for row in found])


if __name__ == '__main__':
    main()
