import * as z from 'zod';
import { LONGEST_FETCH } from '../dataverse/wire/fetch.ts';
import { connectionName } from '../http/query-values.ts';
import { json, type Route, route } from '../http/routes.ts';
import { newGuid } from '../shared/ids.ts';
import type { Services } from './services.ts';

const annotationName = z
  .string()
  .max(200)
  .regex(/^(\*|\w[\w.]*\*?)$/, 'It must be the name of an annotation, or *.');

const fetchBody = z.strictObject({
  table: z.string().min(1).max(128).describe('Logical name, entity set name or MetadataId of the table that is read.'),
  xml: z.string().min(1).max(LONGEST_FETCH).describe('The query in FetchXML.'),
  annotations: z
    .union([annotationName.transform((name) => [name]), z.array(annotationName).max(20)])
    .default([])
    .describe(
      'Annotations to tell, `*` for all: `OData.Community.Display.V1.FormattedValue` as `_formatted`, others as `_annotations`.',
    ),
  page: z.int().min(1).max(1_000_000).optional().describe('Number of the page, from 1.'),
  pageSize: z
    .int()
    .min(1)
    .max(5_000)
    .optional()
    .describe('Most rows of one page; left out, what the query says, or 5000.'),
  cookie: z.string().min(1).max(20_000).optional().describe('`cookie` of the page before.'),
  impersonate: z
    .union([z.guid().transform((systemUserId) => ({ systemUserId })), z.strictObject({ entraObjectId: z.guid() })])
    .optional()
    .describe(
      'The user to act as, by the id of the row in `systemuser`, or as `{ "entraObjectId": … }`. The connection needs the privilege prvActOnBehalfOfAnotherUser, and what counts are the rights that both have.',
    ),
});

export function fetchXmlRoutes(services: Services): readonly Route[] {
  return [
    route({
      name: 'runFetchXml',
      methods: ['POST'],
      route: 'fetchxml',
      access: 'use',
      tag: 'queries',
      summary: 'Run a FetchXML query.',
      description:
        'For the next page send `page` plus one with the `cookie` of the answer, until `moreRecords` is false. Columns of linked tables come as `alias.column`.',
      query: z.object({ connection: connectionName() }),
      body: fetchBody,
      answers: {
        200: {
          description: 'A page of rows.',
          schema: z.object({
            value: z.array(z.record(z.string(), z.unknown())),
            moreRecords: z.boolean(),
            page: z.int(),
            cookie: z.string().optional(),
            count: z.int().optional(),
          }),
        },
      },
      example: {
        body: {
          table: 'account',
          xml: '<fetch><entity name="account"><attribute name="name" /><order attribute="name" /></entity></fetch>',
          pageSize: 10,
        },
        status: 200,
      },
      async handler({ query, body, requestId, signal, deadline }) {
        const { client, metadata, apiPath, settings } = services.connections.get(query.connection);
        const { allowedTables } = settings;
        const limits = { signal, deadline, clientRequestId: requestId };
        const { fetchRows } = await import('../actions/fetchxml.ts');
        return json(await fetchRows({ client, metadata, apiPath, allowedTables, newId: newGuid, limits }, body));
      },
    }),
  ];
}
