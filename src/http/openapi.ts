import * as z from 'zod';
import { type AnswerDescription, parametersOf, type RouteDescription, TAGS } from './routes.ts';

/** JSON, as far as an OpenAPI document needs it. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json | undefined;
}

export interface DescriptionOptions {
  /** What callers prove themselves with: keys of the Functions host, or tokens of Entra. */
  readonly callers: 'keys' | 'entra';
}

const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().describe('What went wrong, for programs.'),
    hint: z.string().optional().describe('What to do next.'),
    requestId: z.string(),
    errors: z
      .array(z.object({ path: z.string(), code: z.string(), message: z.string() }))
      .optional()
      .describe('Each fault with where it is.'),
  })
  .describe('RFC 9457.');

const PARAMETERS: Readonly<Record<string, string>> = {
  connection: 'Name of a connection.',
  table: 'Logical name (`account`), entity set name (`accounts`) or MetadataId of a table.',
  column: 'Logical name or MetadataId of a column.',
  key: "A GUID, or an alternate key such as `accountnumber='A-1'`, several columns with commas between them. A key with `/ \\ % + ? & : < > *` goes to `tables/{table}/row?key=`.",
  name: 'Name of an activation.',
  run: 'Id of a run.',
  endpoint: 'Name of a webhook endpoint.',
  id: 'Id of an event.',
};

const TAG_TEXTS: Readonly<Record<(typeof TAGS)[number], string>> = {
  health: 'Is the app alive and are its connections in order',
  connections: 'Connections to Dataverse environments',
  rows: 'Rows of tables, one or many',
  queries: 'Queries over rows',
  definitions: 'Definitions of tables, columns and keys',
  raw: 'Requests to the Web API as they are',
  activations: 'Segments that are sent into tables',
  webhooks: 'Events that Dataverse sends',
  api: 'This description',
};

/** The OpenAPI 3.1 document of the routes: their own schemas, nothing besides. */
export function openApiDocument(routes: readonly RouteDescription[], { callers }: DescriptionOptions): JsonObject {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = `/${route.route}`;
    for (const method of route.methods) {
      paths[path] ??= {};
      paths[path][method.toLowerCase()] = operation(route, callers);
    }
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Dataverse Bridge',
      version: '1',
      description: `Connects a company’s systems with Dataverse. ${CALLER_TEXTS[callers]}`,
    },
    servers: [{ url: '/api' }],
    tags: TAGS.filter((tag) => routes.some((route) => route.tag === tag)).map((name) => ({
      name,
      description: TAG_TEXTS[name],
    })),
    paths,
    components: {
      schemas: { Problem: jsonSchema(problem, 'output') },
      responses: {
        Problem: {
          description: 'What went wrong, why, and what to do next.',
          headers: { 'x-request-id': { schema: { type: 'string' } } },
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      },
      securitySchemes: SECURITY[callers],
    },
  };
}

const CALLER_TEXTS = {
  keys: 'Callers send a key of the function app; routes marked as the operator’s take the master key only.',
  entra:
    'Callers send a token of Entra with the app role Bridge.Use; routes marked as the operator’s need Bridge.Admin.',
} as const;

const SECURITY = {
  keys: {
    functionKey: { type: 'apiKey', in: 'header', name: 'x-functions-key', description: 'A function or host key.' },
    masterKey: { type: 'apiKey', in: 'header', name: 'x-functions-key', description: 'The operator’s master key.' },
  },
  entra: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
} as const;

function operation(route: RouteDescription, callers: DescriptionOptions['callers']): JsonObject {
  const body = bodyOf(route);
  return {
    operationId: route.name,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description !== undefined && { description: route.description }),
    ...(route.access === 'admin' && { 'x-operator-only': true }),
    parameters: [...pathParameters(route), ...queryParameters(route), ...headerParameters(route)],
    ...(body && { requestBody: body }),
    responses: {
      ...Object.fromEntries(Object.entries(route.answers).map(([status, answer]) => [status, response(answer)])),
      default: { $ref: '#/components/responses/Problem' },
    },
    security: security(route, callers),
    'x-example': JSON.parse(JSON.stringify(route.example)),
  };
}

function security({ access }: RouteDescription, callers: DescriptionOptions['callers']): Json {
  if (access === 'anonymous') return [];
  if (callers === 'entra') return [{ token: [access === 'admin' ? 'Bridge.Admin' : 'Bridge.Use'] }];
  return [{ [access === 'admin' ? 'masterKey' : 'functionKey']: [] }];
}

const pathParameters = ({ route, example }: RouteDescription): Json[] =>
  parametersOf(route).map((name) => ({
    name,
    in: 'path',
    required: true,
    description: PARAMETERS[name] ?? name,
    schema: { type: 'string' },
    ...(example.path?.[name] !== undefined && { example: example.path[name] }),
  }));

function queryParameters({ query, example }: RouteDescription): Json[] {
  if (!query) return [];
  const { properties = {}, required = [] } = jsonSchema(query, 'input') as {
    properties?: Record<string, JsonObject>;
    required?: readonly string[];
  };
  return Object.entries(properties).map(([name, { parameter, description, ...own }]) => ({
    name,
    in: 'query',
    ...(required.includes(name) && { required: true }),
    ...(description !== undefined && { description }),
    schema: parameter ?? own,
    ...(example.query?.[name] !== undefined && { example: example.query[name] }),
  }));
}

const headerParameters = ({ requestHeaders = {} }: RouteDescription): Json[] =>
  Object.entries(requestHeaders).map(([name, description]) => ({
    name,
    in: 'header',
    description,
    schema: { type: 'string' },
  }));

function bodyOf({ body, bodySchema, bodyTypes = [], bodyOptional, example }: RouteDescription): JsonObject | undefined {
  const schema = bodySchema ?? body;
  const types = [...(schema ? ['application/json'] : []), ...bodyTypes];
  if (types.length === 0) return undefined;
  const exampleType = example.type ?? 'application/json';
  return {
    required: bodyOptional !== true && schema !== undefined,
    content: Object.fromEntries(
      [...new Set(types)].map((type) => [
        type,
        {
          ...(type === 'application/json' && schema && { schema: jsonSchema(schema, 'input') }),
          ...(type === exampleType && example.body !== undefined && { example: example.body as Json }),
        },
      ]),
    ),
  };
}

function response({ description, schema, types = [], headers = {} }: AnswerDescription): JsonObject {
  const json = schema && !types.some((type) => type.endsWith('+json')) ? ['application/json'] : [];
  const described = schema && jsonSchema(schema, 'output');
  const content = Object.fromEntries(
    [...json, ...types].map((type) => [type, described && /json$/.test(type) ? { schema: described } : {}]),
  );
  return {
    description,
    ...(Object.keys(headers).length > 0 && {
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, text]) => [name, { description: text, schema: { type: 'string' } }]),
      ),
    }),
    ...(Object.keys(content).length > 0 && { content }),
  };
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): JsonObject {
  const { $schema: _, ...described } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return described as JsonObject;
}
