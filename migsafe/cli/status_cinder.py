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
"""The checks of ``migsafe-status`` for a host with cinder-volume."""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck
from oslo_utils import importutils

from migsafe import exceptions
from migsafe.cli import config, database, results, rootwrap, services, show
from migsafe.ledger import opening
from migsafe.lvm import services as lvm_services
from migsafe.text import masked

# The major versions of Cinder whose drivers and calls are known: 2025.1, 2026.1, 2026.2.
SUPPORTED = (26, 28, 29)


class Checks:
    """What there is to check of a cinder.conf.

    :param files: in the order in which cinder-volume reads them
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files

    def checks(self) -> tuple[results.Check, ...]:
        """Title and function of each."""
        return (('Supported Cinder', self.version),
                ('Guarded backends', self._reading(self.guarded)),
                ('Inspectors', self._reading(self.inspectors)),
                ('Ledger schema', self._reading(self.ledgers)),
                ('Volume groups', self._reading(self.groups)),
                ('Privileged helper', self._reading(self.helper)))

    def version(self, _command: Any) -> upgradecheck.Result:
        """Cinder of a version that migsafe knows."""
        found = services.installed('cinder')
        if found is None:
            return results.bad('Cinder is not installed here. Install migsafe into the '
                               'environment of cinder-volume: pip show cinder must find it.')
        if found.partition('.')[0] not in map(str, SUPPORTED):
            return results.bad(f'Cinder {show.text(found)} is installed; supported are '
                               f'{", ".join(map(str, SUPPORTED))}. Install a migsafe that '
                               'knows it.')
        return results.good()

    @staticmethod
    def _reading(check: Callable[[], upgradecheck.Result]
                 ) -> Callable[[Any], upgradecheck.Result]:
        def call(_command: Any) -> upgradecheck.Result:
            if services.installed('cinder') is None:
                return results.doubt('Not checked, as Cinder is not installed here.')
            try:
                return check()
            except exceptions.MigsafeError as error:
                return results.bad(show.text(error))
            except Exception as error:
                # NOTE: this goes through Cinder's own modules, which may raise anything.
                return results.bad(f'Not checked, as Cinder cannot be used here: '
                                   f'{masked(error)}')
        return call

    @functools.cached_property
    def _backends(self) -> list[Any]:
        """See migsafe.cinder.checks; it imports Cinder, which is not there on each host."""
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            found: list[Any] = importutils.import_module('migsafe.cinder.checks').backends(
                self._files)
        return found

    def guarded(self) -> upgradecheck.Result:
        """Each backend is guarded, and its driver can be."""
        wrong = [one.driver for one in self._backends if one.driver]
        if wrong:
            return results.bad(show.text('; '.join(wrong)))
        bare = ', '.join(one.name for one in self._backends if not one.guarded)
        if bare:
            return results.doubt(
                f'Not guarded: {show.text(bare)}. What they export is not recorded, and a '
                'second writer is not refused. Set migsafe_wrapped_driver to what volume_driver '
                'says now, and volume_driver = migsafe.cinder.driver.GuardedDriver.')
        return results.good('Guarded: ' + show.text(', '.join(
            one.name for one in self._backends)))

    def inspectors(self) -> upgradecheck.Result:
        """Each inspector that is named can be loaded."""
        wrong = [one.inspector for one in self._backends if one.inspector]
        return results.bad(show.text('; '.join(wrong))) if wrong else results.good()

    def ledgers(self) -> upgradecheck.Result:
        """The ledger of each guarded backend: where it is, and its schema."""
        conf, missing = config.load(self._files, ()), []
        for one in self._backends:
            if one.guarded and self._ledger(conf, one) is None:
                missing.append(one.host)
        if missing:
            return results.doubt(f'There is no ledger yet of {show.text(", ".join(missing))}. '
                                 'cinder-volume creates it when it starts with the guarded '
                                 'driver; if it has, look at ledger_path.')
        return results.good()

    @staticmethod
    def _ledger(conf: cfg.ConfigOpts, backend: Any) -> str | None:
        """The revision of a file or of a database, None for a file that is not there.

        :raises MigsafeError: it is not the one that is needed, or cannot be used
        """
        opening.check_cluster(conf, backend.host, backend.cluster)
        url = opening.ledger_url(conf, backend.host)
        database.check_answers(url, opening.CHAIN.advice)
        found, wanted = opening.versions(conf, backend.host)
        if found != wanted and (found or url.get_backend_name() != 'sqlite'):
            opening.open_ledger(conf, backend.host, backend.cluster, create=False).close()
        return found

    def groups(self) -> upgradecheck.Result:
        """The host's own volume groups can be told from the configuration, as at the start."""
        return results.own_groups(lvm_services.cinder(self._files))

    def helper(self) -> upgradecheck.Result:
        """rootwrap finds the privileged helper."""
        return rootwrap.check(self._files, 'cinder')
