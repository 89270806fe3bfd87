import { randomUUID } from 'node:crypto';

/** Makes ids; an argument where a test must know them beforehand. */
export type NewId = () => string;

/**
 * A random GUID in lower case. Node gives it as a tree of short pieces, ten times as large as the text, which counts where
 * rows are many: this is the text in one piece.
 */
export const newGuid: NewId = () => Buffer.from(randomUUID(), 'latin1').toString('latin1');

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export const isGuid = (text: string): boolean => GUID.test(text);
