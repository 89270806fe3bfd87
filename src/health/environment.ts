import * as z from 'zod';
import type { DataverseClient } from '../dataverse/client.ts';
import { DataverseError } from '../dataverse/errors.ts';
import type { DataverseResponse } from '../dataverse/request.ts';
import { inVersion } from '../dataverse/wire/principal.ts';
import { type Finding, StageError } from './stages.ts';

const VERSIONS: readonly string[] = ['v9.0', 'v9.1', 'v9.2'];

/** Refusals of the caller, which only a Web API that works can give; the stage `user` tells what they mean. */
const ABOUT_THE_USER = new Set(['0x80072560', '0x80042f09', '0x8004a112', '0x80040220']);
const DISABLED = '0x8004a104';

const versionAnswer = z.object({ Version: z.string() });

/**
 * Asks each version of the Web API for the environment's own version. Only the one that the connection uses has to
 * answer. Throws StageError `environmentDisabled`, `notDataverse` or `apiMissing`, and DataverseError.
 */
export async function checkApi(client: DataverseClient, apiUrl: string, signal: AbortSignal): Promise<Finding> {
  const used = new URL(apiUrl).pathname.match(/v9\.\d/)?.[0] ?? 'v9.2';
  const answers = await Promise.all(VERSIONS.map((version) => ask(client, version, signal)));
  const own = answers[VERSIONS.indexOf(used)];
  if (own && 'error' in own) throw explain(own.error, apiUrl);
  const versions = Object.fromEntries(
    VERSIONS.map((version, position) => {
      const answer = answers[position];
      return [version, answer && 'error' in answer ? answer.error.code : 'answers'];
    }),
  );
  const silent = VERSIONS.filter((version) => versions[version] !== 'answers');
  const said = own && 'version' in own && own.version ? `Dataverse ${own.version}` : 'Dataverse';
  return {
    detail: `${said} answers at ${VERSIONS.filter((version) => !silent.includes(version)).join(', ')}; ${used} is used.`,
    ...(silent.length > 0 && { warnings: [`${silent.join(', ')} did not answer.`] }),
    facts: { used, versions, ...(own && 'version' in own && own.version && { version: own.version }) },
  };
}

async function ask(
  client: DataverseClient,
  version: string,
  signal: AbortSignal,
): Promise<{ version: string | undefined } | { error: DataverseError }> {
  try {
    return {
      version: versionOf(await client.send({ method: 'GET', path: inVersion(version, 'RetrieveVersion'), signal })),
    };
  } catch (error) {
    if (!(error instanceof DataverseError)) throw error;
    return ABOUT_THE_USER.has(error.facts.serviceCode?.toLowerCase() ?? '') ? { version: undefined } : { error };
  }
}

/** Throws DataverseError `notDataverse` for an answer of something else. */
function versionOf(response: DataverseResponse): string {
  const parsed = versionAnswer.safeParse(response.json());
  if (parsed.success) return parsed.data.Version;
  throw new DataverseError('notDataverse', 'The answer is JSON, but not that of Dataverse.', {
    status: response.status,
  });
}

function explain(error: DataverseError, apiUrl: string): Error {
  const { host } = new URL(apiUrl);
  if (error.facts.serviceCode?.toLowerCase() === DISABLED) {
    return new StageError('environmentDisabled', `The environment ${host} is disabled.`, {
      cause: error,
      hint: 'Enable or reactivate it in the Power Platform admin centre (Environments); trial and unused developer environments are disabled by themselves.',
    });
  }
  if (error.code === 'notDataverse') {
    return new StageError('notDataverse', `Something other than Dataverse answers at ${host}.`, {
      cause: error,
      hint: 'Compare the URL with the one in the Power Platform admin centre; a sign-in page or a proxy answers in HTML.',
    });
  }
  if (error.code === 'notFound') {
    return new StageError('apiMissing', `There is no Dataverse Web API at ${apiUrl}.`, {
      cause: error,
      hint: 'Check the URL, and in the Power Platform admin centre that the environment has a Dataverse database (Add Dataverse).',
    });
  }
  return error;
}
