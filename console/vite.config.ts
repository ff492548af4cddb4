import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

import { checkedLicenses, LICENSE_FILE } from "./licenses.ts";

export default defineConfig({
  plugins: [react(), checkedLicenses()],
  // Relative addresses, so that the page also works behind a proxy that adds a path prefix.
  base: "./",
  build: {
    outDir: "../src/qingtan/server/static",
    emptyOutDir: true,
    target: "es2022",
    // One script, so there is nothing to preload and no inline helper for the CSP to forbid.
    modulePreload: false,
    license: { fileName: LICENSE_FILE },
    chunkSizeWarningLimit: 1500,
  },
  server: {
    // `npm run dev` talks to a `qingtan serve` on its default port.
    proxy: { "/v1": "http://127.0.0.1:8000", "/healthz": "http://127.0.0.1:8000" },
  },
});
