// The page: takes files, judges them one after the other, and says what it found in plain words.
// Whatever comes out of a file is put on the page as text, never as markup.

const VERDICTS = {
  passed: "Passed",
  failed: "Failed",
  indeterminate: "Not decided",
};
const OUTCOMES = {
  passed: ["ok", "\u2713"],
  failed: ["failed", "\u2717"],
  indeterminate: ["unclear", "?"],
  warning: ["note", "\u2139"],
  skipped: ["skipped", "\u2013"],
};
const STEPS = {
  receipt: "The receipt is whole, and holds what its list of contents says",
  trust_list: "What the trust list rests upon",
  request: "The request is signed, and its signature counted",
  response: "The answer is signed, and its signature counted",
  exchange: "Who asked whom",
  pairing: "The answer belongs to this request",
  statement: "What the node says fits the signed request",
  access: "Why the call was allowed",
  log: "The messages stand in the node's log",
  log_key: "Whose log it is",
  request_logged: "The request stands in the node's log",
  response_logged: "The answer stands in the node's log",
  container: "The container can be read",
  message: "Who must have signed the message",
  signature_form: "The signature has the form that it must have",
  hash_chain: "The hash chain leads to the message",
  coverage: "Everything in the container is signed",
  stated_certificate: "The signature names the certificate that it was made with",
  timestamp_chain: "The time-stamp's hash chain leads to the signature",
  timestamp: "When the signature was seen",
  certificate_usage: "The certificate is one for signing",
  signer: "The certificate is that of the sender",
  signature_value: "The key of the certificate made the signature",
  references: "The signature is over these very bytes",
  certificate_path: "An approved authority issued the certificate",
  ocsp_response: "The certificate was good at that moment",
  absent_part: "A part that is not in the file",
  foreign_entries: "Something in the container is not signed",
  manifest: "The table of contents fits",
  packing: "The file was not tampered with",
};
const FACTS = {
  message_id: "Message id",
  client: "Asked by",
  service: "Asked for",
  user: "Official",
  issue: "Case",
  represented_party: "On behalf of",
};
const MAX_SHOWN = 64 * 1024;
const MAX_CONTAINERS = 100;

const state = { files: [], conf: null, confName: "", anchors: [], busy: false, again: false };

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// --- what was given -------------------------------------------------------------------------------

/** What a file is: to be judged, or to judge by. */
function kindOf(data) {
  if (isReceipt(data)) return "receipt";
  if (/^(?:\xef\xbb\xbf)?\s*</.test(latin1(data.subarray(0, 200)))) return "anchor";
  let names;
  try {
    names = readEntries(data).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Malformed) return "container";
    throw error;
  }
  const listed = names.every((name) => /^(?:verificationconf\/)?(?:[^/]+\/)?[^/]*$/.test(name));
  const foreign = ["mimetype", "receipt.json"].some((name) => names.includes(name));
  if (listed && !foreign && names.some((name) => /^(?:verificationconf\/)?instance-identifier$/.test(name))) {
    return "trust list";
  }
  const several = !names.includes("mimetype") && names.some((name) => name.endsWith(".asice"));
  return several ? "containers" : "container";
}

async function take(file) {
  if (file.size > MAX_FILE_BYTES) {
    throw new TooLarge(`${file.name} is larger than ${MAX_FILE_BYTES >> 20} MiB`);
  }
  const data = new Uint8Array(await file.arrayBuffer());
  const kind = kindOf(data);
  if (kind === "trust list") {
    state.conf = await trustListOf(data);
    state.confName = file.name;
  } else if (kind === "anchor") {
    const anchor = parseAnchor(data);
    state.anchors = [...state.anchors.filter((one) => one.instance !== anchor.instance), { ...anchor, name: file.name }];
  } else if (kind === "containers") {
    state.files.push(...(await containersIn(file.name, data)));
  } else {
    state.files.push({ name: file.name, data, kind });
  }
}

