/** Client of /v1/knowledge: bases, documents, jobs, search and answers with their citations. */
import { request } from "../api";

export interface Base {
  name: string;
  about: string;
  words: string[];
  documents: number;
  chunks: number;
}

export interface StoredDocument {
  id: string;
  base: string;
  name: string;
  title: string;
  media_type: string;
  topic: string;
  date: string | null;
  pages: number | null;
  chunks: number;
  added: string;
  warnings: string[];
}

export interface Block {
  /** Counted from 1; its place for citations. */
  number: number;
  kind: "heading" | "paragraph" | "list" | "table" | "code" | "faq";
  text: string;
  level: number;
  page: number | null;
  /** Of a PDF file, where it stands: left, top, right and bottom as shares of the page. */
  box: [number, number, number, number] | null;
  rows: string[][];
  header_rows: number;
}

export interface Chunk {
  id: string;
  kind: "text" | "article" | "faq" | "table" | "code";
  text: string;
  headings: string[];
  label: string;
  page: number | null;
  first_block: number;
  last_block: number;
  questions: string[];
  answer: string;
  topic: string;
  tokens: number;
}

/** A chunk that was found, with its document and its scores. */
export interface Passage {
  base: string;
  document: Pick<StoredDocument, "id" | "name" | "title" | "topic" | "date">;
  chunk: Chunk;
  score: number;
  /** Of its words by bm25, and of its vector; null where that search did not find it. */
  words: number | null;
  vectors: number | null;
}

export interface Answered {
  id: string;
  /** With citations: "……。[1]". */
  text: string;
  /** Of the answer, each with the number, from 1, of the passage that supports it. */
  sentences: { text: string; citation: number | null }[];
  passages: Passage[];
  /** Nothing was found that answers; `nearest` is what came nearest. */
  refused: boolean;
  nearest: Passage[];
  /** Numbers of passages, from 1, that hold what reads like orders to a model. */
  suspicious: number[];
}

export interface ReportLine {
  name: string;
  outcome: "added" | "replaced" | "unchanged" | "failed" | "cancelled";
  /** Why it could not be read. */
  reason: string;
  warnings: string[];
}

export interface Job {
  id: string;
  base: string;
  /** "failed" where nothing could be read. */
  state: "queued" | "running" | "done" | "cancelled" | "failed";
  done: number;
  total: number;
  report: ReportLine[];
}

export interface Turn {
  role: "user" | "assistant";
  content: string;
}

export interface Feedback {
  id: string;
  base: string;
  /** Of a passage; empty, the whole answer was judged. */
  chunk: string;
  vote: "up" | "down";
  question: string;
  text: string;
  comment: string;
  time: string;
}

/** "tutor" does not answer: it leads to the answer. */
export type Mode = "search" | "law" | "medicine" | "tutor";

/** What the server takes. */
export interface Taken {
  max_upload_bytes: number;
}

const ROOT = "v1/knowledge";

export function basePath(base: string): string {
  return `${ROOT}/bases/${encodeURIComponent(base)}`;
}

function documentPath(base: string, id: string): string {
  return `${basePath(base)}/documents/${encodeURIComponent(id)}`;
}

export function originalPath(base: string, id: string): string {
  return `${documentPath(base, id)}/original`;
}

/** A picture of a PDF file's page, from 1. */
export function pagePath(base: string, id: string, page: number): string {
  return `${documentPath(base, id)}/pages/${page}`;
}

async function get<T>(path: string): Promise<T> {
  return (await (await request(path, {})).json()) as T;
}

async function send<T>(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const headers = { "Content-Type": "application/json" };
  const response = await request(path, { method, headers, body: JSON.stringify(body), signal });
  return (await response.json()) as T;
}

async function list<T>(path: string): Promise<T[]> {
  return (await get<{ data: T[] }>(path)).data;
}

export const getTaken = () => get<Taken>(ROOT);

export const listBases = () => list<Base>(`${ROOT}/bases`);

export const createBase = (body: { name: string; about: string; words: string[] }) =>
  send<Base>("POST", `${ROOT}/bases`, body);

export const removeBase = (base: string) => request(basePath(base), { method: "DELETE" });

export const listDocuments = (base: string) =>
  list<StoredDocument>(`${basePath(base)}/documents`);

export const getDocument = (base: string, id: string) =>
  get<StoredDocument>(documentPath(base, id));

export const listBlocks = (base: string, id: string) =>
  list<Block>(`${documentPath(base, id)}/blocks`);

export const listChunks = (base: string, id: string) =>
  list<Chunk>(`${documentPath(base, id)}/chunks`);

export const removeDocument = (base: string, id: string) =>
  request(documentPath(base, id), { method: "DELETE" });

export const addAddress = (base: string, url: string) =>
  send<Job>("POST", `${basePath(base)}/addresses`, { urls: [url] });

function jobPath({ base, id }: Job): string {
  return `${basePath(base)}/jobs/${encodeURIComponent(id)}`;
}

/** A job as it stands; its report, which may be long, once it has ended. */
export async function getJob(job: Job): Promise<Job> {
  const found = await get<Job>(`${jobPath(job)}?report=false`);
  return isOpen(found) ? found : get<Job>(jobPath(job));
}

export function isOpen({ state }: Job): boolean {
  return state === "queued" || state === "running";
}

export const cancelJob = (job: Job) => send<Job>("POST", `${jobPath(job)}/cancel`, {});

export const search = (bases: string[], query: string, limit: number, signal?: AbortSignal) =>
  send<{ data: Passage[] }>("POST", `${ROOT}/search`, { bases, query, limit }, signal);

export interface Question {
  bases: string[];
  question: string;
  history: Turn[];
  mode: Exclude<Mode, "tutor">;
  /** Only the passages. */
  retrieval_only: boolean;
  /** The model writes; otherwise the answer is a passage's own sentence. */
  written: boolean;
  model?: string;
}

export const ask = (question: Question, signal: AbortSignal) =>
  send<Answered>("POST", `${ROOT}/ask`, question, signal);

export interface Lesson {
  text: string;
  /** The exercise is closed. */
  done: boolean;
  /** To be given back with what the learner says next. */
  state: Record<string, unknown>;
}

export const teach = (
  body: { bases: string[]; said: string; state: Lesson["state"] },
  signal: AbortSignal,
) => send<Lesson>("POST", `${ROOT}/teach`, body, signal);

export interface Vote {
  bases: string[];
  answer: string;
  /** A passage's chunk; absent, the vote is on the whole answer. */
  chunk?: string;
  vote: "up" | "down";
  question: string;
  text: string;
}

export const vote = (body: Vote) => send<Feedback>("POST", `${ROOT}/feedback`, body);

export const listFeedback = (base: string) =>
  list<Feedback>(`${ROOT}/feedback?base=${encodeURIComponent(base)}`);
