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
"""An ONTAP on loopback: the part of its REST API that Cinder's driver and the inspector need.

What it holds comes from data/netapp, replies in the format that NetApp documents, with the names
of incident 000: node11's igroup still has both disks of a guest that runs on node13, as LUN 3
and 4. No real array was asked. It filters, pages and leaves out fields that were not asked for,
as ONTAP does, and refuses whoever does not know the password.
"""

import base64
import collections
import fnmatch
import http.server
import json
import pathlib
import selectors
import ssl
import sys
import threading
import urllib.parse
import uuid

import fixtures

DATA = pathlib.Path(__file__).parent / 'data' / 'netapp'
SVM, LOGIN, PASSWORD = 'svm_openstack', 'cinder', 'pa55-of-the-array'
JSON = 'application/hal+json'
COLLECTIONS = {
    'storage/luns': 'luns', 'protocols/san/lun-maps': 'lun_maps',
    'protocols/san/igroups': 'igroups', 'protocols/san/iscsi/sessions': 'iscsi_sessions',
    'network/fc/logins': 'fc_logins', 'protocols/san/iscsi/services': 'iscsi_services',
    'network/ip/interfaces': 'ip_interfaces', 'storage/volumes': 'volumes'}
#: Fields that are there whether asked for or not.
ALWAYS = {'storage/luns': ('name', 'uuid'), 'protocols/san/igroups': ('name', 'svm', 'uuid'),
          'protocols/san/lun-maps': ('svm', 'lun.name', 'lun.uuid', 'igroup.name', 'igroup.uuid')}
WORDS = ('fields', 'max_records', 'start', 'services', 'return_records', 'return_timeout')
#: Until Cinder 28 the driver's REST client makes a ZAPI client as well.
ZAPI = {'system-get-ontapi-version': '<major-version>1</major-version>'
                                     '<minor-version>241</minor-version>',
        'system-get-version': '<version-tuple><system-version-tuple><generation>9</generation>'
                              '<major>14</major><minor>1</minor></system-version-tuple>'
                              '</version-tuple>'}
Seen = collections.namedtuple('Seen', 'method path query headers')
Reply = collections.namedtuple('Reply', 'status kind body', defaults=(200, JSON, ''))


def read(name):
    """One of the replies."""
    return (DATA / name).read_text(encoding='utf-8')


def page(*records, **more):
    """A reply with these records."""
    return Reply(body=json.dumps({'records': records, 'num_records': len(records), **more}))


