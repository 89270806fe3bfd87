import * as z from 'zod';
import { RequestError } from '../http/problem.ts';
import { connectionName } from '../http/query-values.ts';
import { type Route, route } from '../http/routes.ts';
import { newGuid } from '../shared/ids.ts';
import type { Services } from './services.ts';

const LARGEST_BODY = 64 * 1024 * 1024;
const LARGEST_ANSWER = 100 * 1024 * 1024;

const text = (largest: number) => z.string().max(largest);

const rawBody = z.strictObject({
  path: text(32_768).describe('Below the Web API, with or without `/api/data/v9.x/`; the host is fixed.'),
  method: z.enum(['GET', 'POST', 'PATCH', 'PUT', 'DELETE']),
  query: z
    .record(text(100), z.union([text(65_536), z.number(), z.boolean()]))
    .default({})
    .describe('Query options besides those in the path.'),
  headers: z.record(text(100), text(8_192)).default({}),
  data: z.unknown().optional().describe('The body: a text as it is, anything else as JSON.'),
  form: z.record(text(200), text(10_000_000)).default({}).describe('Fields of a form, sent as multipart/form-data.'),
  files: z
    .array(
      z.strictObject({
        name: text(200).describe('The field that the file stands in.'),
        fileName: text(255),
        base64: z.string(),
      }),
    )
    .max(20)
    .default([])
    .describe('Files of the form.'),
  responseType: z
    .enum(['json', 'text', 'binary'])
    .default('json')
    .describe('How the answer’s body is told: as JSON, as a text, or as bytes in base64.'),
  timeoutMs: z.int().min(1).max(200_000).optional().describe('Longest wait for the answer of one try.'),
  debug: z.boolean().default(false).describe('Tells what was sent and how each try ended, without the token.'),
  maxRetries: z.int().min(0).max(10).default(0).describe('Tries after the first.'),
  retryDelayMs: z.int().min(0).max(60_000).default(0).describe('Time between tries.'),
  exponentialBackoff: z
    .boolean()
    .default(false)
    .describe('Waits longer after each try; then `retryDelayMs` has no meaning.'),
  retryOnAllErrors: z
    .boolean()
    .default(false)
    .describe('Tries again after every error, not only after 5xx and where no answer came.'),
});

const answer = z.object({
  status: z.int(),
  headers: z.record(z.string(), z.string()),
  body: z.unknown(),
  debug: z
    .object({
      request: z.object({
        method: z.string(),
        url: z.string(),
        headers: z.record(z.string(), z.string()),
        bodyBytes: z.int(),
      }),
      tries: z.array(z.object({ result: z.union([z.int(), z.enum(['network', 'timeout'])]), ms: z.number() })),
      bodyBytes: z.int(),
    })
    .optional(),
});

export function rawRoutes(services: Services): readonly Route[] {
  return [
    route({
      name: 'sendRaw',
      methods: ['POST'],
      route: 'raw',
      access: 'admin',
      tag: 'raw',
      summary: 'Send a request to the Web API as it is.',
      description:
        'Errors of Dataverse are answered with 200 and their status inside. Authentication, cookies and the host are not the caller’s. Where the connection has allowedTables, a request that cannot be understood, such as a `$batch`, is refused.',
      query: z.object({ connection: connectionName() }),
      body: rawBody,
      largestBody: LARGEST_BODY,
      answers: { 200: { description: 'What Dataverse answered.', schema: answer } },
      example: {
        body: { path: '/api/data/v9.2/accounts?$select=name', method: 'GET', query: { $top: 3 } },
        status: 200,
      },
      async handler({ query, body, requestId, signal, deadline }) {
        const connection = services.connections.get(query.connection);
        if (body.method !== 'GET') connection.assertWritable();
        const { client, metadata, settings } = connection;
        const { apiUrl, allowedTables } = settings;
        const call = { signal, deadline, clientRequestId: requestId };
        const made = { clock: services.clock, random: Math.random, newId: newGuid };
        const { sendRaw } = await import('../actions/raw/send.ts');
        const told = JSON.stringify(await sendRaw({ client, metadata, apiUrl, allowedTables, ...made, ...call }, body));
        if (Buffer.byteLength(told) > LARGEST_ANSWER) {
          throw new RequestError(502, 'answerTooLarge', `The answer is larger than ${LARGEST_ANSWER} bytes.`);
        }
        return { status: 200, headers: { 'content-type': 'application/json' }, body: told };
      },
    }),
  ];
}
