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
"""Runs one of the APIs: ``python -m migsafe.tests.cloud.wsgi MODULE PORT``."""

from __future__ import annotations

import sys
from typing import Any

from gunicorn.app.base import BaseApplication
from oslo_utils import importutils

from migsafe.tests.cloud import places


class Runner(BaseApplication):
    """One process with threads; the application is made in it."""

    def __init__(self, module: str, port: str) -> None:
        self._module, self._port = module, port
        # the services read the words that their own programs would have been given
        sys.argv = [module]
        super().__init__()

    def load_config(self) -> None:
        """What is asked of the server."""
        for name, value in {'bind': f'{places.CONTROL}:{self._port}', 'threads': 6,
                            'worker_class': 'gthread', 'timeout': 600, 'workers': 1,
                            'graceful_timeout': 1}.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application."""
        return importutils.import_module(self._module).application


if __name__ == '__main__':
    Runner(*sys.argv[1:]).run()
