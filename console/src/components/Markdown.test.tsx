import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";

import { Markdown } from "./Markdown";

const render = (text: string) => renderToStaticMarkup(<Markdown text={text} />);

test.each([
  "<img src=x onerror=alert(1)>",
  "text <script>alert(1)</script> text",
  "<iframe src='https://evil.example'></iframe>",
  "![](https://evil.example/pixel.png)",
  "[![alt](https://evil.example/pixel.png)](https://evil.example)",
])("makes no element that runs or fetches: %s", (text) => {
  expect(render(text)).not.toMatch(/<(img|script|iframe)/);
});

test.each(["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "/v1/models", "x:y"])(
  "makes no link to %s",
  (url) => {
    expect(render(`[text](${url})`)).not.toContain("<a");
  },
);

test.each(["https://example.org/", "http://example.org/", "mailto:someone@example.org"])(
  "makes a link to %s that gives nothing away",
  (url) => {
    expect(render(`[text](${url})`)).toContain(
      `<a href="${url}" target="_blank" rel="noopener noreferrer nofollow">text</a>`,
    );
  },
);

test("keeps single line breaks", () => {
  expect(render("秋风\n落叶")).toContain("秋风<br/>\n落叶");
});
