// Fills the page with the server's news. All text from the robot goes in as text, never as markup.

import {
  $, age, degrees, hertz, make, mm, ms, number, put, row, short, valued,
} from "./elements.js";
import {drawAction, drawForce} from "./plots.js";
import {showTroubles} from "./troubles.js";

const QUIET = 3000; // without news for so long, the connection is taken for lost [ms]
const RETRY = 1500; // between two tries to get it back [ms]
const STALE = 1; // an input's newest item may be so old [s]
const STALE_PICTURE = 2; // nor may a picture be shown for longer than this [s]
const FILL_WARNING = 30; // samples in the window
const MOST_LINES = 200; // of warnings and worse, and of all else
const WARNINGS = ".WARN, .ERROR, .FATAL";
const STATES = ["WAIT", "OK", "DEGRADED", "HOLD"];
const LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARN", 40: "ERROR", 50: "FATAL"};
const VIEWS = ["View1", "View2", "View3", "View4", "View5"];
const STAGES = [
  ["camera_wire", "camera to topic"], ["robot_wire", "robot to topic"],
  ["sensor_wire", "sensor to topic"], ["jpeg_decode", "JPEG decoding"], ["vl_time", "VLM update"],
  ["features_age", "age of the features"], ["window_age", "age of the sensor window"],
  ["action_time", "action expert"], ["tick_jitter", "tick jitter"], ["publish", "publishing"],
];
// As the status names the actions, in their order.
const SEAMS = ["joint_1", "joint_2", "joint_3", "joint_4", "joint_5", "joint_6", "gripper"];
const TILES = [ // with the stream whose troubles are a tile's own
  ["action_rate", "action chunks", "action_expert"], ["vl_rate", "VLM updates", "vlm"],
  ["reuse", "use of the features"], ["features_age", "age of the features"],
  ["missed", "ticks missed, skipped"], ["rejected", "bad inputs refused"],
];

const all = {steps: [], force: [], pictures: {}};
let news = null; // the newest
let arrival = 0; // when it came [ms]
let source = null;
let lost = ""; // why there is no connection

const since = () => (performance.now() - arrival) / 1e3;

// --- the page's parts

function build() {
  for (const view of VIEWS) {
    const figure = make("figure", $("#views"), {id: view});
    figure.dataset.stream = view;
    make("img", figure, {alt: view});
    const notes = make("div", figure);
    make("p", notes, {className: "told"});
    valued("p", notes, `${view} picture`);
    const caption = make("figcaption", figure);
    make("b", caption, {textContent: view});
    valued("span", caption, `${view} shown`);
  }
  for (const [name, label, stream] of TILES) {
    const tile = make("div", $("#numbers"));
    if (stream) tile.dataset.stream = stream;
    valued("b", tile, name);
    make("span", tile, {textContent: label});
  }
  const inputs = VIEWS.map(view => [view, view]);
  inputs.push(["camera", "all cameras"], ["robot", "robot"], ["sensor", "sensor"]);
  for (const [name, label] of inputs) {
    const line = row("#inputs", name, label, ["rate", "age", "received", "refused"]);
    line.dataset.stream = name;
  }
  for (const [name, label] of STAGES) row("#stages", name, label, ["p50", "p95", "p99", "misses"]);
  for (const name of SEAMS) row("#seams", `seam ${name}`, name, ["jump", "jerk"]);
}

function showVerdict() {
  let [word, reason] = ["…", "waiting for the first news"];
  let troubles = []; // known only from a status of now
  const status = news?.status;
  const statusAge = status ? status.age + since() : 0;
  if (lost) {
    [word, reason] = ["NO CONNECTION", lost];
  } else if (status && statusAge > status.timeout) {
    word = "NO STATUS";
    reason = `nothing from the monitor for ${number(statusAge)} s`
      + (status.silence ? `: ${status.silence}` : ": is it running?");
  } else if (status?.values) {
    word = STATES[status.values.state] ?? `STATE ${status.values.state}`;
    reason = status.values.reason || "action chunks from complete and recent data";
    troubles = status.values.troubles;
  }
  put("state", word);
  put("reason", reason);
  showTroubles(troubles);
  $("#verdict").dataset.state = word;
  document.title = `${word} · VLA inference`;
  document.body.classList.toggle("stale", word.startsWith("NO "));
  const clock = news ? new Date((news.now + since()) * 1e3).toLocaleTimeString("en-GB") : "";
  put("connection", `${clock}\n${status?.values ? `status ${number(statusAge)} s ago` : ""}`);
}

