import * as z from 'zod';
import { StorageError } from '../storage/errors.ts';
import type { Storage } from '../storage/storage.ts';
import { type ActivationDefinition, definitionSchema, parseDefinition } from './definition.ts';
import { ActivationError } from './errors.ts';

/** A definition and the version of it that `If-Match` names. */
export interface StoredDefinition {
  readonly definition: ActivationDefinition;
  readonly etag: string;
}

export interface Definitions {
  /** Sorted by name. */
  list(signal?: AbortSignal): Promise<readonly StoredDefinition[]>;
  /** Throws ActivationError `activationUnknown`. */
  get(name: string, signal?: AbortSignal): Promise<StoredDefinition>;
  find(name: string, signal?: AbortSignal): Promise<StoredDefinition | undefined>;
  /** Throws ActivationError `definitionInvalid`, with all faults, or `definitionConflict`. */
  put(
    name: string,
    body: unknown,
    conditions: { ifMatch?: string | undefined; ifNoneMatch?: '*' | undefined },
    signal?: AbortSignal,
  ): Promise<{ etag: string; created: boolean; before: ActivationDefinition | undefined; after: ActivationDefinition }>;
  /** Throws ActivationError `activationUnknown` or `definitionConflict`. Runs and what they accepted stay. */
  remove(name: string, conditions: { ifMatch?: string | undefined }, signal?: AbortSignal): Promise<void>;
}

const FOLDER = 'definitions/';
const pathOf = (name: string): string => `${FOLDER}${name}.json`;

/** The container of all blobs of activations. */
export const CONTAINER = 'activations';

const document = z.object({ version: z.literal(1), definition: definitionSchema });

/** A definition as it is stored: beside the activations, and once more with each run that it governs. */
export const definitionDocument = (definition: ActivationDefinition): string =>
  JSON.stringify({ version: 1, definition });

export const readDefinition = (body: Buffer): ActivationDefinition =>
  document.parse(JSON.parse(body.toString('utf8'))).definition;

export function openDefinitions(storage: Storage): Definitions {
  const blobs = storage.blobs(CONTAINER);
  const find = async (name: string, signal?: AbortSignal): Promise<StoredDefinition | undefined> => {
    const blob = await blobs.read(pathOf(name), signal);
    return blob && { definition: readDefinition(blob.body), etag: blob.etag };
  };
  return {
    async list(signal) {
      const found: StoredDefinition[] = [];
      for await (const { path } of blobs.list(FOLDER, signal)) {
        const stored = await find(path.slice(FOLDER.length, -'.json'.length), signal);
        if (stored) found.push(stored);
      }
      return found;
    },
    find,
    async get(name, signal) {
      const stored = await find(name, signal);
      if (!stored) throw unknownActivation(name);
      return stored;
    },
    async put(name, body, { ifMatch, ifNoneMatch }, signal) {
      const after = parseDefinition(name, body);
      const before = await find(name, signal);
      const conditions = { ...(ifMatch !== undefined && { ifMatch }), ...(ifNoneMatch && { ifNoneMatch }) };
      const options = { contentType: 'application/json', ...conditions };
      const { etag } = await ifUnchanged(name, () =>
        blobs.write(pathOf(name), definitionDocument(after), options, signal),
      );
      return { etag, created: before === undefined, before: before?.definition, after };
    },
    async remove(name, { ifMatch }, signal) {
      const condition = ifMatch === undefined ? {} : { ifMatch };
      const removed = await ifUnchanged(name, () => blobs.remove(pathOf(name), condition, signal));
      if (!removed) throw unknownActivation(name);
    },
  };
}

export const unknownActivation = (name: string): ActivationError =>
  new ActivationError('activationUnknown', `There is no activation '${name}'.`, {
    hint: 'GET activations lists those that there are.',
  });

async function ifUnchanged<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StorageError) || error.code !== 'conflict') throw error;
    throw new ActivationError('definitionConflict', `The activation '${name}' is not in the state that was demanded.`, {
      cause: error,
      hint: 'Read it again, apply the change to what it is now, and send its ETag.',
    });
  }
}
