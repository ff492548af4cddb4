import { CheckOutlined, CopyOutlined } from "@ant-design/icons";
import { Typography } from "antd";

import { useTexts } from "../i18n";

/** Copies on plain http as well, where browsers offer no clipboard API. */
export function CopyButton({ text }: { text: string }) {
  const t = useTexts();
  return (
    <Typography.Text
      className="copy-button"
      copyable={{
        text,
        icon: [<CopyOutlined key="copy" />, <CheckOutlined key="copied" />],
        tooltips: [t.copy, t.copied],
      }}
    />
  );
}
