import { rolePrivileges } from './bound-operations.ts';
import { type BulkMessage, bulkMessage, bulkMessageOf, type Steps } from './bulk.ts';
import { DEFINITION_ACTIONS, routeDefinitionAction } from './definitions/actions.ts';
import { metadataDocument } from './definitions/csdl.ts';
import { routeChoiceDefinitions, routeDefinitions, routeRelationshipDefinitions } from './definitions/route.ts';
import { countRead } from './effort.ts';
import { elasticBulk } from './elastic-bulk.ts';
import { routeElastic } from './elastic-route.ts';
import { asWireError } from './error-reply.ts';
import { badQuery, methodNotAllowed, noResourceFor, notEmulated, segmentNotFound } from './errors.ts';
import type { PathSegment } from './odata/ast.ts';
import { parsePath } from './odata/path.ts';
import { parseQuery } from './odata/query.ts';
import { parsePreferences } from './preferences.ts';
import { totalRecordCount } from './record-counts.ts';
import { jsonReply, type Reply } from './reply.ts';
import type { ApiRequest, Operation, OperationFacts } from './request.ts';
import { replaceContentId, routeRows } from './rows-route.ts';
import type { Environment, Work } from './work.ts';

/** Request headers that change what a request does and are not emulated; passing them over would be worse. */
const HEADERS_NOT_EMULATED: ReadonlyMap<string, (value: string) => boolean> = new Map<
  string,
  (value: string) => boolean
>([
  ['mscrm.suppressduplicatedetection', (value) => value.toLowerCase() === 'false'],
  ['mscrm.bypassbusinesslogicexecution', () => true],
  ['mscrm.bypassbusinesslogicexecutionstepids', () => true],
  ['mscrm.bypasscustompluginexecution', (value) => value.toLowerCase() === 'true'],
]);

/** Functions and actions of the service that clients are likely to try. */
const OPERATIONS_NOT_EMULATED: ReadonlySet<string> = new Set([
  'BulkDelete',
  'ExecuteCosmosSqlQuery',
  'CanBeReferenced',
  'CanBeReferencing',
  'CanManyToMany',
  'FormatAddress',
  'GetValidManyToMany',
  'GetValidReferencedEntities',
  'GetValidReferencingEntities',
  'GrantAccess',
  'InitializeFrom',
  'RetrieveDependenciesForDelete',
  'RetrieveMetadataChanges',
  'UpdateStateValue',
  'WinOpportunity',
]);

/** Throws WireError 501 for a header that would change what the request does. */
export function refuseHeaders(request: ApiRequest): void {
  for (const [name, value] of request.headers) {
    if (HEADERS_NOT_EMULATED.get(name)?.(value)) throw notEmulated(`The request header ${name}`);
  }
}

/** Reads the URL and the headers of an operation. Throws WireError 400, 404 and 501. */
export function readOperation(request: ApiRequest): Operation {
  refuseHeaders(request);
  try {
    const options = parseQuery(request.rawQuery);
    const segments = parsePath(request.path, options.aliases);
    return { ...request, options, segments, preferences: parsePreferences(request.headers.get('prefer')) };
  } catch (error) {
    throw asWireError(error);
  }
}

/** What an operation is, as far as its URL tells; never throws. */
export function factsOf(env: Environment, request: ApiRequest): OperationFacts {
  let segments: PathSegment[];
  try {
    segments = parsePath(request.path, parseQuery(request.rawQuery).aliases);
  } catch {
    return { message: 'Unknown' };
  }
  const [first, second] = segments;
  if (first?.kind === 'system') return { message: first.name === '$batch' ? 'Batch' : first.name };
  if (first?.kind !== 'name') return { message: 'Unknown' };
  const table = env.catalog.names.find(({ entitySetName }) => entitySetName === first.name)?.logicalName;
  if (table === undefined) return { message: first.name };
  if (second?.kind === 'name' && second.qualified) return { table, message: second.name };
  const last = segments.at(-1);
  const linked = last?.kind === 'system' && last.name === '$ref' ? LINK_MESSAGES[request.method] : undefined;
  return { table, message: linked ?? messageOf(request, first.predicate !== undefined || second?.kind === 'name') };
}

const LINK_MESSAGES: Readonly<Record<string, string>> = { POST: 'Associate', DELETE: 'Disassociate' };

function messageOf({ method, headers }: ApiRequest, oneRow: boolean): string {
  switch (method) {
    case 'GET':
      return oneRow ? 'Retrieve' : 'RetrieveMultiple';
    case 'POST':
      return 'Create';
    case 'PATCH':
      return headers.get('if-match') === undefined ? 'Upsert' : 'Update';
    case 'PUT':
      return 'Update';
    case 'DELETE':
      return 'Delete';
    default:
      return method;
  }
}