async function trustListOf(data) {
  const files = new Map();
  const damage = [];
  for (const entry of readEntries(data)) {
    const name = entry.name.replace(/^verificationconf\//, "");
    if (!entry.name.endsWith("/")) files.set(name, await unpack(entry, damage));
  }
  if (damage.length) throw new Malformed(damage[0], INVALID_CONTAINER);
  return readTrustList(files);
}

async function containersIn(name, data) {
  const found = [];
  let left = MAX_UNPACKED_BYTES;
  for (const entry of readEntries(data).filter((one) => one.name.endsWith(".asice"))) {
    left -= entry.size;
    if (left < 0 || found.length === MAX_CONTAINERS) {
      throw new TooLarge(`${name} holds more containers than this page judges at once`);
    }
    const damage = [];
    const inner = { name: `${name}:${entry.name}`, kind: "container", damaged: "" };
    try {
      inner.data = await unpack(entry, damage);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      damage.push(error.message);
    }
    inner.damaged = damage[0] || "";
    found.push(inner);
  }
  return found;
}

// --- judging --------------------------------------------------------------------------------------

const NO_CONF = { own: "", instances: new Map(), ocspFreshness: 0, verifyNextUpdate: true };

function moment() {
  const text = document.getElementById("at").value;
  return text ? new Date(`${text}Z`) : new Date();
}

async function judge({ name, data, kind, damaged }) {
  try {
    if (damaged) return { name, checks: [failed("container", INVALID_CONTAINER, damaged)] };
    const given = { conf: state.conf, anchors: state.anchors, at: moment() };
    if (kind === "receipt") return { name, receipt: true, ...(await judgeReceipt(data, given)) };
    return { name, ...(await judgeContainer(data, state.conf || NO_CONF, given.at)) };
  } catch (error) {
    const text = error instanceof TooLarge
      ? `${error.message}. Judge it with the command: sacbe verify`
      : `This page could not judge the file: ${error.message}`;
    return { name, checks: [undecided("container", "internal_error", text)] };
  }
}

/** Judge everything again; what is given meanwhile is judged in a further round. */
async function judgeAll() {
  state.again = true;
  if (state.busy) return;
  state.busy = true;
  const results = document.getElementById("results");
  results.setAttribute("aria-busy", "true");
  while (state.again) {
    state.again = false;
    const shownNow = [];
    for (const file of state.files) shownNow.push(resultArticle(await judge(file)));
    if (!state.again) results.replaceChildren(...shownNow);
  }
  results.setAttribute("aria-busy", "false");
  state.busy = false;
  showGiven();
}

// --- showing --------------------------------------------------------------------------------------

function resultArticle(result) {
  const verdict = verdictOf(result.checks);
  const problem = problemOf(result.checks);
  const article = element("article", {
    class: verdict,
    "data-file": result.name,
    "data-verdict": verdict,
    "data-code": problem ? problem.code : "",
  });
  const title = element("h2", {}, element("strong", {}, VERDICTS[verdict]), ` ${result.name}`);
  article.append(title);
  if (problem) {
    const code = problem.code ? ` (${problem.code})` : "";
    article.append(element("p", { class: "reason" }, `Because: ${problem.detail}${code}`));
  }
  article.append(summaryList(result), ...adviceFor(result), stepsList(result.checks));
  for (const [name, inner] of result.containers || []) article.append(containerDetails(name, inner));
  if (!result.receipt && result.container) article.append(...messageDetails(result.container));
  return article;
}

/** How far the file was judged, in the words of the command. */
function levelOf(result) {
  if (!result.receipt) return result.timestamp ? "signature and time" : "signature";
  const messages = [...result.containers].filter(([name]) => !name.includes("/")).map(([, one]) => one);
  if (messages.length && result.places.length === messages.length) return "signature, time and tree";
  return messages.length && messages.every((one) => one.timestamp) ? "signature and time" : "signature";
}

function summaryList(result) {
  const list = element("dl");
  const add = (term, text) => list.append(element("dt", {}, term), element("dd", {}, text));
  if (result.receipt || result.container) add("Checked", levelOf(result));
  if (result.facts) {
    for (const [name, value] of Object.entries(statedFacts(result.facts))) add(FACTS[name], value);
  }
  for (const place of result.places || []) add("In the log", place);
  if (result.signer) add("Signed by", result.signer.join("/"));
  if (result.signedAt) add("Signed at", `${timeText(result.signedAt)}, as the signer says`);
  if (result.timestamp) add("Time-stamp", timeText(result.timestamp));
  for (const part of result.parts || []) add("Part", `${part.name}: ${part.covered ? "signed" : "not proven"}`);
  return list;
}

function stepsList(checks) {
  const list = element("ol", { class: "steps" });
  for (const check of checks) {
    const [word, sign] = OUTCOMES[check.outcome];
    list.append(
      element(
        "li",
        { class: check.outcome, "data-check": check.name },
        element("span", { class: "sign", "aria-hidden": "true" }, sign),
        element("span", { class: "word" }, `${word}: `),
        element("b", {}, STEPS[check.name] || check.name.replace(/_/g, " ")),
        check.detail ? element("span", { class: "detail" }, ` ${check.detail}`) : null,
      ),
    );
  }
  return list;
}

function containerDetails(name, inner) {
  const verdict = verdictOf(inner.checks);
  const summary = element("summary", {}, element("strong", {}, VERDICTS[verdict]), ` ${name}`);
  const details = element("details", { class: verdict }, summary, summaryList(inner), stepsList(inner.checks));
  if (inner.container) details.append(...messageDetails(inner.container));
  return details;
}

/** What was said, as text; the report above tells whether it is proven. */
function messageDetails(container) {
  const parts = [{ name: "message.xml", data: container.message }, ...container.attachments];
  return parts.map(({ name, data }) =>
    element(
      "details",
      { class: "content" },
      element("summary", {}, `${name}, ${data.length} bytes`),
      element("pre", { tabindex: "0" }, textOf(data)),
    ),
  );
}

function textOf(data) {
  const start = data.subarray(0, MAX_SHOWN);
  const more = data.length > MAX_SHOWN ? `\n\u2026 and ${data.length - MAX_SHOWN} bytes more` : "";
  const text = new TextDecoder().decode(start);
  if (/[\0-\x08\x0e-\x1f]/.test(text)) return "This part is no text.";
  return text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd") + more;
}

/** What to try with a file that was judged for now, long after its time. */
function adviceFor(result) {
  const judged = result.receipt ? [...result.containers.values()] : [result];
  const undated = judged.find((one) => !one.timestamp && one.signedAt);
  const wrong = judged.flatMap((one) => one.checks).filter((check) => check.outcome === "failed");
  const byTime = ["certificate_path", "ocsp_response"];
  if (!undated || !wrong.length || wrong.some((check) => !byTime.includes(check.name))) return [];
  const button = element("button", { type: "button" }, `Judge it for ${timeText(undated.signedAt)}`);
  button.addEventListener("click", () => {
    document.getElementById("at").value = undated.signedAt.toISOString().slice(0, 19);
    judgeAll();
  });
  return [element("p", {}, "It has no time-stamp and was judged for now. ", button, ", when the signer says it was signed.")];
}

/** What files are judged by, each with a button that takes it away. */
function showGiven() {
  const list = document.getElementById("given");
  const item = (text, forget) => {
    const button = element("button", { type: "button", "aria-label": `Remove ${text}` }, "Remove");
    button.addEventListener("click", () => {
      forget();
      judgeAll();
    });
    return element("li", {}, `${text} `, button);
  };
  const items = [];
  if (state.conf) {
    items.push(item(`Trust list of ${state.conf.own} (${state.confName}), believed as it is`, () => {
      state.conf = null;
    }));
  }
  for (const anchor of state.anchors) {
    items.push(item(`Anchor of ${anchor.instance} (${anchor.name})`, () => {
      state.anchors = state.anchors.filter((one) => one !== anchor);
    }));
  }
  if (state.files.length) {
    const many = state.files.length === 1 ? "1 file" : `${state.files.length} files`;
    items.push(item(`${many} judged below`, () => {
      state.files = [];
    }));
  }
  list.replaceChildren(...items);
}

async function takeAll(files) {
  const problems = [];
  for (const file of files) {
    try {
      await take(file);
    } catch (error) {
      problems.push(element("p", {}, `${file.name}: ${error.message}`));
    }
  }
  document.getElementById("problems").replaceChildren(...problems);
  await judgeAll();
}

function start() {
  const input = document.getElementById("files");
  const zone = document.getElementById("drop");
  input.addEventListener("change", async () => {
    const files = Array.from(input.files);
    await takeAll(files);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    takeAll(Array.from(event.dataTransfer.files));
  });
  document.getElementById("at").addEventListener("change", judgeAll);
  if (!globalThis.crypto || !crypto.subtle || !globalThis.DecompressionStream) {
    document.getElementById("problems").append(
      element("p", {}, "This browser lacks what is needed to judge signatures (WebCrypto, DecompressionStream)."),
    );
  }
}

start();
