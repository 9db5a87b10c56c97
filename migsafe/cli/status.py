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
"""The command ``migsafe-status``: checks before a start or an upgrade."""

import functools
import subprocess
import sys
from collections.abc import Callable, Sequence

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from migsafe import exceptions
from migsafe.cli import (
    config,
    database,
    installed,
    results,
    rootwrap,
    services,
    show,
    status_cinder,
)
from migsafe.journal import opening, separation
from migsafe.lvm import services as lvm_services

# The major versions of Nova whose seams are known: 2025.1, 2026.1, 2026.2. The signatures
# themselves are checked by migsafe.nova.seams.table when nova-compute starts.
SUPPORTED_NOVA = (31, 33, 34)
LOAD = """
from importlib import metadata
for found in metadata.entry_points(group='os_vif', name='migsafe'):
    found.load().check()
"""


def installed_nova() -> str | None:
    """Return the version of Nova in this environment, without importing any of it."""
    return services.installed('nova')


class Checks(upgradecheck.UpgradeCommands):
    """The checks of ``migsafe-status upgrade check``; each detail names its cure.

    :param load: returns Nova's configuration
    :param found: returns what this host is
    """

    def __init__(self, load: Callable[[], cfg.ConfigOpts],
                 found: Callable[[], services.Host]) -> None:
        super().__init__()
        self._load, self._found = load, found

    def check_host(self) -> upgradecheck.Result:
        """What this host is, and with it which checks follow."""
        found = self._found()
        if not found.kinds:
            return results.bad(found.text)
        return results.good(found.text)

    def check_nova(self) -> upgradecheck.Result:
        """Nova of a version that migsafe knows."""
        found = installed_nova()
        if found is None:
            return results.bad('Nova is not installed here. Install migsafe into the '
                          'environment of nova-compute: pip show nova must find it.')
        major = found.split('.', 1)[0]
        if not major.isdigit() or int(major) not in SUPPORTED_NOVA:
            return results.bad(f'Nova {show.text(found)} is installed; supported are '
                          f'{", ".join(map(str, SUPPORTED_NOVA))}. Install a migsafe that '
                          'knows it.')
        return results.good()

    def check_installed(self) -> upgradecheck.Result:
        """What is installed as migsafe is this project, and has its os_vif entry point."""
        found = installed.problems()
        return results.bad('. '.join(found)) if found else results.good()

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
            return results.bad(
                f'{sys.executable} cannot be started to look whether nova-compute can load '
                f'migsafe: {error.strerror}')
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f'it ended with {done.returncode}'])[-1]
            return results.bad(
                f'nova-compute cannot load migsafe: {show.text(last)}. Install it and what it '
                'needs again, into the environment of nova-compute.')
        return results.good()

    def check_enabled(self) -> upgradecheck.Result:
        """The options that make it protect anything."""
        try:
            group = self._load().migsafe
        except exceptions.MigsafeError as exc:
            return results.bad(show.text(exc))
        if not group.enabled:
            return results.doubt('Live migrations of this host are not protected. Set '
                          '[migsafe] enabled = true and restart nova-compute.')
        if not group.enforce:
            return results.doubt('nova-compute starts unprotected if anything is wrong. '
                          'Set [migsafe] enforce = true once it has started well.')
        return results.good()

    def check_schema(self) -> upgradecheck.Result:
        """The schema of the journal."""
        try:
            conf = self._load()
            config.become_owner(opening.journal_url(conf, conf.host))
            database.check_answers(opening.journal_url(conf, conf.host))
            found, wanted = opening.versions(conf, conf.host)
        except exceptions.MigsafeError as exc:
            return results.bad(show.text(exc))
        if found == wanted:
            return results.good()
        if found is None and opening.journal_url(conf, conf.host).get_backend_name() == 'sqlite':
            return results.doubt('There is no journal yet. nova-compute creates it when '
                          'it starts with [migsafe] enabled = true.')
        try:
            opening.open_journal(conf, conf.host, create=False).close()
        except exceptions.MigsafeError as exc:
            return results.bad(show.text(exc))
        return results.good()

    def check_journal(self) -> upgradecheck.Result:
        """The journal can be reached, is its owner's alone, and nothing in it is unsettled."""
        try:
            conf = self._load()
            config.become_owner(opening.journal_url(conf, conf.host))
            database.check_answers(opening.journal_url(conf, conf.host))
            if opening.versions(conf, conf.host)[0] is None:
                return results.good()
            with config.opened(conf) as journal:
                journal.check_readable()
                total, held = journal.count_unsettled().get(conf.host, (0, 0))
        except exceptions.MigsafeError as exc:
            return results.bad(show.text(exc))
        if total:
            return results.doubt(
                f'{total} live migration(s) of this host are not settled, {held} of them held. '
                'They are settled once nova-compute runs; what is held says why in: migsafe '
                'residue list')
        return results.good()

    def check_account(self) -> upgradecheck.Result:
        """On a server, the account of the journal gets at the rows of this host alone."""
        try:
            conf = self._load()
            url = opening.journal_url(conf, conf.host)
            if url.get_backend_name() == 'sqlite':
                return results.good()
            with config.opened(conf) as journal:
                found = journal.reach()
        except exceptions.MigsafeError as exc:
            return results.bad(show.text(exc))
        return results.doubt(separation.ADVICE.format(found=found)) if found else results.good()

    def check_volume_groups(self) -> upgradecheck.Result:
        """Which volume groups the configuration says are the host's own, as at the start."""
        try:
            return results.own_groups(lvm_services.both(self._found().nova_files))
        except exceptions.MigsafeError as exc:
            return results.bad(show.text(exc))

    def check_helper(self) -> upgradecheck.Result:
        """rootwrap finds the privileged helper."""
        try:
            return rootwrap.check(self._found().nova_files, 'nova')
        except exceptions.MigsafeError as exc:
            return results.bad(show.text(exc))

    @property
    def _upgrade_checks(self) -> tuple[results.Check, ...]:
        """Those of what this host is."""
        found = self._found()
        return (('Host', Checks.check_host),
                *(self._nova_checks if 'Nova' in found.kinds else ()),
                *(status_cinder.Checks(found.cinder_files).checks()
                  if 'Cinder' in found.kinds else ()))

    _nova_checks: tuple[results.Check, ...] = (
        ('Supported Nova', check_nova),
        ('Installed migsafe', check_installed),
        ('Load as os_vif does', check_load),
        ('Options', check_enabled),
        ('Journal schema', check_schema),
        ('Journal', check_journal),
        ('Journal account', check_account),
        ('Volume groups', check_volume_groups),
        ('Privileged helper', check_helper),
    )


def main(argv: Sequence[str] | None = None,
         default_config_files: Sequence[str] = config.DEFAULTS,
         default_cinder_files: Sequence[str] = services.CINDER) -> int:
    """Run the command; return 0 for success, 1 for warnings, 2 for failures, 255 for errors."""
    conf = cfg.ConfigOpts()
    words = list(sys.argv[1:] if argv is None else argv)

    def directories() -> list[str] | None:
        # NOTE: without the option config_dir holds what oslo.config finds for "migsafe".
        return conf.config_dir if any(word.startswith('--config-dir') for word in words) else None

    def load() -> cfg.ConfigOpts:
        return config.load(conf.config_file, default_config_files, directories())

    @functools.cache
    def found() -> services.Host:
        if conf.config_file or directories():
            return services.named(conf.config_file, directories())
        return services.usual(default_config_files, default_cinder_files)
    try:
        return int(upgradecheck.main(
            conf, project='migsafe', upgrade_command=Checks(load, found), argv=words,
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
