import { Button, Tooltip } from "antd";
import type { ReactNode } from "react";

interface Props {
  label: string;
  icon: ReactNode;
  onClick: () => void;
}

/** A small button below a message; its label is shown when it is pointed at, and read aloud. */
export function ActionButton({ label, icon, onClick }: Props) {
  return (
    <Tooltip title={label}>
      <Button type="text" size="small" icon={icon} aria-label={label} onClick={onClick} />
    </Tooltip>
  );
}
