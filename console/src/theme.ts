/** Colours and shapes: celadon on warm paper by day, on ink by night. */
import { theme, type ThemeConfig } from "antd";
import { useSyncExternalStore } from "react";

const font = [
  "system-ui",
  "-apple-system",
  "Segoe UI",
  "Roboto",
  "PingFang SC",
  "Hiragino Sans GB",
  "Microsoft YaHei",
  "Noto Sans CJK SC",
  "Noto Sans SC",
  "sans-serif",
];

const shared = {
  borderRadius: 10,
  fontFamily: font.map((name) => (name.includes(" ") ? `"${name}"` : name)).join(", "),
};

const light: ThemeConfig = {
  algorithm: theme.defaultAlgorithm,
  token: {
    ...shared,
    colorPrimary: "#2a7f6f",
    colorLink: "#1f7264",
    // The colours derived from this green for large areas are greyish: these are its own tints.
    colorPrimaryBg: "#e5f1ee",
    colorPrimaryBgHover: "#d3e7e2",
    colorPrimaryBorder: "#86bcb0",
    colorPrimaryBorderHover: "#5ba396",
    colorTextBase: "#17201d",
    colorBgLayout: "#f5f7f4",
  },
};

const dark: ThemeConfig = {
  algorithm: theme.darkAlgorithm,
  token: {
    ...shared,
    colorPrimary: "#3f9d8a",
    colorLink: "#62bfae",
    colorTextBase: "#e9efec",
    colorPrimaryBg: "#17332d",
    colorPrimaryBgHover: "#1d4038",
    colorPrimaryBorder: "#2f7567",
    colorPrimaryBorderHover: "#3f9d8a",
    colorBgContainer: "#151a18",
    colorBgElevated: "#1e2422",
    colorBgLayout: "#0f1312",
  },
};

const darkQuery = window.matchMedia("(prefers-color-scheme: dark)");

function subscribe(listener: () => void): () => void {
  darkQuery.addEventListener("change", listener);
  return () => darkQuery.removeEventListener("change", listener);
}

/** Follows the system, also when it changes while the page is open. */
export function useTheme(): ThemeConfig {
  return useSyncExternalStore(subscribe, () => darkQuery.matches) ? dark : light;
}
