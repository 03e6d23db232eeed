// What a careful Node program does by itself: `ws`, `JSON.parse`, a zod schema for each event, and a
// ReadableStream as the channel to the reader.   node --input-type=module - URL DELTAS RESPONSES < blast_zod.mjs
import { once } from "node:events";
import WebSocket from "ws";
import { z } from "zod";

const [url, deltas, responses] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const response = z.looseObject({ id: z.string() });
const serverEvent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("response.created"), response }),
  z.object({ type: z.literal("response.output_text.delta"), delta: z.string() }),
  z.object({ type: z.literal("response.completed"), response }),
]);
let channel;
const socket = new WebSocket(`${url}/responses`, { perMessageDeflate: false });
socket.on("message", (data) => {
  const parsed = serverEvent.safeParse(JSON.parse(data.toString()));
  if (!parsed.success) throw parsed.error;
  channel.enqueue(parsed.data);
  if (parsed.data.type === "response.completed") channel.close();
});
await once(socket, "open");
const rates = [];
let busy; // events in a second of processor time, of the first response
while (rates.length < responses) {
  const stream = new ReadableStream({ start: (controller) => { channel = controller; } });
  const reader = stream.getReader();
  let count = 0;
  let started = 0;
  let cpu;
  socket.send(JSON.stringify({ type: "response.create", model: "bench", input: `deltas=${deltas}` }));
  while (!(await reader.read()).done) {
    if (count === 0) [started, cpu] = [performance.now(), process.cpuUsage()];
    count += 1;
  }
  rates.push(((count - 1) / (performance.now() - started)) * 1000);
  cpu = process.cpuUsage(cpu);
  busy ??= ((count - 1) / (cpu.user + cpu.system)) * 1e6;
  if (count !== deltas + 2) throw new Error(`${count} events`);
}
const later = rates.length > 1 ? rates.slice(1).sort((a, b) => a - b) : rates;
console.log(JSON.stringify({ first: rates[0], later: later[later.length >> 1], busy }));
process.exit(0);
