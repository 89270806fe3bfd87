/** Runs that are to be planned or taken on. */
export const RUN_QUEUE = 'activation-runs';
/** Chunks that are to be written. */
export const CHUNK_QUEUE = 'activation-chunks';
