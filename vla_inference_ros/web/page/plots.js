// Draws the plots. Knows nothing of the page but its canvases and colours.

const AHEAD = 0.24; // the part of a plot's width that the predicted steps have
const GAP = 2.5; // as many periods without a point break the line

// A canvas's drawing area in CSS pixels, cleared, and the page's colours.
function begin(canvas) {
  const {width, height} = canvas.getBoundingClientRect();
  const scale = devicePixelRatio;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
  const style = getComputedStyle(canvas);
  return {pen, width, height, colour: name => style.getPropertyValue(`--${name}`)};
}

// What turns a value into a height, with a little air and never without a span.
function vertical(values, height) {
  let low = Math.min(...values), high = Math.max(...values);
  const least = Math.max(1e-3, 0.01 * Math.max(Math.abs(low), Math.abs(high)));
  if (high - low < least) [low, high] = [(low + high - least) / 2, (low + high + least) / 2];
  const air = 6;
  return {low, high, y: value => height - air - (value - low) / (high - low) * (height - 2 * air)};
}

// A box from `left` to `right`.
function frame({pen, height, colour}, left, right) {
  pen.strokeStyle = colour("line");
  pen.lineWidth = 1;
  pen.strokeRect(left + 0.5, 0.5, right - left - 1, height - 1);
}

// The ends of a box's scale, over what is drawn in it.
function ends({pen, height, colour}, left, {low, high}) {
  for (const [value, y] of [[high, 12], [low, height - 6]]) {
    const text = value.toPrecision(3);
    pen.globalAlpha = 0.75;
    pen.fillStyle = colour("panel");
    pen.fillRect(left + 2, y - 10, pen.measureText(text).width + 4, 13);
    pen.globalAlpha = 1;
    pen.fillStyle = colour("soft");
    pen.fillText(text, left + 4, y);
  }
}

// Joins points {x, y}; breaks where `x` leaps by more than `leap`, and then even one is seen.
function line(pen, points, leap) {
  pen.beginPath();
  let last = -Infinity;
  for (const {x, y} of points) {
    if (x - last > leap) pen.moveTo(x - 0.5, y);
    pen.lineTo(x, y);
    last = x;
  }
  pen.stroke();
}

const known = points => points.filter(({value}) => Number.isFinite(value));

// One dimension: `past` has {stamp, value, ok}, `ahead` {value, valid} for each predicted step.
export function drawAction(canvas, past, ahead, axis) {
  const area = begin(canvas);
  const border = Math.round(area.width * (1 - AHEAD));
  drawPast(area, border - 6, known(past), axis);
  drawAhead(area, border, ahead);
}

function drawPast(area, right, past, {now, span, dt}) {
  const {pen, height, colour} = area;
  frame(area, 0, right);
  if (!past.length) return;
  const scale = vertical(past.map(point => point.value), height);
  const x = stamp => right * (1 - (now - stamp) / span);
  pen.fillStyle = colour("warn");
  for (const point of past) if (!point.ok) pen.fillRect(x(point.stamp) - 1, height - 4, 2, 3);
  pen.lineWidth = 1.6;
  pen.strokeStyle = colour("plot");
  const points = past.map(({stamp, value}) => ({x: x(stamp), y: scale.y(value)}));
  line(pen, points, GAP * Math.max(dt, 0.1) / span * right);
  ends(area, 0, scale);
}

function drawAhead(area, left, ahead) {
  const {pen, width, height, colour} = area;
  const values = known(ahead).map(point => point.value);
  frame(area, left, width);
  if (!values.length) return;
  const scale = vertical(values, height);
  ends(area, left, scale);
  const first = left + Math.min(50, (width - left) / 3); // beside the scale
  const step = (width - 10 - first) / Math.max(1, ahead.length - 1);
  const next = ahead.map(({value, valid}, index) => (
    {x: first + index * step, y: scale.y(value), valid}
  )).filter(point => Number.isFinite(point.y));
  pen.lineWidth = 1.6;
  pen.strokeStyle = pen.fillStyle = colour("ahead");
  line(pen, next, Infinity);
  for (const point of next) {
    pen.beginPath();
    pen.arc(point.x, point.y, 2.8, 0, 2 * Math.PI);
    if (!point.valid) pen.fillStyle = colour("panel");
    pen.fill();
    pen.stroke();
  }
}

// The force: `points` has {stamp, low, high, last} [N]; a stroke shows each one's span.
export function drawForce(canvas, points, {now, span}) {
  const area = begin(canvas);
  const {pen, width, height, colour} = area;
  frame(area, 0, width);
  if (!points.length) return;
  const scale = vertical(points.flatMap(point => [point.low, point.high]), height);
  const x = stamp => width * (1 - (now - stamp) / span);
  pen.strokeStyle = colour("plot");
  pen.lineWidth = 1.6;
  line(pen, points.map(({stamp, last}) => ({x: x(stamp), y: scale.y(last)})), width / 20);
  for (const {stamp, low, high} of points) {
    line(pen, [{x: x(stamp), y: scale.y(low)}, {x: x(stamp), y: scale.y(high)}], Infinity);
  }
  ends(area, 0, scale);
}
