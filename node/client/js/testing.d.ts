import type { Clock } from './client.js';

/** The machine's time, until it is moved. Give it to `connect` as `clock`. */
export class MovableClock implements Clock {
  now(): number;
  elapsed(): number;
  after(ms: number, act: () => void): unknown;
  cancel(timer: any): void;
  /** Lets so much time pass: what was to happen meanwhile happens, one after the other, each at its time. */
  move(ms: number): Promise<void>;
}
