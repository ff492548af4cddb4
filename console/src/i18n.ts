/** The page's words in both languages, and which of the two is shown. */
import { createContext, use } from "react";

import { knowledgeEn, knowledgeZh } from "./knowledge/texts";
import * as storage from "./storage";

export type Language = "zh" | "en";

const zh = {
  lang: "zh-CN",
  otherLanguage: "EN",
  switchLanguage: "Switch to English",
  newChat: "新对话",
  history: "对话记录",
  openHistory: "打开对话记录",
  noHistory: "还没有对话",
  conversationMenu: (title: string) => `“${title}”的操作`,
  rename: "重命名",
  title: "标题",
  remove: "删除",
  removeTitle: "删除这个对话？",
  removeText: (title: string) => `“${title}”将从此浏览器中删除，无法恢复。`,
  save: "保存",
  cancel: "取消",
  close: "关闭",
  model: "模型",
  welcome: "清谈 Qingtan",
  welcomeText: (model: string | null) =>
    model ? `想聊点什么？当前模型：${model}` : "想聊点什么？",
  starters: [
    "你好，你是谁？",
    "写一首关于秋天的诗",
    "把“有朋自远方来，不亦乐乎”翻译成英文",
    "你能做什么？",
  ],
  placeholder: "输入问题，Enter 发送，Shift+Enter 换行",
  placeholderShort: "输入问题",
  question: "问题",
  send: "发送",
  stop: "停止回答",
  dialogue: "对话内容",
  toBottom: "回到最新内容",
  notice: "内容由人工智能生成，请核对",
  copy: "复制",
  copied: "已复制",
  retry: "重新回答",
  tryAgain: "重试",
  edit: "修改问题",
  tokens: (count: number) => `${count} 个词元`,
  endings: {
    length: "已达到长度上限，回答在此截断。",
    stopped: "已停止回答。",
    interrupted: "页面在回答途中被关闭或刷新，以下内容未收到。",
    unreachable: "无法连接服务器。请确认它在运行，然后重试。",
    refused: "服务器返回错误：",
  },
  unreachable: "无法连接服务器，请检查它是否在运行。",
  noModels: "无法获取模型列表",
  storageFull: "浏览器存储空间已满或不可用，最近的内容在刷新后会丢失。删除一些对话可以腾出空间。",
  settings: "设置",
  systemPrompt: "系统提示词",
  systemPromptHint: "告诉模型它的角色和回答方式；留空则不发送。",
  systemPromptExample: "例如：你是一位简洁、友善的助手。",
  temperature: "温度 temperature",
  temperatureHint: "越高越多样，越低越稳定；0 表示总选最可能的词。",
  topP: "核采样 top_p",
  topPHint: "只从累计概率达到此值的词中选择。",
  maxTokens: "最大长度 max_tokens",
  maxTokensHint: "每个回答最多多少词元；留空由服务器决定。",
  serverDefault: "由模型决定",
  reset: "恢复默认",
  kept: "设置和对话只保存在此浏览器中。",
  licenses: "第三方软件许可",
  knowledge: knowledgeZh,
};

export type Texts = typeof zh;

const en: Texts = {
  lang: "en",
  otherLanguage: "中",
  switchLanguage: "切换为中文",
  newChat: "New chat",
  history: "Conversations",
  openHistory: "Open conversations",
  noHistory: "No conversations yet",
  conversationMenu: (title) => `Actions for “${title}”`,
  rename: "Rename",
  title: "Title",
  remove: "Delete",
  removeTitle: "Delete this conversation?",
  removeText: (title) => `“${title}” will be deleted from this browser for good.`,
  save: "Save",
  cancel: "Cancel",
  close: "Close",
  model: "Model",
  welcome: "清谈 Qingtan",
  welcomeText: (model) =>
    model ? `What shall we talk about? Model: ${model}` : "What shall we talk about?",
  starters: [
    "Hello, who are you?",
    "Write a short poem about autumn",
    "Translate into Chinese: The early bird catches the worm.",
    "What can you do?",
  ],
  placeholder: "Ask anything — Enter sends, Shift+Enter adds a line",
  placeholderShort: "Ask anything",
  question: "Question",
  send: "Send",
  stop: "Stop answering",
  dialogue: "Conversation",
  toBottom: "Back to the latest",
  notice: "AI-generated content; please verify",
  copy: "Copy",
  copied: "Copied",
  retry: "Answer again",
  tryAgain: "Try again",
  edit: "Edit question",
  tokens: (count) => `${count} ${count === 1 ? "token" : "tokens"}`,
  endings: {
    length: "The answer reached the length limit and was cut off here.",
    stopped: "Stopped.",
    interrupted: "The page was closed or reloaded before the rest of this answer arrived.",
    unreachable: "The server cannot be reached. Check that it is running, then try again.",
    refused: "The server reported an error:",
  },
  unreachable: "The server cannot be reached. Check that it is running.",
  noModels: "The list of models is not available",
  storageFull:
    "The browser’s storage is full or switched off: what is new will be lost on a reload. Deleting conversations makes room.",
  settings: "Settings",
  systemPrompt: "System prompt",
  systemPromptHint: "Tells the model its role and manner; not sent when empty.",
  systemPromptExample: "For example: You are a concise and friendly assistant.",
  temperature: "Temperature",
  temperatureHint: "Higher is more varied, lower more stable; 0 always takes the likeliest word.",
  topP: "top_p",
  topPHint: "Chooses only among words that together reach this probability.",
  maxTokens: "max_tokens",
  maxTokensHint: "The most tokens one answer may have; the server decides when empty.",
  serverDefault: "Up to the model",
  reset: "Reset to defaults",
  kept: "Settings and conversations are kept in this browser only.",
  licenses: "Third-party licences",
  knowledge: knowledgeEn,
};

export const texts: Record<Language, Texts> = { zh, en };

const KEY = "language";

export function loadLanguage(): Language {
  const stored = storage.read(KEY);
  if (stored === "zh" || stored === "en") return stored;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function saveLanguage(language: Language): void {
  storage.write(KEY, language);
}

export const TextsContext = createContext<Texts>(zh);

export function useTexts(): Texts {
  return use(TextsContext);
}
