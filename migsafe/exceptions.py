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
"""The errors of migsafe: one class, one message template.

A message says what was found, why it was refused, and the command or the option that resolves
it. None of them carries a payload, a password or a token.
"""

from typing import Any

from migsafe.masking import one_line
from migsafe.text import cut, shell


class Words(dict[str, Any]):
    """Values of a template, each on one line, of a bounded length and harmless to a terminal.

    A guest, an array or the message bus can make a list as long as it likes. It is cut here for
    every message.

    ``%(shell:NAME)s`` is a value as a word of a command to type.
    """

    def __getitem__(self, key: str) -> Any:
        """Clean what was chosen by others; numbers stay numbers."""
        value = super().__getitem__(key)
        return value if isinstance(value, int | float) else one_line(cut(str(value)))

    def __missing__(self, key: str) -> str:
        """Quote the value that a key with the prefix names."""
        prefix, _, name = key.partition(':')
        if prefix != 'shell':
            raise KeyError(key)
        return shell(super().__getitem__(name))


class MigsafeError(Exception):
    """Base of all errors that migsafe raises on purpose.

    :param message: the finished text. Without it the template of the class is filled in with
        the keyword arguments.
    :param kwargs: values of the template; also kept in ``kwargs``, so that oslo.messaging can
        rebuild the error on the other side of a call.
    """

    message = 'An unknown error occurred in migsafe.'

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        self.kwargs = kwargs
        super().__init__(self.message % Words(kwargs) if message is None else message)


class ConfigError(MigsafeError):
    """An option has a value that cannot work."""

    message = 'Option [%(group)s] %(option)s is refused: %(reason)s'


class JournalError(MigsafeError):
    """Base of all errors of the journal."""

    message = 'The journal %(database)s failed: %(reason)s'


class JournalUnavailable(JournalError):
    """The journal cannot be read or written now; a failed call has changed nothing."""

    message = 'The journal %(database)s is not available: %(reason)s. %(cure)s'


class JournalAway(JournalUnavailable):
    """The same, from a cause that may heal while the service runs: a full or read-only disk, a
    directory that cannot be written, a server that does not answer."""


class JournalWriteUnknown(JournalAway):
    """A write was not answered, and the database does not say now whether it has it."""

    message = (
        'Whether the journal %(database)s has recorded %(what)s is not known: %(reason)s. When it '
        'answers again, "migsafe journal show" or, of a ledger, '
        '"migsafe export list" shows what is there; to do the same again is harmless.'
    )


class JournalRewound(JournalUnavailable):
    """A server does not have what it has acknowledged to this process."""

    message = (
        'The journal %(database)s has lost a write that it had acknowledged: it is another server '
        'now, such as a replica that was behind, or was restored from a backup. Nothing was '
        'changed, and nothing is recorded from here on. If it will stay, run '
        '"%(command)s", which has what is not settled judged anew by evidence, and restart the '
        'service.'
    )


class JournalInsecure(JournalUnavailable):
    """A file or directory of the journal is not only its owner's."""

    message = 'The journal refuses %(path)s: %(reason)s. %(cure)s'


class JournalSchemaTooNew(JournalUnavailable):
    """A later migsafe wrote this journal."""

    message = (
        'The journal %(database)s has schema "%(found)s", which this migsafe (schema '
        '"%(known)s") does not know: a later version wrote it. Install that version of migsafe '
        'again; it can settle what this journal holds.'
    )


class JournalSchemaTooOld(JournalUnavailable):
    """The schema has to be brought up to date first."""

    message = (
        'The journal %(database)s has schema "%(found)s", this migsafe needs "%(known)s". '
        'Run: %(command)s'
    )


class JournalCorrupt(JournalError):
    """One row holds what migsafe did not write; the other rows can still be read."""

    message = (
        'The journal %(database)s has an unreadable row: %(table)s id %(row)s, column %(column)s '
        '%(reason)s. The row is left as it is and the transaction is held; see '
        '"migsafe journal show", and repair or restore the row.'
    )


class JournalFileCorrupt(JournalCorrupt, JournalUnavailable):
    """The whole file is damaged."""

    message = (
        'The journal %(database)s is damaged: %(reason)s. It and its log are left untouched. '
        'Restore it from a backup, or move both away to start an empty one (what it held is then '
        'settled only by evidence): for s in "" -wal -shm; do test ! -e %(shell:database)s$s || '
        'mv %(shell:database)s$s %(shell:database)s.damaged$s; done'
    )


class JournalBadValue(JournalError):
    """A caller asked to write what the journal cannot hold."""

    message = 'The journal cannot record %(what)s: %(reason)s'


class JournalPayloadTooLarge(JournalBadValue):
    """A payload is over the bound."""

    message = (
        'The journal cannot record %(what)s: its payload has %(size)d bytes, the limit is '
        '%(limit)d. The step that wanted to record it must not go on.'
    )


class JournalNotFound(JournalError):
    """The transaction is not, or no longer, in this journal."""

    message = (
        'The journal %(database)s has no transaction %(uuid)s. See "migsafe journal list"; '
        'settled transactions are purged after [migsafe] retention_days.'
    )


class JournalTransactionSettled(JournalError):
    """The transaction is over; a late step must not go on."""

    message = (
        'Transaction %(uuid)s on %(host)s is already settled (%(verdict)s): %(what)s is refused, '
        'because it came too late and nothing would ever undo it.'
    )


class SeamMismatch(MigsafeError):
    """A function of Nova that migsafe wraps is missing or has another signature."""

    message = ('migsafe cannot protect live migrations with this Nova: %(seam)s %(reason)s. '
               'Install a supported Nova, or set [migsafe] enforce = false to run nova-compute '
               'unprotected.')


class ResourcePluginError(MigsafeError):
    """A resource plugin cannot be used."""

    message = 'Resource plugin %(plugin)s cannot be used: %(reason)s. %(cure)s'


class Overtaken(MigsafeError):
    """What a step was about to change is not its transaction's any more."""

    message = ('Migration %(uuid)s of instance %(instance)s stops before %(effect)s: %(reason)s. '
               'It is looked at again by itself.')


class Unanswered(MigsafeError):
    """What only the other host knows is needed, and it does not say."""

    message = ('%(host)s has not said what it made for migration %(uuid)s of instance '
               '%(instance)s, and nothing else tells. It is asked again by itself. Once %(host)s '
               'is powered off or fenced, and not before, `openstack compute service set --down '
               '%(shell:host)s nova-compute` says so.')


class Unclear(Unanswered):
    """What a migration made without knowing it may be what something else is about to use."""

    message = ('Attachment %(attachments)s of instance %(instance)s may be what migration '
               '%(uuid)s made for %(host)s, or belong to what the instance is at now (%(task)s). '
               'It is looked at again once that is over; if nothing works on it any more, '
               '`openstack server set --state active %(shell:instance)s` says so.')


class LetGo(MigsafeError):
    """The export of a volume went while its disconnect waited."""

    message = ('volume %(volume)s had an export to %(host)s, or a device there, and has it no '
               'more: whatever %(paths)s leads to by now is not touched. It is looked at again by '
               'itself')


class StillThere(MigsafeError):
    """A device was disconnected without an error, and is there."""

    message = '%(paths)s still there after disconnect'
