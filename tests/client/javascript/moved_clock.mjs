// In place of the package for an example: the same, with a clock that a signal moves by an hour. PACKAGE: where it is.
import { connect as original } from 'PACKAGE/client.js';
import { MovableClock } from 'PACKAGE/testing.js';

const clock = new MovableClock();
process.on('SIGUSR2', async () => {
  await clock.move(3_600_000);
  console.log('an hour has passed');
});

export * from 'PACKAGE/client.js';
export const connect = (options) => original({ ...options, clock });
