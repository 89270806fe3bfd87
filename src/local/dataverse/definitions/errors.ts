import { badPayload, WireError } from '../errors.ts';

// Refusals of changes to definitions: codes and texts of Microsoft's list of web service error codes, status 400 as for
// all that name no other. Those that nobody has confirmed say so.

export const invalidNamePrefix = (name: string, kind: string) =>
  new WireError(
    400,
    '0x80044366',
    `The schema name ${name} for type ${kind} is invalid or missing.Custom attribute, entity, entitykey, option set and ` +
      'relationship names must start with a valid customization prefix.The prefix for a solution component should match ' +
      'the prefix that is specified for the publisher of the solution.',
  );

export const nameNotAlphanumeric = (name: string, kind: string) =>
  new WireError(
    400,
    '0x80044364',
    `Identifier ${name} for type ${kind} can only consist of alpha-numeric and underscore characters.`,
  );

export const nameStartsWrong = (name: string, kind: string) =>
  new WireError(
    400,
    '0x80044365',
    `Identifers should start with a letter. The schema name ${name} for type ${kind} doesn't start with letter.`,
  );

export const nameTooLong = (name: string, kind: string, max: number) =>
  new WireError(
    400,
    '0x80044367',
    `Identifiers cannot be more than ${max} characters long. The provided schema name ${name} length for type ${kind} is ` +
      `greater than maxlength ${max} characters.`,
  );

/** Recorded for option sets. */
export const nameNotUnique = (name: string, kind: string) =>
  new WireError(
    400,
    '0x80044363',
    `The schema name ${name} for type ${kind} is not unique. An ${name} with same name already exists.`,
  );

/** The list gives no text but `{0}`. */
export const columnNameTaken = (name: string, table: string) =>
  new WireError(400, '0x80047013', `An attribute with the specified name ${name} already exists for entity ${table}.`);

/** Of a column that the platform adds, such as the amount in the base currency. */
export const physicalNameTaken = (name: string, table: string) =>
  new WireError(400, '0x80060304', `Attribute ${name} already exists for entity ${table}.`);

export const columnMatchesNavigation = (name: string) =>
  new WireError(
    400,
    '0x80048834',
    `Attribute name ${name} conflict with NavigationProerty name on entity. Please use unique name for attribute.`,
  );

/** Recorded. */
export const navigationNotUnique = (name: string) =>
  new WireError(400, '0x80072551', `NavigationPropertyName ${name} is not unique within an entity`);

export const relationshipNameMissing = () => new WireError(400, '0x8004432A', 'Entity relationships require a name');

export const relationshipNameTaken = () =>
  new WireError(
    400,
    '0x8004432B',
    'A relationship with the specified name already exists. Please specify a unique name.',
  );

export const invalidRelationship = () =>
  new WireError(400, '0x80047003', 'The specified relationship cannot be created');

export const cannotAssociate = () =>
  new WireError(400, '0x80044332', 'This entity cannot participate in an entity association');

export const maxLengthOutOfRange = (given: unknown, column: string, max: number) =>
  new WireError(
    400,
    '0x80090479',
    `The provided maximum length ${given} of column ${column} is out of range. Custom maximum length values must be ` +
      `between 1 and ${max}.`,
  );

export const rangeOutOfRange = (column: string, id: string, given: readonly [unknown, unknown], limit: number) =>
  new WireError(
    400,
    '0x8009049D',
    `Min/max values are out of range for '${column}' attribute with AttributeId ${id}. MinValue: ${given[0]}, ` +
      `MaxValue: ${given[1]}, ValueLowerLimit:${-limit}, ValueUpperLimit: ${limit}.`,
  );

export const invalidTextFormat = (format: unknown, column: string) =>
  new WireError(
    400,
    '0x80090485',
    `Invalid string format ${format} for column ${column}. Please use a correct format.`,
  );

export const primaryNameIsNoText = () =>
  new WireError(400, '0x8004700e', 'Primary UI Attribute has to be of type String');

