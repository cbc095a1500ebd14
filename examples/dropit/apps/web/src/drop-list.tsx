import { type FormEvent, useState } from "react";
import { api } from "./api";
import { goTo, Link } from "./navigation";
import { useLoaded } from "./use-loaded";

export function DropList() {
  const drops = useLoaded(api.list, "list");
  return (
    <>
      <NewDrop />
      <h2>Latest drops</h2>
      {drops.state === "loading" && <p className="quiet">Loading…</p>}
      {drops.state === "failed" && <p role="alert">{drops.message}</p>}
      {drops.state === "ready" && drops.value.length === 0 && <p className="quiet">Nothing here yet. Leave the first one.</p>}
      {drops.state === "ready" && (
        <ul>
          {drops.value.map((drop) => (
            <li key={drop.id}>
              <Link to={`/drops/${drop.id}`}>{drop.title}</Link>
              <time dateTime={drop.createdAt}>{new Date(drop.createdAt).toLocaleString()}</time>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function NewDrop() {
  const [problem, setProblem] = useState("");
  const [sending, setSending] = useState(false);

  async function send(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setSending(true);
    setProblem("");
    try {
      const drop = await api.create(String(form.get("title")), String(form.get("text")));
      goTo(`/drops/${drop.id}`);
    } catch (error) {
      setProblem((error as Error).message);
      setSending(false);
    }
  }

  return (
    <form onSubmit={send}>
      <label>
        Title
        <input name="title" required maxLength={120} autoComplete="off" />
      </label>
      <label>
        Text
        <textarea name="text" required maxLength={20000} rows={5} />
      </label>
      {problem && <p role="alert">{problem}</p>}
      <button disabled={sending}>{sending ? "Dropping…" : "Drop it"}</button>
    </form>
  );
}
