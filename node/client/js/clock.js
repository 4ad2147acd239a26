// The time that a terminal goes by. In milliseconds.

/** The machine's. Its functions are looked up at each call, so that a test may put others in their place. */
export const systemClock = {
  now: () => Date.now(), // since 1970; somebody may set it
  elapsed: () => performance.now(), // only grows
  after: (ms, act) => setTimeout(act, ms),
  cancel: (timer) => clearTimeout(timer),
};

/** As the protocol writes it. */
export function iso(clock) {
  return new Date(clock.now()).toISOString();
}
