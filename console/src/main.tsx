import "./styles.css";

import { XProvider } from "@ant-design/x";
import xEnglish from "@ant-design/x/locale/en_US";
import xChinese from "@ant-design/x/locale/zh_CN";
import { App as AntApp } from "antd";
import antEnglish from "antd/locale/en_US";
import antChinese from "antd/locale/zh_CN";
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./App";
import { loadLanguage, saveLanguage, texts, TextsContext } from "./i18n";
import { useTheme } from "./theme";

const locales = {
  zh: { ...antChinese, ...xChinese },
  en: { ...antEnglish, ...xEnglish },
};

function Root() {
  const [language, setLanguage] = useState(loadLanguage);
  const theme = useTheme();

  useEffect(() => {
    document.documentElement.lang = texts[language].lang;
  }, [language]);

  function switchLanguage() {
    const other = language === "zh" ? "en" : "zh";
    setLanguage(other);
    saveLanguage(other);
  }

  return (
    <XProvider theme={theme} locale={locales[language]} button={{ autoInsertSpace: false }}>
      <TextsContext value={texts[language]}>
        <AntApp>
          <App onLanguage={switchLanguage} />
        </AntApp>
      </TextsContext>
    </XProvider>
  );
}

const root = document.querySelector("#root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Root />
    </StrictMode>,
  );
}
