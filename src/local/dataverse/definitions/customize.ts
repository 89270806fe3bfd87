import { notEmulated } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import type { Definition } from '../metadata.ts';
import { rowWriter, type WriteRow } from '../platform-rows.ts';
import { parsePreferences } from '../preferences.ts';
import type { Reply } from '../reply.ts';
import type { Work } from '../work.ts';
import { solutionNotFound } from './errors.ts';

/** The unmanaged solution that a change belongs to. */
export interface Solution {
  readonly id: string;
  readonly prefix: string | undefined;
  /** `customizationoptionvalueprefix`: what the values of its options begin with. */
  readonly optionPrefix: number | undefined;
}

/** A change of definitions in progress. */
export interface Change {
  readonly work: Work;
  readonly solution: Solution | undefined;
  /** The labels of other languages stay. */
  readonly mergeLabels: boolean;
}

/**
 * Begins a change of definitions. `operation` is how the service's errors name it. Throws WireError when the caller lacks
 * the privilege, another change runs, or there is no such solution.
 */
export function beginChange(
  work: Work,
  headers: ReadonlyMap<string, string>,
  { operation, privilege, solution }: { operation: string; privilege: string; solution?: unknown },
): Change {
  work.env.guard.requireNamed(work.caller, privilege);
  work.env.customizing.require(work.requestId, operation);
  if (parsePreferences(headers.get('prefer')).representation) {
    throw notEmulated('Prefer: return=representation of definitions');
  }
  const name = typeof solution === 'string' && solution !== '' ? solution : headers.get('mscrm.solutionuniquename');
  return {
    work,
    solution: name === undefined ? undefined : solutionNamed(work, name),
    mergeLabels: headers.get('mscrm.mergelabels')?.toLowerCase() === 'true',
  };
}

/** The answer to a change that is made; the time that it takes begins. */
export function changeReply({ work }: Change, reply: Reply): Reply {
  work.env.customizing.occupy(work.requestId);
  return reply;
}

function solutionNamed({ env }: Work, name: string): Solution {
  const found = env.store.get(
    'SELECT solution.solutionid AS id, publisher.customizationprefix AS prefix, ' +
      'publisher.customizationoptionvalueprefix AS options FROM solution ' +
      'LEFT JOIN publisher ON publisher.publisherid = solution.publisherid WHERE fold(solution.uniquename) = fold(?)',
    [name],
  );
  if (!found) throw solutionNotFound(name.slice(0, 128));
  const { prefix, options } = found;
  return {
    id: String(found['id']),
    prefix: typeof prefix === 'string' ? prefix : undefined,
    optionPrefix: typeof options === 'number' ? options : undefined,
  };
}

/** `componenttype` of solution components. */
const COMPONENTS = { Entity: 1, Attribute: 2, OptionSet: 9, Relationship: 10, EntityKey: 14 } as const;

/** Adds what was made to the solution that the request names. */
export function addToSolution({ work, solution }: Change, kind: keyof typeof COMPONENTS, objectid: string): void {
  if (!solution) return;
  platformWriter(work)('solutioncomponent', {
    solutioncomponentid: work.env.newId(),
    solutionid: solution.id,
    componenttype: COMPONENTS[kind],
    objectid,
    rootcomponentbehavior: 0,
  });
}

/** Takes what was deleted out of all solutions. */
export function removeFromSolutions({ env }: Work, objectid: string): void {
  const table = env.catalog.table('solutioncomponent');
  if (!table) return;
  env.store.ensure(table);
  env.store.run('DELETE FROM solutioncomponent WHERE objectid = ?', [objectid]);
}

export const platformWriter = ({ env }: Work): WriteRow => rowWriter(env.store, env.catalog, env.clock.now());

const LANGUAGE = 1033;

/** A label as it is kept: with ids, and with the one in the organization's language as the user's. */
export function keptLabel(
  { work, mergeLabels }: Pick<Change, 'work' | 'mergeLabels'>,
  written: unknown,
  current?: unknown,
): Definition {
  const before = localizedLabels(current);
  const given = localizedLabels(written);
  const labels = new Map(mergeLabels ? before.map((one) => [one['LanguageCode'], one]) : []);
  for (const { Label, LanguageCode } of given) {
    const id = before.find((one) => one['LanguageCode'] === LanguageCode)?.['MetadataId'] ?? work.env.newId();
    labels.set(LanguageCode, { Label, LanguageCode, IsManaged: false, MetadataId: id });
  }
  const all = [...labels.values()];
  return {
    LocalizedLabels: all,
    UserLocalizedLabel: all.find((one) => one['LanguageCode'] === LANGUAGE) ?? all[0] ?? null,
  };
}

function localizedLabels(label: unknown): Definition[] {
  if (!isJsonObject(label)) return [];
  const list = label['LocalizedLabels'];
  if (Array.isArray(list)) return list.filter(isJsonObject);
  return isJsonObject(label['UserLocalizedLabel']) ? [label['UserLocalizedLabel']] : [];
}

/** A label in the organization's language. */
export const englishLabel = (work: Work, text: string): Definition =>
  keptLabel({ work, mergeLabels: false }, { LocalizedLabels: [{ Label: text, LanguageCode: LANGUAGE }] });

/** The text that the user reads. */
export function labelText(label: unknown): string | undefined {
  const own = isJsonObject(label) ? label['UserLocalizedLabel'] : undefined;
  return isJsonObject(own) && typeof own['Label'] === 'string' ? own['Label'] : undefined;
}

export const managed = (name: string, value: boolean, canBeChanged = true): Definition => ({
  Value: value,
  CanBeChanged: canBeChanged,
  ManagedPropertyLogicalName: name,
});
