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
"""How long a verdict takes, over a real RabbitMQ and a real MariaDB.

    python benchmarks/verdicts.py [--hosts 1000] [--silent 100]

One process answers for all hosts that live, with what nova-compute would. Of those that do not
answer half have a queue that nobody reads, and half have none. The probes are the defaults.
"""

import argparse
import datetime
import json
import multiprocessing
import tempfile
import time
import uuid

import amqp
import sqlalchemy as sa
from nova.db.main import models
from oslo_config import cfg
from oslo_utils import timeutils

import migsafe.conf
from migsafe.cli import checker
from migsafe.tests import servers

EXCHANGE = 'openstack'


def host(number):
    """The name of a host."""
    return f'cn{number:05}'


def answer(port, living, ready):
    """Be the nova-compute of all these hosts."""
    with amqp.Connection(f'127.0.0.1:{port}') as connection:
        channel = connection.channel()
        queues(channel, 'all', [host(number) for number in living])
        channel.basic_consume('all', no_ack=True, callback=lambda message: reply(channel, message))
        ready.set()
        while True:
            connection.drain_events()


def queues(channel, name, hosts):
    """A queue that gets what is for these hosts."""
    channel.exchange_declare(EXCHANGE, 'topic', durable=False, auto_delete=False)
    channel.queue_declare(name, durable=False, auto_delete=False)
    for one in hosts:
        channel.queue_bind(name, EXCHANGE, f'compute.{one}')


def reply(channel, message):
    """Say that the guest is not there, in the words of oslo.messaging."""
    asked = json.loads(json.loads(message.body)['oslo.message'])
    name = message.delivery_info['routing_key'].removeprefix('compute.')
    said = {'result': {'host': name, 'guest': 'absent', 'job': False, 'boot_id': 'b'},
            'failure': None, 'ending': True, '_msg_id': asked['_msg_id'],
            '_unique_id': uuid.uuid4().hex}
    channel.basic_publish(amqp.Message(
        json.dumps({'oslo.version': '2.0', 'oslo.message': json.dumps(said)}),
        content_type='application/json', content_encoding='utf-8'), '', asked['_reply_q'])


def records(url, hosts, silent):
    """Nova's table of services, in which the silent ones are down."""
    engine = sa.create_engine(url)
    models.Service.__table__.create(engine)
    now = timeutils.utcnow()
    with engine.begin() as connection:
        connection.execute(sa.insert(models.Service.__table__), [{
            'host': host(number), 'binary': 'nova-compute', 'topic': 'compute', 'deleted': 0,
            'report_count': 9, 'forced_down': False,
            'last_seen_up': now - datetime.timedelta(seconds=900 if number < silent else 0)}
            for number in range(hosts)])
    engine.dispose()


def configuration(broker, database):
    """Nova's, with the defaults of [migsafe]."""
    conf = cfg.ConfigOpts()
    migsafe.conf.register_opts(conf)
    with tempfile.NamedTemporaryFile('w', suffix='.conf') as handle:
        handle.write(f'[DEFAULT]\ntransport_url = {broker.url}\n'
                     f'[database]\nconnection = {database.url}\n')
        handle.flush()
        conf([], default_config_files=[handle.name])
    return conf


def timed(what, function):
    """Print how long it takes."""
    wall, cpu = time.monotonic(), time.process_time()
    found = function()
    print(f'{what:44} {time.monotonic() - wall:7.2f} s, {time.process_time() - cpu:6.2f} s of a '
          'processor')
    return found


def main():
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--hosts', type=int, default=1000)
    parser.add_argument('--silent', type=int, default=100)
    given = parser.parse_args()
    with servers.RabbitMQ() as broker, servers.MariaDB() as database:
        measure(given, broker, database)


def measure(given, broker, database):
    """Ask for one host that lives, for one that does not answer, and for all."""
    records(database.url, given.hosts, given.silent)
    with amqp.Connection(f'127.0.0.1:{broker.port}') as connection:
        queues(connection.channel(), 'nobody', [host(one) for one in range(0, given.silent, 2)])
    ready = multiprocessing.Event()
    living = range(given.silent, given.hosts)
    process = multiprocessing.Process(
        target=answer, args=(broker.port, living, ready), daemon=True)
    process.start()
    ready.wait()
    conf = configuration(broker, database)
    looks = checker.Checker(conf)
    for name, number in (('one host that answers', given.silent), ('one that does not', 0),
                         ('one without a queue', 1)):
        found = timed(name, lambda number=number: looks.explain(host(number)))
        print('  ', found.verdict.value, found.row.name)
    found = timed(f'{given.hosts} hosts, {given.silent} of them silent', looks.survey)
    counts = {}
    for one in found:
        counts[one.row.name] = counts.get(one.row.name, 0) + 1
    print('  ', counts)
    process.terminate()


if __name__ == '__main__':
    main()
