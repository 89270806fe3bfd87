import { encode } from './literals.ts';

/** One column of a key as the Web API names it, and its value as an OData literal, not yet percent-encoded. */
export interface KeyPart {
  readonly property: string;
  readonly literal: string;
}

/**
 * Characters that a key's value cannot have in a path, encoded or not (Dataverse documentation, "Use an alternate key
 * to reference a record").
 */
const NOT_IN_A_PATH = /[/<>*%&:\\?+]/;

/** Whether rows can be addressed by these values in a path. */
export const fitsPath = (parts: readonly KeyPart[]): boolean =>
  !parts.some(({ literal }) => NOT_IN_A_PATH.test(literal));

/** The address of a row below the Web API's root. */
export const rowPath = (entitySetName: string, key: string | readonly KeyPart[]): string =>
  typeof key === 'string'
    ? `${entitySetName}(${key})`
    : `${entitySetName}(${key.map(({ property, literal }) => `${property}=${encode(literal)}`).join(',')})`;

/** The ids of the rows that have these values; two are enough to tell whether there is just one. */
export const idByKeyPath = (entitySetName: string, primaryId: string, parts: readonly KeyPart[]): string =>
  `${entitySetName}?$select=${primaryId}&$top=2&$filter=${encode(
    parts.map(({ property, literal }) => `${property} eq ${literal}`).join(' and '),
  )}`;
