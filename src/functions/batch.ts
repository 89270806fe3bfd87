import * as z from 'zod';
import { batchEntry } from '../actions/batch/entries.ts';
import { connectionName } from '../http/query-values.ts';
import { json, type Route, route } from '../http/routes.ts';
import { newGuid } from '../shared/ids.ts';
import type { Services } from './services.ts';

const MOST_ENTRIES = 1_000;
const LARGEST_BODY = 32 * 1024 * 1024;

const outcome = z.object({
  index: z.int().describe('Position in the request, from 0.'),
  outcome: z.enum(['created', 'updated', 'deleted', 'rejected']),
  status: z.int().describe('As a request of its own would have been answered.'),
  id: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional().describe('The row as it is then.'),
  error: z
    .object({ code: z.string(), message: z.string(), hint: z.string().optional(), column: z.string().optional() })
    .optional(),
});

export function batchRoutes(services: Services): readonly Route[] {
  return [
    route({
      name: 'runBatch',
      methods: ['POST'],
      route: 'batch',
      access: 'use',
      tag: 'rows',
      summary: 'Create, update and delete rows of several tables.',
      description:
        'Up to 1000 entries that are independent of each other; one that fails does not stop the others. Entries that concern one row keep their order. A code `deadline` tells of an entry that was not sent for lack of time, `outcomeUnknown` of one whose answer was lost.',
      query: z.object({ connection: connectionName() }),
      body: z.array(z.unknown()).max(MOST_ENTRIES, `There may be ${MOST_ENTRIES} entries at most.`),
      bodySchema: z.array(batchEntry).max(MOST_ENTRIES),
      largestBody: LARGEST_BODY,
      answers: { 200: { description: 'An outcome for each entry, in order.', schema: z.array(outcome) } },
      example: {
        body: [
          { collection: 'accounts', action: 'create', data: { name: 'Fabrikam' }, returnRepresentation: true },
          { collection: 'contacts', action: 'create', data: { firstname: 'Ann', lastname: 'Lee' } },
        ],
        status: 200,
      },
      async handler({ query, body, requestId, deadline }) {
        const connection = services.connections.get(query.connection);
        connection.assertWritable();
        const { client, metadata, apiPath } = connection;
        const { clock } = services;
        const limits = { deadline, clientRequestId: requestId };
        const context = { client, metadata, apiPath, clock, random: Math.random, newId: newGuid, limits };
        const { runBatch } = await import('../actions/batch/run.ts');
        return json(await runBatch(context, body));
      },
    }),
  ];
}