function showStatus(values, inputs) {
  if (!values) return;
  put("action_rate", hertz(values.action_rate));
  put("vl_rate", hertz(values.vl_rate));
  put("features_age", age(values.features_age));
  put("missed", `${values.action_missed_ticks}, ${values.vl_skipped_ticks}`);
  put("rejected", `${values.rejected}`);
  for (const name of [...VIEWS, "robot", "sensor"]) {
    const prefix = name.toLowerCase();
    const old = values[`${prefix}_age`];
    put(`${name} age`, age(old), old > STALE ? "bad" : "");
    put(`${name} received`, `${values[`${prefix}_received`]}`);
  }
  for (const [name, {rate, problems}] of Object.entries(inputs)) {
    if (name === "vlm" || name === "action_expert") continue;
    const refused = Object.entries(problems).map(([kind, count]) => `${kind}: ${count}`).join(", ");
    put(`${name} rate`, name === "camera" ? "" : hertz(rate), rate === 0 ? "bad" : "");
    put(`${name} refused`, refused, refused ? "warn" : "");
  }
  for (const [name] of STAGES) {
    for (const part of ["p50", "p95", "p99"]) {
      put(`${name} ${part}`, ms(values[`${name}_${part}`] || NaN)); // 0: no value yet
    }
    const misses = values[`${name}_misses`];
    put(`${name} misses`, `${misses}`, misses ? "warn" : "");
  }
  const {sensor_fill: fill, sensor_window: size} = values;
  put("window", `${fill} of ${size} samples`);
  $("#fill").style.width = `${size ? Math.min(100, 100 * fill / size) : 0}%`;
  $("#fill").className = fill < FILL_WARNING ? "warn" : "";
  const joints = [1, 2, 3, 4, 5, 6].map(joint => degrees(values[`joint_${joint}`]));
  const position = ["x", "y", "z"].map(axis => mm(values[`position_${axis}`]));
  const known = values.robot_received > 0;
  put("joints", known ? `joints ${joints.join(" ")}` : "no robot packet yet");
  put("tool", known ? `tool ${position.join(", ")} mm` : "");
}

function showChunk(chunk) {
  if (!chunk) return;
  put("reuse", `${chunk.reuse_index} of ${chunk.reuse_limit}`);
  put("instruction", `“${chunk.instruction}”`);
  put("models", `· ${chunk.features_model_id} · ${chunk.model_id}`);
  const rows = $("#dimensions");
  if (rows.dataset.names !== JSON.stringify(chunk.names)) {
    rows.dataset.names = JSON.stringify(chunk.names);
    rows.replaceChildren();
    chunk.names.forEach((name, index) => {
      const line = make("div", rows);
      const label = make("span", line, {textContent: name});
      valued("b", label, `action ${index}`);
      make("canvas", make("div", line));
    });
  }
  chunk.steps[0].forEach((value, index) => put(`action ${index}`, number(value, 4)));
}

// How far the chunks are from those before them. All 0: there has been no seam.
function showSeams(values, names) {
  if (!values) return;
  const jumps = SEAMS.map(name => values[`seam_jump_${name}`]);
  const jerks = SEAMS.map(name => values[`seam_jerk_${name}`]);
  const none = [...jumps, ...jerks].every(value => !value);
  $("#seams").querySelectorAll("tbody tr").forEach((line, index) => {
    const name = names[index] ?? "";
    line.hidden = index >= names.length;
    if (line.cells[0].textContent !== name) line.cells[0].textContent = name;
    put(`seam ${SEAMS[index]} jump`, none ? "–" : short(jumps[index]));
    put(`seam ${SEAMS[index]} jerk`, none ? "–" : short(jerks[index]));
  });
}

