// The official Node client, `ResponsesWS`.   node --input-type=module - URL DELTAS RESPONSES < blast_openai.mjs
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const [url, deltas, responses] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const client = new OpenAI({ apiKey: "bench", baseURL: url.replace("ws", "http") });
const socket = new ResponsesWS(client);
const ask = () => socket.send({ type: "response.create", model: "bench", input: `deltas=${deltas}` });
const rates = [];
let count = 0;
let started = 0;
let cpu;
let busy; // events in a second of processor time, of the first response
ask();
for await (const event of socket) {
  if (event.type === "error") throw event.error;
  if (event.type !== "message") continue;
  if (count === 0) [started, cpu] = [performance.now(), process.cpuUsage()];
  count += 1;
  if (event.message.type !== "response.completed") continue;
  rates.push(((count - 1) / (performance.now() - started)) * 1000);
  cpu = process.cpuUsage(cpu);
  busy ??= ((count - 1) / (cpu.user + cpu.system)) * 1e6;
  if (count !== deltas + 2) throw new Error(`${count} events`);
  if (rates.length === responses) break;
  count = 0;
  ask();
}
const later = rates.length > 1 ? rates.slice(1).sort((a, b) => a - b) : rates;
console.log(JSON.stringify({ first: rates[0], later: later[later.length >> 1], busy }));
process.exit(0);
