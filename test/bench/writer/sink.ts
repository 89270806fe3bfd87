import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const MESSAGES = JSON.stringify({
  value: ['CreateMultiple', 'UpdateMultiple'].map((name) => ({ sdkmessageid: { name } })),
});

/**
 * Answers as soon as the body is there, which nobody looks at: the table has the bulk messages, no key leads to a row,
 * and everything else is done.
 */
const server = createServer((request, response) => {
  if (request.url?.endsWith('/$batch')) {
    void batch(request, response);
    return;
  }
  request.resume();
  request.once('end', () => {
    response.setHeader('x-ms-dop-hint', '5');
    if (request.method !== 'GET') response.writeHead(204).end();
    else {
      const answer = request.url?.includes('sdkmessagefilters') ? MESSAGES : '{"value":[]}';
      response.writeHead(200, { 'content-type': 'application/json' }).end(answer);
    }
  });
});

async function batch(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = '';
  for await (const chunk of request) body += chunk;
  const operations = body.split(' HTTP/1.1\r\n').length - 1;
  const part = '--answer\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n';
  response.writeHead(200, { 'content-type': 'multipart/mixed; boundary=answer' });
  response.end(`${part.repeat(operations)}--answer--\r\n`);
}

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`ready http://127.0.0.1:${port}/api/data/v9.2/\n`);
});
process.once('SIGTERM', () => process.exit(0));
