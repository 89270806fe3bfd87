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
