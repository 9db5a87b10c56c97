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
"""Builds the wheel of this tree, and environments that have nothing else of migsafe."""

from __future__ import annotations

import os
import pathlib
import shutil
import stat
import subprocess
import sys
import sysconfig

ROOT = pathlib.Path(__file__).resolve().parents[3]
NOBODY = 65534
SYSTEM_PYTHON = '/usr/bin/python3'
VERSION = '9.8.7'


def wheel(top: pathlib.Path) -> pathlib.Path:
    """Build the wheel of the tree as it is now; what earlier builds left is not looked at."""
    copy = top / 'tree'
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(
        '.*', 'build', 'dist', 'cover', '__pycache__', '*.egg-info'))
    stale = copy / 'build' / 'lib' / 'migsafe' / 'of_an_earlier_build.py'
    stale.parent.mkdir(parents=True)
    stale.touch()
    # pbr asks git which files belong to the project
    for command in (('init', '-q'), ('add', '-A')):
        _checked('git', *command, cwd=copy)
    _checked(sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation',
             '--no-index', '--wheel-dir', str(top), '.', cwd=copy, PBR_VERSION=VERSION)
    found, = top.glob('*.whl')
    return found


def _checked(*command: str, cwd: pathlib.Path | None = None, **environ: str) -> str:
    done = subprocess.run(command, cwd=cwd, env=os.environ | environ, capture_output=True,
                          text=True, check=False)
    if done.returncode:
        raise AssertionError(f'{command} ended with {done.returncode}:\n{done.stdout}\n'
                             f'{done.stderr}')
    return done.stdout


def reachable(path: str) -> bool:
    """Whether a user without any right of its own gets to a file."""
    real = pathlib.Path(os.path.realpath(path))
    return all(each.stat().st_mode & stat.S_IXOTH for each in (real, *real.parents))


def unprivileged_python() -> str | None:
    """The interpreter of the tests, or the system's of the same version; None without either."""
    for path in (os.path.realpath(sys.executable), SYSTEM_PYTHON):
        if os.path.exists(path) and (os.geteuid() or reachable(path)) and _version(
                path) == _version(sys.executable):
            return path
    return None


def _version(python: str) -> str:
    return _checked(python, '-c', 'import sys; print(sys.version_info[:2])')


class Environment:
    """A virtual environment with the libraries of the tests' own, and without its migsafe.

    :param top: a directory that others can enter
    :param python: the interpreter
    """

    def __init__(self, top: pathlib.Path, python: str) -> None:
        self.bin = top / 'venv' / 'bin'
        self.home = top / 'home'
        self.home.mkdir()
        _checked(python, '-m', 'venv', '--without-pip', str(top / 'venv'))
        libraries = top / 'libraries'
        libraries.mkdir()
        for each in pathlib.Path(sysconfig.get_path('purelib')).iterdir():
            if 'migsafe' not in each.name:
                (libraries / each.name).symlink_to(each)
        self.site, = (top / 'venv' / 'lib').glob('python*/site-packages')
        (self.site / 'libraries.pth').write_text(f'{libraries}\n')

    def install(self, package: pathlib.Path) -> None:
        """Install one wheel, without what it requires."""
        _checked(sys.executable, '-m', 'pip', '--python', str(self.bin / 'python'), 'install',
                 '--no-deps', '--no-index', '--quiet', str(package))

    def run(self, command: str, *arguments: str) -> tuple[int, str]:
        """Run a program of the environment as a user without rights.

        :returns: its exit code and all that it printed
        """
        who: list[str] = []
        if os.geteuid() == 0:
            os.chown(self.home, NOBODY, NOBODY)
            who = ['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups']
        done = subprocess.run(
            [*who, str(self.bin / command), *arguments], cwd=self.home, text=True,
            env={'PATH': f'{self.bin}:/usr/bin:/bin', 'HOME': str(self.home)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout

    def python(self, script: str) -> str:
        """Return what a script prints.

        :raises AssertionError: it failed
        """
        code, shown = self.run('python', '-W', 'ignore', '-c', script)
        if code:
            raise AssertionError(shown)
        return shown
