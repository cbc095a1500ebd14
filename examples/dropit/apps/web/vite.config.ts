import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // `npm run dev`: the page and the API on one origin, the API started beside it on port 3000.
  server: { proxy: { "/api": "http://127.0.0.1:3000" } },
});