function showPictures() {
  for (const view of VIEWS) {
    const picture = all.pictures[view];
    const figure = $(`#${view}`);
    const image = figure.querySelector("img");
    if (!picture) {
      put(`${view} picture`, "no picture yet");
      put(`${view} shown`, "");
      figure.classList.remove("stale");
      image.removeAttribute("src");
      continue;
    }
    put(`${view} picture`, picture.error ?? "");
    const shown = (performance.now() - picture.arrival) / 1e3;
    const stale = shown > STALE_PICTURE || picture.age > STALE;
    figure.classList.toggle("stale", stale);
    put(`${view} shown`, stale ? `STALE ${number(picture.age + shown)} s` : age(picture.age));
    const url = picture.jpeg ? `data:image/jpeg;base64,${picture.jpeg}` : "";
    if (url && image.src !== url) image.src = url;
    if (!url) image.removeAttribute("src");
  }
}

function showForce(force) {
  if (!force) return put("force", "–", "big");
  const old = news.now - force.stamp;
  const late = old > STALE;
  put("force", `${number(force.last, 3)} N${late ? `, ${age(old)} old` : ""}`, late ? "big bad" : "big");
}

function draw() {
  const axis = {now: news.now, span: news.span, dt: news.chunk?.step_dt ?? 0.1};
  $("#dimensions").querySelectorAll("canvas").forEach((canvas, index) => {
    const past = all.steps.map(({stamp, values, ok}) => ({stamp, value: values[index], ok}));
    const {steps, valid_steps: valid} = news.chunk;
    const ahead = steps.map((values, step) => ({value: values[index], valid: step < valid}));
    drawAction(canvas, past, ahead, axis);
  });
  drawForce($("#force-plot"), all.force, axis);
  showForce(all.force.at(-1));
}

function addLines(lines) {
  const list = $("#log ol");
  const fresh = lines.map(({stamp, level, name, text}) => {
    const word = LEVELS[level] ?? `LEVEL ${level}`;
    const item = document.createElement("li");
    item.className = LEVELS[level] ?? "";
    const time = new Date(stamp * 1e3);
    make("time", item, {textContent: time.toLocaleTimeString("en-GB"), title: time.toISOString()});
    make("span", item, {textContent: word, className: "level"});
    make("span", item, {textContent: name, className: "name"});
    make("span", item, {textContent: text, className: "text"});
    return item;
  });
  list.prepend(...fresh.reverse());
  for (const kind of [`:is(${WARNINGS})`, `:not(${WARNINGS})`]) {
    for (const old of [...list.querySelectorAll(`li${kind}`)].slice(MOST_LINES)) old.remove();
  }
}

// --- the connection

function take(event) {
  news = JSON.parse(event.data);
  arrival = performance.now();
  lost = "";
  if (news.fresh) {
    Object.assign(all, {steps: [], force: [], pictures: {}});
    $("#log ol").replaceChildren();
  }
  const recent = point => news.now - point.stamp <= news.span;
  for (const kind of ["steps", "force"]) all[kind] = [...all[kind], ...news[kind]].filter(recent);
  for (const [view, picture] of Object.entries(news.pictures)) {
    all.pictures[view] = {...picture, age: Math.max(0, news.now - picture.stamp), arrival};
  }
  addLines(news.log);
  showStatus(news.status.values, news.inputs);
  showChunk(news.chunk);
  showSeams(news.status.values, news.chunk?.names ?? SEAMS);
  showVerdict();
  showPictures();
  draw();
}

function connect() {
  source?.close();
  arrival = performance.now();
  source = new EventSource("events");
  source.onmessage = take;
  source.onerror = () => source.close();
}

// Why there is no connection, in plain words.
async function explain() {
  try {
    const answer = await fetch("health", {signal: AbortSignal.timeout(RETRY)});
    if (answer.status === 403) return `not let in any more: ${await answer.text()}`;
    const {browsers, most_browsers: most} = await answer.json();
    if (browsers >= most) return `${browsers} browsers are watching already, which is the most`;
    return "connecting again";
  } catch {
    return "the live view's node does not answer: has it stopped?";
  }
}

async function watch() {
  const closed = source.readyState === EventSource.CLOSED;
  if (closed || performance.now() - arrival > QUIET) {
    lost ||= "connecting again";
    source.close();
    lost = await explain();
    connect();
  }
  setTimeout(watch, RETRY);
}

build();
connect();
setTimeout(watch, RETRY);
setInterval(() => {
  showVerdict();
  showPictures();
}, 250);
