import { BridgeError } from '../../shared/errors.ts';

/** The app or its settings cannot be run by the local host; the message names every fault. */
export class HostError extends BridgeError<
  'anotherAppLoaded' | 'appNotLoaded' | 'appStartFailed' | 'invalidFunctions' | 'invalidHostJson' | 'invalidOptions'
> {}
