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
"""Which services of OpenStack a host has, by what is installed and what is configured."""

import dataclasses
import importlib.metadata
import os
from collections.abc import Sequence

from oslo_config import cfg

from migsafe.cli import config
from migsafe.conf import files

#: What cinder-volume reads by itself, with the directories of the same names.
CINDER = ('/etc/cinder/cinder.conf', '/etc/cinder/cinder-volume.conf')


@dataclasses.dataclass(frozen=True)
class Host:
    """What a host is.

    :param kinds: Nova, Cinder, both or none
    :param text: for people: what was found, or why there is nothing to check
    """

    kinds: tuple[str, ...]
    text: str
    nova_files: tuple[str, ...] = ()
    cinder_files: tuple[str, ...] = ()


def installed(package: str) -> str | None:
    """Return the version of a package in this environment, without importing any of it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def named(given: Sequence[str], directories: Sequence[str] | None) -> Host:
    """What a host is by the configuration that was named: that of one service.

    A cinder.conf is one that enables backends.

    :param given: files; they could be read as such before
    """
    conf, read = cfg.ConfigOpts(), tuple(config.chosen(given, (), directories))
    conf.register_opts([cfg.ListOpt('enabled_backends', default=[])])
    conf([], project='migsafe', default_config_files=read, default_config_dirs=[])
    kind = 'Cinder' if conf.enabled_backends else 'Nova'
    if not (installed('nova') or installed('cinder')):
        return _neither()
    return Host((kind,), f'{kind} {installed(kind.lower()) or "(not installed)"}, by '
                f'{", ".join(read)}', **{f'{kind.lower()}_files': read})


def usual(nova: Sequence[str], cinder: Sequence[str]) -> Host:
    """What a host is by what is installed, and by the files that the services read themselves.

    :param nova: files of Nova that are looked for
    :param cinder: those of Cinder
    """
    found = {'Nova': files.usual(nova), 'Cinder': files.usual(cinder)}
    kinds, told = [], []
    for kind, names in found.items():
        version = installed(kind.lower())
        closed = [name for name in names if not os.access(name, os.R_OK)]
        if closed:
            told.append(f'{kind} was not checked: {closed[0]} cannot be read by this user. Run '
                        f'the command as the user of {kind} too')
        elif names and (version or kind == 'Nova') or version and kind == 'Nova':
            kinds.append(kind)
            told.append(f'{kind} {version or "(not installed)"}, by '
                        f'{", ".join(names) or "its defaults"}')
        elif names:
            told.append(f'{kind} was not checked: {names[0]} is here, but {kind} is not in this '
                        f'environment. Run the migsafe-status of that environment too')
        elif version:
            told.append(f'{kind} {version} was not checked: it is installed, but has no '
                        f'{cinder[0] if cinder else "configuration"}. Name it with --config-file')
    if not told:
        return _neither()
    return Host(tuple(kinds), '. '.join(told), tuple(found['Nova'] if 'Nova' in kinds else ()),
                tuple(found['Cinder'] if 'Cinder' in kinds else ()))


def _neither() -> Host:
    return Host((), 'Neither Nova nor Cinder is installed in this environment, so that nothing '
                'was checked. Install migsafe into the environment of nova-compute or '
                'cinder-volume, and run the migsafe-status that is there.')
