import type { Columns, ColumnValue, OrganizationFacts, RowEvent, RowState, WebhookStep } from './row-event.ts';

type Json = null | string | number | boolean | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = { readonly [key: string]: Json };

const CONTRACTS = 'http://schemas.microsoft.com/xrm/2011/Contracts';
const NO_ID = '00000000-0000-0000-0000-000000000000';
/** The post image that asynchronous steps get unasked: the primary name and id. */
const PRIMARY_NAME_IMAGE = 'AsynchronousStepPrimaryName';
const STAGE = { preOperation: 20, mainOperation: 30 } as const;

/**
 * The RemoteExecutionContext (DataContract JSON) that a step posts, its keys in wire order. That of an asynchronous one is
 * held against recorded payloads in test/fixtures/webhooks; that of a synchronous one is UNCONFIRMED.
 */
export function buildExecutionContext(
  event: RowEvent,
  step: Pick<WebhookStep, 'id' | 'images' | 'mode' | 'stage'>,
  organization: OrganizationFacts,
  operationId: string,
): JsonObject {
  const facts: ContextFacts = { event, step, organization, operationId };
  const before = step.stage === STAGE.preOperation;
  const postImages = before ? [] : imagesOf(event, step, 'post');
  return contextOf(facts, {
    inputParameters: [pair('Target', before ? requestTargetOf(event) : targetOf(event))],
    outputParameters: event.message === 'Create' && !before ? [pair('id', event.id)] : [],
    parentContext: contextOf(facts, {
      inputParameters: [
        pair('Target', requestTargetOf(event)),
        ...(event.message === 'Delete' ? [] : [pair('SuppressDuplicateDetection', false)]),
      ],
      outputParameters: [],
      parentContext: null,
      postImages: [],
      preImages: [],
      stage: STAGE.mainOperation,
    }),
    postImages: step.mode === 'asynchronous' ? [...postImages, ...primaryNameImage(event)] : postImages,
    preImages: imagesOf(event, step, 'pre'),
    stage: step.stage,
  });
}

interface ContextFacts {
  event: RowEvent;
  step: Pick<WebhookStep, 'id' | 'mode'>;
  organization: OrganizationFacts;
  operationId: string;
}

interface ContextParts {
  inputParameters: readonly Json[];
  outputParameters: readonly Json[];
  parentContext: Json;
  postImages: readonly Json[];
  preImages: readonly Json[];
  stage: number;
}

function contextOf({ event, step, organization, operationId }: ContextFacts, parts: ContextParts): JsonObject {
  return {
    BusinessUnitId: event.businessUnitId,
    CorrelationId: event.correlationId,
    Depth: event.depth,
    InitiatingUserAgent: '',
    InitiatingUserAzureActiveDirectoryObjectId: event.initiatingUserObjectId ?? NO_ID,
    InitiatingUserId: event.initiatingUserId,
    InputParameters: parts.inputParameters,
    IsExecutingOffline: false,
    IsInTransaction: step.mode === 'synchronous',
    IsOfflinePlayback: false,
    IsolationMode: 1,
    MessageName: event.message,
    Mode: step.mode === 'synchronous' ? 0 : 1,
    // With an offset, unlike column values; an environment in the cloud runs in UTC.
    OperationCreatedOn: `/Date(${event.operationTime}+0000)/`,
    OperationId: operationId,
    OrganizationId: organization.id,
    OrganizationName: organization.name,
    OutputParameters: parts.outputParameters,
    OwningExtension: reference('sdkmessageprocessingstep', step.id),
    ParentContext: parts.parentContext,
    PostEntityImages: parts.postImages,
    PreEntityImages: parts.preImages,
    PrimaryEntityId: event.id,
    PrimaryEntityName: event.table,
    RequestId: event.requestId,
    SecondaryEntityName: 'none',
    SharedVariables: sharedVariables(event),
    Stage: parts.stage,
    UserAzureActiveDirectoryObjectId: event.userObjectId ?? NO_ID,
    UserId: event.userId,
  };
}

function sharedVariables(event: RowEvent): Json[] {
  return [
    pair('IsAutoTransact', true),
    ...Object.entries(event.sharedVariables ?? {}).map(([key, value]) => pair(key, value)),
    ...(event.message === 'Create' ? [pair('DefaultsAddedFlag', true)] : []),
  ];
}

