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
"""``python -m migsafe.tests.brick_armed.main``: os-brick's own tests, plain and guarded.

Each test has to end alike in both runs, but for those of KNOWN, and each of those has to differ:
a reason that does not hold any more is to be taken out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from migsafe.tests.nova_armed import compare

_PATHS = 'the guard asks os-brick for the paths of the volume, and os-brick does again'
_FC = 'os_brick.tests.initiator.connectors.test_fibre_channel.FibreChannelConnectorTestCase.'
_NVME = 'os_brick.tests.initiator.connectors.test_nvmeof.NVMeOFConnectorTestCase.'
#: Tests that pass plain and fail guarded -> why that is as it should be.
KNOWN = {
    f'{_FC}test_disconnect_volume_fails_1': f'counts the calls of realpath(): {_PATHS}',
    f'{_FC}test_disconnect_volume_fails_2': f'counts the calls of realpath(): {_PATHS}',
    f'{_FC}test_disconnect_volume_fails_3__False__None_':
        f'counts the calls of realpath(): {_PATHS}',
    f'{_NVME}test_disconnect_volume_path_doesnt_exist': f'counts get_volume_paths(): {_PATHS}',
    f'{_NVME}test_disconnect_volume_path_not_found': f'counts get_volume_paths(): {_PATHS}',
    f'{_NVME}test_disconnect_volume_replicated': f'counts get_volume_paths(): {_PATHS}',
    f'{_NVME}test_disconnect_volume_unreplicated': f'counts get_volume_paths(): {_PATHS}',
}
#: Connector classes of os-brick that must have been guarded, or the comparison shows nothing.
GUARDED = 5
#: Seconds of a run, which takes ten; after these it hangs.
TIMEOUT = 900
#: What plain os-brick does, once for each release.
BASELINES = pathlib.Path(__file__).parent / 'baselines'


def run(mode: str, work: pathlib.Path) -> dict[str, Any]:
    """One run, in a process of its own.

    :param mode: plain or armed
    :returns: see run.main()
    :raises subprocess.SubprocessError: if it did not come to its end
    """
    result = work / f'{mode}.json'
    with (work / f'{mode}.log').open('wb') as log:
        subprocess.run(
            (sys.executable, '-W', 'ignore', '-m', 'migsafe.tests.brick_armed.run', mode,
             str(result)), check=True, stdout=log, stderr=log, timeout=TIMEOUT)
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def baseline() -> pathlib.Path:
    """Where the outcomes of the plain run are recorded for the installed os-brick."""
    return BASELINES / f'os-brick-{importlib.metadata.version("os-brick")}.json'


def plain(recorded: bool, work: pathlib.Path) -> dict[str, Any]:
    """What os-brick's tests do without the guards.

    :param recorded: it is taken from the baseline, if this release has one
    """
    if recorded and baseline().is_file():
        return {'armed': [], 'outcomes': json.loads(baseline().read_text())}
    return run('plain', work)


def judge(plain: dict[str, Any], armed: dict[str, Any]) -> tuple[dict[str, int], list[str]]:
    """Compare two runs.

    :returns: counts, and lines for a person. What fails alike, or is skipped, counts as skipped:
        it shows nothing
    """
    one, other = plain['outcomes'], armed['outcomes']
    different = {found.test: found for found in compare.differences(one, other)}
    lines = [f'DIFFERENT {test}: {found.plain} plain, {found.armed} guarded\n'
             f'{armed["reasons"].get(test, "")}'
             for test, found in different.items() if test not in KNOWN]
    lines += [f'NOT DIFFERENT any more, take it out of KNOWN: {test}'
              for test in KNOWN if test not in different]
    if len(armed['armed']) != GUARDED or plain['armed']:
        lines.append(f'NOT GUARDED as it should be: {armed["armed"]}, plain {plain["armed"]}')
    failed = len(lines)
    alike = [outcome for test, outcome in other.items() if test not in different]
    lines += [f'fails plain too: {test}' for test, outcome in one.items()
              if outcome == 'failed' and test not in different]
    lines += [f'known: {test}: {why}' for test, why in KNOWN.items() if test in different]
    passed = alike.count('passed')
    return {'passed': passed, 'failed': failed, 'skipped': len(alike) - passed}, lines


def main() -> int:
    """Exit code 0: the same results but for the known differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', type=pathlib.Path)
    parser.add_argument('--result', type=pathlib.Path, help='write the counts there, as JSON')
    parser.add_argument('--baseline', action='store_true',
                        help='take what plain os-brick does from the recorded outcomes')
    parser.add_argument('--record', action='store_true', help='write the plain outcomes down')
    args = parser.parse_args()
    work = args.work_dir or pathlib.Path(tempfile.mkdtemp(prefix='brick-armed.'))
    work.mkdir(parents=True, exist_ok=True)
    bare = plain(args.baseline, work)
    if args.record:
        BASELINES.mkdir(exist_ok=True)
        baseline().write_text(json.dumps(bare['outcomes'], indent=1, sort_keys=True) + '\n')
    counts, lines = judge(bare, run('armed', work))
    print(*lines, sep='\n')
    print(f'logs in {work}')
    print(', '.join(f'{number} {what}' for what, number in counts.items()))
    if args.result:
        args.result.write_text(json.dumps(counts))
    return 1 if counts['failed'] else 0


if __name__ == '__main__':
    sys.exit(main())
