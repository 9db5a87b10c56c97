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
"""The directory that Nova's tests expect to be run from.

They look for ``etc/`` and ``doc/`` beside the package. An installed Nova has
the one in the prefix of its environment; the other is only in its sdist, and
only the API and notification sample tests read it.
"""

import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence

# Tests of Nova's development tools. To discover any test, unittest imports
# all of them, and these import tools that only Nova's developers install.
LEFT_OUT = ("tests/unit/test_hacking.py", "tests/unit/test_profiler.py")


def build(where: pathlib.Path, nova_version: str, with_doc: bool) -> pathlib.Path:
    """Make the directory, or complete the one that is there.

    :param where: the directory; it is created.
    :param nova_version: of the installed Nova.
    :param with_doc: fetch Nova's sdist with pip for its ``doc/``.
    :raises LookupError: when the installed Nova lacks a part that tests need.
    """
    where.mkdir(parents=True, exist_ok=True)
    spec = importlib.util.find_spec("nova")
    if spec is None or spec.origin is None:
        raise LookupError("nova is not installed in this environment")
    package = pathlib.Path(spec.origin).parent
    if not (package / "tests" / "functional").is_dir():
        raise LookupError(f"{package} was installed without nova.tests; install Nova with pip")
    etc = pathlib.Path(sys.prefix) / "etc"
    if not (etc / "nova" / "api-paste.ini").is_file():
        raise LookupError(f"{etc}/nova/api-paste.ini, which is part of Nova's wheel, is missing")
    mirror(where / "nova", package, [pathlib.PurePath(name) for name in LEFT_OUT])
    mirror(where / "etc", etc)
    if with_doc and not (where / "doc").exists():
        mirror(where / "doc", _fetch_doc(where / "sdist", nova_version))
    return where


def mirror(
    link: pathlib.Path, target: pathlib.Path, leave_out: Sequence[pathlib.PurePath] = ()
) -> None:
    """Make one link to a directory, or a directory of links that lacks some files.

    :param link: what to make; what stands there is replaced.
    :param target: the directory.
    :param leave_out: paths below it.
    """
    if link.is_symlink():
        link.unlink()
    elif link.is_dir():
        shutil.rmtree(link)
    if not leave_out:
        link.symlink_to(target.resolve())
        return
    link.mkdir()
    for child in target.iterdir():
        below = [path.relative_to(child.name) for path in leave_out if path.parts[0] == child.name]
        if pathlib.PurePath() not in below:
            mirror(link / child.name, child, below)


def _fetch_doc(where: pathlib.Path, version: str) -> pathlib.Path:
    source = where / f"nova-{version}"
    if not source.is_dir():
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            + ["--no-binary", "nova", f"nova=={version}", "--dest", str(where)],
            check=True,
        )
        with tarfile.open(where / f"nova-{version}.tar.gz") as archive:
            archive.extractall(where, filter="data")
    return source / "doc"
