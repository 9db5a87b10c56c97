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
"""What a guest gets: a tar with a script, and once the code that it needs."""

from __future__ import annotations

import importlib.metadata
import io
import json
import pathlib
import tarfile

from migsafe import version

HERE = pathlib.Path(__file__).parent
GUEST = HERE / 'guest'
PACKAGE = HERE.parents[1]
#: What of the package is tested in the guest; it may change without a new snapshot.
UNDER_TEST = ('__init__.py', 'masking.py', 'text.py', 'discreet.py', 'exceptions.py',
              'version.py', 'clock.py', 'conf', 'brick', 'lvm', 'journal', 'ledger', 'cinder',
              'cli', 'process.py')


def code() -> dict[str, bytes]:
    """The helpers in guest/, and the package as it is now."""
    found = {path.name: path.read_bytes() for path in sorted(GUEST.glob('*.py'))}
    for name in UNDER_TEST:
        path = PACKAGE / name
        for file in sorted(path.rglob('*.py')) if path.is_dir() else [path]:
            found[f'migsafe/{file.relative_to(PACKAGE)}'] = file.read_bytes()
    return found | _metadata()


def _metadata() -> dict[str, bytes]:
    """By which the guest finds the entry points of the package."""
    ours = importlib.metadata.distribution(version.DISTRIBUTION)
    entry_points = ours.read_text('entry_points.txt')
    about = f'Metadata-Version: 2.1\nName: {version.DISTRIBUTION}\nVersion: 0\n'
    return {'migsafe-0.dist-info/METADATA': about.encode(),
            'migsafe-0.dist-info/entry_points.txt': (entry_points or '').encode()}


def tar(script: str, timeout: float, saved: bool, files: dict[str, bytes]) -> bytes:
    """A job.

    :param timeout: seconds of the guest's clock
    :param saved: the guest is saved when the script has ended, and gets another one to go on with
    :param files: name -> content of what lies beside the script
    """
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode='w') as archive:
        # first, because the guest takes a disk that begins with a zero for an empty one
        _add(archive, 'job.json', json.dumps({'timeout': timeout, 'saved': saved}).encode())
        _add(archive, 'script.py', script.encode())
        for name, content in files.items():
            _add(archive, name, content)
    return data.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
