// One WebSocket to the node at a time, dialled again for ever; a connection that says nothing is given up.

import { iso } from './clock.js';
import { messageOf } from './reading.js';

const STOP = new Set([4001, 4002, 4003]); // dialling again the same way cannot help
const SLOWLY = new Set([1009, 1011, 1013, 4004, 4005, 4006]); // a greeting alone does not prove that it is over
const STEADY_MS = 60_000;

/** Milliseconds. A wait is a random part of `backoff`, twice as long after each failure, up to `backoffMax`. */
export const TIMING = { ping: 30_000, deadline: 10_000, backoff: 1_000, backoffMax: 30_000 };

export class Connection {
  #socket = null;
  #failures = 0;
  #timer = null; // of the next attempt
  #beat = null; // of the next ping
  #deadline = null; // until when something must be heard
  #pinged = null; // when the ping under way was sent, by the monotonic clock
  #pongsDue = 0;
  #fences = []; // {pongs, act}: how many pongs are still to come before it
  #roundTrip = null;
  #greetedAt = null;
  #options;
  #clock;

  /**
   * address: gives the URL, offers: the subprotocols. heard: is called with each message, and whether it says nothing. contact: with {state, code,
   * reason, clockSkewMs, retryInMs}. beat: at each ping, with the time since the last. timing: as TIMING. clock: as
   * systemClock.
   */
  constructor(options) {
    this.#options = { ...options, timing: { ...TIMING, ...options.timing } };
    this.#clock = options.clock;
  }

  get up() {
    return this.#greetedAt !== null;
  }

  /** Dials now, in place of a connection or a wait. */
  dial() {
    this.#drop(1000);
    this.#clock.cancel(this.#timer);
    this.#timer = null;
    this.#contact('connecting');
    let socket;
    try {
      socket = this.#socket = new this.#options.WebSocket(this.#options.address(), this.#options.offers());
    } catch (error) {
      return this.#closed(1006, error.message);
    }
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ code, reason }) => this.#closed(code, String(reason ?? ''));
    socket.onerror = () => {}; // a close follows
    this.#expect(true);
  }

  /** Calls `act` once the node has answered a ping that is sent now, and with it what was sent before. */
  fence(act) {
    this.#ping();
    this.#fences.push({ pongs: this.#pongsDue, act });
  }

  /** Dials now if it waits to dial; for when the network is said to be back. */
  hurry() {
    if (this.#timer !== null) this.dial();
  }

  /** Whether the message was given to the socket. answered: the node answers it, so silence is noticed. */
  send(message, answered = false) {
    if (!this.up || this.#socket.readyState !== 1) return false;
    this.#socket.send(typeof message === 'string' ? message : JSON.stringify(message));
    if (answered && this.#deadline === null) this.#expect(false);
    return true;
  }

  close() {
    this.#clock.cancel(this.#timer);
    this.#timer = null;
    this.#drop(1000);
    this.#contact('disconnected', { code: 1000 });
  }

  #heard(data) {
    const message = messageOf(typeof data === 'string' ? data : new TextDecoder().decode(data));
    if (this.up || message?.type === 'connection_established') { // before the greeting only that is a sign of life
      this.#clock.cancel(this.#deadline);
      this.#deadline = null;
    }
    if (!message) return;
    const greeting = message.type === 'connection_established';
    const again = greeting && this.up; // a second one on this connection says nothing
    if (greeting && !again) this.#greeted(message);
    if (message.type === 'pong') this.#ponged();
    this.#options.heard(message, again);
  }

  #ponged() {
    if (this.#pinged !== null) this.#roundTrip = Math.round((this.#clock.elapsed() - this.#pinged) * 10) / 10;
    this.#pinged = null;
    this.#pongsDue -= 1;
    for (const fence of this.#fences) fence.pongs -= 1;
    while (this.#fences[0]?.pongs <= 0) this.#fences.shift().act();
  }

  #greeted({ server_time }) {
    this.#greetedAt = this.#clock.elapsed();
    const skew = this.#clock.now() - Date.parse(server_time);
    this.#contact('connected', { clockSkewMs: Number.isFinite(skew) ? skew : null });
    this.#goOnBeating();
  }

  #goOnBeating() {
    const { ping } = this.#options.timing;
    this.#beat = this.#clock.after(ping, () => {
      this.#goOnBeating();
      this.#ping();
      this.#options.beat(ping);
    });
  }

  #ping() {
    const measured = this.#roundTrip === null ? {} : { performance: { response_time: this.#roundTrip } };
    this.#pinged = this.#clock.elapsed();
    this.#pongsDue += 1;
    this.send({ type: 'ping', timestamp: iso(this.#clock), ...measured });
    if (this.#deadline === null) this.#expect(true);
  }

  // Silence costs a ping first, which a node answers also when its disk is slow; then the connection.
  #expect(last) {
    this.#deadline = this.#clock.after(this.#options.timing.deadline, () => {
      this.#deadline = null;
      if (last) this.#closed(1006, 'nothing was heard');
      else this.#ping();
    });
  }

  #closed(code, reason) {
    const { backoff, backoffMax } = this.#options.timing;
    const lasted = this.up ? this.#clock.elapsed() - this.#greetedAt : 0;
    if (this.up && (!SLOWLY.has(code) || lasted > STEADY_MS)) this.#failures = 0;
    this.#drop(code);
    if (STOP.has(code)) return this.#contact('error', { code, reason });
    const wait = Math.random() * Math.min(backoff * 2 ** this.#failures++, backoffMax);
    this.#timer = this.#clock.after(wait, () => this.dial());
    this.#contact('disconnected', { code, reason, retryInMs: wait });
  }

  // A half-open socket would take minutes to close; it is left to do that alone.
  #drop(code) {
    this.#clock.cancel(this.#beat);
    this.#clock.cancel(this.#deadline);
    this.#deadline = this.#pinged = this.#greetedAt = null;
    this.#pongsDue = 0;
    this.#fences = [];
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    socket.onmessage = socket.onclose = null;
    if (code === 1006 && socket.terminate) socket.terminate();
    else if (socket.readyState < 2) socket.close();
  }

  #contact(state, more = {}) {
    this.#options.contact({ state, up: state === 'connected', code: null, reason: '', clockSkewMs: null, retryInMs: null, ...more });
  }
}
