import { BridgeError } from '../../shared/errors.ts';
import { type NewId, newGuid } from '../../shared/ids.ts';

/** A `$batch` body that the service refuses as a whole with 400, this code and this message. */
export class BatchFormatError extends BridgeError<'batchFormat'> {
  readonly serviceCode: string;

  constructor(serviceCode: string, message: string) {
    super('batchFormat', message);
    this.serviceCode = serviceCode;
  }
}

export interface BatchOperation {
  kind: 'operation';
  contentId?: string;
  method: string;
  /** As written: absolute, from the host (`/api/data/v9.2/…`), relative to the service root, or `$1…`. */
  url: string;
  /** Lower-case names. */
  headers: ReadonlyMap<string, string>;
  body: Buffer;
}

export type BatchPart = BatchOperation | { kind: 'changeSet'; operations: readonly BatchOperation[] };

export interface BatchAnswer {
  kind: 'operation';
  /** Echoed inside change sets. */
  contentId?: string;
  status: number;
  /** In the order in which they are written. */
  headers: readonly (readonly [name: string, value: string])[];
  body?: string | Buffer;
}

export type BatchAnswerPart = BatchAnswer | { kind: 'changeSet'; operations: readonly BatchAnswer[] };

/** Parses the body of `POST $batch`. Throws BatchFormatError. */
export function parseBatch(contentType: string, body: Buffer): BatchPart[] {
  throw new Error(`${contentType}${body}`);
}

/** Writes the body of a `$batch` answer in the form of the service. */
export function writeBatchResponse(
  parts: readonly BatchAnswerPart[],
  newId: NewId = newGuid,
): { contentType: string; body: Buffer } {
  throw new Error(`${parts}${newId}`);
}
