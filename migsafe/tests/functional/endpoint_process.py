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
"""One process of an RPC test: a nova-compute's RPC server, or its client.

``python -m migsafe.tests.functional.endpoint_process CONTROL_PORT SPEC``

It is told what to do by JSON lines over a loopback socket (not stdin: reading
that would stop everything else in a process that eventlet has patched), and
runs nova.rpc as nova.service.Service.start() does.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

#: Seconds after which a command counts as hanging.
PATIENCE = 120


class Child:
    """The parent's end; a context manager that ends the process by its pid.

    :param log: where its standard error goes
    :param env: environment of the process
    :param spec: host, url, timeout; of a server also state and flavour
    """

    def __init__(self, log, env, **spec):
        with socket.create_server(('127.0.0.1', 0)) as listener:
            listener.settimeout(1)
            with open(log, 'ab') as errors:
                self.process = subprocess.Popen(
                    [sys.executable, '-m', __name__,
                     str(listener.getsockname()[1]), json.dumps(spec)],
                    stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                    env=env)
            self.log = log
            connection = self._accept(listener)
        connection.settimeout(PATIENCE)
        self._stream = connection.makefile('rw', encoding='utf-8')
        connection.close()
        self.ask('ready')

    def _accept(self, listener):
        deadline = time.monotonic() + 300
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                return listener.accept()[0]
        self.close()
        raise AssertionError(self.errors())

    def errors(self):
        """The end of what it logged."""
        return self.log.read_text(errors='replace')[-4000:]

    def ask(self, what, **how):
        """One command and its answer."""
        self.tell(what, **how)
        return self.hear()

    def tell(self, what, **how):
        """A command whose answer is taken later."""
        self._stream.write(json.dumps({'what': what} | how) + '\n')
        self._stream.flush()

    def hear(self):
        """The answer of the command told before."""
        line = ''
        with contextlib.suppress(TimeoutError):
            line = self._stream.readline()
        if not line:
            raise AssertionError(f'no answer:\n{self.errors()}')
        return json.loads(line)

    def close(self):
        """End it."""
        self.process.kill()
        self.process.wait(30)


def _start_nova():
    """What nova.cmd.compute does before anything else."""
    from nova import monkey_patch
    if hasattr(monkey_patch, 'patch'):
        monkey_patch.patch(backend='threading')


class Commands:
    """What a process can be told."""

    def __init__(self, spec):
        from nova import conf, objects, rpc
        from oslo_log import log

        from migsafe.nova.bus import peer
        self.spec, self.CONF = spec, conf.CONF
        log.register_options(self.CONF)
        with tempfile.NamedTemporaryFile('w', suffix='.conf') as config:
            config.write(f'[DEFAULT]\ntransport_url = {spec["url"]}\n'
                         f'host = {spec["host"]}\n')
            config.flush()
            self.CONF([], project='nova', default_config_files=[config.name],
                      default_config_dirs=[])
        log.setup(self.CONF, 'nova')
        rpc.init(self.CONF)
        objects.register_all()
        self.peer = peer.Peer(spec.get('timeout', 10))

    def ready(self):
        """Answer once everything is set up."""
        return True

    def evidence(self, host, uuid, instance):
        """Peer.evidence()."""
        return self._timed(lambda: self.peer.evidence(
            host, uuid, instance).as_payload())

    def describe(self, host, uuid):
        """Peer.describe()."""
        return self._timed(lambda: self.peer.describe(host, uuid))

    def release(self, host, uuid, instance, verdict):
        """Peer.release()."""
        return self._timed(lambda: self.peer.release(host, uuid, instance,
                                                     verdict))

    def raw(self, host, method, kwargs, grow=None):
        """A call that Peer would not make; ``grow`` makes an argument big."""
        if grow:
            kwargs[grow] = 'x' * 10_000_000

        def call():
            try:
                return self.peer._call(host, method, **kwargs)
            except Exception as error:
                return {'raised': type(error).__name__,
                        'text': str(error)[:2000]}
        return self._timed(call)

    def modules(self, name):
        """Whether a module is loaded."""
        return name in sys.modules

    @staticmethod
    def _timed(call):
        began = time.monotonic()
        found = call()
        return {'answer': found, 'seconds': time.monotonic() - began}


class Server(Commands):
    """With a Participant behind nova-compute's RPC server."""

    def __init__(self, spec):
        super().__init__(spec)
        import dataclasses

        import oslo_messaging as messaging
        from nova import baserpc, rpc
        from nova.compute import rpcapi
        from nova.objects import base as objects_base

        import migsafe.conf
        from migsafe import journal
        from migsafe.nova.host import participant
        from migsafe.nova.seams import service
        from migsafe.tests.unit.resources import cloud
        from migsafe.transaction import engine
        migsafe.conf.register_opts(self.CONF)
        self.CONF.set_override('state_path', spec['state'], 'migsafe')
        self.CONF.set_override('rpc_timeout', spec.get('timeout', 10),
                               'migsafe')
        self.fake, self.cloud_module = cloud.Cloud(local=spec['host']), cloud
        self.journal = journal.open_journal(self.CONF, spec['host'])
        clients = dataclasses.replace(self.fake.clients(), peer=self.peer)
        self.participant = participant.Participant(
            spec['host'], self.CONF.migsafe, self.journal,
            engine.Engine(spec['host'], self.journal, clients,
                          service.load_resources(), 600, 30), clients)
        self.endpoint = self._endpoint(spec.get('flavour', 'plugin'))
        endpoints = [baserpc.BaseRPCAPI('compute', None)]
        if self.endpoint is not None:
            endpoints.append(self.endpoint)
        rpc.get_server(
            messaging.Target(topic=rpcapi.RPC_TOPIC, server=spec['host']),
            endpoints, objects_base.NovaObjectSerializer()).start()

    def _endpoint(self, flavour):
        from migsafe.nova.bus import endpoint
        if flavour == 'none':
            return None
        made = FLAVOURS[flavour](endpoint.Endpoint)
        return made(self.participant)

    def decide(self, uuid, verdict):
        """Journal a verdict, as if the source had been heard."""
        self.journal.verdict(self.journal.get(uuid), verdict, 'the source was heard')
        return True

    def begin(self, uuid):
        """Journal what a pre_live_migration on this host journals."""
        tx = self.journal.begin(
            uuid, 'destination', self.cloud_module.INSTANCE,
            self.cloud_module.SRC, self.spec['host'], captures=[
                ('instance_directory', '', {'exists': False,
                                            'shared': False})])
        for number in range(self.fake.count):
            volume = self.cloud_module.volume(number)
            for resource, effect, payload in (
                    ('volume_connection', 'attachment_create',
                     {'attachment_id': self.cloud_module.attachment(
                         self.spec['host'], number)}),
                    ('host_device', 'connect_volume',
                     self.cloud_module.info(self.spec['host'], number))):
                self.journal.outcome(tx, self.journal.intent(
                    tx, resource, effect, volume, payload), 'ok', payload)
        return tx.uuid

    def report(self):
        """Say that this host is armed, as an armed nova-compute does."""
        from migsafe import process
        self.journal.set_status(
            armed=True, pid=os.getpid(), boot_id=process.boot_id(),
            plugin_version='0.1.0', nova_version='34.0.0', concurrency='threading')

    def guest(self, state):
        """What libvirt says from now on."""
        from migsafe.transaction import evidence
        self.fake.guests.state = evidence.GuestState(state)

    def hold(self, volume, holder):
        """Something uses a device."""
        self.fake.devices.holders[volume] = holder

    def slow(self, seconds):
        """Disconnecting takes this long from now on."""
        original = self.fake.devices.disconnect

        def disconnect(*args):
            self.fake.calls('disconnect begun')
            time.sleep(seconds)
            original(*args)
        self.fake.devices.disconnect = disconnect

    def calls(self):
        """What was done to the cloud."""
        return [list(call) for call in self.fake.calls.made
                if call[0] in ('disconnect begun',
                               *self.cloud_module.CHANGES)]

    def state(self, uuid):
        """State and verdict in the journal."""
        tx = self.journal.get(uuid)
        return tx and [tx.state, tx.verdict]

    def answer(self, **reply):
        """What a server of the flavour ``nonsense`` answers, or raises."""
        self.endpoint.reply = reply


