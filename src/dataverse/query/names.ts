import { nearest } from '../../shared/nearest.ts';
import { InputError } from '../input-error.ts';
import type { Metadata } from '../metadata.ts';
import { isLookup, type Navigation, type TableShape } from '../table.ts';
import { lookupColumn, lookupProperty } from '../wire/annotations.ts';

/** Looks names up in metadata for one part of a query; what is not there is refused with names that are near. */
export interface Names {
  /** What refuses this part of the query for its meaning. */
  fault(message: string, hint?: string): InputError;
  /** The property that a column is read through: a lookup's logical name stands for its value. */
  property(table: TableShape, column: string): string;
  /** What a navigation property leads to; the logical name of a lookup to one table stands for its property. */
  navigation(table: TableShape, property: string): Promise<Leading>;
}

export interface Leading extends Navigation {
  /** The table it leads to, which the connection may touch. */
  readonly target: TableShape;
}

/** Each step to another table may cost a read of its definition. */
const MOST_STEPS = 60;

/** `path` is the name that the caller knows this part of the query by. */
export function namesIn(metadata: Metadata, path: string, signal: AbortSignal | undefined): Names {
  let steps = 0;

  const unknown = (message: string, name: string, candidates: readonly string[], code: string): InputError => {
    const near = nearest(name, candidates);
    return new InputError(path, code, message, near.length > 0 ? { hint: `Did you mean ${near.join(' or ')}?` } : {});
  };

  const find = async (table: TableShape, name: string): Promise<Navigation> => {
    const lookups = await metadata.navigations(table.logicalName, 'lookups', signal);
    const direct = lookups.get(name);
    if (direct) return direct;
    const ofColumn = [...lookups.values()].filter(({ column }) => column === name);
    const [only, another] = ofColumn;
    if (only && !another) return only;
    if (only) {
      const properties = ofColumn.map(({ property }) => property).slice(0, 40);
      throw new InputError(path, 'navigationUnknown', `The lookup '${name}' leads to rows of several tables.`, {
        hint: `Name one of ${properties.join(', ')}.`,
      });
    }
    const all = await metadata.navigations(table.logicalName, 'all', signal);
    const found = all.get(name);
    if (found) return found;
    const message = `Nothing leads from rows of '${table.logicalName}' by the name '${name.slice(0, 128)}'.`;
    throw unknown(message, name, [...all.keys()], 'navigationUnknown');
  };

  const fault = (message: string, hint?: string): InputError =>
    new InputError(path, `${path}Invalid`, message, { hint });

  return {
    fault,
    property(table, name) {
      const column = table.columns.get(name);
      if (column) return isLookup(column) ? lookupProperty(name) : name;
      const read = lookupColumn(name);
      const lookup = read === undefined ? undefined : table.columns.get(read);
      if (lookup && isLookup(lookup)) return name;
      const message = `The table '${table.logicalName}' has no column '${name.slice(0, 128)}'.`;
      throw unknown(message, name, [...table.columns.keys()], 'columnUnknown');
    },
    async navigation(table, property) {
      steps += 1;
      if (steps > MOST_STEPS) throw fault(`More than ${MOST_STEPS} steps lead to other tables.`);
      const found = await find(table, property);
      metadata.assertAllowed(found.table);
      return { ...found, target: await metadata.shape(found.table, signal) };
    },
  };
}
