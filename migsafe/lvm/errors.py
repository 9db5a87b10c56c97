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
"""The errors of ``migsafe lvm check``."""

from __future__ import annotations

from migsafe import exceptions


class LvmError(exceptions.MigsafeError):
    """Base of all of them."""


class NoLvm(LvmError):
    """This host has no LVM tools, so that nothing of it can activate anything."""

    message = 'There is no command "lvm" on this host.'


class CommandFailed(LvmError):
    """A command of LVM ended badly, or not at all."""

    message = ('"%(command)s" failed: %(reason)s. Nothing can be said of this host before it '
               'works; run it by hand.')


class BadOutput(LvmError):
    """A command of LVM said what cannot be understood."""

    message = ('The output of "%(command)s" cannot be understood: %(reason)s. No advice is given, '
               'because it might be a wrong one; please report this with that output.')


class NotRestored(LvmError):
    """A change was not good, and taking it back did not work."""

    message = ('The change to %(path)s was not good (%(reason)s), and taking it back failed: '
               '%(error)s. Its old content is %(backup)s; put it back before this host boots.')
