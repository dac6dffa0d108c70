// A browser without a screen (Chromium) for the tests.
//
// usage: node browser.mjs /usr/bin/chromium
//
// It speaks JSON lines: {"id":1,"tab":"a","do":"goto","url":…} on standard input, and on standard
// output {"event":"ready"}, then {"id":1,"value":…} or {"id":1,"error":…} for each line, as it is
// done. Lines of other tabs, and of the same, do not wait for each other. A tab is opened when it
// is first named, with cookies of its own. Nothing but this machine can be reached. It ends when
// its standard input does, and Chromium with it.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

// Less than the tests' own patience, so that what is reported is which step failed.
const PATIENCE = 15_000;

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const tell = (fields) => process.stdout.write(`${JSON.stringify(fields)}\n`);

const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: [
    // What containers and root do not have.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE [::1]",
  ],
});

class Tab {
  constructor(context, page) {
    this.context = context;
    this.page = page;
    this.requests = [];
    context.setDefaultTimeout(PATIENCE);
    context.on("request", (request) => this.requests.push(request.url()));
  }

  static async open() {
    const context = await browser.newContext();
    return new Tab(context, await context.newPage());
  }

  async goto({ url }) {
    await this.page.goto(url);
  }

  async reload() {
    await this.page.reload();
  }

  async look() {
    const text = await this.page.locator("body").innerText();
    return { url: this.page.url(), title: await this.page.title(), text };
  }

  async fill({ selector, text }) {
    await this.page.locator(selector).fill(text);
  }

  // Does not wait for what follows.
  async click({ role, name }) {
    await this.page.getByRole(role, { name }).click({ noWaitAfter: true });
  }

  async press({ selector }) {
    await this.page.locator(selector).click({ noWaitAfter: true });
  }

  // Waits until another page is there.
  async follow({ role, name }) {
    const before = await this.page.evaluateHandle(() => document);
    await this.page.getByRole(role, { name }).click({ noWaitAfter: true });
    const isAnother = async () => before.evaluate((old) => old !== document).catch(() => true);
    const patience = Date.now() + PATIENCE;
    while (!(await isAnother())) {
      if (Date.now() > patience) throw new Error(`no other page after \`${name}\``);
      await this.page.waitForTimeout(10);
    }
    await this.page.waitForLoadState();
  }

  // The place of the first of some selectors that is on the page; waits until one is.
  async first({ selectors }) {
    const all = selectors.map((selector) => this.page.locator(selector).first());
    await all.reduce((one, other) => one.or(other)).first().waitFor();
    const there = await Promise.all(all.map((locator) => locator.isVisible()));
    return there.indexOf(true);
  }

  async until({ text }) {
    await this.page.getByText(text).first().waitFor();
  }

  // A window of such a kind; how wide the page is in it.
  async view({ scheme, width, height }) {
    await this.page.emulateMedia({ colorScheme: scheme });
    await this.page.setViewportSize({ width, height });
    return this.page.evaluate(() => document.documentElement.scrollWidth);
  }

  async screenshot({ path }) {
    await this.page.screenshot({ path, fullPage: true });
  }

  // In a world of its own, which the page's policy does not bind.
  async axe() {
    const session = await this.context.newCDPSession(this.page);
    const { frameTree } = await session.send("Page.getFrameTree");
    const world = { frameId: frameTree.frame.id };
    const { executionContextId } = await session.send("Page.createIsolatedWorld", world);
    const run = async (expression) => {
      const how = { contextId: executionContextId, awaitPromise: true, returnByValue: true };
      const done = await session.send("Runtime.evaluate", { expression, ...how });
      if (done.exceptionDetails) throw new Error(JSON.stringify(done.exceptionDetails));
      return done.result.value;
    };
    await run(`${axe}; 0`);
    const { passes, violations } = await run("axe.run(document)");
    await session.detach();
    const said = ({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${failureSummary} in ${html}`);
    return { passes: passes.map(({ id }) => id), violations: violations.flatMap(said) };
  }

  // Every request so far.
  async sent() {
    return this.requests;
  }

  async close() {
    await this.context.close();
  }
}

const tabs = new Map();

const obey = async ({ id, tab: name, do: command, ...rest }) => {
  if (!tabs.has(name)) tabs.set(name, Tab.open());
  const tab = await tabs.get(name);
  try {
    const value = await tab[command](rest);
    if (command === "close") tabs.delete(name);
    tell({ id, value: value ?? null });
  } catch (error) {
    tell({ id, error: `${command}: ${error.message}\non the page ${tab.page.url()}` });
  }
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => void obey(JSON.parse(line)));
lines.on("close", async () => {
  await browser.close();
  process.exit(0);
});
tell({ event: "ready" });