export const invalidOwnership = () =>
  new WireError(400, '0x8004700d', 'The specified ownership type mask is not valid for this operation');

export const tableNotCustomizable = () => new WireError(400, '0x80047008', 'The specified entity is not customizable');

export const notACustomColumn = () =>
  new WireError(400, '0x80047009', 'The specified attribute is not a custom attribute');

export const primaryNameStays = () =>
  new WireError(400, '0x80047002', 'The Primary UI Attribute is not valid for deletion');

export const componentInUse = (kind: string, id: string, count: number) =>
  new WireError(
    400,
    '0x8004F01F',
    `The ${kind}(${id}) component cannot be deleted because it is referenced by ${count} other components. For a list of ` +
      'referenced components, use the RetrieveDependenciesForDeleteRequest.',
  );

export const componentIsManaged = (operation: string, name: string, id: string) =>
  new WireError(
    400,
    '0x8004F032',
    `The '${operation}' operation on the current component(name='${name}', id='${id}') failed during managed property ` +
      `evaluation of condition: 'Managed Property Name: iscustomizable; Component Name: ${name}'`,
  );

export const choiceInUse = (tables: readonly string[]) =>
  new WireError(
    400,
    '0x80048417',
    `This option set cannot be deleted. The current set of entities that reference this option set are: ` +
      `${tables.join(', ')}. These references must be removed before this option set can be deleted`,
  );

export const invalidChoice = () => new WireError(400, '0x80048403', 'Invalid OptionSet');

export const optionsStay = () =>
  new WireError(400, '0x80044323', 'You can delete options only from picklist and status attributes.');

export const defaultStatusStays = () => new WireError(400, '0x80044341', 'Default Status options cannot be deleted.');

/** UNCONFIRMED: the text; the code is the general one of invalid arguments. */
export const optionExists = (value: number) =>
  new WireError(400, '0x80040203', `An option with the value ${value} already exists.`);

/** UNCONFIRMED: the text; the code is the general one of invalid arguments. */
export const optionMissing = (value: unknown) =>
  new WireError(400, '0x80040203', `There is no option with the value ${value}.`);

/** Recorded text; UNCONFIRMED: the code. */
export const notCreatable = (type: string) =>
  new WireError(400, '0x80040203', `Attribute of type ${type} cannot be created through the SDK.`);

export const tableNotFound = (name: string) =>
  new WireError(
    400,
    '0x80041102',
    `The entity with a name = '${name}' with namemapping = 'Logical' was not found in the MetadataCache.`,
  );

/** UNCONFIRMED: code and text. */
export const solutionNotFound = (name: string) =>
  new WireError(404, '0x80040217', `solution With uniquename = ${name} Does Not Exist`);

export const customizationRunning = (operation: string) =>
  new WireError(
    400,
    '0x80071154',
    `The current ${operation} operation failed due to another concurrent operation running at the same time. Please try ` +
      'again later.',
  );

/** PATCH of a definition; documented as not supported, UNCONFIRMED: status, code and text. */
export const patchNotSupported = () => new WireError(405, '0x80060888', 'Operation not supported on EntityMetadata');

/** What Microsoft.OData says of a property that the type does not have. */
export const undeclaredProperty = (name: string, type: string) =>
  badPayload(
    type,
    `The property '${name}' does not exist on type 'Microsoft.Dynamics.CRM.${type}'. Make sure to only use property ` +
      'names that are defined by the type.',
  );

/** What Microsoft.OData says of a type that does not exist. */
export const unresolvedType = (name: string, type: string) =>
  badPayload(
    type,
    `A type named '${name}' could not be resolved by the model. When a model is available, each type name must resolve ` +
      'to a valid type.',
  );

/** Recorded of definitions. */
export const optionNotSupported = (option: string) =>
  new WireError(400, '0x80060888', `The query parameter ${option} is not supported`);
