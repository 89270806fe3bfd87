import { startApp, type TestApp } from './app.ts';

let app: Promise<TestApp> | undefined;

/**
 * The app that all files of `contract/one-app` use which run in this process, so none may count on what is not its own.
 * Besides `default`, which may reach a few tables, it has the connection `open` to all tables, and `second` and `events`
 * to few others. It ends with the process.
 */
export function sharedApp(): Promise<TestApp> {
  app ??= startApp({
    settings: ({ connection }) => ({
      ...connection('open'),
      ...connection('second', { allowedTables: 'account,contact' }),
      ...connection('events', { allowedTables: 'account,contact,msevtmgt_event' }),
    }),
  });
  return app;
}
