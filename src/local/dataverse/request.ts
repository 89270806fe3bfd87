import { badPayload } from './errors.ts';
import { isJsonObject, type JsonObject } from './json-object.ts';
import type { PathSegment, QueryOptions } from './odata/ast.ts';
import type { Preferences } from './preferences.ts';

/** One operation as it was sent, alone or inside a `$batch`. */
export interface ApiRequest {
  readonly method: string;
  /** Percent-encoded, below `/api/data/vX.Y/`. */
  readonly path: string;
  /** What stands after the `?`, percent-encoded. */
  readonly rawQuery: string;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** The operation with its URL and headers read. */
export interface Operation extends ApiRequest {
  readonly segments: readonly PathSegment[];
  readonly options: QueryOptions;
  readonly preferences: Preferences;
}

/** What the call log and the rules know an operation by. */
export interface OperationFacts {
  /** Logical name. */
  table?: string;
  /** `Create`, `Update`, `Upsert`, `Retrieve`, `RetrieveMultiple`, `UpdateMultiple`, `Batch` … */
  message: string;
  /** Rows read or written. */
  rows?: number;
}

/** The body as JSON. Throws WireError 400. */
export function jsonBody(request: ApiRequest, entitySet: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(request.body));
  } catch (error) {
    const text = error instanceof Error ? error.message : '';
    throw badPayload(entitySet, `Invalid JSON. ${text}`);
  }
}

/** The same, which must be an object. */
export function jsonObjectBody(request: ApiRequest, entitySet: string): JsonObject {
  const json = jsonBody(request, entitySet);
  if (isJsonObject(json)) return json;
  throw badPayload(entitySet, "A 'StartObject' node was expected when reading from the JSON reader.");
}

/** What `If-Match` and `If-None-Match` ask for. */
export interface Conditions {
  /** `*`, or ETags. */
  ifMatch?: string;
  /** `*`, or an ETag (of a retrieve). */
  ifNoneMatch?: string;
}

/** `If-Match` and `If-None-Match`; clients send a literal `null` in the latter to switch caches off. */
export function conditionsOf(request: ApiRequest): Conditions {
  const read = (name: string) => {
    const value = request.headers.get(name)?.trim();
    return value === undefined || value === '' || value === 'null' ? undefined : value;
  };
  const ifMatch = read('if-match');
  const ifNoneMatch = read('if-none-match');
  return { ...(ifMatch === undefined ? {} : { ifMatch }), ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }) };
}
