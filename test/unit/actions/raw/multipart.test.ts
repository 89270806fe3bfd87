import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeForm } from '../../../../src/actions/raw/multipart.ts';

let ids = 0;
const newId = (): string => {
  ids += 1;
  return `boundary-${ids}`;
};

const read = async (fields: Record<string, string>, files: { name: string; fileName: string; base64: string }[]) => {
  const { contentType, body } = writeForm(fields, files, newId);
  return new Response(new Uint8Array(body), { headers: { 'content-type': contentType } }).formData();
};

/** Texts with what could end a name or a part. */
const text = fc
  .array(
    fc.oneof(fc.constantFrom('"', '\r', '\n', '\\', ';', '--', 'é', '%', 'boundary-1'), fc.string({ maxLength: 3 })),
    { maxLength: 5 },
  )
  .map((parts) => parts.join(''));
/** Names cannot tell a percent-encoded quote from a quote; browsers have it so too. */
const name = text.map((each) => `n${each.replaceAll('%', '')}`);

describe('a form', () => {
  test('is read by others as it was written, whatever its names and values hold', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(name, text, { maxKeys: 3 }),
        fc.array(fc.tuple(name, name, fc.uint8Array({ maxLength: 20 })), { maxLength: 3 }),
        async (fields, files) => {
          const form = await read(
            fields,
            files.map(([field, fileName, bytes]) => ({
              name: field,
              fileName,
              base64: Buffer.from(bytes).toString('base64'),
            })),
          );
          const entries = [...form.entries()];
          expect(entries).toHaveLength(Object.keys(fields).length + files.length);
          for (const [at, [field, value]] of Object.entries(fields).entries())
            expect(entries[at]).toEqual([field, value]);
          for (const [at, [field, fileName, bytes]] of files.entries()) {
            const [found, file] = entries[Object.keys(fields).length + at] ?? [];
            expect(found).toBe(field);
            if (!(file instanceof File)) throw new Error('It is no file.');
            expect(file.name).toBe(fileName);
            expect(Buffer.from(await file.arrayBuffer())).toEqual(Buffer.from(bytes));
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  test('gets another boundary where its own stands in a value', () => {
    const ids = ['taken', 'free'];
    const { contentType } = writeForm({ a: 'xtakenx' }, [], () => ids.shift() ?? '');
    expect(contentType).toBe('multipart/form-data; boundary=free');
  });

  test.each(['ä', 'a', 'YQ==YQ==', 'a b', '!'])('refuses a file that is no base64: %s', (base64) => {
    expect(() => writeForm({}, [{ name: 'a', fileName: 'b', base64 }], newId)).toThrow(
      expect.objectContaining({ code: 'base64Invalid', faults: [expect.objectContaining({ path: 'files.0.base64' })] }),
    );
  });
});
