import { InputError } from '../../dataverse/input-error.ts';
import type { NewId } from '../../shared/ids.ts';

/** A file of a form. */
export interface FormFile {
  /** The field that it stands in. */
  readonly name: string;
  readonly fileName: string;
  /** What it holds, in base64. */
  readonly base64: string;
}

/** A body with its type. */
export interface TypedBody {
  readonly contentType: string;
  readonly body: Buffer;
}

/**
 * A form as `multipart/form-data` (RFC 7578). Names are written so that none can end its own place: what would is
 * percent-encoded, as browsers do it (HTML standard, "multipart form data"). Throws InputError for what is no base64.
 */
export function writeForm(
  fields: Readonly<Record<string, string>>,
  files: readonly FormFile[],
  newId: NewId,
): TypedBody {
  const parts = [
    ...Object.entries(fields).map(([name, value]) => ({
      head: `Content-Disposition: form-data; name="${escaped(name)}"`,
      content: Buffer.from(value),
    })),
    ...files.map(({ name, fileName, base64 }, at) => ({
      head: `Content-Disposition: form-data; name="${escaped(name)}"; filename="${escaped(fileName)}"\r\nContent-Type: application/octet-stream`,
      content: bytesOf(base64, at),
    })),
  ];
  let boundary = newId();
  while (parts.some(({ content }) => content.includes(boundary))) boundary = newId();
  const body = Buffer.concat([
    ...parts.flatMap(({ head, content }) => [
      Buffer.from(`--${boundary}\r\n${head}\r\n\r\n`),
      content,
      Buffer.from('\r\n'),
    ]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
  return { contentType: `multipart/form-data; boundary=${boundary}`, body };
}

const escaped = (name: string): string => name.replaceAll('\n', '%0A').replaceAll('\r', '%0D').replaceAll('"', '%22');

function bytesOf(base64: string, at: number): Buffer {
  const bytes = Buffer.from(base64, 'base64');
  // Node passes over what is no base64.
  if (bytes.toString('base64').replace(/=+$/, '') === base64.replace(/=+$/, '')) return bytes;
  throw new InputError(`files.${at}.base64`, 'base64Invalid', 'It is no base64.');
}
