import * as z from 'zod';
import { json, type Route, type RouteDescription, route } from '../http/routes.ts';
import type { Services } from './services.ts';

/** The API's description. Its code is loaded at the first call. */
export function docsRoutes({ settings }: Services, described: () => readonly RouteDescription[]): readonly Route[] {
  const access = settings.docs === 'anonymous' ? 'anonymous' : 'use';
  const document = async () => {
    const { openApiDocument } = await import('../http/openapi.ts');
    return openApiDocument(described(), { callers: settings.callers.kind });
  };
  return [
    route({
      name: 'openApi',
      methods: ['GET'],
      route: 'openapi.json',
      access,
      tag: 'api',
      summary: 'Get the description of the API for programs.',
      query: z.object({}),
      answers: { 200: { description: 'An OpenAPI 3.1 document.', schema: z.looseObject({ openapi: z.string() }) } },
      example: { status: 200 },
      handler: async () => json(await document()),
    }),
    route({
      name: 'docs',
      methods: ['GET'],
      route: 'docs',
      access,
      tag: 'api',
      summary: 'Read the description of the API.',
      query: z.object({}),
      answers: { 200: { description: 'A page.', types: ['text/html'] } },
      example: { status: 200 },
      async handler() {
        const { docsPage } = await import('../http/docs-page.ts');
        return docsPage(await document());
      },
    }),
  ];
}
