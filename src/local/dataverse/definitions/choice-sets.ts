import { isJsonObject } from '../json-object.ts';
import type { Definition } from '../metadata.ts';
import { parsePath, splitUrl } from '../odata/path.ts';
import type { Work } from '../work.ts';
import type { WrittenDefinition } from './body.ts';
import type { ColumnDraft } from './column-draft.ts';
import { type Change, keptLabel } from './customize.ts';
import { invalidChoice, optionExists } from './errors.ts';

/** Each publisher has ten thousand values for its options. */
const VALUES_PER_PREFIX = 10_000;
const DEFAULT_PREFIX = 10_000;

/** The global choice that a new column is bound to (`GlobalOptionSet@odata.bind`, or its name); undefined for a local one. */
export function referencedChoice({ change, written }: ColumnDraft): Definition | undefined {
  const url = written.binds.get('GlobalOptionSet');
  const global = written.properties.get('GlobalOptionSet') ?? written.properties.get('OptionSet');
  const properties = isWritten(global) ? global.properties : undefined;
  const name = properties?.get('IsGlobal') === true ? properties.get('Name') : undefined;
  if (url === undefined && name === undefined) return undefined;
  const found =
    url === undefined
      ? change.work.env.catalog.choices().get(String(name).toLowerCase())
      : choiceOfUrl(change.work, url);
  if (!found) throw invalidChoice();
  return found;
}

export const isWritten = (value: unknown): value is WrittenDefinition =>
  typeof value === 'object' && value !== null && 'properties' in value && value.properties instanceof Map;

function choiceOfUrl(work: Work, url: string): Definition | undefined {
  const [segment] = parsePath(splitUrl(url).path);
  if (segment?.kind !== 'name' || segment.name !== 'GlobalOptionSetDefinitions' || !segment.predicate) return undefined;
  const { predicate } = segment;
  const choices = work.env.catalog.choices();
  if (predicate.kind === 'positional' && predicate.value.kind === 'guid')
    return choiceOfId(work, predicate.value.value);
  const name = predicate.kind === 'named' ? predicate.values.get('Name') : undefined;
  return name?.kind === 'string' ? choices.get(name.value) : undefined;
}

/** The global choice with this MetadataId. */
export const choiceOfId = (work: Work, id: string): Definition | undefined =>
  [...work.env.catalog.choices().values()].find((one) => one['MetadataId'] === id.toLowerCase());

/** The options that a new column brings along. */
export function localChoice(draft: ColumnDraft): Definition {
  const { change, written, table, schemaName } = draft;
  const set = written.properties.get('OptionSet');
  return {
    MetadataId: change.work.env.newId(),
    Name: `${table}_${schemaName.toLowerCase()}`,
    IsGlobal: false,
    IsCustomOptionSet: true,
    OptionSetType: 'Picklist',
    Options: keptOptions(change, isWritten(set) ? set.properties.get('Options') : []),
  };
}

/** Options with their labels as they are kept; those without a value get the next one. Throws WireError for doubles. */
export function keptOptions(change: Change, written: unknown): Definition[] {
  const kept: Definition[] = [];
  for (const option of Array.isArray(written) ? written.filter(isJsonObject) : []) {
    const value = typeof option['Value'] === 'number' ? option['Value'] : nextValue(change, kept);
    if (kept.some((one) => one['Value'] === value)) throw optionExists(value);
    kept.push(keptOption(change, value, option));
  }
  return kept;
}

/** One option as it is kept; what a change does not name stays. */
export function keptOption(change: Change, value: number, written: Definition, current?: Definition): Definition {
  const label = (name: string): Definition =>
    written[name]
      ? keptLabel(change, written[name], current?.[name])
      : keptLabel({ ...change, mergeLabels: true }, {}, current?.[name]);
  return {
    ...current,
    MetadataId: null,
    Value: value,
    Label: label('Label'),
    Description: label('Description'),
    Color: written['Color'] ?? current?.['Color'] ?? null,
    ExternalValue: written['ExternalValue'] ?? current?.['ExternalValue'] ?? null,
    IsManaged: current?.['IsManaged'] ?? false,
  };
}

/** The value that an option gets where none is given: the publisher's next one. */
export function nextValue({ solution }: Change, options: readonly Definition[]): number {
  const first = (solution?.optionPrefix ?? DEFAULT_PREFIX) * VALUES_PER_PREFIX;
  const taken = options.map((option) => Number(option['Value'])).filter((value) => value >= first);
  return Math.max(first - 1, ...taken) + 1;
}
