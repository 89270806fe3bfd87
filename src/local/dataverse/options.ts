import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import * as z from 'zod';
import { BridgeError, messageOf } from '../../shared/errors.ts';
import { type ServiceModel, serviceModelSchema } from './service-model.ts';

const USAGE = 'npm run emulator -- [--port 8080] [--auth none|entra] [--model FILE] [--data FOLDER]';

/** What the emulator is told on its command line when it runs alone. */
export interface Options {
  /** 0: any free one. */
  readonly port: number;
  readonly auth: 'none' | 'entra';
  readonly model: ServiceModel | undefined;
  /** Undefined: nothing outlives the process. */
  readonly folder: string | undefined;
}

/** Reads the arguments behind the program. Throws BridgeError `usage`. */
export function readOptions(args: readonly string[]): Options {
  const values = parse(args);
  const { auth } = values;
  if (auth !== 'none' && auth !== 'entra') throw usageError('--auth must be none or entra.');
  const port = /^\d{1,5}$/.test(values.port) ? Number(values.port) : -1;
  if (port < 0 || port > 65_535) throw usageError('--port must be a number from 0 to 65535.');
  return {
    port,
    auth,
    model: values.model === undefined ? undefined : readModel(values.model),
    folder: values.data === undefined ? undefined : resolve(values.data),
  };
}

/** Throws when the file is no model, and says why. */
function readModel(file: string): ServiceModel {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw usageError(`--model ${file} cannot be read: ${messageOf(error)}.`);
  }
  const model = serviceModelSchema.safeParse(json);
  if (!model.success) throw usageError(`--model ${file} is no model:\n${z.prettifyError(model.error)}\n`);
  return model.data;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        port: { type: 'string', default: '8080' },
        auth: { type: 'string', default: 'none' },
        model: { type: 'string' },
        data: { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw usageError(`${messageOf(error)}.`);
  }
}

const usageError = (message: string) => new BridgeError('usage', message, { hint: USAGE });
