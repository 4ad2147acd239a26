// The evening's ruler: a pin for every step, hollow where something did not stay. The range input lies on the axis:
// its thumb stands under the pin that it shows. Bands: while a link was down.
import { html, useNow } from "./base.js";
import { clock, when } from "./formats.js";
import { t } from "./words.js";

const LEAST_MS = 10000, TICKS = 6, BANDS_SAID = 3, PLACES = 200;
const STEPS = [1, 5, 10, 15, 30, 60, 120, 240, 720, 1440, 2880, 10080].map((minutes) => minutes * 60000);

// One pin for what stands so near that it could not be told apart; the one that is shown has its own.
function pinsOf(steps, index, share) {
  const pins = new Map();
  for (const [i, step] of steps.entries()) {
    const now = i === index, place = now ? "now" : Math.round(share(step.at) * PLACES), pin = pins.get(place);
    if (pin) pin.lost ||= step.losses.length > 0;
    else pins.set(place, { step, lost: step.losses.length > 0, now });
  }
  return [...pins.values()];
}

// steps: with `at`, the oldest first. index: of the one that is shown, null for now. move(index), one past the last
// for now. text: of the moment that is shown. outages: [{link, from, to}], to: null while it lasts.
export function Ruler({ steps, index, move, text, outages }) {
  const now = Math.max(useNow(), steps.at(-1).at);
  const span = Math.max((now - steps[0].at) * 1.02, LEAST_MS), first = now - span, last = steps.length - 1, here = index ?? last + 1;
  const share = (time) => (time - first) / span, x = (time) => `${(share(time) * 100).toFixed(2)}%`;
  const keys = (event) => {
    const to = { ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1, PageDown: here - 5, PageUp: here + 5, Home: 0, End: last + 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(Math.max(0, to));
  };
  // The pointer chooses the nearest pin, or now.
  const nearest = (place) => [...steps.map((one) => share(one.at)), 1].reduce((best, at, i) => (Math.abs(at - place) < best[0] ? [Math.abs(at - place), i] : best), [Infinity, 0])[1];
  const every = STEPS.find((ms) => span / ms <= TICKS) ?? STEPS.at(-1), offset = new Date(now).getTimezoneOffset() * 60000;
  const ticks = [];
  for (let time = Math.ceil((first - offset) / every) * every + offset; time < now; time += every) ticks.push(time);
  const pins = pinsOf(steps, index, share);
  const where = share(index === null ? now : steps[index].at);
  const bands = outages.map(({ link, from, to }) => ({ link, from: Math.max(Date.parse(from), first), to: to === null ? +now : Date.parse(to) })).filter((band) => band.to > band.from);
  return html`<div class="ruler-box"><svg class="ruler" height="80" aria-hidden="true">
      ${ticks.map((time) => html`<g key=${time}><line class="tick" x1=${x(time)} x2=${x(time)} y1="44" y2="50" /><text class="tick-text" x=${x(time)} y="74" text-anchor=${share(time) < 0.06 ? "start" : share(time) > 0.94 ? "end" : "middle"}>${every < 86400000 ? clock(time) : when(time, Infinity)}</text></g>`)}
      ${bands.map((band, i) => html`<rect key=${`outage-${i}`} class="outage" x=${x(band.from)} y="4" width=${`${((share(band.to) - share(band.from)) * 100).toFixed(2)}%`} height="40" rx="4" />`)}
      <line class="axis" x1="0" x2="100%" y1="44" y2="44" /><line class="axis-done" x1="0" x2=${`${(where * 100).toFixed(2)}%`} y1="44" y2="44" />
      ${pins.map(({ step, lost, now }) => html`<g key=${step.seq}><line class=${now ? "stem stem-now" : "stem"} x1=${x(step.at)} x2=${x(step.at)} y1="18" y2="44" /><circle class=${`mark ${lost ? "mark-lost" : ""} ${now ? "mark-now" : ""}`} cx=${x(step.at)} cy="16" r=${now ? 7 : 5.5} /></g>`)}</svg>
    <label class="quiet" for="slider">${t("hist.slider")}</label><input class="slider" id="slider" type="range" min="0" max="1" step="any" value=${where} aria-valuetext=${text} oninput=${(event) => move(nearest(Number(event.target.value)))} onkeydown=${keys} /></div>
    ${bands.slice(-BANDS_SAID).map((band, i) => html`<p key=${i} class="outage-note"><span class="hatch" aria-hidden="true"></span><span>${t("hist.outage", { what: t("hist.cut", { link: band.link }), from: clock(band.from), to: clock(band.to) })}</span></p>`)}`;
}