def _plugin(base):
    return base


def _newer(base):
    import oslo_messaging as messaging

    class Newer(base):
        """Knows more, in a later minor version."""

        target = messaging.Target(namespace='migsafe', version='1.7')

        def describe(self, context, **kwargs):
            return super().describe(context, **kwargs) | {
                'later': {'deep': [1]}, 'verdict_by': 'node13'}

        def guest_evidence(self, context, **kwargs):
            return super().guest_evidence(context, **kwargs) | {
                'watchers': ['a'], 'confidence': 0.5}

        def release(self, context, **kwargs):
            return super().release(context, **kwargs) | {'took': 1.5}
    return Newer


def _next(base):
    import oslo_messaging as messaging

    class Next(base):
        """Speaks only the next major version."""

        target = messaging.Target(namespace='migsafe', version='2.0')
    return Next


def _older(base):
    class Older:
        """An endpoint from before ``release`` and ``inspect``."""

        target = base.target

        def __init__(self, participant):
            self._real = base(participant)

        def describe(self, context, uuid):
            """As the first version."""
            return {'known': False, 'live': False}

        def guest_evidence(self, context, uuid, instance_uuid):
            """Without the fields that came later."""
            found = self._real.guest_evidence(context, uuid, instance_uuid)
            return {key: found[key] for key in ('host', 'guest', 'job')}
    return Older


def _nonsense(base):
    class Nonsense:
        """Answers whatever it is told to."""

        target = base.target
        reply = {'value': None}

        def __init__(self, participant):
            pass

        def _any(self, context, **_kwargs):
            if 'raises' in self.reply:
                raise ValueError(self.reply['raises'] * self.reply['times'])
            if 'times' in self.reply:
                return self.reply['value'] * self.reply['times']
            return self.reply['value']

        describe = guest_evidence = release = inspect = overview = _any
    return Nonsense


FLAVOURS = {'plugin': _plugin, 'newer': _newer, 'next': _next,
            'older': _older, 'nonsense': _nonsense}


def main(port, spec):
    """Obey until the other end closes."""
    _start_nova()
    kind = Server if 'flavour' in spec else Commands
    commands = kind(spec)
    with socket.create_connection(('127.0.0.1', port)) as connection:
        stream = connection.makefile('rw', encoding='utf-8')
        for line in stream:
            told = json.loads(line)
            found = getattr(commands, told.pop('what'))(**told)
            stream.write(json.dumps(found) + '\n')
            stream.flush()


if __name__ == '__main__':
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