/** A created row comes with all that the service set; an updated one with the request's columns and who changed it when. */
function targetOf(event: RowEvent): Json {
  if (event.message === 'Delete') return typed('EntityReference', reference(event.table, event.id));
  const { after } = event;
  if (event.message === 'Create') {
    const columns = createdColumns(event);
    return typed('Entity', entity(event, columns, textsOf(columns, after?.formatted)));
  }
  const modified = Object.entries(after?.columns ?? {}).filter(([name]) => /^modified(?:on|by|onbehalfby)$/.test(name));
  const columns: Columns = {
    ...event.columns,
    [event.primaryIdColumn]: event.id,
    ...event.derived,
    ...Object.fromEntries(modified),
  };
  return typed('Entity', entity(event, columns, []));
}

function createdColumns(event: RowEvent): Columns {
  const columns = Object.entries(event.after?.columns ?? event.columns).filter(
    ([name, value]) =>
      name !== 'versionnumber' &&
      (value !== null || Object.hasOwn(event.columns, name) || name === 'modifiedonbehalfby'),
  );
  return Object.fromEntries(columns);
}

function requestTargetOf(event: RowEvent): Json {
  if (event.message === 'Delete') return typed('EntityReference', reference(event.table, event.id));
  return typed('Entity', entity(event, { ...event.columns, [event.primaryIdColumn]: event.id }, []));
}

function imagesOf(event: RowEvent, step: Pick<WebhookStep, 'images'>, kind: 'pre' | 'post'): Json[] {
  const state = kind === 'pre' ? event.before : event.after;
  if (!state) return [];
  return step.images
    .filter((image) => image.kind === kind || image.kind === 'both')
    .map((image) => pair(image.alias, imageOf(event, state, image.columns)));
}

/** Columns without a value are not in an image; lookups carry their names, and no value its `__type` of Entity. */
function imageOf(event: RowEvent, state: RowState, names: readonly string[]): Json {
  const wanted = names.length > 0 ? names : Object.keys(state.columns);
  const columns = Object.fromEntries(
    wanted.flatMap((name) => {
      const value = state.columns[name];
      return value === undefined || value === null ? [] : [[name, value]];
    }),
  );
  return entity(event, columns, textsOf(columns, state.formatted, true), true);
}

function primaryNameImage(event: RowEvent): Json[] {
  const column = event.primaryNameColumn;
  if (column === undefined || !event.after) return [];
  const name = event.after.columns[column];
  const columns: Columns = {
    ...(name !== undefined && name !== null && { [column]: name }),
    [event.primaryIdColumn]: event.id,
  };
  return [pair(PRIMARY_NAME_IMAGE, entity(event, columns, []))];
}

function textsOf(columns: Columns, formatted: Readonly<Record<string, string>> = {}, lookups = false): Json[] {
  return Object.entries(columns).flatMap(([name, value]) => {
    const text = isLookup(value) ? (lookups ? value.name : undefined) : formatted[name];
    return text === undefined ? [] : [pair(name, text)];
  });
}

function entity(event: RowEvent, columns: Columns, texts: readonly Json[], lookupNames = false): JsonObject {
  return {
    Attributes: Object.entries(columns).map(([name, value]) => pair(name, encode(value, lookupNames))),
    EntityState: null,
    FormattedValues: texts,
    Id: event.id,
    KeyAttributes: [],
    LogicalName: event.table,
    RelatedEntities: [],
    RowVersion: null,
  };
}

function encode(value: ColumnValue, lookupNames: boolean): Json {
  if (value === null || typeof value !== 'object') return value;
  switch (value.kind) {
    case 'date':
      return `/Date(${value.ms})/`;
    case 'choice':
      return option(value.value);
    case 'choices':
      return value.values.map(option);
    case 'money':
      return typed('Money', { Value: value.value });
    case 'lookup':
      return typed('EntityReference', reference(value.table, value.id, lookupNames ? value.name : undefined));
  }
}

const isLookup = (value: ColumnValue): value is Extract<ColumnValue, { kind: 'lookup' }> =>
  typeof value === 'object' && value !== null && value.kind === 'lookup';

const pair = (key: string, value: Json): JsonObject => ({ key, value });

const option = (value: number): JsonObject => typed('OptionSetValue', { Value: value });

/** `__type` must come first: .NET's reader of this JSON finds it nowhere else. */
const typed = (type: string, value: JsonObject): JsonObject => ({ __type: `${type}:${CONTRACTS}`, ...value });

const reference = (table: string, id: string, name?: string): JsonObject => ({
  Id: id,
  KeyAttributes: [],
  LogicalName: table,
  Name: name ?? null,
  RowVersion: null,
});
