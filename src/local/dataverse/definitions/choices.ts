import { badPayload, definitionNotFound, invalidArgument } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import type { Definition, Table } from '../metadata.ts';
import type { Work } from '../work.ts';
import { labelParameter, type WrittenDefinition } from './body.ts';
import { keptOption, keptOptions, nextValue } from './choice-sets.ts';
import { columnsOf } from './columns.ts';
import { addToSolution, type Change, englishLabel, keptLabel, managed, removeFromSolutions } from './customize.ts';
import {
  choiceInUse,
  componentIsManaged,
  defaultStatusStays,
  invalidChoice,
  nameNotUnique,
  optionExists,
  optionMissing,
  optionsStay,
  tableNotFound,
} from './errors.ts';
import { schemaName } from './names.ts';

/** Makes a global choice and answers its MetadataId. Throws WireError. */
export function createChoice(change: Change, written: WrittenDefinition): string {
  const { properties, type } = written;
  const { env } = change.work;
  // Recorded: the service keeps the names of choices in lower case.
  const given = schemaName(properties.get('Name'), 'OptionSet', change.solution?.prefix);
  const Name = given.toLowerCase();
  if (env.catalog.choices().has(Name)) throw nameNotUnique(given, 'OptionSet');
  const kind = properties.get('OptionSetType') ?? (type.name === 'BooleanOptionSetMetadata' ? 'Boolean' : 'Picklist');
  if (kind !== 'Picklist' && kind !== 'Boolean') throw invalidChoice();
  const id = env.newId();
  env.catalog.saveChoice({
    '@odata.type': `#Microsoft.Dynamics.CRM.${type.name}`,
    MetadataId: id,
    HasChanged: null,
    Name,
    ...changeable(change, written, undefined),
    IsCustomOptionSet: true,
    IsGlobal: true,
    IsManaged: false,
    IntroducedVersion: '1.0.0.0',
    OptionSetType: kind,
    ...(type.name === 'BooleanOptionSetMetadata'
      ? { TrueOption: truth(change, written, 'TrueOption', 1), FalseOption: truth(change, written, 'FalseOption', 0) }
      : { Options: keptOptions(change, properties.get('Options')) }),
  });
  addToSolution(change, 'OptionSet', id);
  return id;
}

function truth(change: Change, written: WrittenDefinition, name: string, value: number): Definition {
  const option = written.properties.get(name);
  const own = isJsonObject(option) ? option : {};
  return keptOption(change, value, {
    ...own,
    Label: own['Label'] ?? englishLabel(change.work, value === 1 ? 'Yes' : 'No'),
  });
}

const changeable = (
  change: Change,
  { properties }: WrittenDefinition,
  current: Definition | undefined,
): Definition => ({
  Description: keptLabel(change, properties.get('Description'), current?.['Description']),
  DisplayName: keptLabel(change, properties.get('DisplayName'), current?.['DisplayName']),
  ExternalTypeName: properties.get('ExternalTypeName') ?? null,
  IsCustomizable: properties.get('IsCustomizable') ?? managed('iscustomizable', true),
});

/** Replaces everything but the options, which have actions of their own (documented). Throws WireError. */
export function changeChoice(change: Change, current: Definition, written: WrittenDefinition): void {
  for (const name of ['MetadataId', 'Name', 'OptionSetType', 'IsGlobal']) {
    const value = written.properties.get(name) ?? current[name];
    if (value !== current[name]) throw badPayload('OptionSetMetadata', `The property '${name}' cannot be changed.`);
  }
  change.work.env.catalog.saveChoice({ ...current, ...changeable(change, written, current) });
}

/** Deletes a global choice that no column uses. Throws WireError. */
export function deleteChoice({ work }: Change, current: Definition): void {
  const name = String(current['Name']);
  if (current['IsCustomOptionSet'] !== true) throw componentIsManaged('Delete', name, String(current['MetadataId']));
  const users = work.env.catalog.names.filter(({ logicalName }) => {
    const table = work.env.catalog.table(logicalName);
    return table && columnsOf(table).some((column) => usesChoice(column, name));
  });
  if (users.length > 0) throw choiceInUse(users.map(({ logicalName }) => logicalName));
  work.env.catalog.removeChoice(name);
  removeFromSolutions(work, String(current['MetadataId']));
}

function usesChoice(column: Definition, name: string): boolean {
  const set = column['OptionSet'];
  return isJsonObject(set) && set['IsGlobal'] === true && set['Name'] === name;
}

type Parameters = Readonly<Record<string, unknown>>;

/** The options that an action names, and how they are stored when they change. */
interface OptionTarget {
  readonly set: Definition;
  /** Undefined of a global choice. */
  readonly column: Definition | undefined;
  save(set: Definition): void;
}

