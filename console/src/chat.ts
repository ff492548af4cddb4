/** Asks questions and writes the answers into the history as they arrive. */
import { ApiError, type ChatMessage, type ChatRequest, listModels, streamChat } from "./api";
import { type Conversation, type History, type Message, newId, titleFrom } from "./history";
import type { Settings } from "./settings";

// Each update draws the answer anew: this rate looks fluent and leaves the browser time.
const UPDATE_EVERY_MS = 50;

export class Chat {
  #running = new Map<string, AbortController>();

  constructor(readonly history: History) {}

  /** Asks in the conversation of that id, or in a new one; gives back its id. */
  ask(id: string | null, question: string, model: string | null, settings: Settings): string {
    const known = id === null ? undefined : this.history.get(id);
    const conversation = known ?? {
      id: newId(),
      title: titleFrom(question),
      updated: 0,
      messages: [],
    };
    const message: Message = { id: newId(), role: "user", content: question };
    this.#answer(conversation, [...conversation.messages, message], model, settings);
    return conversation.id;
  }

  /** Asks the question of that id again, with other words if given; what followed it goes. */
  askAgain(
    id: string,
    questionId: string,
    model: string | null,
    settings: Settings,
    content?: string,
  ): void {
    const conversation = this.history.get(id);
    const index = conversation?.messages.findIndex((message) => message.id === questionId) ?? -1;
    const question = conversation?.messages[index];
    if (!conversation || !question) return;
    const kept = conversation.messages.slice(0, index);
    const asked = { ...question, content: content ?? question.content };
    this.#answer(conversation, [...kept, asked], model, settings);
  }

  stop(id: string): void {
    this.#running.get(id)?.abort();
  }

  remove(id: string): void {
    this.stop(id);
    this.history.remove(id);
  }

  #answer(
    conversation: Conversation,
    messages: Message[],
    model: string | null,
    settings: Settings,
  ): void {
    this.stop(conversation.id);
    const answer: Message = { id: newId(), role: "assistant", content: "" };
    this.history.put({
      ...conversation,
      updated: Date.now(),
      messages: [...messages, answer],
    });
    const controller = new AbortController();
    this.#running.set(conversation.id, controller);
    const request = {
      messages: toRequest(messages, settings.systemPrompt),
      temperature: settings.temperature ?? undefined,
      top_p: settings.topP ?? undefined,
      max_tokens: settings.maxTokens ?? undefined,
    };
    void this.#receive(conversation.id, answer.id, model, request, controller).finally(() => {
      if (this.#running.get(conversation.id) === controller) {
        this.#running.delete(conversation.id);
      }
    });
  }

  async #receive(
    id: string,
    answerId: string,
    model: string | null,
    request: Omit<ChatRequest, "model">,
    controller: AbortController,
  ): Promise<void> {
    const answer: Partial<Message> = { content: "" };
    let ending: Message["ending"] = "stop";
    let updated = 0;
    try {
      // Not known yet where the server could not be reached before.
      const body = { ...request, model: model ?? (await listModels())[0] ?? "" };
      for await (const delta of streamChat(body, controller.signal)) {
        answer.content += delta.text;
        answer.tokens = delta.tokens ?? answer.tokens;
        ending = delta.finish ?? ending;
        if (Date.now() - updated >= UPDATE_EVERY_MS) {
          updated = Date.now();
          this.history.patchMessage(id, answerId, answer);
        }
      }
    } catch (error) {
      if (controller.signal.aborted) {
        ending = "stopped";
      } else {
        ending = error instanceof ApiError ? error.kind : "unreachable";
        if (error instanceof ApiError && error.kind === "refused") answer.error = error.message;
      }
    }
    this.history.patchMessage(id, answerId, { ...answer, ending });
  }
}

/** Questions that got no answer at all stay out, for models expect the two to alternate. */
export function toRequest(messages: Message[], systemPrompt: string): ChatMessage[] {
  const sent: ChatMessage[] = [];
  if (systemPrompt.trim() !== "") sent.push({ role: "system", content: systemPrompt });
  messages.forEach(({ role, content }, index) => {
    const answer = role === "user" ? messages[index + 1] : messages[index];
    const unanswered = answer?.role === "assistant" && answer.content === "";
    if (!unanswered) sent.push({ role, content });
  });
  return sent;
}
