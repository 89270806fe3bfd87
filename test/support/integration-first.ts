import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Starts with the few files that take longest, so that no worker is left alone with one of them at the end. */
export class IntegrationFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification): boolean => moduleId.includes('/test/integration/');
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}