function targetOf(work: Work, parameters: Parameters): OptionTarget {
  const { catalog } = work.env;
  const global = parameters['OptionSetName'];
  if (typeof global === 'string' && global !== '') {
    const set = catalog.choices().get(global.toLowerCase());
    if (!set) throw definitionNotFound(global.slice(0, 128));
    return { set, column: undefined, save: (changed) => catalog.saveChoice(changed) };
  }
  const [entity, attribute] = [parameters['EntityLogicalName'], parameters['AttributeLogicalName']];
  const table = typeof entity === 'string' ? catalog.table(entity) : undefined;
  if (!table) throw tableNotFound(String(entity ?? '').slice(0, 128));
  return localTarget(work, table, attribute);
}

function localTarget({ env }: Work, table: Table, attribute: unknown): OptionTarget {
  const column = columnsOf(table).find((one) => one['LogicalName'] === attribute);
  const set = column?.['OptionSet'];
  if (!column || !isJsonObject(set)) throw definitionNotFound(String(attribute ?? '').slice(0, 128));
  if (set['IsGlobal'] === true) {
    const name = String(set['Name']);
    return { set: env.catalog.choices().get(name) ?? set, column, save: (changed) => env.catalog.saveChoice(changed) };
  }
  return {
    set,
    column,
    save: (changed) => env.catalog.saveColumn(table.logicalName, { ...column, OptionSet: changed }),
  };
}

const optionsOf = (set: Definition): Definition[] => {
  const options = set['Options'];
  return Array.isArray(options) ? options.filter(isJsonObject) : [];
};

function writtenOption(parameters: Parameters): Definition {
  const text = (name: string) => (typeof parameters[name] === 'string' ? { [name]: parameters[name] } : {});
  const label = (name: string) => (parameters[name] == null ? {} : { [name]: labelParameter(parameters[name]) });
  return { ...label('Label'), ...label('Description'), ...text('Color'), ...text('ExternalValue') };
}

/** Adds an option and answers its value; with a state, to the choice of a status. Throws WireError. */
export function insertOption(change: Change, parameters: Parameters, state?: number): number {
  const target = targetOf(change.work, parameters);
  const isStatus = target.column?.['AttributeType'] === 'Status';
  if (!Array.isArray(target.set['Options']) || isStatus !== (state !== undefined)) throw invalidChoice();
  if (target.column?.['AttributeType'] === 'State') throw invalidChoice();
  if (parameters['Label'] == null) throw invalidArgument("The parameter 'Label' is missing.");
  const options = optionsOf(target.set);
  const given = parameters['Value'];
  if (given != null && (typeof given !== 'number' || !Number.isInteger(given))) throw invalidArgument();
  const value = typeof given === 'number' ? given : nextValue(change, options);
  if (options.some((option) => option['Value'] === value)) throw optionExists(value);
  const added = keptOption(change, value, writtenOption(parameters));
  const status = { '@odata.type': '#Microsoft.Dynamics.CRM.StatusOptionMetadata', ...added, State: state };
  target.save({ ...target.set, Options: [...options, state === undefined ? added : status] });
  return value;
}

/** Changes an option's texts. Throws WireError. */
export function updateOption(change: Change, parameters: Parameters): void {
  const target = targetOf(change.work, parameters);
  const value = Number(parameters['Value']);
  const merging = { ...change, mergeLabels: parameters['MergeLabels'] === true };
  const changed = (option: unknown): Definition | undefined =>
    isJsonObject(option) && option['Value'] === value
      ? keptOption(merging, value, writtenOption(parameters), option)
      : undefined;
  for (const name of ['TrueOption', 'FalseOption']) {
    const option = changed(target.set[name]);
    if (option) {
      target.save({ ...target.set, [name]: option });
      return;
    }
  }
  const options = optionsOf(target.set);
  if (!options.some((option) => option['Value'] === value)) throw optionMissing(parameters['Value']);
  target.save({ ...target.set, Options: options.map((option) => changed(option) ?? option) });
}

/** Takes an option away; rows that have its value keep it. Throws WireError. */
export function deleteOption(change: Change, parameters: Parameters): void {
  const target = targetOf(change.work, parameters);
  if (!Array.isArray(target.set['Options']) || target.column?.['AttributeType'] === 'State') throw optionsStay();
  const options = optionsOf(target.set);
  const value = parameters['Value'];
  const found = options.find((option) => option['Value'] === value);
  if (!found) throw optionMissing(value);
  if (target.column?.['AttributeType'] === 'Status') {
    const ofState = options.filter((option) => option['State'] === found['State']);
    if (ofState[0] === found) throw defaultStatusStays();
  }
  target.save({ ...target.set, Options: options.filter((option) => option !== found) });
}

/** Puts the options into the given order, which must name them all. Throws WireError. */
export function orderOptions(change: Change, parameters: Parameters): void {
  const target = targetOf(change.work, parameters);
  const options = optionsOf(target.set);
  const values = Array.isArray(parameters['Values']) ? parameters['Values'] : [];
  const ordered = values.map((value) => {
    const found = options.find((option) => option['Value'] === value);
    if (!found) throw optionMissing(value);
    return found;
  });
  if (new Set(ordered).size !== options.length || ordered.length !== options.length) {
    throw invalidArgument('The order must name every option once.');
  }
  target.save({ ...target.set, Options: ordered });
}
