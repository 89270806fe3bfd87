// Plain CommonJS on purpose: it must run, and be understood, on the Node versions that it turns away.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `Dataverse Bridge needs Node.js 22.19 or newer; this is ${process.version} (${process.execPath}).\n`,
  );
  process.exit(1);
}
