import { memo, type ReactElement, type ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkBreaks from "remark-breaks";
import remarkGfm from "remark-gfm";

import { CopyButton } from "./CopyButton";

const SAFE_PROTOCOLS = ["http:", "https:", "mailto:"];

/** Absolute web and mail addresses only; anything else becomes no link at all. */
function safeUrl(url: string): string {
  try {
    return SAFE_PROTOCOLS.includes(new URL(url).protocol) ? url : "";
  } catch {
    return "";
  }
}

const components: Components = {
  a: ({ href, children }) =>
    href ? (
      <a href={href} target="_blank" rel="noopener noreferrer nofollow">
        {children}
      </a>
    ) : (
      <span>{children}</span>
    ),
  // Never an <img>: what a model writes must not make the browser fetch anything.
  img: ({ src, alt }) => (
    <span className="image-text">{[alt, src].filter(Boolean).join(" · ")}</span>
  ),
  pre: ({ children }) => <CodeBlock>{children}</CodeBlock>,
  table: ({ children }) => (
    <div className="table-box">
      <table>{children}</table>
    </div>
  ),
};

function CodeBlock({ children }: { children: ReactNode }) {
  const code = children as ReactElement<{ className?: string; children?: string }>;
  const language = /language-(\S+)/.exec(code.props.className ?? "")?.[1] ?? "";
  return (
    <div className="code-box">
      <div className="code-head">
        <span>{language}</span>
        <CopyButton text={code.props.children ?? ""} />
      </div>
      <pre>{children}</pre>
    </div>
  );
}

/**
 * Markdown as elements. Raw HTML in it stays visible text: no HTML parser is involved.
 * Single line breaks are kept, for models write verse and lists with them.
 */
export const Markdown = memo(function Markdown({ text }: { text: string }) {
  return (
    <div className="markdown">
      <ReactMarkdown
        remarkPlugins={[remarkGfm, remarkBreaks]}
        urlTransform={safeUrl}
        components={components}
      >
        {text}
      </ReactMarkdown>
    </div>
  );
});
