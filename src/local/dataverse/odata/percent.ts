const ENCODED_RUN = /(?:%[0-9a-f]{2})+/gi;

/** Decodes `%XX`; what is no valid UTF-8 or no escape stays as it is, as with .NET's Uri.UnescapeDataString. */
export function percentDecode(text: string): string {
  return text.replace(ENCODED_RUN, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run;
    }
  });
}

/** In a query a `+` is a blank. */
export const decodeQueryText = (text: string): string => percentDecode(text.replaceAll('+', ' '));
