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
"""A virtual machine that is booted once, and restored for each test."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

from migsafe.tests.storage import image, jobs, qemu

#: What is in the first snapshot; everything else below guest/ comes with each job.
BOOTED = ('boot', 'init', 'systemd-run', 'agent.py', 'array_set_up.py')
JOB_SIZE, RESULT_SIZE = 4 << 20, 16 << 20
#: Seconds of the host's clock.
BOOT_TIMEOUT = 1800


@dataclasses.dataclass(frozen=True)
class Result:
    """What a script left.

    :param rc: its exit code; 124 if it took too long by the guest's clock
    :param stdout: what it printed, errors too
    :param files: name -> content of what it wrote to out/
    """

    rc: int
    stdout: str
    files: dict[str, bytes]


class StorageVM:
    """Runs scripts in the guest, each in a pristine one.

    There are snapshots of the guest as it has booted, and of what preludes have made of that. The
    latter are of use for one state of the code under test, and there are some gigabytes of them:
    who makes the first for new code removes those for other code that nobody is running.
    """

    def __init__(self) -> None:
        self._image = image.ready()
        key = image.digest(self._image.name, qemu.version(), *qemu.ARGUMENTS,
                           qemu.MEMORY, qemu.KERNEL_ARGUMENTS, pathlib.Path(__file__).read_bytes(),
                           *(part for name in BOOTED
                             for part in (name, (jobs.GUEST / name).read_bytes())))
        self._snapshot = self._image / f'snapshot-{key}'
        self._code = jobs.code()
        key = image.digest(key, *(part for file in self._code.items() for part in file))
        self._preludes = self._image / f'preludes-{key}'
        #: The lock that keeps the preludes as long as this process lives.
        self._kept: IO[str] | None = None

    def prepare(self) -> None:
        """Boot, and take the snapshot, unless there is one; one process of all does it."""
        with _only_one(self._image / 'lock'):
            if self._snapshot.is_dir():
                return
            with tempfile.TemporaryDirectory(dir=self._image) as name:
                made = pathlib.Path(name) / 'made'
                made.mkdir()
                _initrd(self._image / 'boot', made / 'initrd')
                disks = _disks(pathlib.Path(name))
                with qemu.Machine(self._image, made / 'initrd', disks, pathlib.Path(name),
                                  made / 'memory', share=True) as machine:
                    machine.wait_for('READY', BOOT_TIMEOUT)
                    machine.save(made / 'state')
                made.rename(self._snapshot)

    def run(self, script: str, preludes: Sequence[str] = (), timeout: float = 600) -> Result:
        """Run a Python script in a restore of a snapshot.

        :param preludes: scripts that come before it in the same process. The guest is saved after
            each; the next time it is restored from there
        :param timeout: seconds of the guest's clock, for each script. By the host's it may take
            three times as long: a guest that only sleeps is much faster
        :raises qemu.Failed: if the guest does not end by itself
        """
        start = self._after(tuple(preludes), timeout)
        with tempfile.TemporaryDirectory(prefix='storage-') as name:
            work = pathlib.Path(name)
            disks = _disks(work, self._job(script, timeout, not preludes))
            with self._restored(start, disks, work, start / 'memory') as machine:
                if not machine.wait(3 * timeout):
                    raise qemu.Failed(f'the guest did not end: {machine.last_words()}')
            return _result(disks[1])

    def _after(self, preludes: tuple[str, ...], timeout: float) -> pathlib.Path:
        """The snapshot that was taken after some preludes, which is made unless it is there."""
        if not preludes:
            self.prepare()
            return self._snapshot
        before = self._after(preludes[:-1], timeout)
        self._keep()
        found = self._preludes / image.digest(*preludes)
        with _only_one(found.with_suffix('.lock')):
            if not found.is_dir():
                with tempfile.TemporaryDirectory(dir=self._preludes) as name:
                    self._make(before, self._job(preludes[-1], timeout, not preludes[1:], True),
                               pathlib.Path(name), timeout)
                    (pathlib.Path(name) / 'made').rename(found)
        return found

    def _make(self, before: pathlib.Path, job: bytes, work: pathlib.Path, timeout: float) -> None:
        """Go on from a snapshot in a copy of its memory, and save that to made/."""
        made = work / 'made'
        made.mkdir()
        disks = _disks(work, job)
        subprocess.run(('cp', '--sparse=always', before / 'memory', made / 'memory'), check=True)
        with self._restored(before, disks, work, made / 'memory', share=True) as machine:
            try:
                machine.wait_for('SAVE', 3 * timeout)
            except qemu.Failed as error:
                said = _result(disks[1]).stdout if machine.process.poll() == 1 else ''
                raise qemu.Failed(f'a prelude did not come to its end: {error}\n{said}') from error
            machine.save(made / 'state')

    @contextlib.contextmanager
    def _restored(self, start: pathlib.Path, disks: Sequence[pathlib.Path], work: pathlib.Path,
                  memory: pathlib.Path, share: bool = False) -> Iterator[qemu.Machine]:
        with qemu.Machine(self._image, self._snapshot / 'initrd', disks, work, memory,
                          start / 'state', share) as machine:
            machine.resume()
            yield machine

    def _job(self, script: str, timeout: float, first: bool, saved: bool = False) -> bytes:
        """The code goes with the first of several scripts."""
        return jobs.tar(script, timeout, saved, self._code if first else {})

    def _keep(self) -> None:
        """Have nobody remove the preludes of this code, and remove those that nobody keeps."""
        if self._kept:
            return
        with _only_one(self._image / 'lock'):
            for other in self._image.glob('preludes-*/'):
                if other != self._preludes:
                    _remove_unless_kept(other)
            self._preludes.mkdir(exist_ok=True)
            self._kept = (self._preludes / 'kept').open('w')
            fcntl.flock(self._kept, fcntl.LOCK_SH)


def _remove_unless_kept(preludes: pathlib.Path) -> None:
    """The caller has the lock without which nobody begins to keep any."""
    with (preludes / 'kept').open('w') as kept, contextlib.suppress(BlockingIOError):
        fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(preludes)


@contextlib.contextmanager
def _only_one(path: pathlib.Path) -> Iterator[None]:
    """Of all processes."""
    with path.open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _disks(work: pathlib.Path, job: bytes = b'') -> list[pathlib.Path]:
    """A disk with the job and an empty one for its results: their sizes are in the snapshot."""
    if len(job) > JOB_SIZE:
        raise qemu.Failed(f'the job has {len(job)} bytes, its disk {JOB_SIZE}')
    disks = []
    for name, size, data in (('job', JOB_SIZE, job), ('result', RESULT_SIZE, b'')):
        with (work / name).open('wb') as stream:
            stream.write(data)
            stream.truncate(size)
        disks.append(work / name)
    return disks


def _result(disk: pathlib.Path) -> Result:
    files: dict[str, bytes] = {}
    with tarfile.open(disk) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream:
                files[member.name] = stream.read()
    return Result(int(files.pop('rc')), files.pop('stdout').decode(errors='replace'),
                  {name.removeprefix('out/'): data for name, data in files.items()})


def _initrd(boot: pathlib.Path, target: pathlib.Path) -> None:
    """busybox, the modules that find the disk, and the guest's side of these tests."""
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for path in boot.iterdir():
            (root / path.name).write_bytes(path.read_bytes())
        (root / 'busybox').chmod(0o755)
        (root / 'guest').mkdir()
        for booted in BOOTED:
            (root / 'guest' / booted).write_bytes((jobs.GUEST / booted).read_bytes())
        (root / 'init').write_bytes((jobs.GUEST / 'boot').read_bytes())
        (root / 'init').chmod(0o755)
        names = '\n'.join(sorted(str(path.relative_to(root)) for path in root.rglob('*')))
        archive = subprocess.run(('cpio', '--quiet', '-o', '-H', 'newc'), cwd=root, check=True,
                                 input=names.encode(), capture_output=True).stdout
    target.write_bytes(archive)


if __name__ == '__main__':
    # ahead of the tests, whose processes would wait for the one that boots
    print(image.build())
    StorageVM().prepare()
