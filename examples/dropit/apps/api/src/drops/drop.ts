// A drop: a short note somebody left, found again by its id. Pure: no storage, no HTTP.
import { randomBytes } from "node:crypto";

export interface Drop {
  id: string;
  title: string;
  text: string;
  createdAt: string;
}

export interface NewDrop {
  title: string;
  text: string;
}

export const MAX_TITLE = 120;
export const MAX_TEXT = 20_000;
export const LIST_LIMIT = 50;

/** Either the drop to create, or what is wrong with the request, one sentence each. */
export function parseNewDrop(body: unknown): { drop: NewDrop } | { problems: string[] } {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return { problems: ["the body must be a JSON object"] };
  const { title, text, ...unknown } = body as Record<string, unknown>;
  const problems = [
    ...problemsOf("title", title, MAX_TITLE),
    ...problemsOf("text", text, MAX_TEXT),
    ...Object.keys(unknown).map((key) => `${key} is not known`),
  ];
  return problems.length > 0 ? { problems } : { drop: { title: (title as string).trim(), text: text as string } };
}

function problemsOf(name: string, value: unknown, max: number): string[] {
  if (typeof value !== "string" || value.trim() === "") return [`${name} must be a text that is not empty`];
  if (value.includes("\0")) return [`${name} must not contain NUL characters`];
  return value.length > max ? [`${name} may have at most ${max} characters`] : [];
}

/** 72 random bits: not to be guessed, and short enough for a link. */
export function newDropId(): string {
  return randomBytes(9).toString("base64url");
}

export function isDropId(text: string): boolean {
  return /^[A-Za-z0-9_-]{12}$/.test(text);
}
