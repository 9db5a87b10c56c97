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
"""The command ``migsafe-status``: does anything stand in the way of a start or an upgrade?"""

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Sequence

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from migsafe import exceptions
from migsafe.cli import config, show
from migsafe.journal import opening

# The major versions of Nova whose seams are known: 2025.1, 2026.1, 2026.2. The signatures
# themselves are checked by migsafe.nova.seams.table when nova-compute starts.
SUPPORTED_NOVA = (31, 33, 34)
ENTRY_POINTS = 'os_vif'
LOAD = """
from importlib import metadata
for found in metadata.entry_points(group='os_vif', name='migsafe'):
    found.load().check()
"""


def _good() -> upgradecheck.Result:
    return upgradecheck.Result(upgradecheck.Code.SUCCESS)


def _doubt(detail: str) -> upgradecheck.Result:
    return upgradecheck.Result(upgradecheck.Code.WARNING, detail)


def _bad(detail: str) -> upgradecheck.Result:
    return upgradecheck.Result(upgradecheck.Code.FAILURE, detail)


def installed_nova() -> str | None:
    """Return the version of Nova in this environment, without importing any of it."""
    try:
        return importlib.metadata.version('nova')
    except importlib.metadata.PackageNotFoundError:
        return None


class Checks(upgradecheck.UpgradeCommands):
    """The checks of ``migsafe-status upgrade check``; each detail names its cure.

    :param load: returns the configuration
    """

    def __init__(self, load: Callable[[], cfg.ConfigOpts]) -> None:
        super().__init__()
        self._load = load

    def check_nova(self) -> upgradecheck.Result:
        """Nova of a version that migsafe knows."""
        found = installed_nova()
        if found is None:
            return _bad('Nova is not installed here. Install migsafe into the '
                          'environment of nova-compute: pip show nova must find it.')
        major = found.split('.', 1)[0]
        if not major.isdigit() or int(major) not in SUPPORTED_NOVA:
            return _bad(f'Nova {show.text(found)} is installed; supported are '
                          f'{", ".join(map(str, SUPPORTED_NOVA))}. Install a migsafe that '
                          'knows it.')
        return _good()

    def check_entry_point(self) -> upgradecheck.Result:
        """The os_vif entry point, by which nova-compute loads migsafe."""
        found = importlib.metadata.entry_points(group=ENTRY_POINTS, name='migsafe')
        if not found:
            return _bad(f'The entry point migsafe in the group {ENTRY_POINTS} is '
                          'missing, so that nova-compute never loads it. Install the package '
                          'again: pip install --force-reinstall --no-deps migsafe')
        return _good()

    def check_load(self) -> upgradecheck.Result:
        """What os_vif does with that entry point, and what nova-compute imports then.

        In a process of its own, because Nova may patch the one that imports it.
        """
        # NOTE: with the installation of this program alone; -P leaves the directory out in which
        # it happens to be run.
        try:
            done = subprocess.run([sys.executable, '-P', '-c', LOAD], capture_output=True,
                                  text=True, check=False)
        except OSError as error:
            return _bad(f'{sys.executable} cannot be started to look whether nova-compute can '
                        f'load migsafe: {error.strerror}')
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f'it ended with {done.returncode}'])[-1]
            return _bad(f'nova-compute cannot load migsafe: {show.text(last)}. Install it and '
                        'what it needs again, into the environment of nova-compute.')
        return _good()

    def check_enabled(self) -> upgradecheck.Result:
        """The options that make it protect anything."""
        try:
            group = self._load().migsafe
        except exceptions.MigsafeError as exc:
            return _bad(show.text(exc))
        if not group.enabled:
            return _doubt('Live migrations of this host are not protected. Set '
                          '[migsafe] enabled = true and restart nova-compute.')
        if not group.enforce:
            return _doubt('nova-compute starts unprotected if anything is wrong. '
                          'Set [migsafe] enforce = true once it has started well.')
        return _good()

    def check_schema(self) -> upgradecheck.Result:
        """The schema of the journal."""
        try:
            conf = self._load()
            config.become_owner(opening.journal_url(conf, conf.host))
            found, wanted = opening.versions(conf, conf.host)
        except exceptions.MigsafeError as exc:
            return _bad(show.text(exc))
        if found == wanted:
            return _good()
        if found is None and opening.journal_url(conf, conf.host).get_backend_name() == 'sqlite':
            return _doubt('There is no journal yet. nova-compute creates it when '
                          'it starts with [migsafe] enabled = true.')
        try:
            opening.open_journal(conf, conf.host, create=False).close()
        except exceptions.MigsafeError as exc:
            return _bad(show.text(exc))
        return _good()

    def check_journal(self) -> upgradecheck.Result:
        """The journal can be reached, is its owner's alone, and nothing in it is unsettled."""
        try:
            conf = self._load()
            config.become_owner(opening.journal_url(conf, conf.host))
            if opening.versions(conf, conf.host)[0] is None:
                return _good()
            with config.opened(conf) as journal:
                journal.check_readable()
                total, held = journal.count_unsettled().get(conf.host, (0, 0))
        except exceptions.MigsafeError as exc:
            return _bad(show.text(exc))
        if total:
            return _doubt(f'{total} live migration(s) of this host are not settled, {held} of '
                            'them held. They are settled once nova-compute runs; what is held '
                            'says why in: migsafe residue list')
        return _good()

    _upgrade_checks = (
        ('Supported Nova', check_nova),
        ('os_vif entry point', check_entry_point),
        ('Load as os_vif does', check_load),
        ('Options', check_enabled),
        ('Journal schema', check_schema),
        ('Journal', check_journal),
    )


def main(argv: Sequence[str] | None = None,
         default_config_files: Sequence[str] = config.DEFAULTS) -> int:
    """Run the command; return 0 for success, 1 for warnings, 2 for failures, 255 for errors."""
    conf = cfg.ConfigOpts()
    words = list(sys.argv[1:] if argv is None else argv)

    def load() -> cfg.ConfigOpts:
        # NOTE: without the option config_dir holds what oslo.config finds for "migsafe".
        given = any(word.startswith('--config-dir') for word in words)
        return config.load(conf.config_file, default_config_files,
                           conf.config_dir if given else None)
    try:
        return int(upgradecheck.main(
            conf, project='migsafe', upgrade_command=Checks(load), argv=words,
            default_config_files=[]))
    except cfg.ConfigFilesNotFoundError as exc:
        print(f'{", ".join(exc.config_files)} cannot be read; name another file with '
              '--config-file.', file=sys.stderr)
    except cfg.ConfigDirNotFoundError as exc:
        print(f'{exc.config_dir} cannot be read; name another directory with --config-dir.',
              file=sys.stderr)
    except cfg.ConfigFileParseError as exc:
        print(f'{exc.config_file} is no configuration file.', file=sys.stderr)
    return 255


if __name__ == '__main__':
    sys.exit(main())
