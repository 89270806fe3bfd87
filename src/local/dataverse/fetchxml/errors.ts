import { WireError } from '../errors.ts';

/*
 * The codes are those of Microsoft's list of web service error codes ("QueryBuilder…"). Texts that no recorded answer
 * confirms are listed in the README of the folder above.
 */

/** What is no XML, or XML that the service's reader is not let near. */
export const malformedFetchXml = (reason: string) => new WireError(400, '0x80040303', `Invalid FetchXml: ${reason}`);

export const unknownTable = (name: string) =>
  new WireError(
    400,
    '0x80041102',
    `The entity with a name = '${name}' with namemapping = 'Logical' was not found in the MetadataCache.`,
  );

export const unknownColumn = (table: string, name: string) =>
  new WireError(
    400,
    '0x80041103',
    `'${table}' entity doesn't contain attribute with Name = '${name}' and NameMapping = 'Logical'.`,
  );

export const otherTable = () =>
  new WireError(
    400,
    '0x80041128',
    'The entity name specified in fetchxml does not match the entity name specified in the Entity or Query Expression.',
  );

export const invalidNode = (valid: string, name: string, xml: string) =>
  new WireError(400, '0x8004111c', `Invalid Child Node, valid nodes are ${valid}. NodeName = ${name} NodeXml = ${xml}`);

export const missingElement = (name: string) => new WireError(400, '0x80041123', `The element ${name} was not found.`);

export const missingAttribute = (element: string, name: string) =>
  new WireError(400, '0x8004111E', `The attribute ${name} of the element ${element} is missing.`);

export const invalidValue = (what: string, value: string) =>
  new WireError(400, '0x80041108', `Invalid value '${value}' for ${what}.`);

export const notPositive = (what: string, value: string) =>
  new WireError(400, '0x8004110C', `The value '${value}' of ${what} must be a whole number greater than 0.`);

export const topBesidePaging = () =>
  new WireError(
    400,
    '0x80041127',
    "The top attribute can't be used together with page, count or returntotalrecordcount.",
  );

export const invalidAlias = (alias: string) =>
  new WireError(
    400,
    '0x80041109',
    `Invalid character specified for alias: ${alias}. Only characters within the ranges [A-Z], [a-z] or [0-9] or _ are ` +
      'allowed.  The first character may only be in the ranges [A-Z], [a-z] or _.',
  );

export const aliasTaken = (alias: string) =>
  new WireError(400, '0x80041109', `The alias ${alias} is used more than once.`);

export const aliasUnknown = (alias: string) => new WireError(400, '0x8004110A', `The alias ${alias} does not exist.`);

export const aliasMissing = (attribute: string) =>
  new WireError(400, '0x8004110B', `An alias must be specified for the attribute ${attribute} of an aggregate query.`);

export const invalidLinkType = (type: string) =>
  new WireError(400, '0x80041121', `The link-type '${type}' is not valid here.`);

export const columnsOfSubquery = (type: string) =>
  new WireError(400, '0x80041118', `Attributes and orders are not allowed in a link-entity of type '${type}'.`);

export const orderLinkMissing = (name: string) =>
  new WireError(400, '0x80041126', `The link-entity '${name}' that an order names was not found.`);

export const invalidOperator = (operator: string) =>
  new WireError(400, '0x80041120', `Invalid condition operator: ${operator}.`);

export const badCondition = (attribute: string, reason: string) =>
  new WireError(400, '0x80041106', `Condition for attribute '${attribute}': ${reason}`);

export const valueMissing = (operator: string) =>
  new WireError(
    400,
    '0x80041106',
    `Attribute 'value' or 'valueof' must be specified for condition operator: ${operator}`,
  );

export const invalidAggregate = (reason: string) => new WireError(400, '0x8004111A', reason);

export const neitherGroupNorAggregate = (attribute: string) =>
  new WireError(
    400,
    '0x80041107',
    `An attribute can not be requested when an aggregate operation has been specified and its neither groupby not ` +
      `aggregate. NodeXml : <attribute name="${attribute}" />`,
  );

/** Without a cookie the service reads no further than this many rows. */
export const LEGACY_ROWS_MAX = 50_000;

export const cookieRequired = () =>
  new WireError(
    400,
    '0x80040315',
    'Paging cookie required to retrieve more records. Update your query to retrieve with total records below ' +
      `${LEGACY_ROWS_MAX}`,
  );
