import { PACKAGE_FOLDER, packageApp } from './package-app.ts';

await packageApp();
process.stdout.write(
  `${PACKAGE_FOLDER} is ready for: func azure functionapp publish <app name> --javascript (called in that folder)\n`,
);
