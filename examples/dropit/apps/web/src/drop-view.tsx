import { api } from "./api";
import { Link } from "./navigation";
import { useLoaded } from "./use-loaded";

export function DropView({ id }: { id: string }) {
  const drop = useLoaded(() => api.get(id), id);
  return (
    <>
      <p>
        <Link to="/">All drops</Link>
      </p>
      {drop.state === "loading" && <p className="quiet">Loading…</p>}
      {drop.state === "failed" && <p role="alert">{drop.message}</p>}
      {drop.state === "ready" && (
        <article>
          <h2>{drop.value.title}</h2>
          <time dateTime={drop.value.createdAt}>{new Date(drop.value.createdAt).toLocaleString()}</time>
          <pre>{drop.value.text}</pre>
        </article>
      )}
    </>
  );
}