/** Carries out one operation other than `$batch` and its events, inside a transaction. Throws WireError. */
export function execute(work: Work, request: ApiRequest, facts: OperationFacts): Reply {
  const steps = executeInSteps(work, request, facts);
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

/** The same with pauses, where there is much to do. */
export function* executeInSteps(work: Work, request: ApiRequest, facts: OperationFacts): Steps<Reply> {
  const operation = readOperation(request);
  const bulk = bulkMessageOf(work, operation);
  try {
    const reply = bulk ? yield* runBulk(work, operation, bulk, facts) : route(work, operation, facts);
    countRead(work.effort, operation, facts);
    return reply;
  } catch (error) {
    throw asWireError(error);
  }
}

function runBulk(work: Work, operation: Operation, bulk: BulkMessage, facts: OperationFacts): Steps<Reply> {
  if (operation.method !== 'POST') throw noResourceFor(`${work.root}${operation.path}`);
  return (bulk.table.isElastic ? elasticBulk : bulkMessage)(work, operation, bulk, facts);
}

function route(work: Work, given: Operation, facts: OperationFacts): Reply {
  const operation = { ...given, segments: replaceContentId(work, given.segments) };
  const [first] = operation.segments;
  if (!first) return serviceDocument(work, operation);
  if (first.kind === 'system' && first.name === '$metadata') return metadataReply(work, operation);
  if (first.kind !== 'name') throw notEmulated(first.kind === 'system' ? first.name : `$${first.id}`);
  const table = work.env.catalog.tableOfSet(first.name);
  if (table?.isElastic) return routeElastic(work, operation, table, facts);
  if (table) return routeRows(work, operation, table, facts);
  switch (first.name) {
    case 'EntityDefinitions':
      return routeDefinitions(work, operation);
    case 'RelationshipDefinitions':
      return routeRelationshipDefinitions(work, operation);
    case 'GlobalOptionSetDefinitions':
      return routeChoiceDefinitions(work, operation);
    case 'WhoAmI':
      return unboundFunction(work, operation, first.name, {
        BusinessUnitId: work.caller.businessUnitId,
        UserId: work.caller.userId,
        OrganizationId: work.env.organization.id,
      });
    case 'RetrieveVersion':
      return unboundFunction(work, operation, first.name, { Version: work.env.organization.version });
    case 'RetrieveCurrentOrganization':
      return unboundFunction(work, operation, first.name, { Detail: organizationDetail(work) });
    case 'RetrieveTotalRecordCount':
      return unboundFunction(work, operation, first.name, totalRecordCount(work, first.predicate));
    case 'RetrieveRolePrivilegesRole':
      if (operation.method !== 'GET') throw noResourceFor(`${work.root}${operation.path}`);
      return rolePrivileges(work, first.predicate);
    default: {
      const action = DEFINITION_ACTIONS.get(first.name);
      if (action) return routeDefinitionAction(work, operation, first.name, action);
      throw OPERATIONS_NOT_EMULATED.has(first.name) ? notEmulated(first.name) : segmentNotFound(first.name);
    }
  }
}

/** The CSDL document; `?annotations=true` adds descriptions. */
function metadataReply(work: Work, operation: Operation): Reply {
  if (operation.method !== 'GET') throw methodNotAllowed(`${operation.method} on $metadata`);
  if (operation.segments.length > 1) throw badQuery('Nothing follows $metadata.');
  const annotations = operation.options.unknown.some(
    ({ name, value }) => name === 'annotations' && value.toLowerCase() === 'true',
  );
  return { status: 200, headers: { 'Content-Type': 'application/xml' }, body: metadataDocument(work, annotations) };
}

function unboundFunction(work: Work, operation: Operation, name: string, result: Record<string, unknown>): Reply {
  if (operation.method !== 'GET') throw noResourceFor(`${work.root}${operation.path}`);
  if (operation.segments.length > 1) throw badQuery(`Nothing follows ${name}.`);
  return jsonReply(200, {
    '@odata.context': `${work.root}$metadata#Microsoft.Dynamics.CRM.${name}Response`,
    ...result,
  });
}

/** UNCONFIRMED which further members the service sends. */
function organizationDetail({ env, root }: Work): Record<string, unknown> {
  const { organization } = env;
  const origin = new URL(root).origin;
  return {
    OrganizationId: organization.id,
    FriendlyName: organization.name,
    OrganizationVersion: organization.version,
    EnvironmentId: organization.id,
    UrlName: organization.name,
    UniqueName: organization.name,
    State: 'Enabled',
    Endpoints: {
      Count: 3,
      IsReadOnly: false,
      Keys: ['WebApplication', 'OrganizationService', 'OrganizationDataService'],
      Values: [
        `${origin}/`,
        `${origin}/XRMServices/2011/Organization.svc`,
        `${origin}/XRMServices/2011/OrganizationData.svc`,
      ],
    },
  };
}

function serviceDocument(work: Work, operation: Operation): Reply {
  if (operation.method !== 'GET') throw methodNotAllowed(`${operation.method} on the service document`);
  const value = work.env.catalog.names.map(({ entitySetName }) => ({
    name: entitySetName,
    kind: 'EntitySet',
    url: entitySetName,
  }));
  return jsonReply(200, { '@odata.context': `${work.root}$metadata`, value });
}
