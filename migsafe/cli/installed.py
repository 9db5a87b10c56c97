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
"""Whether the installed ``migsafe`` is this project, and whether nova-compute loads it.

On the package index ``migsafe`` is another project, with the same import package. Installed by
mistake it leaves nova-compute unprotected; installed beside this one it overwrites modules. The
metadata of the Python environment in which this runs decides; nothing is imported for it.
"""

import base64
import hashlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator

from migsafe import version
from migsafe.cli import show
from migsafe.text import shell

PACKAGE = 'migsafe'
GROUP, NAME, LOADER = 'os_vif', 'migsafe', 'migsafe.nova.loader:Plugin'
_MODULE = rf'"?{PACKAGE}(/.*\.py|\.py)("|,|$)'
CURE = ('Remove what is there and install this project again, from its own wheel or checkout: '
        'pip uninstall {names}; pip install ./openstack_migsafe-*.whl')


def problems() -> list[str]:
    """Return what is wrong with the installation, a sentence each; the last one is the cure."""
    ours, others = _providers()
    found = [*_foreign(others), *_missing(ours), *_entry_point()]
    for distribution in ours[:1]:
        found += [*_shadowed(distribution), *_changed(distribution)]
    if not found:
        return []
    names = {_name(each) for each in (*ours, *others)} or {version.DISTRIBUTION}
    return [*found, CURE.format(names=' '.join(shell(name) for name in sorted(names)))]


def _providers() -> tuple[list[importlib.metadata.Distribution],
                          list[importlib.metadata.Distribution]]:
    """Return the distributions with the import package: this project's, and all others."""
    names = {_name(each) for each in importlib.metadata.distributions() if _provides(each)}
    found = [importlib.metadata.distribution(name) for name in sorted(names)]
    return ([each for each in found if _is_ours(each)],
            [each for each in found if not _is_ours(each)])


def _provides(distribution: importlib.metadata.Distribution) -> bool:
    """Whether a distribution has the import package.

    As importlib.metadata.packages_distributions() finds it, but without parsing what all others
    have installed, which takes seconds in an environment of Nova.
    """
    declared = distribution.read_text('top_level.txt')
    if declared and declared.split():
        return PACKAGE in declared.split()
    listed = distribution.read_text('RECORD')
    if listed is not None:
        return any(re.match(_MODULE, line) for line in listed.splitlines())
    return any(re.match(_MODULE, str(each)) for each in distribution.files or ())


def _name(distribution: importlib.metadata.Distribution) -> str:
    return str(distribution.metadata['Name'])


def _is_ours(distribution: importlib.metadata.Distribution | None) -> bool:
    return (distribution is not None
            and _name(distribution).lower().replace('_', '-') == version.DISTRIBUTION)


def _foreign(others: Iterable[importlib.metadata.Distribution]) -> Iterator[str]:
    for each in others:
        yield (f'The distribution {show.text(_name(each))} {show.text(each.version)} has an '
               f'import package {PACKAGE} too, and is not {version.DISTRIBUTION}')


def _missing(ours: list[importlib.metadata.Distribution]) -> Iterator[str]:
    if not ours:
        yield f'The distribution {version.DISTRIBUTION} is not installed in this environment'


def _entry_point() -> Iterator[str]:
    """nova-compute loads every entry point of the group that os_vif asks for."""
    found = list(importlib.metadata.entry_points(group=GROUP, name=NAME))
    if not any(_is_ours(each.dist) and each.value == LOADER for each in found):
        yield (f'The entry point {NAME} in the group {GROUP} is missing, so that nova-compute '
               'never loads migsafe')
    for each in found:
        if not _is_ours(each.dist) or each.value != LOADER:
            whose = _name(each.dist) if each.dist else 'an unknown distribution'
            yield (f'The entry point {NAME} in the group {GROUP} is also that of '
                   f'{show.text(whose)}: {show.text(each.value)}')


def _shadowed(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    """Another directory comes first on the import path."""
    installed = next((each for each in distribution.files or ()
                      if str(each) == f'{PACKAGE}/__init__.py'), None)
    spec = importlib.util.find_spec(PACKAGE)
    if installed is None or spec is None or spec.origin is None:
        return  # an editable installation names no files of the package
    wanted = os.path.realpath(str(installed.locate()))
    if os.path.realpath(spec.origin) != wanted:
        yield (f'Python imports {PACKAGE} from {show.text(spec.origin)}, while '
               f'{version.DISTRIBUTION} is installed as {show.text(wanted)}')


def _changed(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    """Another distribution has written over modules of this one."""
    changed = [str(each) for each in distribution.files or ()
               if str(each).startswith(f'{PACKAGE}/') and each.hash is not None
               and _digest(str(each.locate()), each.hash.mode) != each.hash.value]
    if changed:
        yield (f'{len(changed)} file(s) are not what {version.DISTRIBUTION} '
               f'{show.text(distribution.version)} installed, the first is '
               f'{show.text(changed[0])}')


def _digest(path: str, algorithm: str) -> str:
    """Return a file's hash as RECORD has it; empty where the file cannot be read."""
    try:
        with open(path, 'rb') as handle:
            found = hashlib.new(algorithm, handle.read()).digest()
    except OSError:
        return ''
    return base64.urlsafe_b64encode(found).rstrip(b'=').decode()
