import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Answers queries with no rows and everything else with 204, as soon as the body is there; nothing is looked at. */
const server = createServer((request, response) => {
  request.resume();
  request.once('end', () => {
    response.setHeader('x-ms-dop-hint', '5');
    if (request.method !== 'GET') response.writeHead(204).end();
    else response.writeHead(200, { 'content-type': 'application/json' }).end('{"value":[]}');
  });
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`ready http://127.0.0.1:${port}/api/data/v9.2/\n`);
});
process.once('SIGTERM', () => process.exit(0));
