import { DeleteOutlined, EditOutlined, EllipsisOutlined, PlusOutlined } from "@ant-design/icons";
import { Conversations } from "@ant-design/x";
import { App, Button, Input, Modal } from "antd";
import { useState } from "react";

import type { Conversation } from "../history";
import { useTexts } from "../i18n";

interface Props {
  conversations: readonly Conversation[];
  currentId: string | null;
  onSelect: (id: string | null) => void;
  onRename: (id: string, title: string) => void;
  onRemove: (id: string) => void;
}

export function ConversationList(props: Props) {
  const { conversations, currentId, onSelect, onRename, onRemove } = props;
  const t = useTexts();
  const { modal } = App.useApp();
  const [renaming, setRenaming] = useState<Conversation | null>(null);

  function confirmRemoval({ id, title }: Conversation) {
    modal.confirm({
      title: t.removeTitle,
      content: t.removeText(title),
      okText: t.remove,
      okButtonProps: { danger: true },
      cancelText: t.cancel,
      onOk: () => onRemove(id),
    });
  }

  function menu(conversation: Conversation) {
    return {
      items: [
        { key: "rename", icon: <EditOutlined />, label: t.rename },
        { key: "remove", icon: <DeleteOutlined />, label: t.remove, danger: true },
      ],
      onClick: ({ key }: { key: string }) =>
        key === "rename" ? setRenaming(conversation) : confirmRemoval(conversation),
      trigger: (
        <Button
          className="conversation-menu"
          type="text"
          size="small"
          icon={<EllipsisOutlined />}
          aria-label={t.conversationMenu(conversation.title)}
        />
      ),
    };
  }

  return (
    <nav className="conversations" aria-label={t.history}>
      <Button block icon={<PlusOutlined />} onClick={() => onSelect(null)}>
        {t.newChat}
      </Button>
      {conversations.length === 0 && <p className="no-conversations">{t.noHistory}</p>}
      <Conversations
        activeKey={currentId ?? ""}
        onActiveChange={onSelect}
        items={conversations.map((conversation) => ({
          key: conversation.id,
          title: conversation.title,
          // A real button, for the keyboard; its click reaches the item around it.
          label: (
            <button
              type="button"
              className="conversation"
              aria-current={conversation.id === currentId}
            >
              {conversation.title}
            </button>
          ),
        }))}
        menu={(item) => {
          const conversation = conversations.find(({ id }) => id === item.key);
          return conversation && menu(conversation);
        }}
      />
      {renaming && (
        <RenameDialog
          title={renaming.title}
          onRename={(title) => onRename(renaming.id, title)}
          onClose={() => setRenaming(null)}
        />
      )}
    </nav>
  );
}

interface RenameProps {
  title: string;
  onRename: (title: string) => void;
  onClose: () => void;
}

function RenameDialog({ title, onRename, onClose }: RenameProps) {
  const t = useTexts();
  const [draft, setDraft] = useState(title);

  function save() {
    if (draft.trim() !== "") onRename(draft.trim());
    onClose();
  }

  return (
    <Modal
      open
      title={t.rename}
      okText={t.save}
      cancelText={t.cancel}
      onOk={save}
      onCancel={onClose}
    >
      <Input
        value={draft}
        maxLength={80}
        aria-label={t.title}
        onChange={(event) => setDraft(event.target.value)}
        onPressEnter={(event) => event.nativeEvent.isComposing || save()}
      />
    </Modal>
  );
}