class Ontap(fixtures.Fixture):
    """The array.

    :ivar records: path of a collection -> its records
    :ivar replies: path -> what to reply instead, or a function of the request that gives it
    :ivar seen: requests, in order
    """

    def __init__(self, certificate=None):
        super().__init__()
        self._certificate = certificate

    def _setUp(self):
        self.records = {path: json.loads(read(f'{name}.json'))['records']
                        for path, name in COLLECTIONS.items()}
        self.replies, self.seen = {}, []
        # NOTE: what socketserver has looked up before eventlet patched select (Cinder before 29
        # does) stops every green thread while it waits.
        self.useFixture(fixtures.MonkeyPatch(
            'socketserver._ServerSelector', selectors.DefaultSelector))
        server = _Server(('127.0.0.1', 0), type('Handler', (_Handler,), {'ontap': self}))
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.addCleanup(self.stop)
        self._server, self._thread = server, thread

    def stop(self):
        """Nobody listens any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def options(self, **options):
        """Of a backend on it."""
        return {'netapp_server_hostname': '127.0.0.1', 'netapp_server_port': self.port,
                'netapp_transport_type': 'http', 'netapp_login': LOGIN,
                'netapp_password': PASSWORD, 'netapp_vserver': SVM,
                'netapp_storage_family': 'ontap_cluster', 'netapp_storage_protocol': 'iscsi',
                'netapp_use_legacy_client': False, **options}

    def maps(self):
        """(name of the LUN without its FlexVol, initiator, LUN) of all maps."""
        return {(record['lun']['name'].rpartition('/')[2], name, record['logical_unit_number'])
                for record in self.records['protocols/san/lun-maps']
                for name in record['igroup'].get('initiators', ())}

    def answer(self, request, body):
        """What ONTAP says to one request."""
        self.seen.append(request)
        special = self.replies.get(request.path)
        if special is not None:
            return special(request) if callable(special) else special
        if request.headers.get('Authorization') != 'Basic ' + base64.b64encode(
                f'{LOGIN}:{PASSWORD}'.encode()).decode():
            return Reply(401, JSON, read('error_401.json'))
        if request.path.startswith('servlets/'):
            return _zapi(body)
        if request.path in self.records and request.method == 'GET':
            return self._collection(request)
        if request.path == 'cluster':
            return Reply(body=read('cluster.json'))
        if request.path.startswith('cluster/counter/tables/'):
            return Reply(body=read('counter_table.json'))
        found = getattr(self, f'_{request.method.lower()}', lambda *_: None)(request, body)
        return found or Reply(403, JSON, read('error_403.json'))

    def _collection(self, request):
        query = dict(request.query)
        found = self.records[request.path]
        if isinstance(found, list):
            found = [record for record in found if all(
                _matches(record, key.split('.'), wanted) for key, wanted in query.items()
                if key not in WORDS)]
        start, size = int(query.get('start', 0)), int(query.get('max_records', 10000))
        fields = [*ALWAYS.get(request.path, ()), *query.get('fields', '').split(',')]
        links = {}
        if start + size < len(found):
            query['start'] = str(start + size)
            links = {'next': {'href': f'/api/{request.path}?{urllib.parse.urlencode(query)}'}}
        return page(*(_only(record, fields) for record in found[start:start + size]),
                    _links=links)

    def _post(self, request, body):
        """An igroup, an initiator of one, a map."""
        if request.path == 'protocols/san/igroups':
            made = {'uuid': str(uuid.uuid4()), 'svm': {'name': SVM}, **body}
        elif request.path.startswith('protocols/san/igroups/'):
            group = self._one('igroups', 'uuid', request.path.split('/')[3])
            group.setdefault('initiators', []).append({'name': body['name']})
            return Reply(201, JSON, '{}')
        else:
            made = self._map(body['lun.name'], body['igroup.name'])
        self.records[request.path].append(made)
        return page(made)._replace(status=201)

    def _map(self, path, group):
        lun = next(record for record in self.records['storage/luns'] if record['name'] == path)
        igroup = self._one('igroups', 'name', group)
        taken = {record['logical_unit_number'] for record in self.records[
            'protocols/san/lun-maps'] if record['igroup']['name'] == group}
        return {'svm': {'name': SVM}, 'lun': {'name': path, 'uuid': lun['uuid']},
                'igroup': {'name': group, 'uuid': igroup['uuid'], 'initiators': [
                    entry['name'] for entry in igroup['initiators']]},
                'logical_unit_number': min(set(range(100)) - taken)}

    def _delete(self, request, body):
        """A map, by LUN and igroup."""
        lun, group = request.path.split('/')[-2:]
        maps = self.records['protocols/san/lun-maps']
        maps[:] = [record for record in maps if (
            record['lun']['uuid'], record['igroup']['uuid']) != (lun, group)]
        return Reply(body='{}')

    def _one(self, name, key, value):
        return next(record for record in self.records[f'protocols/san/{name}']
                    if record[key] == value)


def _values(record, keys):
    if isinstance(record, list):
        return [value for one in record for value in _values(one, keys)]
    if not keys:
        return [record]
    return _values(record[keys[0]], keys[1:]) \
        if isinstance(record, dict) and keys[0] in record else []


def _matches(record, keys, wanted):
    return any(fnmatch.fnmatchcase(str(value), pattern)
               for value in _values(record, keys) for pattern in wanted.split('|'))


def _only(record, fields):
    """The record without what was not asked for; lists of records are whole."""
    found = {}
    for field in fields:
        source, target = record, found
        for name in field.split('.'):
            if isinstance(source, list) or name not in source:
                break
            source = source[name]
            target = target.setdefault(name, {} if isinstance(source, dict) else source)
    return found if any(fields) else record


def _zapi(body):
    name = next((name for name in ZAPI if f'<{name}' in body), None)
    result = f'<results status="passed">{ZAPI[name]}</results>' if name else \
        '<results status="failed" errno="13003" reason="Insufficient privileges"/>'
    return Reply(200, 'text/xml', f'<netapp version="1.0" xmlns='
                 f'"http://www.netapp.com/filer/admin">{result}</netapp>')


class _Server(http.server.ThreadingHTTPServer):
    """A client that goes away in the middle is part of some tests."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request of the server."""

    protocol_version = 'HTTP/1.1'
    ontap = None

    def do_GET(self):
        path, _, query = self.path.partition('?')
        path = path.strip('/').removeprefix('api').strip('/')
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0)).decode()
        if body and not path.startswith('servlets/'):
            body = json.loads(body)
        reply = self.ontap.answer(Seen(self.command, path, dict(
            urllib.parse.parse_qsl(query.replace('?', '&'))), self.headers), body)
        if reply is None:
            self.close_connection = True
            return
        if callable(reply.body):
            self._without_end(reply)
            return
        content = reply.body if isinstance(reply.body, bytes) else reply.body.encode()
        self.send_response(reply.status)
        self.send_header('Content-Type', reply.kind)
        self.send_header('Content-Length', str(len(content)))
        if 300 <= reply.status < 400:
            self.send_header('Location', '/api/elsewhere')
        if reply.status == 401:
            self.send_header('WWW-Authenticate', 'Basic realm="ONTAP"')
        self.end_headers()
        self.wfile.write(content)

    def _without_end(self, reply):
        """A body whose length nobody says, written by a function."""
        self.close_connection = True
        self.send_response(reply.status)
        self.send_header('Content-Type', reply.kind)
        self.end_headers()
        reply.body(self)

    do_POST = do_DELETE = do_PATCH = do_GET

    def log_message(self, *_args):
        """Keep the output of the tests clean."""
