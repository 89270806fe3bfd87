import { type ConnectionSettings, parseConnection } from '../config/connection-settings.ts';
import type { SettingFault } from '../config/setting-reader.ts';
import { SettingsError } from '../config/settings.ts';

/** What a connection that has no name yet is called. */
export const UNSAVED = 'unsaved';

/**
 * Reads a connection's properties, named as in settings but without prefix. Throws SettingsError with all faults.
 */
export function parseUnsaved(properties: Readonly<Record<string, unknown>>): ConnectionSettings {
  const texts = new Map<string, string>();
  const faults: SettingFault[] = [];
  for (const [property, value] of Object.entries(properties)) {
    const text = typeof value === 'number' ? String(value) : value;
    // As in settings, what is empty is not there.
    if (typeof text === 'string') {
      if (text.trim() !== '') texts.set(property, text.trim());
    } else if (value !== null) faults.push({ setting: property.slice(0, 60), message: 'must be a text' });
  }
  const parsed = parseConnection(UNSAVED, texts);
  const others = 'faults' in parsed ? parsed.faults : [];
  const prefix = `Dataverse__${UNSAVED}__`;
  const all = [...faults, ...others.map(({ setting, message }) => ({ setting: setting.replace(prefix, ''), message }))];
  if (all.length === 0 && !('faults' in parsed)) return parsed;
  throw new SettingsError(
    'settingsFault',
    all.length === 1 ? 'The settings have a fault.' : `The settings have ${all.length} faults.`,
    all,
    'Correct the properties that are named.',
  );
}
