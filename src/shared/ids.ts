import { randomUUID } from 'node:crypto';

/** Makes ids; an argument where a test must know them beforehand. */
export type NewId = () => string;

/** A random GUID in lower case. */
export const newGuid: NewId = () => randomUUID();

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export const isGuid = (text: string): boolean => GUID.test(text);
