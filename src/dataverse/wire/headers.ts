import { rowAnnotations } from './annotations.ts';

/** What every request to the Web API carries. `If-None-Match: null` switches caching off, literally so. */
export const REQUEST_HEADERS: Readonly<Record<string, string>> = {
  accept: 'application/json',
  'odata-maxversion': '4.0',
  'odata-version': '4.0',
  'if-none-match': 'null',
};

/** Under which the service logs a request; a support case may name it. */
export const CLIENT_REQUEST_ID = 'x-ms-client-request-id';

export const CONTINUE_ON_ERROR = { prefer: 'odata.continue-on-error' };
export const UPDATE_ONLY = { 'if-match': '*' };

/** Asks for the row as it is after a write, with what reading it takes. */
export const REPRESENTATION = { prefer: `return=representation,${rowAnnotations(false)}` };

/** The header that names preferences (RFC 7240), the service's and our own. */
export const PREFER = 'prefer';
export const RETURN_REPRESENTATION = 'return=representation';

/** Whether a header `Prefer` asks for the row as it is after a write. */
export const wantsRepresentation = (prefer: string | null): boolean =>
  (prefer ?? '').split(/[,;]/).some((part) => part.replaceAll(/[\s"]/g, '').toLowerCase() === RETURN_REPRESENTATION);

export interface WriteConditions {
  /** An ETag, or `*` for any row that is there. */
  readonly ifMatch?: string | undefined;
  /** `*`: only where there is no row yet. */
  readonly ifNoneMatch?: '*' | undefined;
}

/** Headers of a write. `representation`: gives the row back, with formatted values where `formatted` is wanted. */
export const writeHeaders = (
  { ifMatch, ifNoneMatch }: WriteConditions,
  representation?: { readonly formatted: boolean },
): Record<string, string> => ({
  ...(ifMatch !== undefined && { 'if-match': ifMatch }),
  ...(ifNoneMatch !== undefined && { 'if-none-match': ifNoneMatch }),
  ...(representation && { prefer: `${RETURN_REPRESENTATION},${rowAnnotations(representation.formatted)}` }),
});

/** The id in the address that a create answers with. */
export const createdId = (entityId: string | undefined): string | undefined =>
  /\(([0-9a-f]{8}-[0-9a-f-]{27})\)$/i.exec(entityId ?? '')?.[1]?.toLowerCase();
