/** Files on their way into a base: sent, then read by a job of the server. */
import { ApiError, errorMessage } from "../api";
import { basePath, cancelJob, getJob, getTaken, isOpen, type Job } from "./api";

const POLL_MS = 400;

export interface Upload {
  id: number;
  base: string;
  name: string;
  /** Share of the file that has been sent, from 0 to 1. */
  sent: number;
  job: Job | null;
  /** Why it could not be sent, or nobody could be asked how it goes. */
  error: unknown;
  stopped: boolean;
}

export function isOver(upload: Upload): boolean {
  const ended = upload.job !== null && !isOpen(upload.job);
  return ended || upload.error !== undefined || upload.stopped;
}

export class TooLarge extends Error {
  constructor(readonly most: number) {
    super(`larger than ${most} bytes`);
  }
}

/** Lives as long as the page, so that what was begun goes on while another place is shown. */
export class Uploads {
  #uploads: readonly Upload[] = [];
  #listeners = new Set<() => void>();
  #stops = new Map<number, AbortController>();
  #next = 1;

  snapshot = (): readonly Upload[] => this.#uploads;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** `name` may have folders: "手册/第一章.pdf". */
  add(base: string, file: Blob, name: string): void {
    this.follow(base, name, async (signal, onSent) => {
      // Asked first, for a server that refuses a body breaks off, and browsers tell nothing more.
      const most = (await getTaken()).max_upload_bytes;
      if (file.size > most) throw new TooLarge(most);
      return sendFile(base, file, name, signal, onSent);
    });
  }

  /** Follows a job to its end, however it was begun. */
  follow(base: string, name: string, begin: Begin): void {
    const id = this.#next++;
    const stop = new AbortController();
    this.#stops.set(id, stop);
    const upload = { id, base, name, sent: 0, job: null, error: undefined, stopped: false };
    this.#publish([upload, ...this.#uploads]);
    void this.#run(id, begin, stop.signal).finally(() => this.#stops.delete(id));
  }

  cancel(id: number): void {
    const job = this.#uploads.find((upload) => upload.id === id)?.job;
    // A job that has begun is the server's: it says itself when it has ended.
    if (job) void cancelJob(job).catch(() => undefined);
    else this.#stops.get(id)?.abort();
  }

  /** Takes what is over from the list. */
  clear(base: string): void {
    this.#publish(this.#uploads.filter((upload) => upload.base !== base || !isOver(upload)));
  }

  async #run(id: number, begin: Begin, signal: AbortSignal): Promise<void> {
    try {
      let job = await begin(signal, (sent) => this.#patch(id, { sent }));
      this.#patch(id, { sent: 1, job });
      while (isOpen(job)) {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        job = await getJob(job);
        this.#patch(id, { job });
      }
    } catch (error) {
      if (signal.aborted) this.#patch(id, { stopped: true });
      else this.#patch(id, { error });
    }
  }

  #patch(id: number, change: Partial<Upload>): void {
    this.#publish(this.#uploads.map((item) => (item.id === id ? { ...item, ...change } : item)));
  }

  #publish(uploads: readonly Upload[]): void {
    this.#uploads = uploads;
    for (const listener of this.#listeners) listener();
  }
}

export type Begin = (signal: AbortSignal, onSent: (share: number) => void) => Promise<Job>;

/** By XMLHttpRequest, for fetch does not say how much of a body has been sent. */
function sendFile(
  base: string,
  file: Blob,
  name: string,
  signal: AbortSignal,
  onSent: (share: number) => void,
): Promise<Job> {
  const path = name.split("/").map(encodeURIComponent).join("/");
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("PUT", `${basePath(base)}/documents/${path}`);
    call.setRequestHeader("Content-Type", "application/octet-stream");
    call.responseType = "json";
    call.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable && event.total > 0) onSent(event.loaded / event.total);
    });
    call.addEventListener("load", () => {
      if (call.status >= 200 && call.status < 300) resolve(call.response as Job);
      else reject(new ApiError("refused", errorMessage(call.response) ?? `HTTP ${call.status}`));
    });
    call.addEventListener("error", () => reject(new ApiError("unreachable", "")));
    call.addEventListener("abort", () => reject(new Error("stopped")));
    signal.addEventListener("abort", () => call.abort());
    call.send(file);
  });
}
