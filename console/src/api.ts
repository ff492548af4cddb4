/** Client of the server's OpenAI-form API. */
import { EventSourceParserStream } from "eventsource-parser/stream";

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatRequest {
  model: string;
  messages: ChatMessage[];
  temperature?: number;
  top_p?: number;
  max_tokens?: number;
}

/** What one event of the stream adds to the answer. */
export interface ChatDelta {
  text: string;
  finish?: "stop" | "length";
  tokens?: number;
}

/**
 * - `unreachable`: no connection, or it broke off
 * - `refused`: the server answered with an error, whose message is this error's message
 */
export type FailureKind = "unreachable" | "refused";

export class ApiError extends Error {
  constructor(
    readonly kind: FailureKind,
    message: string,
  ) {
    super(message);
  }
}

// Relative addresses keep working behind a proxy that adds a path prefix.
export async function request(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    throw broken(error, init.signal);
  }
  if (!response.ok) {
    const body: unknown = await response.json().catch(() => undefined);
    const status = `HTTP ${response.status} ${response.statusText}`.trim();
    throw new ApiError("refused", errorMessage(body) ?? status);
  }
  return response;
}

/** An abort stays what it is; any other failure to connect or to read is `unreachable`. */
function broken(error: unknown, signal?: AbortSignal | null): unknown {
  return signal?.aborted ? error : new ApiError("unreachable", String(error));
}

export function errorMessage(body: unknown): string | undefined {
  const message = (body as { error?: { message?: unknown } } | undefined)?.error?.message;
  return typeof message === "string" && message !== "" ? message : undefined;
}

export async function listModels(): Promise<string[]> {
  const response = await request("v1/models", {});
  const body = (await response.json()) as { data: { id: string }[] };
  return body.data.map((model) => model.id);
}

/** The answer, piece by piece. Aborting the signal also stops the server's work on it. */
export async function* streamChat(
  body: ChatRequest,
  signal: AbortSignal,
): AsyncGenerator<ChatDelta> {
  const response = await request("v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (response.body === null) throw new ApiError("unreachable", "empty answer");
  const reader = response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  let finished = false;
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      if (value.data === "[DONE]") {
        finished = true;
        continue;
      }
      const delta = parseChunk(value.data);
      finished ||= delta.finish !== undefined;
      yield delta;
    }
  } catch (error) {
    throw error instanceof ApiError ? error : broken(error, signal);
  } finally {
    // Where the stream is not at its end, this closes the connection.
    reader.cancel().catch(() => undefined);
  }
  if (!finished) throw new ApiError("unreachable", "the answer broke off");
}

interface Chunk {
  choices?: { delta?: { content?: string | null }; finish_reason?: string | null }[];
  usage?: { completion_tokens?: number } | null;
}

function parseChunk(data: string): ChatDelta {
  const chunk = JSON.parse(data) as Chunk;
  // An error in mid-stream comes as an event, for the status line has long been sent.
  const error = errorMessage(chunk);
  if (error !== undefined) throw new ApiError("refused", error);
  const choice = chunk.choices?.[0];
  const reason = choice?.finish_reason;
  return {
    text: choice?.delta?.content ?? "",
    finish: reason ? (reason === "length" ? "length" : "stop") : undefined,
    tokens: chunk.usage?.completion_tokens,
  };
}
