import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { api } from "./api";
import { DropList } from "./drop-list";
import { DropView } from "./drop-view";
import { Link, usePath } from "./navigation";
import "./style.css";
import { useLoaded } from "./use-loaded";

function View() {
  const path = usePath();
  const id = /^\/drops\/([^/]+)$/.exec(path)?.[1];
  if (id) return <DropView id={id} />;
  if (path === "/") return <DropList />;
  return (
    <p>
      There is no such page. <Link to="/">See all drops</Link>
    </p>
  );
}

function Version() {
  const version = useLoaded(api.version, "version");
  if (version.state !== "ready") return null;
  return (
    <footer className="quiet">
      API {version.value.version}, release {version.value.release}
    </footer>
  );
}

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <header>
      <h1>
        <Link to="/">dropit</Link>
      </h1>
    </header>
    <main>
      <View />
    </main>
    <Version />
  </StrictMode>,
);
