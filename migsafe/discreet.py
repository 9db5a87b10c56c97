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
"""What leaves an endpoint of the message bus when a call fails: one line, without secrets.

oslo.messaging logs what a method raises with everything that is chained to it, and sends it to
whoever has called. A message of ours has no secret in it; what an array, a driver or a database
has said, and is chained to it, may have, and lines of its own besides.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions, masking
from migsafe.text import cut, masked

LOG = logging.getLogger(__name__)


def discreet(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let no error out of a method of an endpoint but one of ours, with nothing chained to it."""
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            kind, why = _known(error)
        # NOTE: outside of the except block, so that nothing is chained.
        LOG.error('%s was asked for over the message bus, and that failed: %s', method.__name__,
                  why)
        raise kind(why)
    return call


def _known(error: Exception) -> tuple[type[Exception], str]:
    base = exceptions.MigsafeError
    if not isinstance(error, base):
        return base, masked(error)
    # NOTE: one that is made from something else than a text cannot be made anew here.
    kind = type(error) if type(error).__init__ is base.__init__ else base
    return kind, masking.one_line(cut(masking.mask(str(error))))
