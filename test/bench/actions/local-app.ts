import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { packageApp } from '../../../src/commands/package-app.ts';
import { startAppProcess } from '../../../src/local/app-process.ts';
import { startCloud } from '../../../src/local/cloud.ts';

/** What the program tells its parent. */
export interface LocalApp {
  /** `http://localhost:<port>` */
  readonly url: string;
  readonly functionKey: string;
  /** The emulator's Web API, and a token of its administrator. */
  readonly apiUrl: string;
  readonly token: string;
}

/** The local cloud in this process, trusted as the benchmarks trust it, and the packaged app in another, until SIGTERM. */
async function main([folder = '']: readonly string[]): Promise<void> {
  cpSync(process.env['BENCH_AUTHORITY'] ?? '', join(folder, 'authority'), { recursive: true });
  const appFolder = join(folder, 'app');
  await packageApp(appFolder, { here: true });
  const cloud = await startCloud(folder);
  const { settings, identity, dataverse, administrator } = cloud;
  const app = await startAppProcess({
    appFolder,
    env: {
      ...cloud.appEnvironment,
      BRIDGE_LOCAL_FUNCTION_KEY: settings.functionKey,
      BRIDGE_LOCAL_MASTER_KEY: settings.masterKey,
      BRIDGE_LOCAL_PORT: '0',
    },
    logFile: join(folder, 'app.log'),
  });
  process.once('SIGTERM', async () => {
    await app.stop();
    await cloud.close();
    process.exit();
  });
  const answer = await fetch(`${identity.authority}/oauth2/v2.0/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: administrator.clientId,
      client_secret: administrator.secret,
      scope: `${dataverse.url}/.default`,
    }),
  });
  const { access_token: token } = (await answer.json()) as { access_token: string };
  const told: LocalApp = { url: app.url, functionKey: settings.functionKey, apiUrl: dataverse.apiUrl, token };
  process.send?.(told);
}

await main(process.argv.slice(2));
