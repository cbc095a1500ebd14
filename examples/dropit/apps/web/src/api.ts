// The API of dropit, as the page sees it.

export interface Drop {
  id: string;
  title: string;
  text: string;
  createdAt: string;
}

export interface Version {
  version: string;
  release: string;
  commit: string;
}

function apiOrigin(): string {
  if (import.meta.env.VITE_API_URL) return import.meta.env.VITE_API_URL.replace(/\/$/, "");
  if (import.meta.env.DEV) return "";
  return `${location.protocol}//api.${location.host}`;
}

/** The message is fit to be shown to the person at the screen. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

async function call<T>(path: string, init?: RequestInit): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(`${apiOrigin()}/api${path}`, { ...init, signal: AbortSignal.timeout(10_000) });
  } catch {
    throw new ApiError("The server cannot be reached. Try again in a moment.", 0);
  }
  const body: unknown = await answer.json().catch(() => null);
  if (!answer.ok) throw new ApiError(messageOf(body) ?? `The server answered ${answer.status}.`, answer.status);
  return body as T;
}

function messageOf(body: unknown): string | undefined {
  if (typeof body !== "object" || body === null || !("message" in body)) return undefined;
  return Array.isArray(body.message) ? body.message.join(", ") : String(body.message);
}

export const api = {
  version: () => call<Version>("/version"),
  list: () => call<Drop[]>("/drops"),
  get: (id: string) => call<Drop>(`/drops/${encodeURIComponent(id)}`),
  create: (title: string, text: string) =>
    call<Drop>("/drops", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ title, text }),
    }),
};
