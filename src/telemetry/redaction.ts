/** What looks like a credential in a text: tokens, keys in query strings and forms, private keys. */
const SECRETS: readonly RegExp[] = [
  /eyJ[\w-]{8,}\.[\w-]*\.[\w-]*/g,
  /(?<=\bbearer\s+)[^\s"',;]+/gi,
  /(?<=\b(?:code|sig|signature|key|secret|password|passwd|pwd|assertion|client_assertion|client_secret|refresh_token|access_token|x-functions-key|x-bridge-key)=)[^&\s"',;]+/gi,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
];

/** The text without what looks like a credential. The one rule for log lines, spans and metrics. */
export const redact = (text: string): string => SECRETS.reduce((rest, secret) => rest.replace(secret, '***'), text);
