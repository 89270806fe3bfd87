import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, inject, test } from 'vitest';
import { checkNetwork, type Host } from '../../../src/health/network.ts';
import { makeCertificate } from '../../../src/local/certificates.ts';
import { systemClock } from '../../../src/shared/clock.ts';

const open: Server[] = [];
const sockets = new Set<Socket>();
const calm = new AbortController().signal;

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of open.splice(0)) server.close();
});

async function listening(server: Server): Promise<Host> {
  open.push(server);
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return host(`https://localhost:${(server.address() as AddressInfo).port}`);
}

const host = (url: string, what: Host['what'] = 'environment'): Host => ({
  what,
  url: new URL(url),
  setting: 'Dataverse__default__url',
});

function tlsServer(certificate: { cert: string; key: string }): Server {
  const server = createTlsServer(certificate);
  server.on('tlsClientError', () => {});
  return server;
}

const trusted = () => {
  const { certFile, keyFile } = inject('authority');
  return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
};

const failing = (code: string) => async () => {
  throw Object.assign(new Error('no'), { code });
};

describe('a host', () => {
  test('that speaks TLS with a trusted certificate is reached', async () => {
    const reached = await listening(tlsServer(trusted()));
    expect(await checkNetwork([reached], calm)).toEqual({
      detail: `Names are known and TLS works: ${reached.url.host}.`,
    });
  });

  test('with a certificate of its own making is not trusted', async () => {
    const now = systemClock.now();
    const { certPem: cert, keyPem: key } = makeCertificate({ subject: 'x', validFrom: now - 1000, validTo: now + 1e6 });
    const untrusted = await listening(tlsServer({ cert, key }));
    await expect(checkNetwork([untrusted], calm)).rejects.toMatchObject({
      code: 'certificate',
      hint: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
    });
  });

  test('that answers in plain text does not speak TLS', async () => {
    const plain = await listening(createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
    await expect(checkNetwork([plain], calm)).rejects.toMatchObject({ code: 'notTls' });
  });

  test('that closes the connection is unreachable', async () => {
    const rude = await listening(createServer((socket) => socket.destroy()));
    await expect(checkNetwork([rude], calm)).rejects.toMatchObject({ code: 'unreachable' });
  });

  test('that says nothing is given up when the caller does', async () => {
    const silent = await listening(createServer());
    const caller = new AbortController();
    const check = checkNetwork([silent], caller.signal);
    caller.abort(new Error('enough'));
    await expect(check).rejects.toThrow('enough');
  });

  test('where nobody listens refuses', async () => {
    await expect(checkNetwork([host('https://localhost:1')], calm)).rejects.toMatchObject({ code: 'refused' });
  });
});

test.each([
  ['ENOTFOUND', 'nameUnknown'],
  ['EAI_AGAIN', 'nameServer'],
  ['ECONNREFUSED', 'refused'],
  ['ETIMEDOUT', 'timeout'],
  ['CERT_HAS_EXPIRED', 'certificate'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'certificate'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'certificate'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'certificate'],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'notTls'],
  ['ECONNRESET', 'unreachable'],
  ['EHOSTUNREACH', 'unreachable'],
])('%s is %s', async (reason, code) => {
  await expect(checkNetwork([host('https://x.crm4.dynamics.com')], calm, failing(reason))).rejects.toMatchObject({
    code,
    hint: expect.stringMatching(/\S/),
  });
});

test('all hosts that cannot be reached are told together', async () => {
  const hosts = [host('https://a.crm4.dynamics.com'), host('https://b.vault.azure.net', 'vault')];
  await expect(checkNetwork(hosts, calm, failing('ENOTFOUND'))).rejects.toMatchObject({
    message: expect.stringMatching(/a\.crm4\.dynamics\.com.*b\.vault\.azure\.net/),
    facts: {
      hosts: [
        { host: 'a.crm4.dynamics.com', code: 'nameUnknown' },
        { host: 'b.vault.azure.net', code: 'nameUnknown' },
      ],
    },
  });
});
