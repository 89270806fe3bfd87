import { describe, expect, test } from 'vitest';
import { parsePreferences } from '../../../../src/local/dataverse/preferences.ts';

const FORMATTED = 'OData.Community.Display.V1.FormattedValue';
const LOOKUP = 'Microsoft.Dynamics.CRM.lookuplogicalname';

describe('Prefer', () => {
  test('without a header wants nothing', () => {
    const none = parsePreferences(undefined);
    expect(none).toMatchObject({ representation: false, continueOnError: false, trackChanges: false });
    expect(none.maxPageSize).toBeUndefined();
    expect(none.wantsAnnotation(FORMATTED)).toBe(false);
  });

  test.each(['return=representation,odata.maxpagesize=10', 'odata.maxpagesize=10; return=representation'])(
    'parts are separated by commas and semicolons: %s',
    (header) => {
      expect(parsePreferences(header)).toMatchObject({ representation: true, maxPageSize: 10 });
    },
  );

  test.each([
    ['odata.include-annotations="*"', true, true],
    ['odata.include-annotations=*', true, true],
    [`odata.include-annotations="${FORMATTED}"`, true, false],
    [`odata.include-annotations=${FORMATTED}`, true, false],
    ['odata.include-annotations="Microsoft.Dynamics.CRM.*"', false, true],
    [`odata.include-annotations="${LOOKUP},${FORMATTED}",return=representation`, true, true],
    [`odata.include-annotations=${LOOKUP},${FORMATTED},return=representation`, true, true],
    ['odata.maxpagesize=5', false, false],
  ])('annotations by name, prefix and list: %s', (header, formatted, lookup) => {
    const { wantsAnnotation } = parsePreferences(header);
    expect([wantsAnnotation(FORMATTED), wantsAnnotation(LOOKUP)]).toEqual([formatted, lookup]);
  });

  test.each(['odata.maxpagesize=0', 'odata.maxpagesize=x', 'odata.maxpagesize'])('%s is no page size', (header) => {
    expect(parsePreferences(header).maxPageSize).toBeUndefined();
  });

  test('continue-on-error and track-changes are switches', () => {
    expect(parsePreferences('odata.continue-on-error,odata.track-changes')).toMatchObject({
      continueOnError: true,
      trackChanges: true,
    });
  });
});
