import {
  decodeDate,
  decodeGuid,
  decodePairs,
  decodeReference,
  decodeRow,
  decodeValue,
  isObject,
  type Row,
  type RowReference,
  type Values,
} from './wire-values.ts';

/**
 * What Dataverse says of an operation on a row: the `RemoteExecutionContext` that it posts to a webhook, decoded
 * (powerapps-docs `use-webhooks.md`; payloads in test/fixtures/webhooks). Members that older versions do not send are
 * absent. GUIDs are in lower case.
 */
export interface ExecutionContext {
  /** `Create`, `Update`, `Delete`, … */
  readonly message: string;
  /** The logical name; `none` for messages without a table. */
  readonly table: string;
  readonly row: string;
  readonly operationId: string;
  readonly correlationId: string;
  /** ISO 8601 in UTC; to the second for asynchronous steps. */
  readonly operationCreatedOn: string;
  /** The registered step that posted this. */
  readonly step?: RowReference | undefined;
  /** 10 before validation, 20 before, 40 after the operation; 30 is the platform's own. */
  readonly stage?: number | undefined;
  readonly mode?: 'synchronous' | 'asynchronous' | undefined;
  /** 1 for a user's own call; grows with each plug-in or flow that acts in answer to another. */
  readonly depth?: number | undefined;
  readonly inTransaction?: boolean | undefined;
  readonly requestId?: string | undefined;
  readonly organizationId?: string | undefined;
  readonly organizationName?: string | undefined;
  readonly businessUnitId?: string | undefined;
  readonly userId?: string | undefined;
  readonly userObjectId?: string | undefined;
  readonly initiatingUserId?: string | undefined;
  readonly initiatingUserObjectId?: string | undefined;
  readonly initiatingUserAgent?: string | undefined;
  readonly secondaryTable?: string | undefined;
  /** `Target` is a `Row` with the columns that were sent, for `Delete` a `RowReference`. */
  readonly inputParameters: Values;
  readonly outputParameters: Values;
  readonly sharedVariables: Values;
  /** By the image's alias. */
  readonly preImages: { readonly [alias: string]: Row };
  readonly postImages: { readonly [alias: string]: Row };
  readonly parent?: ExecutionContext | undefined;
  /**
   * Dataverse took the parameters, images and parent away, because the context had more than 256 KB. What changed has
   * to be read from the row.
   */
  readonly truncated: boolean;
}

/** Contexts nest up to eight times, each with rows of parties inside; what goes far beyond is not Dataverse's. */
const MAX_NESTING = 200;
const MAX_NAME_LENGTH = 256;

/** The context in the JSON that was posted; undefined where it is not one. Never throws. */
export function parseExecutionContext(json: unknown): ExecutionContext | undefined {
  return isNestedDeeper(json, MAX_NESTING) ? undefined : contextOf(json);
}

/** True where lists and objects are nested in more than `levels` levels; safe for any depth. */
export function isNestedDeeper(json: unknown, levels: number): boolean {
  let level: unknown[] = [json];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > levels) return true;
    level = level.flatMap((value): unknown[] =>
      typeof value === 'object' && value !== null ? Object.values(value) : [],
    );
  }
  return false;
}

function contextOf(json: unknown): ExecutionContext | undefined {
  if (!isObject(json)) return undefined;
  const message = nameOf(json['MessageName']);
  const table = nameOf(json['PrimaryEntityName']);
  const row = decodeGuid(json['PrimaryEntityId']);
  const operationId = decodeGuid(json['OperationId']);
  const correlationId = decodeGuid(json['CorrelationId']);
  const operationCreatedOn = momentOf(json['OperationCreatedOn']);
  if (!message || !table || !row || !operationId || !correlationId || !operationCreatedOn) return undefined;

  const inputParameters = decodePairs(json['InputParameters'], decodeValue);
  return {
    message,
    table,
    row,
    operationId,
    correlationId,
    operationCreatedOn,
    step: decodeReference(json['OwningExtension']),
    stage: numberOf(json['Stage']),
    mode: modeOf(json['Mode']),
    depth: numberOf(json['Depth']),
    inTransaction: typeof json['IsInTransaction'] === 'boolean' ? json['IsInTransaction'] : undefined,
    requestId: decodeGuid(json['RequestId']),
    organizationId: decodeGuid(json['OrganizationId']),
    organizationName: textOf(json['OrganizationName']),
    businessUnitId: decodeGuid(json['BusinessUnitId']),
    userId: decodeGuid(json['UserId']),
    userObjectId: decodeGuid(json['UserAzureActiveDirectoryObjectId']),
    initiatingUserId: decodeGuid(json['InitiatingUserId']),
    initiatingUserObjectId: decodeGuid(json['InitiatingUserAzureActiveDirectoryObjectId']),
    initiatingUserAgent: textOf(json['InitiatingUserAgent']),
    secondaryTable: json['SecondaryEntityName'] === 'none' ? undefined : textOf(json['SecondaryEntityName']),
    inputParameters,
    outputParameters: decodePairs(json['OutputParameters'], decodeValue),
    sharedVariables: decodePairs(json['SharedVariables'], decodeValue),
    preImages: imagesOf(json['PreEntityImages']),
    postImages: imagesOf(json['PostEntityImages']),
    parent: contextOf(json['ParentContext']),
    // How the removal looks on the wire is not documented; no message about a row is without parameters otherwise.
    truncated: table !== 'none' && Object.keys(inputParameters).length === 0,
  };
}

const imagesOf = (json: unknown): { readonly [alias: string]: Row } => {
  const images = Object.entries(decodePairs(json, decodeRow));
  return Object.fromEntries(images.flatMap(([alias, row]): [string, Row][] => (row ? [[alias, row]] : [])));
};

/** Years before 1970 and after 9999 do not fit the keys that events are stored under. */
function momentOf(json: unknown): string | undefined {
  const text = isObject(json) ? json['__value'] : json;
  const moment = typeof text === 'string' ? decodeDate(text) : undefined;
  return moment !== undefined && /^(19[7-9]|[2-9]\d\d)\d-/.test(moment) ? moment : undefined;
}

const modeOf = (json: unknown): ExecutionContext['mode'] =>
  json === 0 ? 'synchronous' : json === 1 ? 'asynchronous' : undefined;
const nameOf = (json: unknown): string | undefined =>
  typeof json === 'string' && json !== '' && json.length <= MAX_NAME_LENGTH ? json : undefined;
const textOf = (json: unknown): string | undefined => (typeof json === 'string' && json !== '' ? json : undefined);
const numberOf = (json: unknown): number | undefined => (typeof json === 'number' ? json : undefined);
