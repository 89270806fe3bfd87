import * as z from 'zod';
import { OUTCOMES } from '../dataverse/bulk/outcomes.ts';
import { connectionName, nameList } from '../http/query-values.ts';
import { type Route, route } from '../http/routes.ts';
import type { Services } from './services.ts';

const MODES = ['upsert', 'create', 'update', 'delete'] as const;

const upsertQuery = z.object({
  connection: connectionName(),
  keyColumns: nameList()
    .optional()
    .describe('Columns of the key, with commas between them; left out, rows carry the table’s primary id.'),
  mode: z.enum(MODES).default('upsert').describe('What may be done to a row.'),
});

const outcome = z.looseObject({
  index: z.number(),
  key: z.record(z.string(), z.unknown()),
  outcome: z.enum(OUTCOMES),
  id: z.string().optional(),
  error: z
    .object({ code: z.string(), message: z.string(), hint: z.string().optional(), column: z.string().optional() })
    .optional(),
});
const summary = z.object({
  input: z.number(),
  complete: z.boolean(),
  counts: z.record(z.string(), z.number()),
  calls: z.number(),
  throttled: z.object({ count: z.number(), waitedMs: z.number() }),
  ms: z.number(),
});

export function tableRoutes(services: Services): readonly Route[] {
  return [
    route({
      name: 'upsertRows',
      methods: ['POST'],
      route: 'tables/{table}/upsert',
      access: 'use',
      tag: 'rows',
      summary: 'Write many rows.',
      description:
        'Rows as CSV, NDJSON or a JSON array, taken as they arrive. Each ends in one outcome, told in input order as NDJSON with a summary at the end; with `Accept: application/json` as one document.',
      query: upsertQuery,
      bodyTypes: ['application/json', 'application/x-ndjson', 'text/csv'],
      answers: {
        200: {
          description: 'An outcome for each row, and the summary.',
          schema: z.object({ rows: z.array(outcome), summary }),
          types: ['application/x-ndjson'],
        },
      },
      example: {
        path: { table: 'account' },
        query: { keyColumns: 'accountnumber' },
        headers: { accept: 'application/json' },
        body: [{ accountnumber: 'A-1', name: 'Contoso Ltd' }],
        status: 200,
      },
      async handler(call) {
        const { upsertRows } = await import('./upsert-rows.ts');
        return upsertRows(services, call);
      },
    }),
  ];
}
