/** Completes and checks the licence list that Vite writes. */
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

export const LICENSE_FILE = "third-party-licenses.txt";

const ALLOWED = ["MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "0BSD"];

/** Packages without a licence file of their own, and where their licence stands instead. */
const ELSEWHERE: Record<string, { file: string; from?: string }> = {
  // The package of the same repository that has the file.
  "@ant-design/icons-svg": { file: "@ant-design/icons/LICENSE" },
  "is-mobile": { file: "is-mobile/README.md", from: "(MIT)" },
};

export function checkedLicenses(): Plugin {
  return {
    name: "checked-licenses",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const list = bundle[LICENSE_FILE];
        if (list?.type !== "asset") return this.error(`${LICENSE_FILE} was not written`);
        const [head, ...entries] = String(list.source).split(/^(?=## \S+ - \d\S*(?: \(.+\))?$)/m);
        list.source = [head, ...entries.map((entry) => complete(entry))].join("");
      },
    },
  };
}

function complete(entry: string): string {
  const [, name = "", license = ""] = /^## (\S+) - \S+(?: \((.+)\))?$/m.exec(entry) ?? [];
  if (!ALLOWED.includes(license)) throw new Error(`${name} has the licence ${license}`);
  if (entry.trim().includes("\n")) return entry;
  const source = ELSEWHERE[name];
  if (source === undefined) throw new Error(`${name} has no licence text`);
  const text = readFileSync(new URL(`node_modules/${source.file}`, import.meta.url), "utf-8");
  return `${entry.trim()}\n\n${text.slice(source.from ? text.indexOf(source.from) : 0).trim()}\n\n`;
}
