import { afterEach, expect, test, vi } from "vitest";

import { ApiError, type ChatDelta, listModels, streamChat } from "./api";

const request = { model: "m", messages: [], temperature: 1, top_p: 1 };

afterEach(() => vi.unstubAllGlobals());

/** The server's answer, cut into network pieces of the given length in bytes. */
function serve(body: string, pieceLength: number, status = 200) {
  const bytes = new TextEncoder().encode(body);
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += pieceLength) {
        controller.enqueue(bytes.slice(at, at + pieceLength));
      }
      controller.close();
    },
  });
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(stream, { status })));
}

function chunk(content: string, finish: string | null = null): string {
  const choices = [{ index: 0, delta: { content }, finish_reason: finish }];
  return `data: ${JSON.stringify({ choices })}\n\n`;
}

async function collect(): Promise<ChatDelta[]> {
  const deltas: ChatDelta[] = [];
  for await (const delta of streamChat(request, new AbortController().signal)) deltas.push(delta);
  return deltas;
}

const text = (deltas: ChatDelta[]) => deltas.map((delta) => delta.text).join("");

test.each([1, 7, 10_000])("reads a stream in pieces of %i bytes", async (pieceLength) => {
  const usage = 'data: {"choices":[],"usage":{"completion_tokens":3}}\n\n';
  serve(chunk("你好，") + chunk("世界") + chunk("", "length") + usage + "data: [DONE]\n\n", pieceLength);
  const deltas = await collect();
  expect(text(deltas)).toBe("你好，世界");
  expect(deltas.find((delta) => delta.finish)?.finish).toBe("length");
  expect(deltas.at(-1)?.tokens).toBe(3);
});

test("an error status carries the server's message", async () => {
  serve('{"error":{"message":"too long","type":"invalid_request_error"}}', 100, 400);
  await expect(collect()).rejects.toEqual(new ApiError("refused", "too long"));
});

test("an error status without a message is named by its number", async () => {
  serve("<html>", 100, 502);
  await expect(collect()).rejects.toMatchObject({ kind: "refused", message: "HTTP 502" });
});

test("an error in mid-stream ends it", async () => {
  serve(chunk("a") + 'data: {"error":{"message":"out of memory"}}\n\n', 100);
  await expect(collect()).rejects.toMatchObject({ kind: "refused", message: "out of memory" });
});

test("a stream that breaks off is not taken for a whole answer", async () => {
  serve(chunk("a"), 100);
  await expect(collect()).rejects.toMatchObject({ kind: "unreachable" });
});

test("no connection is told apart from an error of the server", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("failed")));
  await expect(listModels()).rejects.toMatchObject({ kind: "unreachable" });
});
